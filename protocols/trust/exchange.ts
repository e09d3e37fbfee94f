/**
 * When a node asks which peer what, and what it answers: reconciliation with each connected peer, new updates pushed at
 * once (NZ-TRUST-01 §5). Without input and output: requests out, answers in; whoever drives it carries them, makes
 * durable what was taken, and calls again at `wakeAtMs`.
 */
import { backoffDelayMs } from '../../kernel/index.ts'
import { RequestRate } from '../rpc/request-rate.ts'
import { answerReconcile } from './answer.ts'
import { trustCodes } from './errors.ts'
import { decodeAnswer, decodeRequest, encodeAnswer, encodeRequest, MAX_PUSHED } from './reconcile-messages.ts'
import { Reconciliation } from './reconciliation.ts'
import type { Clock, Random } from '../../kernel/index.ts'
import type { ReconcileAnswer, ReconcileRequest } from './reconcile-messages.ts'
import type { Receipt } from './replica.ts'
import type { Standpoint } from './standpoint.ts'
import type { Key, TrustUpdate } from './update.ts'

/** Between two reconciliations with a peer that stays connected; live pushes carry what is new in between. */
export const RECONCILE_EVERY_MS = 300_000
/** After a change that calls for a reconciliation, at most; chance decides, so that not all ask at once. */
export const RECONCILE_SOON_MS = 1_000
/** Reconciliations at once that this node asks for. */
export const MAX_RECONCILING = 4
/** Who lets a request wait for longer keeps no other peer from its turn. */
export const TURN_MS = 2_000
/** Updates that wait to be pushed to a peer; beyond it a reconciliation carries them. */
export const MAX_TO_PUSH = 1_024
/** Updates of one push. */
export const MAX_IN_PUSH = MAX_PUSHED / 4
/** Pushes to a peer that go at once; behind them one goes in PUSH_EVERY_MS, with all that is new by then. */
export const PUSH_BURST = 16
/** With the burst two thirds of what a peer answers (MAX_REQUESTS): reconciliations have the rest. */
export const PUSH_EVERY_MS = 400
/** Issuers whose updates a peer does not follow that are remembered, of each peer. */
export const MAX_REFUSED_BY_PEER = 1_024

/** Of one peer in ten seconds (NZ-TRUST-01 §5.3). */
export const MAX_REQUESTS = 64
const RETRY = { firstDelayMs: 1_000, maxDelayMs: RECONCILE_EVERY_MS, jitter: 0.5 } as const

export interface ExchangeOptions {
  readonly standpoint: Standpoint
  readonly clock: Pick<Clock, 'monotonicMs'>
  readonly random: Pick<Random, 'unit'>
  /** Whether the policy lets the peer replicate. */
  readonly may: (peer: string) => boolean
}

export interface Asking {
  readonly id: number
  readonly peer: string
  readonly payload: Uint8Array
}

export type Answered =
  | { readonly code: 'NZ_TRUST_NOT_ALLOWED' | 'NZ_TRUST_BUSY' | 'NZ_TRUST_PROTOCOL' }
  | { readonly code: null; readonly payload: Uint8Array; readonly receipts: readonly Receipt[] }

export interface Finished {
  readonly received: number
  readonly sent: number
  readonly isEqual: boolean
}

export type Progress =
  /** What was taken: to be made durable, then `proceed`. */
  | { readonly state: 'taken'; readonly receipts: readonly Receipt[] }
  /** The peer did not keep to the protocol; what came before counts all the same. */
  | { readonly state: 'broken'; readonly receipts: readonly Receipt[] }

interface Run {
  readonly reconciliation: Reconciliation
  /** How often the peer had asked when it began. */
  readonly asks: number
  /** What answers brought and `answered` has not told yet. */
  readonly receipts: Receipt[]
  /** To be asked next; `null` while an answer or its being made durable is waited for. */
  request: ReconcileRequest | null
  askedMs: number
}

interface PeerState {
  readonly peer: string
  dueMs: number
  failures: number
  /** Not allowed to replicate when it was its turn. */
  isHeldBack: boolean
  run: Run | null
  isPushing: boolean
  toPush: TrustUpdate[]
  /** The next push goes then, at the earliest. */
  pushFromMs: number
  /** Issuers that the peer did not follow when it last asked. */
  readonly refused: Set<Key>
  /** How often the peer has asked: it does when it follows more. */
  asks: number
  /** Whether its word on this node's own log was heard to the end, or will not be. */
  ownLog: 'unheard' | 'heard' | 'mute'
}

interface Pending {
  readonly state: PeerState
  /** `null`: a request of the peer's run. */
  readonly pushed: readonly TrustUpdate[] | null
  /** How often the peer had asked when this was sent. */
  readonly asks: number
  receipts: readonly Receipt[]
}

export class TrustExchange {
  readonly #options: ExchangeOptions
  readonly #rate: RequestRate
  readonly #peers = new Map<string, PeerState>()
  readonly #pending = new Map<number, Pending>()
  #lastId = 0
  /** Something was received that is durable only with what comes next: no peer was told of it. */
  #isOwing = false

  constructor(options: ExchangeOptions) {
    this.#options = options
    this.#rate = new RequestRate({ clock: options.clock, maxRequests: MAX_REQUESTS })
  }

  connected(peer: string): void {
    if (!this.#peers.has(peer)) this.#add(peer, this.#nowMs() + this.#chance(RECONCILE_SOON_MS))
  }

  /** What is under way with the peer is given up. */
  disconnected(peer: string): void {
    const state = this.#peers.get(peer)
    if (state === undefined) return
    this.#peers.delete(peer)
    for (const [id, pending] of this.#pending) if (pending.state === state) this.#pending.delete(id)
  }

  /** Compares with the peer as soon as there is a turn. */
  reconcileNow(peer: string): void {
    const state = this.#peers.get(peer)
    if (state === undefined) this.#add(peer, this.#nowMs())
    else state.dueMs = this.#nowMs()
  }

  /** An update that is durable here goes to all peers but the one it came from. */
  announce(update: TrustUpdate, from: string | null): void {
    for (const state of this.#peers.values()) {
      // After a word of this node's own, the policy may let it replicate.
      if (state.isHeldBack && from === null) this.#soon(state)
      if (state.peer === from || state.refused.has(update.issuer)) continue
      if (state.toPush.length < MAX_TO_PUSH) state.toPush.push(update)
      else this.#soon(state)
    }
  }

  /** Requests to send now; each is `answered` or `failed` once. */
  poll(): readonly Asking[] {
    const { interest } = this.#options.standpoint
    interest.refresh()
    if (interest.takeGrowth()) for (const state of this.#peers.values()) this.#soon(state)
    const asked: Asking[] = []
    for (const state of this.#peers.values()) {
      if (this.#pushDueMs(state) <= this.#nowMs()) this.#push(state, asked)
      if (state.run === null && state.dueMs <= this.#nowMs() && this.#turnsTaken().length < MAX_RECONCILING)
        this.#begin(state)
      const request = state.run?.request ?? null
      if (state.run === null || request === null) continue
      state.run.request = null
      state.run.askedMs = this.#nowMs()
      asked.push(this.#asking(state, request, null))
    }
    return asked
  }

  /** When `poll` has more without anything else happening, in monotonic time; `Infinity` for never. */
  get wakeAtMs(): number {
    let dueMs = Infinity
    let pushMs = Infinity
    for (const state of this.#peers.values()) {
      if (state.run === null) dueMs = Math.min(dueMs, state.dueMs)
      pushMs = Math.min(pushMs, this.#pushDueMs(state))
    }
    const taken = this.#turnsTaken()
    const turnMs = taken.length < MAX_RECONCILING ? dueMs : Math.max(dueMs, Math.min(...taken) + TURN_MS)
    return Math.min(turnMs, pushMs)
  }

  /** @returns `null` when nobody waits for the answer any more */
  answered(id: number, payload: Uint8Array): Progress | null {
    const pending = this.#pending.get(id)
    if (pending === undefined) return null
    const answer = decodeAnswer(payload)
    const { state, pushed } = pending
    this.#options.standpoint.interest.refresh()
    const isFit =
      pushed === null
        ? answer !== null && state.run?.reconciliation.accept(answer) === true
        : this.#pushed(pending, pushed, answer)
    pending.receipts = pushed === null ? (state.run?.receipts.splice(0) ?? []) : []
    if (isFit) return { state: 'taken', receipts: pending.receipts }
    const { receipts } = pending
    this.failed(id)
    return { state: 'broken', receipts }
  }

  /** What `answered` took is durable. @returns what came of a reconciliation that this ended */
  proceed(id: number): Finished | null {
    const pending = this.#pending.get(id)
    if (pending === undefined) return null
    this.#pending.delete(id)
    const { state, pushed, receipts } = pending
    this.taken(receipts, state.peer)
    if (pushed !== null) state.isPushing = false
    if (pushed !== null || state.run === null) return null
    if (receipts.some(({ added }) => added.length > 0)) state.failures = 0
    state.run.request = state.run.reconciliation.next()
    return state.run.request === null ? this.#finish(state, state.run) : null
  }

  /** No answer came, or what it brought could not be kept. */
  failed(id: number): void {
    const pending = this.#pending.get(id)
    if (pending === undefined) return
    this.#pending.delete(id)
    const { state, pushed } = pending
    state.failures += 1
    const retryMs = this.#nowMs() + backoffDelayMs(state.failures, RETRY, this.#options.random)
    if (pushed !== null) {
      state.isPushing = false
      // A reconciliation carries what was not pushed.
      state.dueMs = Math.min(state.dueMs, retryMs)
      return
    }
    state.dueMs = retryMs
    state.run = null
    this.#settleOwnLog()
  }

  /** Answers a request of the peer. `receipts` must be durable, then `taken`, before the answer is sent. */
  answer(peer: string, payload: Uint8Array): Answered {
    const { standpoint, may } = this.#options
    if (!may(peer)) return { code: 'NZ_TRUST_NOT_ALLOWED' }
    if (!this.#rate.take(peer)) return { code: 'NZ_TRUST_BUSY' }
    const request = decodeRequest(payload)
    if (request === null) return { code: 'NZ_TRUST_PROTOCOL' }
    standpoint.interest.refresh()
    const state = this.#peers.get(peer)
    if (state !== undefined && request.kind !== 'push') {
      state.asks += 1
      state.refused.clear()
    }
    const receipts: Receipt[] = []
    const answer = answerReconcile(standpoint.replica, request, (bytes) => {
      const receipt = standpoint.receive(bytes)
      receipts.push(receipt)
      return receipt
    })
    return { code: null, payload: encodeAnswer(answer), receipts }
  }

  /** What was received could not be made durable; it will be with what comes next, and then peers are compared with. */
  notKept(receipts: readonly Receipt[]): void {
    if (receipts.some(({ added }) => added.length > 0)) this.#isOwing = true
  }

  /** What was received from the peer is durable, and all before it: the others are told. */
  taken(receipts: readonly Receipt[], from: string): void {
    if (this.#isOwing) for (const state of this.#peers.values()) this.#soon(state)
    this.#isOwing = false
    for (const { added } of receipts) for (const update of added) this.announce(update, from)
  }

  #add(peer: string, dueMs: number): void {
    const state: PeerState = {
      peer,
      dueMs,
      failures: 0,
      isHeldBack: false,
      run: null,
      isPushing: false,
      toPush: [],
      pushFromMs: -Infinity,
      refused: new Set(),
      asks: 0,
      ownLog: 'unheard',
    }
    this.#peers.set(peer, state)
  }

  #pushDueMs({ toPush, isPushing, pushFromMs }: PeerState): number {
    return toPush.length === 0 || isPushing ? Infinity : pushFromMs
  }

  #push(state: PeerState, asked: Asking[]): void {
    if (!this.#options.may(state.peer)) {
      // A reconciliation carries them when it may again.
      state.toPush = []
      state.isHeldBack = true
      return
    }
    const wanted = state.toPush.filter(({ issuer }) => !state.refused.has(issuer))
    state.toPush = wanted.slice(MAX_IN_PUSH)
    const pushed = wanted.slice(0, MAX_IN_PUSH)
    if (pushed.length === 0) return
    state.isPushing = true
    const fullBurstMs = this.#nowMs() - (PUSH_BURST - 1) * PUSH_EVERY_MS
    state.pushFromMs = Math.max(state.pushFromMs, fullBurstMs) + PUSH_EVERY_MS
    asked.push(this.#asking(state, { kind: 'push', updates: pushed.map(({ bytes }) => bytes) }, pushed))
  }

  #begin(state: PeerState): void {
    const { standpoint, may } = this.#options
    state.dueMs = this.#nowMs() + RECONCILE_EVERY_MS + this.#chance(RECONCILE_EVERY_MS / 4)
    state.isHeldBack = !may(state.peer)
    if (state.isHeldBack) return
    const receipts: Receipt[] = []
    const reconciliation = new Reconciliation({
      replica: standpoint.replica,
      receive: (bytes) => {
        const receipt = standpoint.receive(bytes)
        receipts.push(receipt)
        return receipt
      },
      isOfInterest: (issuer) => standpoint.interest.has(issuer),
      isRefused: (issuer) => state.refused.has(issuer),
    })
    state.run = { reconciliation, asks: state.asks, receipts, request: reconciliation.next(), askedMs: this.#nowMs() }
  }

  #asking(state: PeerState, request: ReconcileRequest, pushed: Pending['pushed']): Asking {
    const id = (this.#lastId += 1)
    this.#pending.set(id, { state, pushed, asks: state.asks, receipts: [] })
    return { id, peer: state.peer, payload: encodeRequest(request) }
  }

  #pushed({ state, asks }: Pending, pushed: readonly TrustUpdate[], answer: ReconcileAnswer | null): boolean {
    if (answer?.kind !== 'pushed' || answer.codes.length !== pushed.length) return false
    for (const [at, { issuer }] of pushed.entries()) {
      const code = trustCodes[answer.codes[at] ?? 0]
      // Unless it has asked since: then it may follow the issuer by now.
      if (code === 'NZ_TRUST_NOT_INTERESTED' && asks === state.asks) this.#refuse(state, [issuer])
      // It lacks what came before: a push alone brings nothing.
      if (code === 'NZ_TRUST_GAP') this.#soon(state)
    }
    return true
  }

  #refuse(state: PeerState, issuers: Iterable<Key>): void {
    for (const issuer of issuers) if (state.refused.size < MAX_REFUSED_BY_PEER) state.refused.add(issuer)
  }

  #finish(state: PeerState, { reconciliation, asks }: Run): Finished {
    state.run = null
    state.failures = 0
    if (asks === state.asks) this.#refuse(state, reconciliation.refused)
    state.ownLog = reconciliation.refused.has(this.#options.standpoint.self) ? 'mute' : 'heard'
    this.#settleOwnLog()
    const { received, sent, refused } = reconciliation
    return { received, sent, isEqual: refused.size === 0 }
  }

  /** When those asked last who count as being asked now. */
  #turnsTaken(): readonly number[] {
    const sinceMs = this.#nowMs() - TURN_MS
    const taken: number[] = []
    for (const { run } of this.#peers.values()) if (run !== null && run.askedMs > sinceMs) taken.push(run.askedMs)
    return taken
  }

  /** The own log is sure again when one peer was heard and no other that could be asked is left. */
  #settleOwnLog(): void {
    const { standpoint, may } = this.#options
    if (standpoint.ownLog !== 'unsure') return
    const states = [...this.#peers.values()]
    const isLeft = ({ ownLog, failures, peer }: PeerState): boolean =>
      ownLog === 'unheard' && failures === 0 && may(peer)
    if (states.some(({ ownLog }) => ownLog === 'heard') && !states.some(isLeft)) standpoint.trustOwnLog()
  }

  #soon(state: PeerState): void {
    state.dueMs = Math.min(state.dueMs, this.#nowMs() + this.#chance(RECONCILE_SOON_MS))
  }

  #chance(spanMs: number): number {
    return Math.floor(this.#options.random.unit() * spanMs)
  }

  #nowMs(): number {
    return this.#options.clock.monotonicMs()
  }
}
