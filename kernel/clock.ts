/**
 * Time as a service, so that every protocol core runs under a simulated clock.
 * The only file that may touch `Date.now`, `performance.now` and `setTimeout`.
 */
export interface Timer {
  /** Idempotent. */
  cancel(): void
}

export interface Clock {
  /** Wall-clock time in milliseconds since 1970; may jump. For records that leave the process. */
  nowMs(): number
  /** Milliseconds since an arbitrary start; never goes back. For durations and deadlines. */
  monotonicMs(): number
  /** Runs `callback` once after `delayMs`. The timer does not keep the process alive when `unref` is set. */
  setTimer(delayMs: number, callback: () => void, options?: { readonly unref?: boolean }): Timer
}

/** The clock of the machine. */
export const systemClock: Clock = Object.freeze({
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  setTimer(delayMs: number, callback: () => void, options: { readonly unref?: boolean } = {}): Timer {
    const handle = setTimeout(callback, delayMs)
    if (options.unref === true) handle.unref()
    return { cancel: () => clearTimeout(handle) }
  },
})

/** Waits `delayMs`; rejects with the signal's reason as soon as `signal` aborts. */
export async function sleep(clock: Clock, delayMs: number, { signal }: { signal: AbortSignal }): Promise<void> {
  signal.throwIfAborted()
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const timer = clock.setTimer(delayMs, resolve)
  const onAbort = (): void => reject(signal.reason as Error)
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    await promise
  } finally {
    timer.cancel()
    signal.removeEventListener('abort', onAbort)
  }
}

export interface Deadline extends Disposable {
  /** Aborts when the time is over or when the parent signal aborts. */
  readonly signal: AbortSignal
  /** `true` when the time, not the parent, ended it. */
  readonly isOver: boolean
}

/** A signal that aborts after `delayMs` of `clock`, or with `signal`. Dispose it when the wait is over. */
export function deadline(
  clock: Clock,
  delayMs: number,
  { signal, reason }: { signal?: AbortSignal; reason?: () => Error } = {},
): Deadline {
  const controller = new AbortController()
  let isOver = false
  const timer = clock.setTimer(
    delayMs,
    () => {
      isOver = true
      controller.abort(reason?.() ?? new DOMException('the operation timed out', 'TimeoutError'))
    },
    { unref: true },
  )
  return {
    signal: signal === undefined ? controller.signal : AbortSignal.any([controller.signal, signal]),
    get isOver() {
      return isOver
    },
    [Symbol.dispose]: () => timer.cancel(),
  }
}
