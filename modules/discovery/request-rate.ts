/** How often each peer may ask: counted in spans of time, the peers counted bounded. */
import type { Clock } from '../../kernel/index.ts'

const SPAN_MS = 10_000
/** Requests of one peer in a span: several lookups and its own records, renewed, together. */
export const MAX_REQUESTS = 512
export const MAX_COUNTED_PEERS = 4_096

export class RequestRate {
  readonly #clock: Clock
  #counts = new Map<string, number>()
  #sinceMs = -Infinity

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Counts a request. @returns whether it may be answered */
  take(peerId: string): boolean {
    const nowMs = this.#clock.monotonicMs()
    if (nowMs - this.#sinceMs >= SPAN_MS || this.#counts.size >= MAX_COUNTED_PEERS) {
      this.#counts = new Map()
      this.#sinceMs = nowMs
    }
    const count = (this.#counts.get(peerId) ?? 0) + 1
    this.#counts.set(peerId, count)
    return count <= MAX_REQUESTS
  }
}
