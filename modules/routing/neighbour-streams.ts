/** Links to neighbours: one stream for what this node says to each, one that each has opened for what it says. */
import { isNzError } from '../../kernel/index.ts'
import { joinMessages, MessageSplitter, ROUTE_PROTOCOL } from '../../protocols/routing/link-frames.ts'
import type { Clock, Logger, Timer } from '../../kernel/index.ts'
import type { NetworkService, PeerStream } from '../network/service.ts'

/** Bytes that wait for a neighbour that reads slowly: packets above the first bound are dropped, all above the second. */
export const MAX_WAITING_PACKET_BYTES = 1_048_576
export const MAX_WAITING_BYTES = 1_572_864
/** Most bytes in one write. */
const MAX_WRITE_BYTES = 131_072
const OPEN_TIMEOUT_MS = 10_000
/** A neighbour that does not take part now may do so later. */
const OPEN_AGAIN_AFTER_MS = 15_000

export interface NeighbourStreamsInit {
  readonly network: Pick<NetworkService, 'openStream' | 'peer' | 'peers' | 'handleStreams'>
  readonly clock: Clock
  readonly log: Logger
  /** Whether the node routes with the peer at all. */
  readonly isAllowed: (peerId: string) => boolean
  /** The peer can be sent to. */
  readonly onUp: (peerId: string) => void
  readonly onDown: (peerId: string) => void
  readonly onMessage: (peerId: string, message: Uint8Array) => void
}

interface Neighbour {
  readonly stop: AbortController
  stream: PeerStream | null
  waiting: Uint8Array[]
  waitingBytes: number
  isWriting: boolean
  again: Timer | null
}

export class NeighbourStreams {
  readonly #init: NeighbourStreamsInit
  readonly #neighbours = new Map<string, Neighbour>()
  readonly #signal: AbortSignal
  #dropped = 0

  constructor(init: NeighbourStreamsInit, { signal }: { readonly signal: AbortSignal }) {
    this.#init = init
    this.#signal = signal
    signal.addEventListener('abort', () => this.#closeAll(), { once: true })
  }

  /** Messages that were dropped because a neighbour read too slowly. */
  get dropped(): number {
    return this.#dropped
  }

  start(): void {
    const { network } = this.#init
    network.handleStreams(ROUTE_PROTOCOL, async (stream, options) => await this.#serve(stream, options), {
      signal: this.#signal,
      maxStreamsPerPeer: 2,
    })
    this.review()
  }

  /** Opens links to all peers that are connected and allowed, and closes those to others. */
  review(): void {
    if (this.#signal.aborted) return
    for (const peerId of this.#neighbours.keys()) if (!this.#isWanted(peerId)) this.#close(peerId)
    for (const { peerId } of this.#init.network.peers())
      if (!this.#neighbours.has(peerId) && this.#isWanted(peerId)) void this.#open(peerId)
  }

  /** A new connection, or another reason to believe that a link comes about now: what failed is tried again at once. */
  retry(peerId: string): void {
    const neighbour = this.#neighbours.get(peerId)
    if (neighbour !== undefined && neighbour.again !== null) {
      neighbour.again.cancel()
      this.#neighbours.delete(peerId)
    }
    if (!this.#neighbours.has(peerId) && this.#isWanted(peerId)) void this.#open(peerId)
  }

  /** Drops the message when the neighbour reads too slowly. */
  send(peerId: string, message: Uint8Array, isControl: boolean): void {
    const neighbour = this.#neighbours.get(peerId)
    if (neighbour?.stream == null) return
    const bound = isControl ? MAX_WAITING_BYTES : MAX_WAITING_PACKET_BYTES
    if (neighbour.waitingBytes + message.length > bound) {
      this.#dropped += 1
      return
    }
    neighbour.waiting.push(message)
    neighbour.waitingBytes += message.length
    if (neighbour.isWriting) return
    neighbour.isWriting = true
    queueMicrotask(() => void this.#write(peerId, neighbour))
  }

  #isWanted(peerId: string): boolean {
    const { network, isAllowed } = this.#init
    const isConnected = network.peer(peerId)?.paths.some(({ transport }) => transport !== 'route') === true
    return isConnected && isAllowed(peerId)
  }

  async #open(peerId: string): Promise<void> {
    const { network, clock, log, onUp } = this.#init
    const stop = new AbortController()
    const neighbour: Neighbour = { stop, stream: null, waiting: [], waitingBytes: 0, isWriting: false, again: null }
    this.#neighbours.set(peerId, neighbour)
    const timer = clock.setTimer(OPEN_TIMEOUT_MS, () => stop.abort(), { unref: true })
    try {
      const stream = await network.openStream(peerId, ROUTE_PROTOCOL, { signal: stop.signal })
      if (this.#neighbours.get(peerId) !== neighbour) return stream.reset()
      neighbour.stream = stream
      stream.signal.addEventListener('abort', () => this.#lost(peerId, neighbour), { once: true })
      if (stream.signal.aborted) return this.#lost(peerId, neighbour)
      onUp(peerId)
    } catch (error) {
      log.debug('routing.noLink', { peerId, error })
      this.#lost(peerId, neighbour)
    } finally {
      timer.cancel()
    }
  }

  /** Its stream is over: tried again as long as the peer is connected. */
  #lost(peerId: string, neighbour: Neighbour): void {
    if (this.#neighbours.get(peerId) !== neighbour || neighbour.again !== null) return
    if (neighbour.stream !== null) this.#init.onDown(peerId)
    neighbour.stream = null
    neighbour.waiting = []
    neighbour.waitingBytes = 0
    const again = (): void => {
      if (this.#neighbours.get(peerId) !== neighbour) return
      this.#neighbours.delete(peerId)
      this.review()
    }
    neighbour.again = this.#init.clock.setTimer(OPEN_AGAIN_AFTER_MS, again, { unref: true })
  }

  #close(peerId: string): void {
    const neighbour = this.#neighbours.get(peerId)
    if (neighbour === undefined) return
    this.#neighbours.delete(peerId)
    neighbour.again?.cancel()
    neighbour.stop.abort()
    if (neighbour.stream === null) return
    neighbour.stream.reset()
    this.#init.onDown(peerId)
  }

  #closeAll(): void {
    for (const peerId of this.#neighbours.keys()) this.#close(peerId)
  }

  async #write(peerId: string, neighbour: Neighbour): Promise<void> {
    try {
      while (neighbour.stream !== null && neighbour.waiting.length > 0) {
        let bytes = 0
        const count = neighbour.waiting.findIndex((message) => (bytes += message.length) > MAX_WRITE_BYTES)
        const batch = neighbour.waiting.splice(0, count === -1 ? neighbour.waiting.length : Math.max(1, count))
        await neighbour.stream.write(joinMessages(batch))
        neighbour.waitingBytes -= batch.reduce((sum, message) => sum + message.length, 0)
      }
    } catch (error) {
      if (!isNzError(error)) throw error
      this.#lost(peerId, neighbour)
    } finally {
      neighbour.isWriting = false
    }
  }

  /** A stream that a peer has opened: what it says. */
  async #serve(stream: PeerStream, { signal }: { readonly signal: AbortSignal }): Promise<void> {
    const { peerId } = stream
    if (!this.#isWanted(peerId)) return stream.reset()
    // It did not take ours as long as it did not trust this node; now it says something itself.
    this.retry(peerId)
    const splitter = new MessageSplitter()
    for (let bytes = await stream.read({ signal }); bytes !== null; bytes = await stream.read({ signal })) {
      const messages = splitter.push(bytes)
      if (messages === null || !this.#init.isAllowed(peerId)) return stream.reset()
      for (const message of messages) this.#init.onMessage(peerId, message)
    }
  }
}
