/** What this node knows of everybody's trust, what it says itself, and what follows for a peer. */
import { isNzError } from '../../kernel/index.ts'
import { storageErrors } from '../storage/service.ts'
import { trustErrors } from './service.ts'
import { effectiveTrust, issuersOfInterest, levelWeights } from '../../protocols/trust/effective.ts'
import { TrustReplica } from '../../protocols/trust/replica.ts'
import { createUpdate, keyOf, NO_PREVIOUS } from '../../protocols/trust/update.ts'
import type { EffectiveTrust } from '../../protocols/trust/effective.ts'
import type { Change } from '../../protocols/trust/issuer-log.ts'
import type { Receipt } from '../../protocols/trust/replica.ts'
import type { Key, Statement, TrustUpdate } from '../../protocols/trust/update.ts'
import type { IdentityService } from '../identity/service.ts'
import type { NzError } from '../../kernel/index.ts'
import type { LatestTime } from './latest-time.ts'
import type { UpdateStore } from './update-store.ts'

export interface LedgerServices {
  readonly identity: Pick<IdentityService, 'self' | 'signAsNode' | 'verify'>
  readonly store: UpdateStore
  readonly time: LatestTime
  readonly isContact: (peer: Key) => boolean
}

/** How far a contact is trusted of whom this node has said nothing yet (NZ-TRUST-01 §7). */
export const CONTACT_LEVEL = 2
export const CONTACT_VOUCH_DEPTH = 1

export class TrustLedger {
  readonly #services: LedgerServices
  readonly replica: TrustReplica
  readonly self: Key
  #interest: ReadonlySet<Key> | null = null
  #trouble: NzError | null = storageErrors.NZ_STORAGE_UNAVAILABLE({ why: 'the statements were not read yet' })
  #issuing: Promise<unknown> = Promise.resolve()

  constructor(services: LedgerServices) {
    this.#services = services
    this.self = keyOf(services.identity.self.nodePublicKey)
    this.replica = new TrustReplica({
      verify: (...signed) => services.identity.verify(...signed),
      isOfInterest: (issuer) => this.isOfInterest(issuer),
    })
  }

  /** Reads what is stored. While that cannot be read, nothing can be said of anybody: `trouble`. */
  async load(options: { readonly signal: AbortSignal }): Promise<void> {
    try {
      await this.#services.time.load()
      await this.#services.store.load(this.replica, options)
      this.#trouble = null
    } catch (error) {
      if (!isNzError(error) || !error.code.startsWith('NZ_STORAGE_')) throw error
      this.#trouble = error
    }
    this.#interest = null
  }

  /** Why the updates cannot be read; `null` when they are. */
  get trouble(): NzError | null {
    return this.#trouble
  }

  /** @throws NZ_STORAGE_DAMAGED, NZ_STORAGE_UNAVAILABLE */
  requireReadable(): void {
    if (this.#trouble !== null) throw this.#trouble
  }

  /** Whether updates of `issuer` are taken from others. */
  isOfInterest(issuer: Key): boolean {
    this.#interest ??= issuersOfInterest(this.replica, this.self, this.#services.time.nowS())
    return this.#interest.has(issuer)
  }

  /** What follows from all updates for a peer, now. */
  effective(peer: Key): EffectiveTrust {
    const effective = effectiveTrust(this.replica, this.self, peer, this.#services.time.nowS())
    if (effective.because !== 'none' && effective.because !== 'path') return effective
    const isUnspoken = this.replica.log(this.self)?.hasSpokenOf(peer) !== true && this.#services.isContact(peer)
    if (!isUnspoken || effective.level >= CONTACT_LEVEL || effective.isForked) return effective
    return { ...effective, level: CONTACT_LEVEL, weight: levelWeights[CONTACT_LEVEL], because: 'own', paths: [] }
  }

  nowS(): number {
    return this.#services.time.nowS()
  }

  /** An update from outside, checked and taken in memory: `write` makes it durable. */
  receive(bytes: Uint8Array): Receipt {
    const receipt = this.replica.receive(bytes, this.nowS())
    if (receipt.added.length > 0) this.#interest = null
    return receipt
  }

  /** Durable when it resolves. Statements follow one another in the order of the calls. @throws NZ_TRUST_OWN_FORK, NZ_STORAGE_… */
  async issue(statement: Statement): Promise<TrustUpdate> {
    const issued = this.#issuing.then(async () => await this.#issueNow(statement))
    // The next statement is made whatever became of this one.
    this.#issuing = issued.catch(() => undefined)
    return await issued
  }

  async write(changes: readonly Pick<Change, 'added' | 'removed'>[]): Promise<void> {
    await this.#services.store.write(changes)
  }

  async #issueNow(statement: Statement): Promise<TrustUpdate> {
    this.requireReadable()
    const log = this.replica.log(this.self)
    if (log?.isForked === true) throw trustErrors.NZ_TRUST_OWN_FORK()
    const last = log?.chain.at(-1)
    const body = {
      issuer: this.self,
      sequence: (last?.sequence ?? 0) + 1,
      previous: last?.id ?? NO_PREVIOUS,
      issuedS: this.nowS(),
      statement,
    }
    const update = createUpdate(body, (purpose, message) => this.#services.identity.signAsNode(purpose, message))
    // On disk first: what was told to others and then forgotten would fork this node's own log.
    await this.#services.store.writeOwn(update)
    this.replica.restore(update.bytes)
    this.#interest = null
    return update
  }
}
