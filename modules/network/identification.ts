/**
 * Asks each new peer who it is (libp2p's identify), a moment after its connection has opened: the question and its answer
 * cost several times what a handshake does, streams that were waiting for the connection go first, and a connection that
 * is closed again at once is not asked.
 */
import { deadline } from '../../kernel/index.ts'
import type { AbortOptions, Connection } from '@libp2p/interface'
import type { Clock, Logger, Timer } from '../../kernel/index.ts'

/** From the open connection to the question. */
export const IDENTIFY_DELAY_MS = 20
/** For the answer. */
const IDENTIFY_TIMEOUT_MS = 10_000

export interface IdentificationServices {
  readonly clock: Clock
  readonly log: Logger
  /** libp2p's service, which is told not to ask by itself. */
  readonly identify: (connection: Connection, options: Required<AbortOptions>) => Promise<unknown>
  /** Told of a connection this node opened and the peer closed before it had answered, after so many milliseconds. */
  readonly onLetGo?: (connection: Connection, openMs: number) => void
}

export class Identification {
  readonly #services: IdentificationServices
  /** As many as connections have opened within IDENTIFY_DELAY_MS. */
  readonly #timers = new Map<Connection, Timer>()
  /** When those opened that have not answered and that this node has not closed. */
  readonly #strangers = new WeakMap<Connection, number>()

  constructor(services: IdentificationServices) {
    this.#services = services
  }

  opened(connection: Connection): void {
    const ask = (): void => {
      this.#timers.delete(connection)
      void this.#ask(connection)
    }
    this.#strangers.set(connection, this.#services.clock.monotonicMs())
    this.#timers.set(connection, this.#services.clock.setTimer(IDENTIFY_DELAY_MS, ask, { unref: true }))
  }

  /** This node closes the connection. */
  closed(connection: Connection): void {
    this.#timers.get(connection)?.cancel()
    this.#timers.delete(connection)
    this.#strangers.delete(connection)
  }

  /** The connection is over, whoever ended it. */
  gone(connection: Connection): void {
    const openedMs = this.#strangers.get(connection)
    this.closed(connection)
    if (openedMs === undefined || connection.direction !== 'outbound') return
    this.#services.onLetGo?.(connection, this.#services.clock.monotonicMs() - openedMs)
  }

  stop(): void {
    for (const timer of this.#timers.values()) timer.cancel()
    this.#timers.clear()
  }

  async #ask(connection: Connection): Promise<void> {
    const { clock, log, identify } = this.#services
    if (connection.status !== 'open') return
    using limit = deadline(clock, IDENTIFY_TIMEOUT_MS)
    try {
      await identify(connection, { signal: limit.signal })
      this.#strangers.delete(connection)
    } catch (error) {
      log.debug('network.peerNotIdentified', { peerId: connection.remotePeer.toString(), error })
    }
  }
}
