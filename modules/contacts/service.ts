/** What others may know of `contacts`: the people's names of peers, and how peers are introduced by invites. */
import { z } from 'zod'
import { defineErrors, defineEvents, defineService } from '../../kernel/index.ts'

export { inviteErrors } from '../../protocols/invite/errors.ts'

/** A peer this node was introduced to. */
export interface Contact {
  readonly peerId: string
  /** `nz1…` */
  readonly id: string
  /** Unique in this address book, chosen by the peer or renamed here; printable, at most 32 characters. */
  readonly name: string
  readonly addresses: readonly string[]
  /** `words`: people compared the words on both screens; `invite`: only the ticket proved it. */
  readonly verifiedBy: 'words' | 'invite' | 'none'
  readonly addedAtMs: number
}

export interface ContactsService {
  /** @throws NZ_STORAGE_DAMAGED, NZ_STORAGE_UNAVAILABLE when the address book cannot be read; so do the others but `get` */
  list(): readonly Contact[]
  /** `undefined` for everybody while the address book cannot be read. */
  get(peerId: string): Contact | undefined
  /**
   * The contact that `reference` names: a name, `nz1…` id, peer id, or a unique prefix of an id (at least 6 characters).
   *
   * @throws NZ_CONTACTS_NOT_FOUND, NZ_CONTACTS_AMBIGUOUS
   */
  resolve(reference: string): Contact
  /** Adds a peer that both sides have agreed upon without an invite; one that is known keeps its name. @throws NZ_CONTACTS_FULL */
  add(peer: Pick<Contact, 'peerId' | 'name' | 'addresses'>): Promise<Contact>
  /** @throws NZ_CONTACTS_NOT_FOUND, NZ_CONTACTS_AMBIGUOUS, NZ_CONTACTS_NAME_INVALID, NZ_CONTACTS_NAME_TAKEN */
  rename(reference: string, name: string): Promise<Contact>
  /** Forgets the contact and hangs up. @throws NZ_CONTACTS_NOT_FOUND, NZ_CONTACTS_AMBIGUOUS */
  remove(reference: string, options: { readonly signal: AbortSignal }): Promise<void>
}

export const ContactsService = defineService<ContactsService>('contacts')

/** One invite that this node made. */
export interface Invite {
  /** `inv_…`; tells nothing about the ticket's secret. */
  readonly inviteId: string
  readonly createdAtMs: number
  readonly expiresAtMs: number
  /** Whether a person here compares the words, or the ticket alone suffices. */
  readonly accepts: 'ask' | 'automatically'
  /** `claimed`: one peer has used it and both sides have not accepted yet; only that peer may try again. */
  readonly state: 'open' | 'claimed' | 'joined' | 'declined' | 'revoked' | 'expired'
  readonly claimedBy: string | null
}

/** One run of the join protocol, on either side. */
export interface Join {
  readonly joinId: string
  readonly role: 'inviter' | 'joiner'
  /** Of the invite that was used; `null` on the joiner's side. */
  readonly inviteId: string | null
  readonly peerId: string
  /** `nz1…` of the peer. */
  readonly id: string
  /** The name the peer proposes, made safe to show. */
  readonly name: string
  /** `waiting`: accepted here, not yet there. */
  readonly state: 'connecting' | 'comparing' | 'waiting' | 'joined' | 'failed'
  /** Four words; the same on both screens. Empty while connecting. */
  readonly words: readonly string[]
  /** The name in the address book once joined. */
  readonly contactName: string | null
  /** Why it failed. */
  readonly code: string | null
  readonly startedAtMs: number
}

export interface InvitesService {
  /**
   * A new ticket, `nzi1…`. It is told once and not kept.
   *
   * @throws NZ_INVITE_TOO_MANY
   */
  create(options: {
    readonly expiresInMs: number
    readonly accepts: Invite['accepts']
  }): Promise<{ readonly invite: Invite; readonly ticket: string }>
  /** Newest first; those that are over are kept for a day. */
  list(): readonly Invite[]
  /** Also ends a join that is using it. @throws NZ_INVITE_UNKNOWN, NZ_INVITE_USED */
  revoke(inviteId: string): Promise<Invite>
  /** The invite and the latest join that used it, now and at every change, until the invite is over. @throws NZ_INVITE_UNKNOWN */
  watch(
    inviteId: string,
    options: { readonly signal: AbortSignal },
  ): AsyncIterable<{ readonly invite: Invite; readonly join: Join | null }>
  /**
   * Uses a ticket: verifies it, connects to the inviter and resolves when there are words to compare (or when all is
   * done). `name` is how the inviter is called here.
   *
   * @throws NZ_INVITE_…, NZ_JOIN_…, NZ_NETWORK_UNREACHABLE
   */
  join(
    ticket: string,
    options: { readonly accepts: Invite['accepts']; readonly name?: string; readonly signal: AbortSignal },
  ): Promise<Join>
  /** Joins under way and those that ended lately, newest first. */
  joins(): readonly Join[]
  /** The answer of the person here to the compared words. @throws NZ_JOIN_UNKNOWN */
  decide(joinId: string, accepts: boolean): Promise<Join>
  /** The join now and at every change, until it is over. @throws NZ_JOIN_UNKNOWN */
  watchJoin(joinId: string, options: { readonly signal: AbortSignal }): AsyncIterable<Join>
}

export const InvitesService = defineService<InvitesService>('invites')

export const contactsEvents = defineEvents('contacts', {
  added: z.strictObject({ peerId: z.string(), name: z.string() }),
  removed: z.strictObject({ peerId: z.string(), name: z.string() }),
  renamed: z.strictObject({ peerId: z.string(), name: z.string() }),
  inviteCreated: z.strictObject({ inviteId: z.string(), expiresAtMs: z.number() }),
  inviteRevoked: z.strictObject({ inviteId: z.string() }),
  joinWaiting: z.strictObject({ joinId: z.string(), peerId: z.string(), name: z.string() }),
  joinFailed: z.strictObject({ joinId: z.string(), peerId: z.string(), code: z.string() }),
})

export const contactsErrors = defineErrors({
  NZ_CONTACTS_NOT_FOUND: {
    message: 'no peer of that name or id is known',
    fix: ['nzcore peers', 'nzcore join <ticket>'],
    status: 404,
    exit: 'notFound',
    retryable: false,
  },
  NZ_CONTACTS_AMBIGUOUS: {
    message: 'more than one peer matches',
    fix: ['give more of the id: nzcore peers --full'],
    status: 409,
    exit: 'conflict',
    retryable: false,
  },
  NZ_CONTACTS_NAME_INVALID: {
    message: 'that name cannot be used for a contact',
    fix: ['use at most 32 letters, digits, spaces or ._+- and none that read like an id (nz1…)'],
    status: 400,
    exit: 'usage',
    retryable: false,
  },
  NZ_CONTACTS_NAME_TAKEN: {
    message: 'another contact has that name',
    fix: ['nzcore contacts', 'nzcore contacts rename <contact> <name>'],
    status: 409,
    exit: 'conflict',
    retryable: false,
  },
  NZ_CONTACTS_FULL: {
    message: 'the address book is full',
    fix: ['nzcore contacts remove <contact>'],
    status: 507,
    exit: 'conflict',
    retryable: false,
  },
  NZ_CONTACTS_INVITE_EXPIRY: {
    message: 'an invite may be valid for 10 seconds to 7 days',
    fix: ['nzcore invite --expires 10m'],
    status: 400,
    exit: 'usage',
    retryable: false,
  },
  NZ_CONTACTS_DAMAGED: {
    message: 'the address book cannot be read',
    fix: ['restore data.file in the state folder from a backup', 'nzcore doctor'],
    status: 500,
    exit: 'damaged',
    retryable: false,
  },
})
