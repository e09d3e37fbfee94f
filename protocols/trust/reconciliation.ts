/** The asking side of a reconciliation: requests out, answers in, until both replicas are equal (NZ-TRUST-01 §5). */
import { trustCodes } from './errors.ts'
import { MAX_MESSAGE_BYTES, MAX_PULLS, MAX_PUSHED, MAX_RANGES } from './reconcile-messages.ts'
import { keyOf } from './update.ts'
import type { IssuerLog } from './issuer-log.ts'
import type { IssuerState, Pull, PullAnswer, Range, RangeAnswer, ReconcileAnswer } from './reconcile-messages.ts'
import type { ReconcileRequest } from './reconcile-messages.ts'
import type { Receipt, TrustReplica } from './replica.ts'
import type { Key, TrustUpdate } from './update.ts'

/** Requests of one reconciliation; what is left then waits for the next one. */
export const MAX_ROUNDS = 4_096
/** How often all is compared again because a fork came to light: its proof may have waited on one side alone. */
export const MAX_AGAIN = 2
/** Room left in a message for what is around its lists. */
const MARGIN_BYTES = 64
const ITEM_OVERHEAD_BYTES = 3
const PULL_BYTES = 48
const ID_ITEM_BYTES = 34
const LOCATOR_ITEM_BYTES = 44

export interface ReconciliationOptions {
  readonly replica: TrustReplica
  /** Takes an update that was pulled. */
  readonly receive: (bytes: Uint8Array) => Receipt
  /** Whether this node takes updates of `issuer`. */
  readonly isOfInterest: (issuer: Key) => boolean
  /** Whether the other side refused updates of `issuer` before. */
  readonly isRefused: (issuer: Key) => boolean
}

interface Offer {
  readonly issuer: Key
  readonly bytes: Uint8Array
}

export class Reconciliation {
  readonly #options: ReconciliationOptions
  #ranges: Range[]
  #pulls: IssuerState[] = []
  #offers: Offer[] = []
  /** What the last request asked. */
  #asked: { readonly ranges: Range[]; readonly pulls: readonly IssuerState[]; readonly offers: readonly Offer[] } =
    NOTHING
  #rounds = 0
  #again = 0
  #hasSeenFork = false
  /** Issuers that the other side does not follow. */
  readonly refused = new Set<Key>()
  /** Updates taken, and updates that the other side took. */
  #received = 0
  #sent = 0

  constructor(options: ReconciliationOptions) {
    this.#options = options
    this.#ranges = [this.#rangeOf('', '')]
  }

  get received(): number {
    return this.#received
  }

  get sent(): number {
    return this.#sent
  }

  /** What to ask next; `null`: it is over. Every request is answered before the next is asked for. */
  next(): ReconcileRequest | null {
    if ((this.#rounds += 1) > MAX_ROUNDS) return null
    if (this.#ranges.length > 0) {
      const ranges = this.#ranges.splice(0, MAX_RANGES)
      this.#asked = { ...NOTHING, ranges }
      return { kind: 'compare', ranges }
    }
    if (this.#pulls.length > 0) return this.#pull()
    if (this.#offers.length > 0) return this.#push()
    if (!this.#hasSeenFork || this.#again >= MAX_AGAIN) return null
    this.#again += 1
    this.#hasSeenFork = false
    this.#asked = { ...NOTHING, ranges: [this.#rangeOf('', '')] }
    return { kind: 'compare', ranges: this.#asked.ranges }
  }

  /** @returns `false` for an answer that does not fit the request: the reconciliation is over */
  accept(answer: ReconcileAnswer): boolean {
    const { ranges, pulls, offers } = this.#asked
    this.#asked = NOTHING
    switch (answer.kind) {
      case 'compared':
        return (
          ranges.length > 0 &&
          answer.ranges.length === ranges.length &&
          ranges.every((range, at) => this.#compared(range, answer.ranges[at]))
        )
      case 'pulled':
        if (pulls.length === 0 || answer.answers.length > pulls.length) return false
        for (const [at, pulled] of answer.answers.entries()) this.#pulled(pulls[at], pulled)
        this.#pulls.unshift(...pulls.slice(answer.answers.length))
        return true
      case 'pushed':
        if (offers.length === 0 || answer.codes.length !== offers.length) return false
        this.#pushed(offers, answer.codes)
        return true
    }
  }

  #rangeOf(from: string, to: string): Range {
    const { replica } = this.#options
    const end = to === '' ? replica.issuers.length : replica.placeOf(to)
    return { from, to, print: keyOf(replica.print(replica.placeOf(from), end)) }
  }

  #compared({ from, to }: Range, answer: RangeAnswer | undefined): boolean {
    if (answer === undefined) return false
    if (answer.kind === 'same') return true
    if (answer.kind === 'issuers') return this.#listed(from, to, answer.issuers)
    if (answer.parts.at(-1)?.to !== to) return false
    let start = from
    for (const part of answer.parts) {
      const isInside = part.to === to || (part.to > start && (to === '' || part.to < to))
      if (!isInside) return false
      const own = this.#rangeOf(start, part.to)
      if (own.print !== part.print) this.#ranges.push(own)
      start = part.to
    }
    return true
  }

  /** All issuers that the other side has in the range. */
  #listed(from: string, to: string, theirs: readonly IssuerState[]): boolean {
    const isInside = ({ issuer }: IssuerState): boolean => issuer >= from && (to === '' || issuer < to)
    if (!theirs.every(isInside)) return false
    const { replica, isOfInterest } = this.#options
    const listed = new Set(theirs.map(({ issuer }) => issuer))
    for (const state of theirs) {
      const own = replica.log(state.issuer)
      if (own?.state.startsWith(state.print) === true) continue
      if (isOfInterest(state.issuer)) this.#pulls.push(state)
    }
    const end = to === '' ? replica.issuers.length : replica.placeOf(to)
    for (const issuer of replica.issuers.slice(replica.placeOf(from), end)) {
      const log = replica.log(issuer)
      if (log !== undefined && !listed.has(issuer)) this.#offer(log, [...log.chain, ...log.loose()])
    }
    return true
  }

  #pull(): ReconcileRequest {
    const pulls: Pull[] = []
    let room = MAX_MESSAGE_BYTES - MARGIN_BYTES
    for (const state of this.#pulls.slice(0, MAX_PULLS)) {
      const pull = pullOf(state, this.#options.replica.log(state.issuer))
      room -= PULL_BYTES + pull.locator.length * LOCATOR_ITEM_BYTES + pull.extras.length * ID_ITEM_BYTES
      if (room < 0 && pulls.length > 0) break
      pulls.push(pull)
    }
    this.#asked = { ...NOTHING, pulls: this.#pulls.splice(0, pulls.length) }
    return { kind: 'pull', pulls }
  }

  #pulled(state: IssuerState | undefined, { common, held, updates, hasMore }: PullAnswer): void {
    if (state === undefined) return
    const log = this.#options.replica.log(state.issuer)
    // Before anything is taken: a fork makes the rest of the chain worthless to both.
    if (log !== undefined && !hasMore) {
      const isHeld = new Set(held)
      this.#offer(log, [...log.chain.slice(common), ...log.loose().filter(({ id }) => !isHeld.has(id))])
    }
    let taken = 0
    for (const bytes of updates) {
      const { added, code } = this.#options.receive(bytes)
      if (added.length > 0) taken += 1
      if (code === 'NZ_TRUST_FORKED') this.#hasSeenFork = true
    }
    this.#received += taken
    // Without anything new the same question would get the same answer.
    if (hasMore && taken > 0) this.#pulls.push(state)
  }

  #offer({ issuer }: IssuerLog, updates: readonly TrustUpdate[]): void {
    if (this.refused.has(issuer) || this.#options.isRefused(issuer)) return
    for (const { bytes } of updates) this.#offers.push({ issuer, bytes })
  }

  #push(): ReconcileRequest {
    let room = MAX_MESSAGE_BYTES - MARGIN_BYTES
    const now: Offer[] = []
    for (const offer of this.#offers.slice(0, MAX_PUSHED)) {
      room -= offer.bytes.length + ITEM_OVERHEAD_BYTES
      if (room < 0) break
      now.push(offer)
    }
    this.#offers.splice(0, now.length)
    this.#asked = { ...NOTHING, offers: now }
    return { kind: 'push', updates: now.map(({ bytes }) => bytes) }
  }

  #pushed(offers: readonly Offer[], codes: readonly number[]): void {
    for (const [at, { issuer }] of offers.entries()) {
      const code = trustCodes[codes[at] ?? 1]
      if (code === null) this.#sent += 1
      if (code === 'NZ_TRUST_FORKED') this.#hasSeenFork = true
      if (code === 'NZ_TRUST_NOT_INTERESTED') this.refused.add(issuer)
    }
    this.#offers = this.#offers.filter(({ issuer }) => !this.refused.has(issuer))
  }
}

const NOTHING = { ranges: [], pulls: [], offers: [] }

/** Locator from the lower of both lengths back at distances that double. */
function pullOf({ issuer, length }: IssuerState, log: IssuerLog | undefined): Pull {
  const locator: { sequence: number; id: Key }[] = []
  const chain = log?.chain ?? []
  let back = 1
  for (let sequence = Math.min(length, chain.length); sequence >= 1; sequence -= back, back *= 2) {
    const id = chain[sequence - 1]?.id
    if (id !== undefined) locator.push({ sequence, id })
  }
  return { issuer, locator, extras: log?.loose().map(({ id }) => id) ?? [] }
}
