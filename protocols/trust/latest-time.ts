/** The later of the clock and the latest time ever seen: a clock that is set back revives nothing (NZ-TRUST-01 §6.5). */

/** A clock that is set back further than this is believed: the time before was the mistake. */
export const MAX_BACK_S = 7 * 86_400

export class LatestTime {
  #latestS: number

  /** `latestS`: what was kept of an earlier run, seconds since 1970; 0 for nothing. */
  constructor(latestS: number) {
    this.#latestS = latestS
  }

  /** Goes back by more than `MAX_BACK_S` or not at all. */
  at(clockS: number): number {
    this.#latestS = this.#latestS - clockS > MAX_BACK_S ? clockS : Math.max(this.#latestS, clockS)
    return this.#latestS
  }
}
