/** One token bucket for each key, a bounded number of them: how often an address may begin a handshake. */

export interface TokenBucketsOptions {
  readonly perSecond: number
  /** Tokens of a bucket nobody used lately. */
  readonly burst: number
  /** Buckets kept; above it the one used longest ago is forgotten. */
  readonly maxKeys: number
}

interface Bucket {
  tokens: number
  atMs: number
}

export class TokenBuckets {
  readonly #options: TokenBucketsOptions
  readonly #buckets = new Map<string, Bucket>()

  constructor(options: TokenBucketsOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#buckets.size
  }

  /** Takes a token of `key`; `false` when none is left. */
  take(key: string, nowMs: number): boolean {
    const { perSecond, burst, maxKeys } = this.#options
    const bucket = this.#buckets.get(key) ?? { tokens: burst, atMs: nowMs }
    this.#buckets.delete(key)
    this.#buckets.set(key, bucket)
    bucket.tokens = Math.min(burst, bucket.tokens + (Math.max(0, nowMs - bucket.atMs) / 1_000) * perSecond)
    bucket.atMs = nowMs
    const oldest = this.#buckets.keys().next()
    if (this.#buckets.size > maxKeys && oldest.done !== true) this.#buckets.delete(oldest.value)
    if (bucket.tokens < 1) return false
    bucket.tokens -= 1
    return true
  }
}
