/** Finds connections that are dead and do not know it: pings each at an interval and ends those that stay silent. */
import { deadline } from '../../kernel/index.ts'
import type { Clock, Logger, Timer } from '../../kernel/index.ts'
import type { OpenPath } from './paths.ts'

/** Pings in a row without an answer that end a connection. */
export const MAX_MISSED_PINGS = 2

export interface LivenessServices {
  readonly clock: Clock
  readonly log: Logger
  readonly paths: () => readonly OpenPath[]
  readonly ping: (path: OpenPath, options: { readonly signal: AbortSignal }) => Promise<void>
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
        for (const path of paths()) void this.#probe(path)
        if (!this.#stopped.signal.aborted) this.start()
      },
      { unref: true },
    )
  }

  stop(): void {
    this.#timer?.cancel()
    this.#stopped.abort()
  }

  async #probe(path: OpenPath): Promise<void> {
    const { clock, log, ping } = this.#services
    using limit = deadline(clock, this.#options.timeoutMs, { signal: this.#stopped.signal })
    try {
      await ping(path, { signal: limit.signal })
      path.missedPings = 0
    } catch (error) {
      if (this.#stopped.signal.aborted) return
      path.missedPings += 1
      if (path.missedPings < MAX_MISSED_PINGS) return
      log.info('network.connectionDead', { peerId: path.connection.remotePeer.toString(), error })
      path.connection.abort(new Error('the peer no longer answers'))
    }
  }
}
