/** Makes a backup whenever one is due, and tries again when it failed. */
import { dueAtMs } from './backups.ts'
import type { Clock, Logger, Timer } from '../../kernel/index.ts'
import type { Backups } from './backups.ts'

/** Waits after a failure: twice as long each time. */
const FIRST_RETRY_MS = 60_000
const LAST_RETRY_MS = 3_600_000
/** The longest wait at once: the machine may sleep and its clock may be set. */
const LONGEST_WAIT_MS = 600_000

export interface SchedulerServices {
  readonly backups: Backups
  readonly clock: Clock
  readonly log: Logger
}

export class Scheduler {
  readonly #services: SchedulerServices
  readonly #stopped = new AbortController()
  #timer: Timer | null = null
  #round: Promise<void> | null = null
  #failures = 0
  #retryAtMs = 0

  constructor(services: SchedulerServices) {
    this.#services = services
  }

  /** Looks now, and then whenever it is time. Also after the configuration has changed. */
  start(): void {
    this.#timer?.cancel()
    this.#wait(0)
  }

  /** Breaks off a backup under way. */
  async stop(): Promise<void> {
    this.#stopped.abort(new DOMException('the node stops', 'AbortError'))
    this.#timer?.cancel()
    await this.#round
  }

  /** Whether a backup should have been made an interval ago. */
  async isOverdue(): Promise<boolean> {
    const { backups, clock } = this.#services
    const { intervalMs, lastAtMs, lastFailure } = await backups.schedule()
    if (intervalMs === 0) return false
    return lastAtMs === null ? lastFailure !== null : clock.nowMs() - lastAtMs > 2 * intervalMs
  }

  #wait(delayMs: number): void {
    if (this.#stopped.signal.aborted) return
    this.#timer?.cancel()
    this.#timer = this.#services.clock.setTimer(
      Math.min(delayMs, LONGEST_WAIT_MS),
      () => {
        this.#round ??= this.#look().finally(() => {
          this.#round = null
        })
      },
      { unref: true },
    )
  }

  async #look(): Promise<void> {
    const { backups, clock, log } = this.#services
    let delayMs = LONGEST_WAIT_MS
    try {
      const { intervalMs, lastAtMs } = await backups.schedule()
      const nowMs = clock.nowMs()
      const atMs = Math.max(dueAtMs({ lastAtMs, intervalMs, nowMs }), this.#retryAtMs)
      if (intervalMs > 0) {
        delayMs = atMs <= nowMs ? intervalMs : atMs - nowMs
        if (atMs <= nowMs) await this.#make()
      }
    } catch (error) {
      // Told by the backup itself; here it only decides when to try again.
      log.debug('backup.retryLater', { error })
      this.#failures += 1
      delayMs = Math.min(FIRST_RETRY_MS * 2 ** (this.#failures - 1), LAST_RETRY_MS)
      this.#retryAtMs = clock.nowMs() + delayMs
    }
    this.#wait(delayMs)
  }

  async #make(): Promise<void> {
    const { backups } = this.#services
    const { signal } = this.#stopped
    await backups.create({ signal })
    this.#failures = 0
    this.#retryAtMs = 0
    await backups.prune({ signal })
  }
}
