/** When to try again. Sans-I/O. */

export interface BackOffOptions {
  readonly firstDelayMs: number
  readonly maxDelayMs: number
  /** A number in [0, 1) for each delay. */
  readonly unit: () => number
}

/**
 * Doubles the delay with each failure, up to a bound. Each delay is drawn between half of it and all of it, so that
 * nodes that lost a peer together do not come back together.
 */
export class BackOff {
  readonly #options: BackOffOptions
  #failures = 0

  constructor(options: BackOffOptions) {
    this.#options = options
  }

  get failures(): number {
    return this.#failures
  }

  /** The delay after one more failure. */
  failed(): number {
    const { firstDelayMs, maxDelayMs, unit } = this.#options
    const whole = Math.min(maxDelayMs, firstDelayMs * 2 ** Math.min(this.#failures, 30))
    this.#failures += 1
    return whole * (0.5 + unit() / 2)
  }

  succeeded(): void {
    this.#failures = 0
  }
}
