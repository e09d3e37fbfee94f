/**
 * The invites this node made, in the store: which are open, and which peer has used which. A ticket's secret is kept as
 * its digest only. What is marked used stays used over restarts.
 */
import { timingSafeEqual } from 'node:crypto'
import { z } from 'zod'
import { inviteErrors } from '../../protocols/invite/errors.ts'
import { inviteIdOf, secretDigest } from '../../protocols/invite/ticket.ts'
import type { Clock, Health } from '../../kernel/index.ts'
import type { StorageService, StoredMap } from '../storage/service.ts'
import type { Invite } from './service.ts'

const NAMESPACE = 'contacts/invites'
const OLDER_FILE = 'invites.json'
/** Invites that can still be used. */
export const MAX_OPEN_INVITES = 64
/** All invites kept, so that a used or expired one is refused with its own code. */
export const MAX_KEPT_INVITES = 512
const KEPT_AFTER_EXPIRY_MS = 86_400_000
/** Tries of the one peer that has claimed a ticket. */
export const MAX_CLAIMS = 5

const StoredInvite = z.strictObject({
  inviteId: z.string().regex(/^inv_[0-9a-f]{12}$/),
  secretDigest: z.string().regex(/^[0-9a-f]{64}$/),
  createdAtMs: z.number().int().min(0),
  expiresAtMs: z.number().int().min(0),
  accepts: z.enum(['ask', 'automatically']),
  state: z.enum(['open', 'claimed', 'joined', 'declined', 'revoked']),
  claimedBy: z.string().max(64).nullable(),
  claims: z.number().int().min(0).max(MAX_CLAIMS),
})
const StoredList = z.strictObject({ version: z.literal(1), invites: z.array(StoredInvite).max(MAX_KEPT_INVITES) })
type StoredInvite = z.output<typeof StoredInvite>

export class InviteList {
  readonly #stored: StoredMap<StoredInvite>
  readonly #clock: Clock
  /** When each expires by the monotonic clock: a wall clock that jumps back lengthens nothing. */
  readonly #endsAtMonotonicMs = new Map<string, number>()

  constructor(storage: Pick<StorageService, 'map'>, clock: Clock) {
    this.#clock = clock
    this.#stored = storage.map(NAMESPACE, {
      schema: StoredInvite,
      older: { file: OLDER_FILE, records: (bytes) => parse(bytes).map((invite) => [invite.inviteId, invite]) },
      onLoaded: () => {
        for (const invite of this.#stored.values.values()) this.#remember(invite)
      },
    })
  }

  /** @throws NZ_INVITE_DAMAGED; the file of an older version is left as it is */
  async load(): Promise<void> {
    await this.#stored.load()
  }

  health(): Health {
    return this.#stored.health('no invite can be made or used until then')
  }

  /** Newest first. @throws NZ_STORAGE_DAMAGED, NZ_STORAGE_UNAVAILABLE */
  list(): readonly Invite[] {
    const invites = [...this.#stored.values.values()].map((invite) => this.#view(invite))
    return invites.toReversed().toSorted((a, b) => b.createdAtMs - a.createdAtMs)
  }

  /** @throws NZ_INVITE_UNKNOWN */
  get(inviteId: string): Invite {
    return this.#view(this.#find(inviteId))
  }

  /** @throws NZ_INVITE_TOO_MANY */
  async add(secret: Uint8Array, expiresAtMs: number, accepts: Invite['accepts']): Promise<Invite> {
    return await this.#change((invites) => {
      if (invites.filter((invite) => this.#isUsable(invite)).length >= MAX_OPEN_INVITES) {
        throw inviteErrors.NZ_INVITE_TOO_MANY({ data: { limit: MAX_OPEN_INVITES } })
      }
      const added: StoredInvite = {
        inviteId: inviteIdOf(secret),
        secretDigest: Buffer.from(secretDigest(secret)).toString('hex'),
        createdAtMs: this.#clock.nowMs(),
        expiresAtMs,
        accepts,
        state: 'open',
        claimedBy: null,
        claims: 0,
      }
      const over = this.#over(invites)
      this.#remember(added)
      return { changed: added, over }
    })
  }

  /**
   * Marks the ticket of `secret` used by `peerId`, durably, before it resolves. Of several peers one wins; that one may
   * come again (its connection was cut) up to `MAX_CLAIMS` times until the invite expires.
   *
   * @throws NZ_INVITE_UNKNOWN, NZ_INVITE_EXPIRED, NZ_INVITE_USED, NZ_INVITE_REVOKED, NZ_INVITE_ATTEMPTS
   */
  async claim(secret: Uint8Array, peerId: string): Promise<Invite> {
    const digest = secretDigest(secret)
    return await this.#change((invites) => {
      const invite = invites.find((other) => timingSafeEqual(Buffer.from(other.secretDigest, 'hex'), digest))
      if (invite === undefined) throw inviteErrors.NZ_INVITE_UNKNOWN()
      const { inviteId, state, claimedBy, claims } = invite
      if (state === 'revoked') throw inviteErrors.NZ_INVITE_REVOKED({ data: { inviteId } })
      if (state === 'joined' || state === 'declined' || (claimedBy !== null && claimedBy !== peerId)) {
        throw inviteErrors.NZ_INVITE_USED({ data: { inviteId } })
      }
      if (this.#isExpired(invite)) throw inviteErrors.NZ_INVITE_EXPIRED({ data: { inviteId } })
      if (claims >= MAX_CLAIMS) throw inviteErrors.NZ_INVITE_ATTEMPTS({ data: { inviteId } })
      return { changed: { ...invite, state: 'claimed', claimedBy: peerId, claims: claims + 1 } }
    })
  }

  async finish(inviteId: string, state: 'joined' | 'declined'): Promise<Invite> {
    return await this.#change(() => ({ changed: { ...this.#find(inviteId), state } }))
  }

  /** @throws NZ_INVITE_UNKNOWN, NZ_INVITE_USED when it is over already */
  async revoke(inviteId: string): Promise<Invite> {
    return await this.#change(() => {
      const invite = this.#find(inviteId)
      if (invite.state === 'joined' || invite.state === 'declined') {
        throw inviteErrors.NZ_INVITE_USED({ data: { inviteId } })
      }
      return { changed: { ...invite, state: 'revoked' } }
    })
  }

  #find(inviteId: string): StoredInvite {
    const found = this.#stored.values.get(inviteId)
    if (found === undefined) throw inviteErrors.NZ_INVITE_UNKNOWN({ data: { inviteId: inviteId.slice(0, 80) } })
    return found
  }

  #isUsable(invite: StoredInvite): boolean {
    return (invite.state === 'open' || invite.state === 'claimed') && !this.#isExpired(invite)
  }

  #isExpired({ inviteId, expiresAtMs }: StoredInvite): boolean {
    const endsAtMs = this.#endsAtMonotonicMs.get(inviteId) ?? 0
    return this.#clock.nowMs() >= expiresAtMs || this.#clock.monotonicMs() >= endsAtMs
  }

  #remember({ inviteId, expiresAtMs }: StoredInvite): void {
    this.#endsAtMonotonicMs.set(inviteId, this.#clock.monotonicMs() + expiresAtMs - this.#clock.nowMs())
  }

  /** Those that expired a day ago, and the oldest that are over when there are too many: nothing knows them then. */
  #over(invites: readonly StoredInvite[]): readonly string[] {
    const oldestMs = this.#clock.nowMs() - KEPT_AFTER_EXPIRY_MS
    const recent = invites.filter((invite) => this.#isUsable(invite) || invite.expiresAtMs > oldestMs)
    const surplus = recent.length + 1 - MAX_KEPT_INVITES
    const unusable = recent.filter((invite) => !this.#isUsable(invite))
    const oldest = unusable.toSorted((a, b) => a.createdAtMs - b.createdAtMs).slice(0, Math.max(0, surplus))
    const kept = new Set(recent)
    for (const invite of oldest) kept.delete(invite)
    const over = invites.filter((invite) => !kept.has(invite)).map(({ inviteId }) => inviteId)
    for (const inviteId of over) this.#endsAtMonotonicMs.delete(inviteId)
    return over
  }

  #view(invite: StoredInvite): Invite {
    const { inviteId, createdAtMs, expiresAtMs, accepts, claimedBy } = invite
    const isOver = !this.#isUsable(invite) && (invite.state === 'open' || invite.state === 'claimed')
    return { inviteId, createdAtMs, expiresAtMs, accepts, state: isOver ? 'expired' : invite.state, claimedBy }
  }

  async #change(
    step: (invites: readonly StoredInvite[]) => { readonly changed: StoredInvite; readonly over?: readonly string[] },
  ): Promise<Invite> {
    const changed = await this.#stored.change((stored) => {
      const { changed: invite, over = [] } = step([...stored.values()])
      return { put: [[invite.inviteId, invite]], remove: over, result: invite }
    })
    return this.#view(changed)
  }
}

/** The invites of version 0.1.0. */
function parse(bytes: Uint8Array): readonly StoredInvite[] {
  try {
    const { invites } = StoredList.parse(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)))
    if (new Set(invites.map(({ inviteId }) => inviteId)).size !== invites.length) throw new Error('an id occurs twice')
    return invites
  } catch (error) {
    throw inviteErrors.NZ_INVITE_DAMAGED({ cause: error, data: { file: OLDER_FILE } })
  }
}
