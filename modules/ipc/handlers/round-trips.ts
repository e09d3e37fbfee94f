/** Order statistics of measured round trips; keeps a bounded number of them. */

/** Beyond this many the oldest no longer count for median and 99th percentile. */
const MAX_KEPT = 10_000

export interface RoundTripSummary {
  readonly minMs: number | null
  readonly medianMs: number | null
  readonly p99Ms: number | null
  readonly maxMs: number | null
}

export class RoundTrips {
  readonly #kept: number[] = []
  #count = 0
  #minMs = Infinity
  #maxMs = 0

  get count(): number {
    return this.#count
  }

  add(roundTripMs: number): void {
    this.#count += 1
    this.#minMs = Math.min(this.#minMs, roundTripMs)
    this.#maxMs = Math.max(this.#maxMs, roundTripMs)
    this.#kept.push(roundTripMs)
    if (this.#kept.length > MAX_KEPT) this.#kept.shift()
  }

  summary(): RoundTripSummary {
    if (this.#count === 0) return { minMs: null, medianMs: null, p99Ms: null, maxMs: null }
    const sorted = this.#kept.toSorted((a, b) => a - b)
    return { minMs: this.#minMs, medianMs: rank(sorted, 0.5), p99Ms: rank(sorted, 0.99), maxMs: this.#maxMs }
  }
}

/** Nearest rank: a value that was measured. */
function rank(sorted: readonly number[], share: number): number {
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0
}
