/** What this node knows of everybody's trust, what it says itself, and what follows for a peer. */
import { isNzError } from '../../kernel/index.ts'
import { storageErrors } from '../storage/service.ts'
import { trustErrors } from './service.ts'
import { levelWeights } from '../../protocols/trust/effective.ts'
import { Standpoint } from '../../protocols/trust/standpoint.ts'
import { keyOf } from '../../protocols/trust/update.ts'
import type { EffectiveTrust } from '../../protocols/trust/effective.ts'
import type { Change } from '../../protocols/trust/issuer-log.ts'
import type { TrustReplica } from '../../protocols/trust/replica.ts'
import type { Key, Statement, TrustUpdate } from '../../protocols/trust/update.ts'
import type { IdentityService } from '../identity/service.ts'
import type { NzError } from '../../kernel/index.ts'
import type { StoredTime } from './stored-time.ts'
import type { UpdateStore } from './update-store.ts'

export interface LedgerServices {
  readonly identity: Pick<IdentityService, 'self' | 'signAsNode' | 'verify'>
  readonly store: UpdateStore
  readonly time: StoredTime
  readonly isContact: (peer: Key) => boolean
}

/** How far a contact is trusted of whom this node has said nothing yet (NZ-TRUST-01 §7). */
export const CONTACT_LEVEL = 2
export const CONTACT_VOUCH_DEPTH = 1

export class TrustLedger {
  readonly #services: LedgerServices
  readonly standpoint: Standpoint
  readonly self: Key
  #trouble: NzError | null = storageErrors.NZ_STORAGE_UNAVAILABLE({ why: 'the statements were not read yet' })
  #issuing: Promise<unknown> = Promise.resolve()

  constructor(services: LedgerServices) {
    const { identity, time } = services
    this.#services = services
    this.self = keyOf(identity.self.nodePublicKey)
    this.standpoint = new Standpoint({
      self: this.self,
      verify: (...signed) => identity.verify(...signed),
      nowS: () => time.nowS(),
    })
  }

  get replica(): TrustReplica {
    return this.standpoint.replica
  }

  /** Reads what is stored. While that cannot be read, nothing can be said of anybody: `trouble`. */
  async load(options: { readonly signal: AbortSignal }): Promise<void> {
    try {
      await this.#services.time.load()
      await this.#services.store.load(this.standpoint, options)
      this.#trouble = null
    } catch (error) {
      if (!isNzError(error) || !error.code.startsWith('NZ_STORAGE_')) throw error
      this.#trouble = error
    }
  }

  /** Why the updates cannot be read; `null` when they are. */
  get trouble(): NzError | null {
    return this.#trouble
  }

  /** @throws NZ_STORAGE_DAMAGED, NZ_STORAGE_UNAVAILABLE */
  requireReadable(): void {
    if (this.#trouble !== null) throw this.#trouble
  }

  /** What follows from all updates for a peer, now. */
  effective(peer: Key): EffectiveTrust {
    const effective = this.standpoint.effective(peer)
    if (effective.because !== 'none' && effective.because !== 'path') return effective
    const isUnspoken = this.replica.log(this.self)?.hasSpokenOf(peer) !== true && this.#services.isContact(peer)
    if (!isUnspoken || effective.level >= CONTACT_LEVEL || effective.isForked) return effective
    return { ...effective, level: CONTACT_LEVEL, weight: levelWeights[CONTACT_LEVEL], because: 'own', paths: [] }
  }

  nowS(): number {
    return this.#services.time.nowS()
  }

  /** Durable when it resolves. Statements follow one another in the order of the calls. @throws NZ_TRUST_OWN_FORK, NZ_TRUST_RESTORED, NZ_STORAGE_… */
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
    if (this.standpoint.ownLog === 'forked') throw trustErrors.NZ_TRUST_OWN_FORK()
    if (this.standpoint.ownLog === 'unsure') throw trustErrors.NZ_TRUST_RESTORED()
    const { identity, store } = this.#services
    const update = this.standpoint.compose(statement, (purpose, message) => identity.signAsNode(purpose, message))
    // On disk first: what was told to others and then forgotten would fork this node's own log.
    await store.writeOwn(update)
    this.standpoint.restore(update.bytes)
    return update
  }
}
