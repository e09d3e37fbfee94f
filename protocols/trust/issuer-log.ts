/**
 * What a replica keeps of one issuer (NZ-TRUST-01 §3): its chain, the proof of a fork, revocations that stand alone.
 * A function of the set of updates seen, not of their order.
 */
import { hash } from 'node:crypto'
import { MAX_REVOCATIONS_PER_ISSUER, MAX_UPDATES_PER_ISSUER, MAX_WAITING_PER_ISSUER } from './limits.ts'
import { bytesOf, keyOf, NO_PREVIOUS } from './update.ts'
import type { Key, Statement, TrustUpdate } from './update.ts'

const STATE_LABEL = Buffer.from('nzcore/trust/1/state')

export type Applied = 'taken' | 'known' | 'gap' | 'forked' | 'full'

export type TrustIn = Extract<Statement, { kind: 'trust' }>

export interface Change {
  readonly applied: Applied
  /** Updates that are kept from now on, and such that no longer are: what a store has to write and to delete. */
  readonly added: readonly TrustUpdate[]
  readonly removed: readonly TrustUpdate[]
}

/** An id asserted at the sequence of the fork, with the smallest update that asserts it. */
interface Assertion {
  readonly id: Key
  readonly witness: TrustUpdate
}

export class IssuerLog {
  readonly issuer: Key
  readonly #chain: TrustUpdate[] = []
  /** By subject, the smallest seen, in the chain or not. */
  readonly #revocations = new Map<Key, TrustUpdate>()
  /** By subject, the last in the chain that is no revocation. */
  readonly #latest = new Map<Key, TrustUpdate>()
  /** Empty, or two: the fork is at `#chain.length + 1`. */
  #evidence: readonly Assertion[] = []
  readonly #waiting = new Map<Key, TrustUpdate>()
  /** During an application: the updates that may come or go, and whether they were kept before it. */
  readonly #touched = new Map<TrustUpdate, boolean>()
  #state: Uint8Array | null = null

  constructor(issuer: Key) {
    this.issuer = issuer
  }

  /** Updates 1 … n. */
  get chain(): readonly TrustUpdate[] {
    return this.#chain
  }

  get isForked(): boolean {
    return this.#evidence.length > 0
  }

  /** The updates that prove the fork; empty when there is none. */
  get evidence(): readonly TrustUpdate[] {
    return this.#evidence.map(({ witness }) => witness)
  }

  /** The issuer's revocation of `subject`, in its chain or alone. */
  revocationOf(subject: Key): TrustUpdate | undefined {
    return this.#revocations.get(subject)
  }

  /** What the issuer says about `subject` now, whether its time is over or not; nothing once it revoked or forked. */
  trustIn(subject: Key): TrustIn | undefined {
    const statement = this.#latest.get(subject)?.statement
    if (statement?.kind !== 'trust' || this.isForked) return undefined
    return this.revocationOf(subject) === undefined ? statement : undefined
  }

  /** Whether the issuer has ever said anything of `subject`, taken back or not. */
  hasSpokenOf(subject: Key): boolean {
    return this.#latest.has(subject) || this.revocationOf(subject) !== undefined
  }

  /** Of each subject one, by sequence. */
  revocations(): readonly TrustUpdate[] {
    return [...this.#revocations.values()].toSorted((a, b) => a.sequence - b.sequence)
  }

  /** Those of whom the chain said anything but a revocation. At most one for each of its updates. */
  get subjects(): Iterable<Key> {
    return this.#latest.keys()
  }

  /** Nothing is kept, though something may wait. */
  get isEmpty(): boolean {
    return this.#chain.length === 0 && !this.isForked && this.#revocations.size === 0
  }

  /** Updates that wait for their predecessors. */
  get waiting(): number {
    return this.#waiting.size
  }

  /** Updates kept, those that wait not counted. */
  get size(): number {
    return this.#chain.length + this.loose().length
  }

  /** Evidence and revocations that the chain does not hold, in order of id. */
  loose(): readonly TrustUpdate[] {
    const revocations = [...this.#revocations.values()].filter((update) => !this.#holds(update))
    const loose = new Map([...this.evidence, ...revocations].map((update) => [update.id, update]))
    return [...loose.values()].toSorted(byId)
  }

  /** `state(issuer)` of NZ-TRUST-01 §4. */
  get state(): Key {
    return keyOf(this.stateBytes)
  }

  get stateBytes(): Uint8Array {
    this.#state ??= this.#stateNow()
    return this.#state
  }

  /** Takes an update whose signature has been verified; `mayWait`: whether there is room for one that waits. */
  apply(update: TrustUpdate, { mayWait }: { readonly mayWait: boolean }): Change {
    if (this.#holds(update)) return { applied: 'known', added: [], removed: [] }
    if (update.sequence > MAX_UPDATES_PER_ISSUER) return { applied: 'full', added: [], removed: [] }
    this.#touched.clear()
    const applied = this.#take(update, mayWait)
    this.#state = null
    const touched = [...this.#touched]
    this.#touched.clear()
    return {
      applied,
      added: touched.filter(([kept, wasKept]) => !wasKept && this.#isKept(kept)).map(([kept]) => kept),
      removed: touched.filter(([kept, wasKept]) => wasKept && !this.#isKept(kept)).map(([kept]) => kept),
    }
  }

  #take(update: TrustUpdate, mayWait: boolean): Applied {
    const applied = this.#place(update, mayWait)
    if (update.statement.kind !== 'revoke' || this.#holds(update)) return applied
    const noted = this.#noteRevocation(update)
    return applied === 'known' || applied === 'full' ? noted : applied
  }

  #place(update: TrustUpdate, mayWait: boolean): Applied {
    const length = this.#chain.length
    const { sequence, id } = update
    if (sequence <= length + 1 && update.previous !== this.#idAt(sequence - 1)) {
      return this.#fork(sequence - 1, { id: update.previous, witness: update })
    }
    if (sequence <= length) return this.#idAt(sequence) === id ? 'known' : this.#fork(sequence, { id, witness: update })
    if (this.isForked) return this.#moreEvidence(update)
    if (sequence > length + 1) return this.#wait(update, mayWait)
    if (!this.#mayAppend(update)) return 'full'
    this.#append(update)
    this.#placeFollowers()
    return this.isForked ? 'forked' : 'taken'
  }

  #append(update: TrustUpdate): void {
    this.#touch(update)
    this.#chain.push(update)
    this.#waiting.delete(update.id)
    const { subject, kind } = update.statement
    if (kind !== 'revoke') {
      this.#latest.set(subject, update)
      return
    }
    this.#noteRevocation(update)
  }

  /** Places what waited for the head of the chain. */
  #placeFollowers(): void {
    while (!this.isForked) {
      const next = [...this.#waiting.values()].find(({ sequence }) => sequence <= this.#chain.length + 1)
      if (next === undefined) {
        this.#forkAmongWaiting()
        return
      }
      this.#waiting.delete(next.id)
      const { sequence, previous } = next
      const follows = sequence > this.#chain.length && previous === this.#idAt(sequence - 1)
      if (!follows) this.#place(next, true)
      else if (this.#mayAppend(next)) this.#append(next)
    }
  }

  #wait(update: TrustUpdate, mayWait: boolean): Applied {
    if (this.#waiting.has(update.id)) return 'gap'
    if (!mayWait || this.#waiting.size >= MAX_WAITING_PER_ISSUER) return 'full'
    this.#waiting.set(update.id, update)
    return this.#forkAmongWaiting() ? 'forked' : 'gap'
  }

  /** Two that wait and name different updates after the chain prove a fork there, though neither of those is at hand. */
  #forkAmongWaiting(): boolean {
    const sequence = this.#chain.length + 2
    const next = [...this.#waiting.values()].filter((update) => update.sequence === sequence)
    const evidence = smallest(next.map((witness) => ({ id: witness.previous, witness })))
    if (evidence.length < 2) return false
    this.#setEvidence(evidence)
    this.#latest.clear()
    this.#reviewWaiting()
    return true
  }

  /** `sequence` has another id in the chain than `assertion`: the chain ends before it. */
  #fork(sequence: number, assertion: Assertion): Applied {
    const own = this.#chain[sequence - 1]
    if (own === undefined) throw new RangeError(`no update ${sequence} to fork from`)
    for (const update of this.#chain.slice(sequence - 1)) this.#touch(update)
    this.#chain.length = sequence - 1
    this.#setEvidence(smallest([{ id: own.id, witness: own }, assertion]))
    this.#latest.clear()
    this.#reviewWaiting()
    return 'forked'
  }

  /** Nothing waits for a forked log; what waited may be smaller evidence. */
  #reviewWaiting(): void {
    const waited = [...this.#waiting.values()]
    this.#waiting.clear()
    for (const update of waited) this.#place(update, false)
  }

  /** Of a log known to be forked, an update past its chain: it may be smaller evidence than what is kept. */
  #moreEvidence(update: TrustUpdate): Applied {
    const forkAt = this.#chain.length + 1
    if (update.sequence > forkAt + 1) return 'known'
    const id = update.sequence === forkAt ? update.id : update.previous
    const next = smallest([...this.#evidence, { id, witness: update }])
    const isNew = next.some(({ witness }) => witness === update)
    if (isNew) this.#setEvidence(next)
    return isNew ? 'forked' : 'known'
  }

  /** A revocation counts wherever its place is. */
  #noteRevocation(update: TrustUpdate): 'taken' | 'known' | 'full' {
    const { subject } = update.statement
    const known = this.#revocations.get(subject)
    if (known !== undefined && !isSmaller(update, known)) return 'known'
    if (known === undefined && !this.#hasRoomToRevoke()) return 'full'
    this.#touch(update)
    if (known !== undefined) this.#touch(known)
    this.#revocations.set(subject, update)
    return 'taken'
  }

  #setEvidence(evidence: readonly Assertion[]): void {
    for (const { witness } of [...this.#evidence, ...evidence]) this.#touch(witness)
    this.#evidence = evidence
  }

  /** To be called before `update` comes or goes. */
  #touch(update: TrustUpdate): void {
    if (!this.#touched.has(update)) this.#touched.set(update, this.#isKept(update))
  }

  #isKept(update: TrustUpdate): boolean {
    return (
      this.#chain[update.sequence - 1] === update ||
      this.#evidence.some(({ witness }) => witness === update) ||
      this.#revocations.get(update.statement.subject) === update
    )
  }

  #mayAppend({ statement: { kind, subject } }: TrustUpdate): boolean {
    return kind !== 'revoke' || this.revocationOf(subject) !== undefined || this.#hasRoomToRevoke()
  }

  #hasRoomToRevoke(): boolean {
    return this.#revocations.size < MAX_REVOCATIONS_PER_ISSUER
  }

  #holds(update: TrustUpdate): boolean {
    return this.#chain[update.sequence - 1]?.id === update.id
  }

  #idAt(sequence: number): Key {
    return sequence === 0 ? NO_PREVIOUS : (this.#chain[sequence - 1]?.id ?? '')
  }

  #stateNow(): Uint8Array {
    const loose = this.loose()
    const counts = Buffer.alloc(8)
    counts.writeBigUInt64BE(BigInt(this.#chain.length))
    const looseCount = Buffer.alloc(4)
    looseCount.writeUInt32BE(loose.length)
    const head = bytesOf(this.#idAt(this.#chain.length))
    const parts = [STATE_LABEL, bytesOf(this.issuer), counts, head, looseCount, ...loose.map(({ id }) => bytesOf(id))]
    return hash('sha256', Buffer.concat(parts), 'buffer')
  }
}

function byId(a: { readonly id: Key }, b: { readonly id: Key }): number {
  return a.id < b.id ? -1 : 1
}

function isSmaller(a: TrustUpdate, b: TrustUpdate): boolean {
  return a.sequence === b.sequence ? a.id < b.id : a.sequence < b.sequence
}

/** The two smallest ids, each with its smallest witness. */
function smallest(assertions: readonly Assertion[]): readonly Assertion[] {
  const smallestOf = new Map<Key, Assertion>()
  for (const assertion of assertions) {
    const known = smallestOf.get(assertion.id)
    if (known === undefined || isSmaller(assertion.witness, known.witness)) smallestOf.set(assertion.id, assertion)
  }
  return [...smallestOf.values()].toSorted(byId).slice(0, 2)
}
