/** Serves incoming streams: one handler a protocol, so many streams of a peer at once. */
import type { Connection, Libp2p, Stream } from '@libp2p/interface'
import type { Logger } from '../../kernel/index.ts'
import type { Paths } from './paths.ts'
import type { PeerStream, StreamHandler } from './service.ts'

const DEFAULT_MAX_STREAMS_PER_PEER = 32

/** As many streams of the protocol are served to the peer as may be, or it holds its whole share of the buffers. */
export type StreamRefusal = 'protocol-full' | 'buffers-full'

interface Served {
  readonly handler: StreamHandler
  readonly signal: AbortSignal
  readonly maxStreamsPerPeer: number
}

export class StreamServer {
  readonly #paths: Paths
  readonly #log: Logger
  readonly #served = new Map<string, Served>()
  /** Streams that came by a detour and are being served, by peer and protocol. */
  readonly #detoured = new Map<string, number>()
  readonly #refused: Partial<Record<StreamRefusal, number>> = {}
  #swarm: Libp2p | null = null

  constructor({ paths, log }: { readonly paths: Paths; readonly log: Logger }) {
    this.#paths = paths
    this.#log = log
  }

  /** Refusals since the start. */
  get refused(): Readonly<Record<string, number>> {
    return { ...this.#refused }
  }

  async start(swarm: Libp2p): Promise<void> {
    this.#swarm = swarm
    await Promise.all([...this.#served.keys()].map(async (protocol) => await this.#register(protocol)))
  }

  handle(
    protocol: string,
    handler: StreamHandler,
    {
      signal,
      maxStreamsPerPeer = DEFAULT_MAX_STREAMS_PER_PEER,
    }: { readonly signal: AbortSignal; readonly maxStreamsPerPeer?: number },
  ): void {
    if (this.#served.has(protocol)) throw new Error(`protocol is served already: ${protocol}`)
    if (signal.aborted) return
    this.#served.set(protocol, { handler, signal, maxStreamsPerPeer })
    signal.addEventListener('abort', () => void this.#orLog(this.#remove(protocol), protocol), { once: true })
    void this.#orLog(this.#register(protocol), protocol)
  }

  async #register(protocol: string): Promise<void> {
    const served = this.#served.get(protocol)
    if (this.#swarm === null || served === undefined) return
    const onStream = (stream: Stream, connection: Connection): void => this.#accept(served, stream, connection)
    // The limit for one connection is libp2p's; the one for the peer is checked in `#accept`.
    await this.#swarm.handle(protocol, onStream, {
      maxInboundStreams: served.maxStreamsPerPeer + 1,
      force: true,
      // The bounds of a relay are shown and warned of; what may pass within them is all.
      runOnLimitedConnection: true,
    })
  }

  async #remove(protocol: string): Promise<void> {
    this.#served.delete(protocol)
    await this.#swarm?.unhandle(protocol)
  }

  /** Registering is work of libp2p's peer store; nobody waits for it. */
  async #orLog(work: Promise<void>, protocol: string): Promise<void> {
    try {
      await work
    } catch (error) {
      this.#log.warn('network.protocolNotRegistered', { protocol, error })
    }
  }

  #accept({ handler, signal, maxStreamsPerPeer }: Served, stream: Stream, connection: Connection): void {
    const peerId = connection.remotePeer.toString()
    const isTooMany = this.#paths.countStreams(peerId, stream.protocol) >= maxStreamsPerPeer
    const refusal = isTooMany ? 'protocol-full' : this.#paths.isOverBudget(peerId) ? 'buffers-full' : null
    if (refusal !== null) this.#refuse(refusal)
    const adopted = refusal === null ? this.#paths.adopt(connection, stream) : null
    if (adopted === null) return stream.abort(new Error('no more streams are served'))
    void this.#serve(adopted, handler, signal)
  }

  #refuse(reason: StreamRefusal): void {
    this.#refused[reason] = (this.#refused[reason] ?? 0) + 1
  }

  /** What serves a stream that came by a detour. */
  takeDetoured(stream: PeerStream): (() => void) | 'unknown' | 'refused' {
    const served = this.#served.get(stream.protocol)
    if (served === undefined) return 'unknown'
    const name = `${stream.peerId} ${stream.protocol}`
    const count = this.#detoured.get(name) ?? 0
    const { peerId, protocol } = stream
    if (count + this.#paths.countStreams(peerId, protocol) >= served.maxStreamsPerPeer) {
      this.#refuse('protocol-full')
      return 'refused'
    }
    this.#detoured.set(name, count + 1)
    const done = (): void => {
      const left = (this.#detoured.get(name) ?? 1) - 1
      if (left > 0) this.#detoured.set(name, left)
      else this.#detoured.delete(name)
    }
    stream.signal.addEventListener('abort', done, { once: true })
    return () => void this.#serve(stream, served.handler, served.signal)
  }

  async #serve(stream: PeerStream, handler: StreamHandler, signal: AbortSignal): Promise<void> {
    try {
      await handler(stream, { signal: AbortSignal.any([signal, stream.signal]) })
      await stream.close()
    } catch (error) {
      const { peerId, protocol } = stream
      this.#log.debug('network.streamHandlerEnded', { peerId, protocol, error })
      stream.reset()
    }
  }
}
