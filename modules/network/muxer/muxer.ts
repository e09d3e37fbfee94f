/**
 * Yamux for js-libp2p: the session of protocols/yamux over a connection. Runs over any message stream; over our own
 * secured stream it passes records without events.
 */
import { MuxerClosedError, serviceCapabilities, TooManyOutboundProtocolStreamsError } from '@libp2p/interface'
import { AbstractStreamMuxer } from '@libp2p/utils'
import { orAbort, systemClock } from '../../../kernel/index.ts'
import { GO_AWAY, PROTOCOL } from '../../../protocols/yamux/constants.ts'
import { muxerErrors } from '../../../protocols/yamux/errors.ts'
import { Session } from '../../../protocols/yamux/session.ts'
import { direct, isDirect } from '../noise/direct.ts'
import { describeMuxer } from './backend.ts'
import { MessagePort } from './message-port.ts'
import { MuxedStream } from './muxed-stream.ts'
import { Outbox } from './outbox.ts'
import type { AbortOptions, CreateStreamOptions, MessageStream, StreamMuxerFactory } from '@libp2p/interface'
import type { Uint8ArrayList } from 'uint8arraylist'
import type { Clock } from '../../../kernel/index.ts'
import type { Channel } from '../../../protocols/yamux/session.ts'
import type { DirectPort } from '../noise/direct.ts'
import type { MuxerCounters, MuxerOptions } from './backend.ts'

const DEFAULTS: MuxerOptions = {
  maxInboundStreams: 1_000,
  maxOutboundStreams: 1_000,
  maxStreamWindowBytes: 2 * 1_024 * 1_024,
}
/** Streams of the peer that wait until libp2p listens to them. */
const MAX_EARLY_STREAMS = 10

export interface TypescriptMuxerInit extends Partial<MuxerOptions> {
  /** @default the clock of the machine */
  readonly clock?: Pick<Clock, 'monotonicMs'>
}

export function typescriptMuxer({
  clock = systemClock,
  ...options
}: TypescriptMuxerInit = {}): () => StreamMuxerFactory {
  const complete = { ...DEFAULTS, ...options }
  return () => new TypescriptMuxerFactory((connection) => new Muxer(connection, complete, clock))
}

class TypescriptMuxerFactory implements StreamMuxerFactory {
  readonly protocol = PROTOCOL
  readonly [Symbol.toStringTag] = 'nzcore-yamux'
  readonly [serviceCapabilities]: string[] = ['@libp2p/stream-multiplexing']
  readonly createStreamMuxer: (connection: MessageStream) => Muxer

  constructor(create: (connection: MessageStream) => Muxer) {
    this.createStreamMuxer = create
  }
}

class Muxer extends AbstractStreamMuxer<MuxedStream> {
  readonly #options: MuxerOptions
  readonly #session: Session<MuxedStream>
  readonly #outbox: Outbox
  readonly #port: DirectPort
  /** Streams whose SYN or ACK has not left. */
  #ungreeted: Channel<MuxedStream>[] = []
  /** Calls that wait until the peer has acknowledged earlier streams; `maxOutboundStreams` bounds them. */
  readonly #waitingOpens: Array<() => void> = []
  #outbound = 0
  /** Where the next round of `drain` begins, so that no stream is always first. */
  #firstDrained = 0

  constructor(connection: MessageStream, options: MuxerOptions, clock: Pick<Clock, 'monotonicMs'>) {
    super(connection, { protocol: PROTOCOL, name: 'yamux', maxEarlyStreams: MAX_EARLY_STREAMS })
    this.#options = options
    const onDrain = (): void => this.#drained()
    this.#port = isDirect(connection)
      ? connection[direct]({ onPlaintext: (bytes) => this.onData(bytes), onDrain })
      : new MessagePort(connection, onDrain)
    this.#outbox = new Outbox({
      port: this.#port,
      mergesMessages: isDirect(connection),
      beforeFlush: () => this.#greetAll(),
      onFlooded: () => queueMicrotask(() => this.#cut(muxerErrors.NZ_MUXER_FLOODED())),
      onError: (error) => this.#cut(error as Error),
    })
    this.#session = new Session({
      isClient: connection.direction === 'outbound',
      maxInboundStreams: options.maxInboundStreams,
      maxStreamWindowBytes: options.maxStreamWindowBytes,
      monotonicMs: () => clock.monotonicMs(),
      mergesPieces: isDirect(connection),
      output: this.#outbox,
      events: {
        opened: (channel) => this.#accept(channel),
        data: (stream, bytes) => stream.deliver(bytes),
        finished: (stream) => stream.onRemoteCloseWrite(),
        reset: (stream) => stream.onRemoteReset(),
        writable: (stream) => stream.drained(),
        acknowledged: () => this.#waitingOpens.shift()?.(),
        goneAway: (code) => this.#onGoneAway(code),
      },
    })
    describeMuxer(this, { backend: 'typescript', counters: () => this.counters() })
  }

  counters(): MuxerCounters {
    const { rxFrames, windowStalls } = this.#session
    const { rxRecords, txRecords } = this.#port
    const uncounted = { rxWireBytes: null, txWireBytes: null, reads: null, writes: null, droppedBytes: null }
    return { ...uncounted, rxFrames, txFrames: this.#outbox.txFrames, rxRecords, txRecords, windowStalls }
  }

  override async onCreateStream(options: CreateStreamOptions): Promise<MuxedStream> {
    if (this.#outbound >= this.#options.maxOutboundStreams) {
      throw new TooManyOutboundProtocolStreamsError('as many streams are open on this connection as may be')
    }
    this.#outbound += 1
    try {
      while (this.#session.isFull) await this.#acknowledgement(options.signal)
      if (this.#session.isGoneAway || this.status !== 'open') throw new MuxerClosedError()
      return this.#streamOf(this.#session.open())
    } catch (error) {
      this.#outbound -= 1
      throw error
    }
  }

  override onData(data: Uint8Array | Uint8ArrayList): void {
    this.#outbox.newTurn()
    try {
      if (data instanceof Uint8Array) this.#session.push(data)
      else for (const part of data) this.#session.push(part)
    } catch (error) {
      this.#cut(error as Error)
    }
  }

  override async close(options?: AbortOptions): Promise<void> {
    if (this.status !== 'open') return
    try {
      await super.close(options)
    } finally {
      this.#session.goAway()
      this.#end()
    }
  }

  override abort(error: Error): void {
    if (this.status === 'closed') return
    super.abort(error)
    this.#session.goAway(GO_AWAY.internalError)
    this.#end()
  }

  override onTransportClosed(error?: Error): void {
    this.#outbox.close()
    super.onTransportClosed(error)
    this.#end()
  }

  #streamOf(channel: Channel<MuxedStream>): MuxedStream {
    const direction = channel.isInbound ? 'inbound' : 'outbound'
    const stream = new MuxedStream({
      id: String(channel.id),
      direction,
      log: this.log,
      // Never reached by a peer that keeps to its window.
      maxReadBufferLength: this.#options.maxStreamWindowBytes * 2,
      channel,
      session: this.#session,
      outbox: this.#outbox,
    })
    channel.owner = stream
    this.#ungreeted.push(channel)
    this.#outbox.schedule()
    if (!channel.isInbound) stream.addEventListener('close', () => (this.#outbound -= 1), { once: true })
    return stream
  }

  #accept(channel: Channel<MuxedStream>): MuxedStream | null {
    if (this.status !== 'open') return null
    const stream = this.#streamOf(channel)
    this.onRemoteStream(stream)
    return stream
  }

  #greetAll(): void {
    const ungreeted = this.#ungreeted
    if (ungreeted.length === 0) return
    this.#ungreeted = []
    for (const channel of ungreeted) this.#session.greet(channel)
  }

  async #acknowledgement(signal: AbortSignal | undefined): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#waitingOpens.push(resolve)
    await orAbort(promise, signal)
  }

  #drained(): void {
    const { streams } = this
    this.#firstDrained = (this.#firstDrained + 1) % Math.max(1, streams.length)
    const first = this.#firstDrained
    for (const stream of [...streams.slice(first), ...streams.slice(0, first)]) stream.drained()
  }

  #onGoneAway(code: number): void {
    if (code === GO_AWAY.normal) return
    this.#cut(muxerErrors.NZ_MUXER_GONE_AWAY({ data: { code } }))
  }

  /** The peer broke a rule, or the connection cannot go on. */
  #cut(error: Error): void {
    if (this.status === 'closed') return
    this.log.error('connection is cut - %e', error)
    this.#session.goAway(GO_AWAY.protocolError)
    this.#outbox.flush()
    this.#outbox.close()
    this.abort(error)
    this.maConn.abort(error)
  }

  #end(): void {
    this.#outbox.flush()
    this.#outbox.close()
    for (const resolve of this.#waitingOpens.splice(0)) resolve()
  }
}
