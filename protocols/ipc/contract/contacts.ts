/** Local API: the address book, invites and joins. */
import { z } from 'zod'
import { defineContract } from '../endpoint.ts'

const timeMs = z.number().describe('milliseconds since 1970')
const contactReference = z.string().min(1).max(128).describe('name, nz1… id, peer id, or the beginning of an id')
const accepts = z
  .enum(['ask', 'automatically'])
  .default('ask')
  .describe('whether a person here compares the words, or the ticket alone suffices')

export const ContactView = z.strictObject({
  peerId: z.string().describe('libp2p peer id, base58btc'),
  id: z.string().describe('nz1…'),
  name: z.string().describe('unique in this address book'),
  addresses: z.array(z.string()).describe('multiaddrs it was last known at'),
  verifiedBy: z
    .enum(['words', 'invite', 'none'])
    .describe('words: people compared them; invite: only the ticket proved it'),
  addedAtMs: timeMs,
  state: z.enum(['connected', 'reconnecting', 'disconnected']),
})

export const InviteView = z.strictObject({
  inviteId: z.string().describe('inv_…; tells nothing about the ticket'),
  createdAtMs: timeMs,
  expiresAtMs: timeMs,
  accepts: z.enum(['ask', 'automatically']),
  state: z
    .enum(['open', 'claimed', 'joined', 'declined', 'revoked', 'expired'])
    .describe('claimed: one peer has used it and not both sides have accepted yet'),
  claimedBy: z.string().nullable().describe('peer id of who has used it'),
})

export const JoinView = z.strictObject({
  joinId: z.string(),
  role: z.enum(['inviter', 'joiner']),
  inviteId: z.string().nullable().describe('the invite that is used; null on the side of the joiner'),
  peerId: z.string(),
  id: z.string().describe('nz1… of the peer'),
  name: z.string().describe('what the peer calls itself, made safe to show'),
  state: z
    .enum(['connecting', 'comparing', 'waiting', 'joined', 'failed'])
    .describe('waiting: accepted here, not yet there'),
  words: z.array(z.string()).describe('four words, the same on both screens; empty while connecting'),
  contactName: z.string().nullable().describe('name in the address book once joined'),
  code: z.string().nullable().describe('why it failed'),
  startedAtMs: timeMs,
  address: z.string().nullable().describe('multiaddr of the path in use'),
  rttMs: z.number().min(0).nullable().describe('last round trip in milliseconds'),
})

const joinErrors = [
  'NZ_INVITE_MALFORMED',
  'NZ_INVITE_ALTERED',
  'NZ_INVITE_VERSION',
  'NZ_INVITE_EXPIRED',
  'NZ_INVITE_USED',
  'NZ_INVITE_REVOKED',
  'NZ_INVITE_UNKNOWN',
  'NZ_INVITE_SELF',
  'NZ_INVITE_ATTEMPTS',
  'NZ_JOIN_DECLINED',
  'NZ_JOIN_CANCELLED',
  'NZ_JOIN_TIMEOUT',
  'NZ_JOIN_BUSY',
  'NZ_JOIN_PROTOCOL',
  'NZ_JOIN_LOST',
  'NZ_JOIN_UNKNOWN',
  'NZ_NETWORK_UNREACHABLE',
] as const

export const contactsContract = defineContract({
  contactsList: {
    method: 'GET',
    path: '/contacts',
    kind: 'call',
    summary: 'List the contacts: peers this node was introduced to',
    command: ['contacts'],
    schemaName: 'nz.contacts/1',
    params: z.strictObject({}),
    result: z.strictObject({ contacts: z.array(ContactView) }),
    capability: 'contacts.read',
    errors: [],
  },
  contactsRename: {
    method: 'POST',
    path: '/contacts/rename',
    kind: 'call',
    summary: 'Give a contact another name',
    command: ['contacts', 'rename'],
    positional: ['contact', 'name'],
    schemaName: 'nz.contact/1',
    params: z.strictObject({ contact: contactReference, name: z.string().min(1).max(128).describe('new name') }),
    result: z.strictObject({ contact: ContactView }),
    capability: 'contacts.write',
    errors: ['NZ_CONTACTS_NOT_FOUND', 'NZ_CONTACTS_AMBIGUOUS', 'NZ_CONTACTS_NAME_INVALID', 'NZ_CONTACTS_NAME_TAKEN'],
  },
  contactsRemove: {
    method: 'POST',
    path: '/contacts/remove',
    kind: 'call',
    summary: 'Forget a contact and hang up',
    command: ['contacts', 'remove'],
    positional: ['contact'],
    schemaName: 'nz.contact/1',
    params: z.strictObject({ contact: contactReference }),
    result: z.strictObject({ contact: ContactView }),
    capability: 'contacts.write',
    errors: ['NZ_CONTACTS_NOT_FOUND', 'NZ_CONTACTS_AMBIGUOUS'],
  },
  invitesCreate: {
    method: 'POST',
    path: '/invites',
    kind: 'call',
    summary: 'Make a ticket with which one peer may join',
    command: ['invite'],
    schemaName: 'nz.invite/1',
    params: z.strictObject({
      expiresInMs: z.number().int().min(1).default(600_000).describe('how long it is valid, in milliseconds'),
      accepts,
    }),
    result: z.strictObject({
      invite: InviteView,
      ticket: z.string().describe('nzi1…; whoever has it may join; told once and not kept'),
    }),
    capability: 'contacts.write',
    errors: ['NZ_INVITE_TOO_MANY', 'NZ_CONTACTS_INVITE_EXPIRY'],
  },
  invitesList: {
    method: 'GET',
    path: '/invites',
    kind: 'call',
    summary: 'List the invites of this node, newest first',
    command: ['invite', 'list'],
    schemaName: 'nz.invites/1',
    params: z.strictObject({}),
    result: z.strictObject({ invites: z.array(InviteView) }),
    capability: 'contacts.read',
    errors: [],
  },
  invitesRevoke: {
    method: 'POST',
    path: '/invites/revoke',
    kind: 'call',
    summary: 'Make an invite void, and end a join that is using it',
    command: ['invite', 'revoke'],
    positional: ['inviteId'],
    schemaName: 'nz.inviteRevoked/1',
    params: z.strictObject({ inviteId: z.string().min(1).max(64).describe('inv_…') }),
    result: z.strictObject({ invite: InviteView }),
    capability: 'contacts.write',
    errors: ['NZ_INVITE_UNKNOWN', 'NZ_INVITE_USED'],
  },
  invitesWatch: {
    method: 'GET',
    path: '/invites/watch',
    kind: 'stream',
    summary: 'Follow an invite and the join that uses it until it is over',
    command: ['invite', 'watch'],
    positional: ['inviteId'],
    schemaName: 'nz.inviteChange/1',
    params: z.strictObject({ inviteId: z.string().min(1).max(64).describe('inv_…') }),
    result: z.strictObject({ invite: InviteView, join: JoinView.nullable().describe('the latest join that used it') }),
    capability: 'contacts.read',
    errors: ['NZ_INVITE_UNKNOWN', 'NZ_INVITE_EXPIRED', 'NZ_INVITE_REVOKED', 'NZ_JOIN_DECLINED', 'NZ_JOIN_CANCELLED'],
  },
  joinsStart: {
    method: 'POST',
    path: '/joins',
    kind: 'call',
    summary: 'Use a ticket: connect to the inviter and get the words to compare',
    command: ['join'],
    positional: ['ticket'],
    schemaName: 'nz.join/1',
    params: z.strictObject({
      ticket: z.string().min(1).max(2_048).describe('nzi1…'),
      accepts,
      name: z.string().min(1).max(128).optional().describe('what to call the inviter here; default: what it proposes'),
    }),
    result: z.strictObject({ join: JoinView }),
    capability: 'contacts.write',
    errors: [...joinErrors, 'NZ_CONTACTS_NAME_INVALID'],
  },
  joinsList: {
    method: 'GET',
    path: '/joins',
    kind: 'call',
    summary: 'List joins under way and those that ended lately, newest first',
    command: ['join', 'list'],
    schemaName: 'nz.joins/1',
    params: z.strictObject({}),
    result: z.strictObject({ joins: z.array(JoinView) }),
    capability: 'contacts.read',
    errors: [],
  },
  joinsDecide: {
    method: 'POST',
    path: '/joins/decide',
    kind: 'call',
    summary: 'Accept or decline the peer of a join after comparing the words',
    command: ['join', 'decide'],
    positional: ['joinId'],
    schemaName: 'nz.join/1',
    params: z.strictObject({
      joinId: z.string().min(1).max(64).describe('the join, as joins and invites name it'),
      accepts: z.boolean().describe('whether the words are the same on both screens'),
    }),
    result: z.strictObject({ join: JoinView }),
    capability: 'contacts.write',
    errors: ['NZ_JOIN_UNKNOWN'],
  },
  joinsWatch: {
    method: 'GET',
    path: '/joins/watch',
    kind: 'stream',
    summary: 'Follow a join until it is over',
    command: ['join', 'watch'],
    positional: ['joinId'],
    schemaName: 'nz.join/1',
    params: z.strictObject({ joinId: z.string().min(1).max(64).describe('the join, as joins and invites name it') }),
    result: z.strictObject({ join: JoinView }),
    capability: 'contacts.read',
    errors: joinErrors,
  },
})
