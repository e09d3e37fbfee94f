/** All issuers' logs that a node keeps, as one state that replicas can compare (NZ-TRUST-01 §3 and §4). */
import { hash } from 'node:crypto'
import { IssuerLog } from './issuer-log.ts'
import { MAX_ISSUERS, MAX_UPDATES, MAX_WAITING } from './limits.ts'
import { readUpdate, rereadUpdate } from './update.ts'
import type { TrustCode } from './errors.ts'
import type { Applied, Change } from './issuer-log.ts'
import type { Key, TrustUpdate, Verify } from './update.ts'

/** Updates taken of late that are known by their bytes alone: several peers push the same ones within seconds. */
export const MAX_RECENT = 4_096
const ROOT_LABEL = Buffer.from('nzcore/trust/1/root')

export interface ReplicaOptions {
  readonly verify: Verify
  /** Whether updates of an issuer are taken from others. */
  readonly isOfInterest: (issuer: Key) => boolean
  readonly limits?: ReplicaLimits
  /** @default an `IssuerLog` */
  readonly createLog?: (issuer: Key) => IssuerLog
}

/** @default those of NZ-TRUST-01 §1 */
export interface ReplicaLimits {
  readonly updates: number
  readonly issuers: number
  readonly waiting: number
}

export interface Receipt extends Change {
  /** `null`: taken. The update is kept with GAP, FORKED and EXPIRED, too. */
  readonly code: TrustCode | null
  readonly update: TrustUpdate | null
}

const LIMITS: ReplicaLimits = { updates: MAX_UPDATES, issuers: MAX_ISSUERS, waiting: MAX_WAITING }
const REFUSED = { applied: 'known', added: [], removed: [] } as const satisfies Change

const codes: Readonly<Record<Applied, TrustCode | null>> = {
  taken: null,
  known: 'NZ_TRUST_REPLAYED',
  gap: 'NZ_TRUST_GAP',
  forked: 'NZ_TRUST_FORKED',
  full: 'NZ_TRUST_FULL',
}

export class TrustReplica {
  readonly #options: ReplicaOptions
  readonly #limits: ReplicaLimits
  readonly #createLog: (issuer: Key) => IssuerLog
  readonly #logs = new Map<Key, IssuerLog>()
  /** Ascending. */
  readonly #issuers: Key[] = []
  /** By the hash of the bytes, the oldest first. */
  readonly #recent = new Map<string, TrustUpdate>()
  #updates = 0
  #waiting = 0

  constructor(options: ReplicaOptions) {
    this.#options = options
    this.#limits = options.limits ?? LIMITS
    this.#createLog = options.createLog ?? ((issuer) => new IssuerLog(issuer))
  }

  /** Issuers with at least one update, ascending. */
  get issuers(): readonly Key[] {
    return this.#issuers
  }

  /** Updates kept. */
  get size(): number {
    return this.#updates
  }

  log(issuer: Key): IssuerLog | undefined {
    return this.#logs.get(issuer)
  }

  /** Equal for replicas that have seen the same updates. */
  root(): Key {
    return hash('sha256', Buffer.concat([ROOT_LABEL, ...this.#issuers.map((issuer) => this.#stateOf(issuer))]), 'hex')
  }

  /** First 16 bytes of the hash over the states of the issuers at places `from` (inclusive) to `to` (exclusive). */
  print(from: number, to: number): Uint8Array {
    const states = this.#issuers.slice(from, to).map((issuer) => this.#stateOf(issuer))
    return hash('sha256', Buffer.concat(states), 'buffer').subarray(0, 16)
  }

  /** Place of the first issuer that is not below `prefix` (up to 32 bytes in hexadecimal). */
  placeOf(prefix: string): number {
    let low = 0
    let high = this.#issuers.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#issuers[middle] ?? '') < prefix) low = middle + 1
      else high = middle
    }
    return low
  }

  /** Checks an update from outside and takes it. `nowS`: seconds since 1970, for the answer only. */
  receive(bytes: Uint8Array, nowS: number): Receipt {
    const name = hash('sha256', bytes, 'base64')
    const recent = this.#recent.get(name)
    if (recent !== undefined && this.#options.isOfInterest(recent.issuer)) {
      return { ...REFUSED, code: 'NZ_TRUST_REPLAYED', update: recent }
    }
    const read = readUpdate(bytes, this.#options.verify)
    if (typeof read === 'string') return { ...REFUSED, code: read, update: null }
    if (!this.#options.isOfInterest(read.issuer)) return { ...REFUSED, code: 'NZ_TRUST_NOT_INTERESTED', update: read }
    const change = this.#apply(read)
    if (change.applied === 'taken') this.#remember(name, read)
    const { statement } = read
    const isExpired = statement.kind === 'trust' && statement.expiresS !== 0 && statement.expiresS <= nowS
    const code = codes[change.applied] ?? (isExpired ? 'NZ_TRUST_EXPIRED' : null)
    return { ...change, code, update: read }
  }

  /** Takes what this node itself signed, or verified before and kept. @returns `null` for bytes that are no update */
  restore(bytes: Uint8Array): Change | null {
    const update = rereadUpdate(bytes)
    return update === null ? null : this.#apply(update)
  }

  #remember(name: string, update: TrustUpdate): void {
    this.#recent.set(name, update)
    if (this.#recent.size <= MAX_RECENT) return
    for (const oldest of this.#recent.keys()) {
      this.#recent.delete(oldest)
      break
    }
  }

  #apply(update: TrustUpdate): Change {
    const known = this.#logs.get(update.issuer)
    const log = known ?? this.#createLog(update.issuer)
    const hasRoom =
      this.#updates < this.#limits.updates && (known !== undefined || this.#logs.size < this.#limits.issuers)
    if (!hasRoom) return { applied: 'full', added: [], removed: [] }
    const waitedBefore = log.waiting
    const change = log.apply(update, { mayWait: this.#waiting < this.#limits.waiting })
    if (known === undefined && !(log.isEmpty && log.waiting === 0)) this.#logs.set(update.issuer, log)
    if (change.added.length > 0) this.#list(update.issuer)
    this.#waiting += log.waiting - waitedBefore
    this.#updates += change.added.length - change.removed.length
    return change
  }

  #list(issuer: Key): void {
    const place = this.placeOf(issuer)
    if (this.#issuers[place] !== issuer) this.#issuers.splice(place, 0, issuer)
  }

  #stateOf(issuer: Key): Uint8Array {
    const log = this.#logs.get(issuer)
    if (log === undefined) throw new RangeError('no such issuer')
    return log.stateBytes
  }
}
