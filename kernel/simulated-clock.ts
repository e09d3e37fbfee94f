/** A clock that moves only when told to: for tests and simulations. */
import type { Clock, Timer } from './clock.ts'

interface Pending {
  readonly dueMs: number
  readonly order: number
  readonly callback: () => void
}

/**
 * Starts at wall-clock time `startMs` (default 1 700 000 000 000) and monotonic time 0.
 *
 * @example
 *   const clock = new SimulatedClock()
 *   const waited = sleep(clock, 1_000, { signal })
 *   await clock.advance(1_000)
 *   await waited
 */
export class SimulatedClock implements Clock {
  /** Sorted by due time, then by order of setting. */
  readonly #pending: Pending[] = []
  #monotonicMs = 0
  #offsetMs: number
  #order = 0

  constructor({ startMs = 1_700_000_000_000 }: { readonly startMs?: number } = {}) {
    this.#offsetMs = startMs
  }

  nowMs(): number {
    return this.#offsetMs + this.#monotonicMs
  }

  monotonicMs(): number {
    return this.#monotonicMs
  }

  /** Timers that have not run yet. */
  get pendingTimers(): number {
    return this.#pending.length
  }

  setTimer(delayMs: number, callback: () => void): Timer {
    const timer: Pending = { dueMs: this.#monotonicMs + Math.max(0, delayMs), order: this.#order++, callback }
    const index = this.#pending.findIndex(({ dueMs }) => dueMs > timer.dueMs)
    this.#pending.splice(index === -1 ? this.#pending.length : index, 0, timer)
    return {
      cancel: () => {
        const at = this.#pending.indexOf(timer)
        if (at !== -1) this.#pending.splice(at, 1)
      },
    }
  }

  /**
   * Moves time on by `durationMs`, running every timer at its time and, after each, everything that waited for it and
   * needs no further time. Resolves when all of that has run.
   */
  async advance(durationMs: number): Promise<void> {
    const endMs = this.#monotonicMs + durationMs
    await settle()
    for (let next = this.#pending[0]; next !== undefined && next.dueMs <= endMs; next = this.#pending[0]) {
      this.#pending.shift()
      this.#monotonicMs = next.dueMs
      next.callback()
      await settle()
    }
    this.#monotonicMs = endMs
  }

  /** Sets the wall clock forward or back, as an operator or a time server does; timers do not notice. */
  jumpWallClock(byMs: number): void {
    this.#offsetMs += byMs
  }
}

/** Resolves after all microtasks that are due, and those that they bring about, have run. */
async function settle(): Promise<void> {
  await new Promise<void>((resolve) => setImmediate(resolve))
}
