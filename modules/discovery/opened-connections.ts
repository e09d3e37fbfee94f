/** Connections that discovery itself has opened: a bounded number stays open for the next lookup, used longest ago first out. */
import { deadline } from '../../kernel/index.ts'
import type { Clock, Logger } from '../../kernel/index.ts'
import type { NetworkService } from '../network/service.ts'

/** For hanging up one peer. */
const HANG_UP_TIMEOUT_MS = 2_000
/** Streams of requests, one in each direction: a connection with more is used by somebody else. */
const OWN_STREAMS = 2

export interface OpenedConnectionsServices {
  readonly network: Pick<NetworkService, 'peer' | 'disconnect'>
  readonly clock: Clock
  readonly log: Logger
  /** Contacts and whoever else is to stay. */
  readonly isWanted: (peerId: string) => boolean
}

export class OpenedConnections {
  readonly #services: OpenedConnectionsServices
  readonly #max: number
  /** Requests under way, by peer, used longest ago first. */
  readonly #ours = new Map<string, number>()

  constructor(services: OpenedConnectionsServices, { max }: { readonly max: number }) {
    this.#services = services
    this.#max = max
  }

  get size(): number {
    return this.#ours.size
  }

  /** Marks a request to the peer; `isOurs`: discovery has dialled it. */
  use(peerId: string, { isOurs }: { readonly isOurs: boolean }): Disposable {
    if (!isOurs && !this.#ours.has(peerId)) return { [Symbol.dispose]: () => undefined }
    this.#touch(peerId, 1)
    this.#trim()
    return { [Symbol.dispose]: () => this.#touch(peerId, -1) }
  }

  has(peerId: string): boolean {
    return this.#ours.has(peerId)
  }

  closed(peerId: string): void {
    this.#ours.delete(peerId)
  }

  #touch(peerId: string, by: number): void {
    const underWay = this.#ours.get(peerId)
    if (underWay === undefined && by < 0) return
    this.#ours.delete(peerId)
    this.#ours.set(peerId, (underWay ?? 0) + by)
  }

  #trim(): void {
    for (const [peerId, underWay] of this.#ours) {
      if (this.#ours.size <= this.#max) return
      if (underWay > 0) continue
      this.#ours.delete(peerId)
      void this.#hangUp(peerId)
    }
  }

  async #hangUp(peerId: string): Promise<void> {
    const { network, clock, log, isWanted } = this.#services
    const peer = network.peer(peerId)
    if (peer?.state !== 'connected' || peer.isKept || isWanted(peerId)) return
    if (peer.paths.some(({ streams }) => streams > OWN_STREAMS)) return
    using limit = deadline(clock, HANG_UP_TIMEOUT_MS)
    try {
      await network.disconnect(peerId, { signal: limit.signal })
    } catch (error) {
      log.debug('discovery.notHungUp', { peerId, error })
    }
  }
}
