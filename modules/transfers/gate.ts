/** One waiter told by one or more others that something may have changed. */
export class Gate {
  #waiting: PromiseWithResolvers<void> | null = null
  #isOpen = false

  /** Lets the waiter, or the next one to come, pass once. */
  open(): void {
    this.#isOpen = true
    this.#waiting?.resolve()
  }

  /** Resolves after an `open` since the last `pass`. */
  async pass(): Promise<void> {
    if (!this.#isOpen) {
      this.#waiting ??= Promise.withResolvers<void>()
      await this.#waiting.promise
    }
    this.#waiting = null
    this.#isOpen = false
  }
}
