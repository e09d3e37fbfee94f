/**
 * Connections that discovery itself has opened: a bounded number stays open for the next lookup, used longest ago first
 * out, and none that was not used for long. Only who opened a connection ends it, so that an end means something.
 */
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

export interface OpenedConnectionsOptions {
  readonly max: number
  /** One that nobody has used for this long is ended. */
  readonly idleMs: number
}

interface Opened {
  underWay: number
  usedAtMs: number
}

export class OpenedConnections {
  readonly #services: OpenedConnectionsServices
  readonly #options: OpenedConnectionsOptions
  /** Used longest ago first. */
  readonly #ours = new Map<string, Opened>()
  /** Those that this node has ended, until the network tells so. */
  readonly #ending = new Set<string>()

  constructor(services: OpenedConnectionsServices, options: OpenedConnectionsOptions) {
    this.#services = services
    this.#options = options
  }

  get size(): number {
    return this.#ours.size
  }

  /** Marks a request to the peer; `isOurs`: discovery has dialled it. */
  use(peerId: string, { isOurs }: { readonly isOurs: boolean }): Disposable {
    if (!isOurs && !this.#ours.has(peerId)) return { [Symbol.dispose]: () => undefined }
    const opened = this.#touch(peerId)
    opened.underWay += 1
    this.#ending.delete(peerId)
    this.#trim()
    return {
      [Symbol.dispose]: () => {
        opened.underWay -= 1
        if (this.#ours.get(peerId) === opened) this.#touch(peerId)
      },
    }
  }

  /** The peer has asked something: the connection is of use to it, whoever has opened it. */
  asked(peerId: string): void {
    if (this.#ours.has(peerId)) this.#touch(peerId)
  }

  has(peerId: string): boolean {
    return this.#ours.has(peerId)
  }

  /**
   * The connection to the peer is over. `heardAtMs`: monotonic, when the peer was heard of last.
   * @returns whether that was to be expected: this node has ended it, or who has opened it had not used it for long
   */
  closed(peerId: string, heardAtMs: number | null): boolean {
    const wasEnding = this.#ending.delete(peerId)
    if (this.#ours.delete(peerId)) return false
    return wasEnding || (heardAtMs !== null && this.#idleMs(heardAtMs) >= this.#options.idleMs)
  }

  /** Ends those that were not used for long. */
  endIdle(): void {
    for (const [peerId, { underWay, usedAtMs }] of this.#ours) {
      if (this.#idleMs(usedAtMs) < this.#options.idleMs) return
      if (underWay === 0) this.#end(peerId)
    }
  }

  #idleMs(sinceMs: number): number {
    return this.#services.clock.monotonicMs() - sinceMs
  }

  #touch(peerId: string): Opened {
    const opened = this.#ours.get(peerId) ?? { underWay: 0, usedAtMs: 0 }
    opened.usedAtMs = this.#services.clock.monotonicMs()
    this.#ours.delete(peerId)
    this.#ours.set(peerId, opened)
    return opened
  }

  #trim(): void {
    for (const [peerId, { underWay }] of this.#ours) {
      if (this.#ours.size <= this.#options.max) return
      if (underWay === 0) this.#end(peerId)
    }
  }

  /** Whoever is wanted, or used by somebody else, is theirs from now on. */
  #end(peerId: string): void {
    this.#ours.delete(peerId)
    const { network, isWanted } = this.#services
    const peer = network.peer(peerId)
    if (peer?.state !== 'connected' || peer.isKept || isWanted(peerId)) return
    if (peer.paths.some(({ streams }) => streams > OWN_STREAMS)) return
    void this.#hangUp(peerId)
  }

  async #hangUp(peerId: string): Promise<void> {
    const { network, clock, log } = this.#services
    using limit = deadline(clock, HANG_UP_TIMEOUT_MS)
    this.#ending.add(peerId)
    try {
      await network.disconnect(peerId, { signal: limit.signal })
    } catch (error) {
      this.#ending.delete(peerId)
      log.debug('discovery.notHungUp', { peerId, error })
    }
  }
}
