/**
 * Finds connections that are dead and do not know it: pings each at an interval and ends those that stay silent. A slow
 * link is not a dead one: TCP waits longer with each loss, so whatever comes counts as an answer, and a connection whose
 * answers were slow may stay silent longer.
 */
import { deadline } from '../../kernel/index.ts'
import type { Clock, Logger, Timer } from '../../kernel/index.ts'
import type { OpenPath } from './paths.ts'

/** Pings in a row without an answer that end a connection. */
export const MAX_MISSED_PINGS = 2
/** How often as long as its slowest answer a connection may be silent: four losses in a row of what TCP sends again. */
const PATIENCE = 16
/** Pings beyond MAX_MISSED_PINGS, at most. */
export const MAX_MORE_PINGS = 10
/** The same before the first answer, when nothing is known of the link. */
const MORE_AT_FIRST = 2
/** What is left of the slowest answer with each quicker one. */
const FADE = 0.9

export interface LivenessServices {
  readonly clock: Clock
  readonly log: Logger
  readonly paths: () => readonly OpenPath[]
  readonly ping: (path: OpenPath, options: { readonly signal: AbortSignal }) => Promise<void>
  /** Grows whenever anything comes over the connection. */
  readonly heard: (path: OpenPath) => number
  readonly onAnswered: (path: OpenPath) => void
  /** A ping was not answered, and the connection is not given up yet. */
  readonly onMissed: (path: OpenPath) => void
}

export class Liveness {
  readonly #services: LivenessServices
  readonly #options: { readonly intervalMs: number; readonly timeoutMs: number }
  readonly #stopped = new AbortController()
  #timer: Timer | null = null

  constructor(services: LivenessServices, options: { readonly intervalMs: number; readonly timeoutMs: number }) {
    this.#services = services
    this.#options = options
  }

  start(): void {
    const { clock, paths } = this.#services
    this.#timer = clock.setTimer(
      this.#options.intervalMs,
      () => {
        this.probe(paths())
        if (!this.#stopped.signal.aborted) this.start()
      },
      { unref: true },
    )
  }

  stop(): void {
    this.#timer?.cancel()
    this.#stopped.abort()
  }

  /** Pings them now. */
  probe(paths: readonly OpenPath[]): void {
    if (!this.#stopped.signal.aborted) for (const path of paths) void this.#probe(path)
  }

  async #probe(path: OpenPath): Promise<void> {
    const { clock, log, ping, heard, onMissed } = this.#services
    const { timeoutMs } = this.#options
    using limit = deadline(clock, timeoutMs, { signal: this.#stopped.signal })
    const heardBefore = heard(path)
    const startedMs = clock.monotonicMs()
    try {
      await ping(path, { signal: limit.signal })
      this.#answered(path, clock.monotonicMs() - startedMs)
    } catch (error) {
      if (this.#stopped.signal.aborted) return
      if (heard(path) !== heardBefore) return this.#answered(path, timeoutMs)
      path.missedPings += 1
      path.heardAtMiss = heardBefore
      if (path.missedPings < this.#mayMiss(path)) return onMissed(path)
      log.info('network.connectionDead', { peerId: path.connection.remotePeer.toString(), error })
      path.connection.abort(new Error('the peer no longer answers'))
    }
  }

  #answered(path: OpenPath, tookMs: number): void {
    path.missedPings = 0
    path.slowestPingMs = Math.max(tookMs, (path.slowestPingMs ?? 0) * FADE)
    this.#services.onAnswered(path)
  }

  #mayMiss({ slowestPingMs }: OpenPath): number {
    if (slowestPingMs === null) return MAX_MISSED_PINGS + MORE_AT_FIRST
    const more = Math.floor((slowestPingMs * PATIENCE) / this.#options.intervalMs)
    return MAX_MISSED_PINGS + Math.min(MAX_MORE_PINGS, more)
  }
}
