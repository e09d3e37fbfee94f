/** Messages of a link that its other end has not confirmed: sent again, later each time, a few times (NZ-ROUTING-01 §2.5). */
import { MAX_REPEATS, MAX_UNCONFIRMED, MAX_UNCONFIRMED_BYTES, REPEAT_AFTER_MS } from './limits.ts'

interface Kept {
  readonly message: Uint8Array
  repeats: number
  /** `null` until it was looked at first. */
  dueMs: number | null
}

export class Repeats {
  /** By counter. */
  readonly #kept = new Map<number, Kept>()
  #bytes = 0

  get size(): number {
    return this.#kept.size
  }

  /** What finds no room is not sent again. */
  keep(counter: number, message: Uint8Array): void {
    if (this.#kept.size >= MAX_UNCONFIRMED || this.#bytes + message.length > MAX_UNCONFIRMED_BYTES) return
    this.#kept.set(counter, { message, repeats: 0, dueMs: null })
    this.#bytes += message.length
  }

  confirm(counter: number): void {
    const kept = this.#kept.get(counter)
    if (kept === undefined || !this.#kept.delete(counter)) return
    this.#bytes -= kept.message.length
  }

  /** What to send again now. A confirmation takes a round trip. */
  due(nowMs: number, roundTripMs: number): readonly Uint8Array[] {
    const again: Uint8Array[] = []
    const firstMs = Math.max(REPEAT_AFTER_MS, 2 * roundTripMs)
    for (const [counter, kept] of this.#kept) {
      if (kept.dueMs !== null && nowMs >= kept.dueMs) {
        if (kept.repeats >= MAX_REPEATS) {
          this.confirm(counter)
          continue
        }
        kept.repeats += 1
        again.push(kept.message)
        kept.dueMs = null
      }
      kept.dueMs ??= nowMs + firstMs * 2 ** kept.repeats
    }
    return again
  }
}
