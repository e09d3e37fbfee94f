/** How much each of many may have in a time: token buckets, bounded in number. */
export interface RateInit {
  readonly perSecond: number
  readonly burst: number
  readonly maxKeys: number
}

export class Rates {
  readonly #init: RateInit
  readonly #buckets = new Map<string, { tokens: number; atMs: number }>()

  constructor(init: RateInit) {
    this.#init = init
  }

  /** Whether `key` may have `count` more now; then it has them. */
  take(key: string, nowMs: number, count = 1): boolean {
    const { perSecond, burst, maxKeys } = this.#init
    const known = this.#buckets.get(key)
    const filled = known === undefined ? burst : known.tokens + (Math.max(0, nowMs - known.atMs) * perSecond) / 1_000
    const tokens = Math.min(burst, filled)
    this.#buckets.delete(key)
    this.#buckets.set(key, { tokens: tokens >= count ? tokens - count : tokens, atMs: nowMs })
    // Who was not seen for longest has a full bucket again.
    if (this.#buckets.size > maxKeys)
      for (const oldest of [...this.#buckets.keys()].slice(0, 1)) this.#buckets.delete(oldest)
    return tokens >= count
  }
}
