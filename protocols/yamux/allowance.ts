/**
 * What a peer may ask of a connection to no use of its own, such as pings by the million: the rules of yamux allow it, and
 * it would cost others their share. The native session has the same (native/src/allowance.h).
 */

export const COST = {
  ping: 1,
  /** A stream beyond the limits. */
  refusal: 1,
  /** A stream that the peer resets before it has sent a byte. */
  vainStream: 16,
} as const

/** At once, and so many more with each second. */
export const BURST_UNITS = 4_096
export const UNITS_PER_SECOND = 256

export class Allowance {
  #units = BURST_UNITS
  #filledMs: number

  constructor(nowMs: number) {
    this.#filledMs = nowMs
  }

  /** `false` once nothing is left. `nowMs`: a monotonic clock, asked only when it may matter. */
  spend(units: number, monotonicMs: () => number): boolean {
    if (units > this.#units) this.#fill(monotonicMs())
    if (units > this.#units) return false
    this.#units -= units
    return true
  }

  #fill(nowMs: number): void {
    const more = Math.floor(((nowMs - this.#filledMs) / 1_000) * UNITS_PER_SECOND)
    this.#units = Math.min(BURST_UNITS, this.#units + more)
    this.#filledMs = nowMs
  }
}
