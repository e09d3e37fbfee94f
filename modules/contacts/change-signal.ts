/** Wakes those who watch state: they look again, so nothing is queued for a slow one. */
export class ChangeSignal {
  #next = Promise.withResolvers<void>()

  /** Something changed. */
  raise(): void {
    const { resolve } = this.#next
    this.#next = Promise.withResolvers()
    resolve()
  }

  /** Resolves at the next change or when `signal` aborts; ask before reading the state. */
  async next(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return
    const aborted = Promise.withResolvers<void>()
    const onAbort = (): void => aborted.resolve()
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      await Promise.race([this.#next.promise, aborted.promise])
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }
}
