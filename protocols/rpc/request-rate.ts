/** How many requests each peer may make: counted in spans of time, the peers counted bounded. */
import type { Clock } from '../../kernel/index.ts'

export const SPAN_MS = 10_000
/** Peers counted; beyond it the counts begin anew for all. */
export const MAX_COUNTED_PEERS = 4_096

export interface RequestRateInit {
  readonly clock: Pick<Clock, 'monotonicMs'>
  /** Of one peer in `SPAN_MS`. */
  readonly maxRequests: number
}

export class RequestRate {
  readonly #init: RequestRateInit
  #counts = new Map<string, number>()
  #sinceMs = -Infinity

  constructor(init: RequestRateInit) {
    this.#init = init
  }

  /** Counts a request. @returns whether it may be answered */
  take(peerId: string): boolean {
    const { clock, maxRequests } = this.#init
    const nowMs = clock.monotonicMs()
    if (nowMs - this.#sinceMs >= SPAN_MS || this.#counts.size >= MAX_COUNTED_PEERS) {
      this.#counts = new Map()
      this.#sinceMs = nowMs
    }
    const count = (this.#counts.get(peerId) ?? 0) + 1
    this.#counts.set(peerId, count)
    return count <= maxRequests
  }
}
