/** Waiters in line, woken one at a time: waking all for each free place makes a thousand waiters cost a million. */
import { orAbort } from '../../kernel/index.ts'

export class WaitingLine {
  readonly #line = new Set<() => void>()

  get length(): number {
    return this.#line.size
  }

  /** Resolves when this waiter's turn has come; it looks again whether there is room. */
  async wait(signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#line.add(resolve)
    try {
      await orAbort(promise, signal)
    } catch (error) {
      // Woken and given up at once: the turn goes to the next.
      if (!this.#line.delete(resolve)) this.wakeOne()
      throw error
    }
  }

  wakeOne(): void {
    const first = this.#line.values().next()
    if (first.done === true) return
    this.#line.delete(first.value)
    first.value()
  }

  wakeAll(): void {
    while (this.#line.size > 0) this.wakeOne()
  }
}
