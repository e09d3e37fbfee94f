/** The invites service: makes tickets, uses tickets, and lets people watch and decide. */
import { displayName } from '../../protocols/invite/name.ts'
import { createTicket, SECRET_BYTES } from '../../protocols/invite/ticket.ts'
import type { Clock, EventBus, Random } from '../../kernel/index.ts'
import type { IdentityService } from '../identity/service.ts'
import type { NetworkService } from '../network/service.ts'
import type { ChangeSignal } from './change-signal.ts'
import type { InviteList } from './invite-list.ts'
import { isOver } from './joins.ts'
import type { Joins } from './joins.ts'
import { contactsErrors, contactsEvents } from './service.ts'
import type { Invite, InvitesService, Join } from './service.ts'

export const MIN_EXPIRY_MS = 10_000
export const MAX_EXPIRY_MS = 7 * 86_400_000

export interface InvitesServices {
  readonly identity: IdentityService
  readonly network: NetworkService
  readonly invites: InviteList
  readonly joins: Joins
  readonly clock: Clock
  readonly random: Random
  readonly events: EventBus
  readonly changed: ChangeSignal
}

export function createInvites(
  { identity, network, invites, joins, clock, random, events, changed }: InvitesServices,
  { name }: { readonly name: string },
): InvitesService {
  return {
    async create({ expiresInMs, accepts }) {
      if (!(expiresInMs >= MIN_EXPIRY_MS && expiresInMs <= MAX_EXPIRY_MS)) {
        throw contactsErrors.NZ_CONTACTS_INVITE_EXPIRY({ data: { minMs: MIN_EXPIRY_MS, maxMs: MAX_EXPIRY_MS } })
      }
      const secret = random.bytes(SECRET_BYTES)
      try {
        const inviter = identity.self.nodePublicKey
        const expiresAtMs = Math.floor((clock.nowMs() + expiresInMs) / 1_000) * 1_000
        const fields = { inviter, addresses: network.addresses(), secret, expiresAtMs, name }
        const { text } = createTicket(fields, (...toSign) => identity.signAsNode(...toSign))
        const invite = await invites.add(secret, expiresAtMs, accepts)
        events.emit(contactsEvents.inviteCreated, { inviteId: invite.inviteId, expiresAtMs })
        changed.raise()
        return { invite, ticket: text }
      } finally {
        secret.fill(0)
      }
    },
    list: () => invites.list(),
    async revoke(inviteId) {
      const invite = await invites.revoke(inviteId)
      joins.revoke(inviteId)
      events.emit(contactsEvents.inviteRevoked, { inviteId })
      changed.raise()
      return invite
    },
    watch: (inviteId, { signal }) => watchInvite({ invites, joins, clock, changed }, inviteId, signal),
    async join(ticket, { accepts, name: wanted, signal }) {
      if (wanted !== undefined && displayName(wanted) !== wanted) throw contactsErrors.NZ_CONTACTS_NAME_INVALID()
      return await joins.start(ticket, { accepts, signal, ...(wanted === undefined ? {} : { name: wanted }) })
    },
    joins: () => joins.list(),
    decide: async (joinId, accepts) => joins.decide(joinId, accepts),
    watchJoin: (joinId, { signal }) => watchJoin({ joins, changed }, joinId, signal),
  }
}

async function* watchInvite(
  { invites, joins, clock, changed }: Pick<InvitesServices, 'invites' | 'joins' | 'clock' | 'changed'>,
  inviteId: string,
  signal: AbortSignal,
): AsyncIterable<{ readonly invite: Invite; readonly join: Join | null }> {
  const { expiresAtMs } = invites.get(inviteId)
  const expiry = clock.setTimer(Math.max(0, expiresAtMs - clock.nowMs()) + 1, () => changed.raise(), { unref: true })
  let told = ''
  try {
    while (!signal.aborted) {
      const change = changed.next(signal)
      const view = { invite: invites.get(inviteId), join: joins.ofInvite(inviteId) }
      const text = JSON.stringify(view)
      if (text !== told) yield view
      told = text
      const isPending = view.join !== null && !isOver(view.join)
      if (view.invite.state !== 'open' && view.invite.state !== 'claimed' && !isPending) return
      await change
    }
  } finally {
    expiry.cancel()
  }
}

async function* watchJoin(
  { joins, changed }: Pick<InvitesServices, 'joins' | 'changed'>,
  joinId: string,
  signal: AbortSignal,
): AsyncIterable<Join> {
  let told: Join | null = null
  while (!signal.aborted) {
    const change = changed.next(signal)
    const join = joins.get(joinId)
    if (join !== told) yield join
    told = join
    if (isOver(join)) return
    await change
  }
}
