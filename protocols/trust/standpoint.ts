/** What one node knows of everybody's trust, what it may say next itself, and what follows for a peer. */
import { effectiveTrust } from './effective.ts'
import { Interest } from './interest.ts'
import { TrustReplica } from './replica.ts'
import { createUpdate, NO_PREVIOUS } from './update.ts'
import type { EffectiveTrust } from './effective.ts'
import type { Change } from './issuer-log.ts'
import type { Receipt, ReplicaOptions } from './replica.ts'
import type { Key, Sign, Statement, TrustUpdate, Verify } from './update.ts'

export interface StandpointOptions {
  readonly self: Key
  readonly verify: Verify
  /** Seconds since 1970, as NZ-TRUST-01 §6.5 has it. */
  readonly nowS: () => number
  /** @default a `TrustReplica` with the limits of NZ-TRUST-01 §1 */
  readonly createReplica?: (options: ReplicaOptions) => TrustReplica
}

/**
 * Whether this node may sign. `unsure`: its state came out of a backup, and it may have said more than it remembers
 * (NZ-TRUST-01 §5.4).
 */
export type OwnLog = 'ready' | 'unsure' | 'forked'

export class Standpoint {
  readonly self: Key
  readonly replica: TrustReplica
  readonly interest: Interest
  readonly #nowS: () => number
  #isUnsure = false

  constructor({ self, verify, nowS, createReplica = (options) => new TrustReplica(options) }: StandpointOptions) {
    this.self = self
    this.#nowS = nowS
    this.replica = createReplica({ verify, isOfInterest: (issuer) => this.interest.has(issuer) })
    this.interest = new Interest({ view: this.replica, viewer: self, nowS })
  }

  get ownLog(): OwnLog {
    if (this.replica.log(this.self)?.isForked === true) return 'forked'
    return this.#isUnsure ? 'unsure' : 'ready'
  }

  /** From now on `ownLog` is `unsure`, until `trustOwnLog`. */
  doubtOwnLog(): void {
    this.#isUnsure = true
  }

  trustOwnLog(): void {
    this.#isUnsure = false
  }

  /** Takes what this node itself signed, or verified before and kept. @returns `null` for bytes that are no update */
  restore(bytes: Uint8Array): Change | null {
    const change = this.replica.restore(bytes)
    this.interest.invalidate()
    return change
  }

  /** An update from outside, checked and taken in memory. */
  receive(bytes: Uint8Array): Receipt {
    const receipt = this.replica.receive(bytes, this.#nowS())
    for (const update of receipt.added) this.interest.note(update)
    if (receipt.code === 'NZ_TRUST_FORKED') this.interest.invalidate()
    return receipt
  }

  /** The next update of this node's own log: signed, and not taken yet. To be kept, then given to `restore`. */
  compose(statement: Statement, sign: Sign): TrustUpdate {
    const last = this.replica.log(this.self)?.chain.at(-1)
    const sequence = (last?.sequence ?? 0) + 1
    const previous = last?.id ?? NO_PREVIOUS
    return createUpdate({ issuer: this.self, sequence, previous, issuedS: this.#nowS(), statement }, sign)
  }

  effective(peer: Key): EffectiveTrust {
    return effectiveTrust(this.replica, this.self, peer, this.#nowS())
  }
}
