/**
 * The invites this node made, in one small durable file: which are open, and which peer has used which. A ticket's secret
 * is kept as its digest only. What is marked used stays used over restarts.
 */
import { timingSafeEqual } from 'node:crypto'
import { z } from 'zod'
import { inviteErrors } from '../../protocols/invite/errors.ts'
import { inviteIdOf, secretDigest } from '../../protocols/invite/ticket.ts'
import type { Clock } from '../../kernel/index.ts'
import type { HomeService } from '../home/service.ts'
import type { Invite } from './service.ts'

const FILE_NAME = 'invites.json'
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
  readonly #home: HomeService
  readonly #clock: Clock
  #invites: readonly StoredInvite[]
  /** When each expires by the monotonic clock: a wall clock that jumps back lengthens nothing. */
  readonly #endsAtMonotonicMs = new Map<string, number>()
  #lastChange: Promise<unknown> = Promise.resolve()

  private constructor(home: HomeService, clock: Clock, invites: readonly StoredInvite[]) {
    this.#home = home
    this.#clock = clock
    this.#invites = invites
    for (const invite of invites) this.#remember(invite)
  }

  /** @throws NZ_INVITE_DAMAGED; the file is left as it is */
  static async open(home: HomeService, clock: Clock): Promise<InviteList> {
    const bytes = await home.read(FILE_NAME)
    return new InviteList(home, clock, bytes === null ? [] : parse(bytes))
  }

  list(): readonly Invite[] {
    return this.#invites.map((invite) => this.#view(invite)).toReversed()
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
      const kept = this.#stillKept(invites)
      this.#remember(added)
      return { invites: [...kept, added], result: added }
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
      return replace(invites, { ...invite, state: 'claimed', claimedBy: peerId, claims: claims + 1 })
    })
  }

  async finish(inviteId: string, state: 'joined' | 'declined'): Promise<Invite> {
    return await this.#change((invites) => replace(invites, { ...this.#find(inviteId), state }))
  }

  /** @throws NZ_INVITE_UNKNOWN, NZ_INVITE_USED when it is over already */
  async revoke(inviteId: string): Promise<Invite> {
    return await this.#change((invites) => {
      const invite = this.#find(inviteId)
      if (invite.state === 'joined' || invite.state === 'declined') {
        throw inviteErrors.NZ_INVITE_USED({ data: { inviteId } })
      }
      return replace(invites, { ...invite, state: 'revoked' })
    })
  }

  #find(inviteId: string): StoredInvite {
    const found = this.#invites.find((invite) => invite.inviteId === inviteId)
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

  /** Forgets those that expired a day ago, and the oldest that are over when there are too many. */
  #stillKept(invites: readonly StoredInvite[]): readonly StoredInvite[] {
    const oldestMs = this.#clock.nowMs() - KEPT_AFTER_EXPIRY_MS
    const recent = invites.filter((invite) => this.#isUsable(invite) || invite.expiresAtMs > oldestMs)
    const surplus = recent.length + 1 - MAX_KEPT_INVITES
    const dropped = new Set(recent.filter((invite) => !this.#isUsable(invite)).slice(0, Math.max(0, surplus)))
    const kept = recent.filter((invite) => !dropped.has(invite))
    const ids = new Set(kept.map(({ inviteId }) => inviteId))
    for (const inviteId of this.#endsAtMonotonicMs.keys()) {
      if (!ids.has(inviteId)) this.#endsAtMonotonicMs.delete(inviteId)
    }
    return kept
  }

  #view(invite: StoredInvite): Invite {
    const { inviteId, createdAtMs, expiresAtMs, accepts, claimedBy } = invite
    const isOver = !this.#isUsable(invite) && (invite.state === 'open' || invite.state === 'claimed')
    return { inviteId, createdAtMs, expiresAtMs, accepts, state: isOver ? 'expired' : invite.state, claimedBy }
  }

  /** One change after another; memory changes only when the file has. */
  async #change(
    step: (invites: readonly StoredInvite[]) => {
      readonly invites: readonly StoredInvite[]
      readonly result: StoredInvite
    },
  ): Promise<Invite> {
    const work = async (): Promise<Invite> => {
      const { invites, result } = step(this.#invites)
      const text = `${JSON.stringify({ version: 1, invites }, null, 2)}\n`
      await this.#home.write(FILE_NAME, new TextEncoder().encode(text))
      this.#invites = invites
      return this.#view(result)
    }
    const mine = this.#lastChange.then(work, work)
    this.#lastChange = mine
    return await mine
  }
}

function replace(invites: readonly StoredInvite[], changed: StoredInvite) {
  return {
    invites: invites.map((invite) => (invite.inviteId === changed.inviteId ? changed : invite)),
    result: changed,
  }
}

function parse(bytes: Uint8Array): readonly StoredInvite[] {
  try {
    const { invites } = StoredList.parse(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)))
    if (new Set(invites.map(({ inviteId }) => inviteId)).size !== invites.length) throw new Error('an id occurs twice')
    return invites
  } catch (error) {
    throw inviteErrors.NZ_INVITE_DAMAGED({ cause: error, data: { file: FILE_NAME } })
  }
}
