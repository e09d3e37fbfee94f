/**
 * Attempts that start one after the other without waiting for each other's end (RFC 8305 §5, "happy eyeballs"): a dead
 * address costs the delay, not its time limit.
 */
import type { Clock } from '../../kernel/index.ts'

/** Of RFC 8305: "Connection Attempt Delay". */
export const ATTEMPT_DELAY_MS = 250

export interface StaggeredOptions<T> {
  readonly clock: Clock
  readonly delayMs: number
  readonly signal: AbortSignal
  /** Gets what a later attempt came to although another one had won. */
  readonly discard: (result: T) => void
}

/**
 * The first result that is not `null`. The next attempt starts when one has come to `null`, or `delayMs` after the one
 * before; each gets a signal that aborts when it is no longer needed. `null` when all came to `null`. An attempt that
 * throws ends all.
 */
export async function staggered<T>(
  attempts: ReadonlyArray<(signal: AbortSignal) => Promise<T | null>>,
  { clock, delayMs, signal, discard }: StaggeredOptions<T>,
): Promise<T | null> {
  signal.throwIfAborted()
  const { promise, resolve, reject } = Promise.withResolvers<T | null>()
  const running = new Set<AbortController>()
  let started = 0
  let isOver = false
  let timer = clock.setTimer(0, () => undefined)
  const startNext = (): void => {
    timer.cancel()
    const attempt = attempts[started]
    if (attempt === undefined || isOver) {
      if (running.size === 0) resolve(null)
      return
    }
    started += 1
    const stop = new AbortController()
    running.add(stop)
    timer = clock.setTimer(delayMs, startNext, { unref: true })
    void attempt(stop.signal).then((result) => onResult(stop, result), reject)
  }
  const onResult = (stop: AbortController, result: T | null): void => {
    running.delete(stop)
    if (result === null) return startNext()
    if (isOver) return discard(result)
    isOver = true
    resolve(result)
  }
  const onAbort = (): void => reject(signal.reason as Error)
  signal.addEventListener('abort', onAbort, { once: true })
  startNext()
  try {
    return await promise
  } finally {
    isOver = true
    timer.cancel()
    // The winner's signal is left alone: what it made may still listen to it.
    for (const stop of running) stop.abort()
    signal.removeEventListener('abort', onAbort)
  }
}
