/** Waiting for something that another part of a channel brings about. */

export class Waiters {
  #next: PromiseWithResolvers<void> | null = null

  /** Resolves with the next `wake`. */
  async wait(): Promise<void> {
    this.#next ??= Promise.withResolvers()
    await this.#next.promise
  }

  wake(): void {
    this.#next?.resolve()
    this.#next = null
  }
}

/** The promise, or the signal's reason as soon as it aborts. */
export async function orAborted<Result>(promise: Promise<Result>, signal: AbortSignal): Promise<Result> {
  signal.throwIfAborted()
  const aborted = Promise.withResolvers<never>()
  const onAbort = (): void => aborted.reject(signal.reason as Error)
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    return await Promise.race([promise, aborted.promise])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
