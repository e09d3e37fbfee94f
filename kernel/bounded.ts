/** Work with a deadline: it is cut when its time is over, and what it brings too late is handed to who disposes it. */
import type { Clock } from './clock.ts'

export interface Bound<T> {
  readonly clock: Clock
  readonly timeoutMs: number
  /** Cuts the work early, with the signal's reason. */
  readonly signal?: AbortSignal
  /** What the caller gets when the time is over. */
  readonly timeoutError: () => Error
  /** Gets the value of work that was cut and came to an end after all. */
  readonly onLate?: (value: T) => void
  /** Gets the failure of work that was cut. */
  readonly onLateError?: (error: unknown) => void
}

/** The result of `work`, at the latest after `timeoutMs`; its signal aborts when nobody waits for it any more. */
export async function bounded<T>(work: (signal: AbortSignal) => T | Promise<T>, bound: Bound<T>): Promise<T> {
  const { clock, timeoutMs, signal } = bound
  signal?.throwIfAborted()
  const controller = new AbortController()
  const cut = Promise.withResolvers<never>()
  let isCut = false
  const cutWith = (reason: unknown): void => {
    isCut = true
    controller.abort(reason)
    cut.reject(reason as Error)
  }
  const onAbort = (): void => cutWith(signal?.reason)
  const timer = clock.setTimer(timeoutMs, () => cutWith(bound.timeoutError()))
  signal?.addEventListener('abort', onAbort, { once: true })
  const working = (async () => await work(controller.signal))()
  try {
    return await Promise.race([working, cut.promise])
  } finally {
    timer.cancel()
    signal?.removeEventListener('abort', onAbort)
    if (isCut)
      void working.then(
        (value) => bound.onLate?.(value),
        (error: unknown) => bound.onLateError?.(error),
      )
  }
}
