/** How many requests each peer may make in a span of time (NZ-TRUST-01 §5.3). */
import type { Clock } from '../../kernel/index.ts'

export const MAX_REQUESTS = 64
export const SPAN_MS = 10_000
/** Peers counted; beyond it the counts begin anew for all. */
export const MAX_COUNTED_PEERS = 4_096

export class RequestRate {
  readonly #clock: Pick<Clock, 'monotonicMs'>
  #counts = new Map<string, number>()
  #sinceMs = -Infinity

  constructor(clock: Pick<Clock, 'monotonicMs'>) {
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
