/** How many messages one handshake may try to authenticate: some at once, then a few each second (NZ-HANDSHAKE-01 §1). */
import { MAX_TRIES, TRY_EVERY_MS } from './limits.ts'

export class Tries {
  #left = MAX_TRIES
  #refilledAtMs: number

  constructor(nowMs: number) {
    this.#refilledAtMs = nowMs
  }

  /** Whether to try one more: each costs key agreements. */
  take(nowMs: number): boolean {
    const due = Math.max(0, Math.floor((nowMs - this.#refilledAtMs) / TRY_EVERY_MS))
    this.#refilledAtMs += due * TRY_EVERY_MS
    this.#left = Math.min(MAX_TRIES, this.#left + due)
    if (this.#left === 0) return false
    this.#left -= 1
    return true
  }
}
