/** When a segment counts as lost for want of an acknowledgement (RFC 6298). */
import { FIRST_TIMEOUT_MS, MAX_TIMEOUT_MS, MIN_TIMEOUT_MS } from './limits.ts'

export class RoundTrip {
  #smoothedMs: number | null = null
  #variationMs = 0
  #backOff = 1

  get smoothedMs(): number | null {
    return this.#smoothedMs
  }

  get timeoutMs(): number {
    const calm = this.#smoothedMs === null ? FIRST_TIMEOUT_MS : this.#smoothedMs + 4 * this.#variationMs
    return Math.min(Math.max(calm, MIN_TIMEOUT_MS) * this.#backOff, MAX_TIMEOUT_MS)
  }

  /** Of something that was sent once (Karn). */
  sample(roundTripMs: number): void {
    this.#backOff = 1
    if (this.#smoothedMs === null) {
      this.#smoothedMs = roundTripMs
      this.#variationMs = roundTripMs / 2
      return
    }
    this.#variationMs = 0.75 * this.#variationMs + 0.25 * Math.abs(this.#smoothedMs - roundTripMs)
    this.#smoothedMs = 0.875 * this.#smoothedMs + 0.125 * roundTripMs
  }

  timedOut(): void {
    this.#backOff = Math.min(this.#backOff * 2, 64)
  }

  /** The path is another one. */
  restart(): void {
    this.#smoothedMs = null
    this.#variationMs = 0
    this.#backOff = 1
  }
}
