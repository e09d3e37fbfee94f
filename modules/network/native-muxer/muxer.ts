/**
 * A libp2p muxer whose connection the native session has taken over: socket, records and frames are its affair, streams
 * and their rules are here.
 */
import { constants } from 'node:os'
import { MuxerClosedError, TooManyOutboundProtocolStreamsError } from '@libp2p/interface'
import { AbstractStreamMuxer } from '@libp2p/utils'
import { noiseErrors } from '../../../protocols/noise/errors.ts'
import { GO_AWAY, PROTOCOL } from '../../../protocols/yamux/constants.ts'
import { muxerErrors } from '../../../protocols/yamux/errors.ts'
import { describeMuxer } from '../muxer/backend.ts'
import { orAbort } from '../../../kernel/index.ts'
import { NativeStream } from './stream.ts'
import type { Socket } from 'node:net'
import type { AbortOptions, Logger, MessageStream } from '@libp2p/interface'
import type { CounterName, Failure, NativeSession, SessionListener } from '../../../native/binding.ts'
import type { DescribedMuxer, MuxerCounters, MuxerOptions } from '../muxer/backend.ts'

/** For what is left to be sent when nobody says how long it may take. */
const FLUSH_TIMEOUT_MS = 5_000
/** Streams of the peer before libp2p listens for them. */
const MAX_EARLY_STREAMS = 10
const MAX_STREAM_NUMBER = 0xffff_ffff

export interface SessionMuxerInit {
  readonly session: NativeSession
  /** libp2p's connection below the secured stream, which is told of every end. */
  readonly connection: MessageStream
  readonly socket: Socket
  readonly backend: 'io_uring' | 'epoll'
  readonly options: MuxerOptions
}

export class SessionMuxer extends AbstractStreamMuxer<NativeStream> implements DescribedMuxer {
  readonly backend: 'io_uring' | 'epoll'
  readonly #init: SessionMuxerInit
  /** Made with the first stream: most connections are idle, and each object of theirs counts. */
  #open: Map<number, NativeStream> | null = null
  #isFlushed = false
  /** Of a `close` that waits. */
  #onFlushed: (() => void) | null = null
  #session: NativeSession | null
  #nextNumber: number
  #outboundStreams = 0
  #isGoneAway = false

  constructor(init: SessionMuxerInit) {
    super(new NothingBelow(init.connection) as unknown as MessageStream, {
      protocol: PROTOCOL,
      name: 'native',
      maxEarlyStreams: MAX_EARLY_STREAMS,
    })
    this.#init = init
    this.backend = init.backend
    this.#session = init.session
    init.session.listener = new Told(this)
    this.#nextNumber = this.isClient ? 1 : 2
    init.connection.addEventListener('close', () => this.onTransportClosed())
    describeMuxer(this, this)
  }

  get isClient(): boolean {
    return this.#init.connection.direction === 'outbound'
  }

  /** `null` until the first ping came back. */
  get rttMs(): number | null {
    const us = this.#session?.counter('rttUs') ?? 0
    return us === 0 ? null : us / 1_000
  }

  override onCreateStream(): NativeStream {
    if (this.#isGoneAway || this.#session === null) throw new MuxerClosedError('the connection takes no more streams')
    if (this.#outboundStreams >= this.#init.options.maxOutboundStreams)
      throw new TooManyOutboundProtocolStreamsError('too many outbound streams are open')
    const number = this.#nextNumber
    if (number > MAX_STREAM_NUMBER) throw muxerErrors.NZ_MUXER_EXHAUSTED()
    this.#nextNumber += 2
    this.#outboundStreams += 1
    this.#session.open(number)
    return this.#stream(number, 'outbound')
  }

  /** Never called: no bytes of this connection reach JS but those of streams. */
  override onData(): void {}

  override async close(options: AbortOptions = {}): Promise<void> {
    if (this.status !== 'open') return
    await super.close(options)
    this.#session?.shutdown(GO_AWAY.normal)
    const signal = options.signal ?? AbortSignal.timeout(FLUSH_TIMEOUT_MS)
    // What the peer does not take in time is lost with the connection, which is closed next.
    if (this.#isFlushed) return
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#onFlushed = resolve
    await orAbort(promise, signal).catch(() => undefined)
  }

  override abort(error: Error): void {
    if (this.status !== 'open') return
    super.abort(error)
    this.#session?.shutdown(GO_AWAY.internalError)
  }

  override onTransportClosed(error?: Error): void {
    this.#session?.abort()
    super.onTransportClosed(error)
  }

  streamOf(number: number): NativeStream | undefined {
    return this.#open?.get(number)
  }

  /** There is room in the ring where there was none. */
  drained(): void {
    this.#open?.forEach((stream) => stream.drained())
  }

  flushed(): void {
    this.#isFlushed = true
    this.#onFlushed?.()
  }

  opened(number: number): void {
    this.#session?.accept(number)
    if (this.status !== 'open') return this.#session?.reset(number)
    this.onRemoteStream(this.#stream(number, 'inbound'))
  }

  wentAway(reason: number): void {
    this.#isGoneAway = true
    if (reason !== GO_AWAY.normal) this.cut(muxerErrors.NZ_MUXER_GONE_AWAY({ data: { code: reason } }))
  }

  ended(failure: Failure, errno: number): void {
    // Some close their socket without having read our last words, and then the system resets it: no failure.
    const isGoodbye = (this.#isGoneAway || this.status !== 'open') && errno === constants.errno.ECONNRESET
    this.#session = null
    this.#isGoneAway = true
    this.flushed()
    const { connection, socket } = this.#init
    if (failure === 'ended' || failure === 'aborted' || isGoodbye) return void socket.destroy()
    if (failure === 'io') return connection.abort(new Error(`the connection failed: errno ${errno}`))
    this.cut(errorOf(failure))
  }

  /** The peer broke a rule, or the connection cannot go on. */
  cut(error: Error): void {
    this.log.error('connection is cut - %e', error)
    this.abort(error)
    this.#init.connection.abort(error)
  }

  #stream(number: number, direction: 'inbound' | 'outbound'): NativeStream {
    if (this.#session === null) throw new MuxerClosedError('the connection is closed')
    const { maxStreamWindowBytes } = this.#init.options
    const stream = new NativeStream({
      id: String(number),
      number,
      session: this.#session,
      direction,
      log: this.log.newScope(`${direction}:${number}`),
      // Never reached by a peer that keeps to its window.
      maxReadBufferLength: maxStreamWindowBytes * 2,
    })
    const open = (this.#open ??= new Map())
    open.set(number, stream)
    stream.addEventListener('close', () => {
      open.delete(number)
      if (direction === 'outbound') this.#outboundStreams -= 1
    })
    return stream
  }

  /** Also those of a connection that is over. */
  counters(): MuxerCounters {
    const count = (name: CounterName): number => this.#init.session.counter(name) ?? 0
    return {
      rxWireBytes: count('receivedBytes'),
      txWireBytes: count('sentBytes'),
      rxFrames: count('receivedFrames'),
      txFrames: count('sentFrames'),
      rxRecords: count('receivedRecords'),
      txRecords: count('sentRecords'),
      reads: count('receiveCompletions'),
      writes: count('sendCompletions'),
      windowStalls: count('windowStalls'),
      droppedBytes: count('droppedBytes'),
    }
  }
}

/** What the session tells goes to the muxer, whose own methods have other meanings for some of these names. */
class Told implements SessionListener {
  readonly #muxer: SessionMuxer

  constructor(muxer: SessionMuxer) {
    this.#muxer = muxer
  }

  onStream(number: number): void {
    this.#muxer.opened(number)
  }

  onData(number: number, chunk: Uint8Array): void {
    this.#muxer.streamOf(number)?.deliver(chunk)
  }

  onEnd(number: number): void {
    this.#muxer.streamOf(number)?.ended()
  }

  onReset(number: number): void {
    this.#muxer.streamOf(number)?.wasReset()
  }

  onMark(number: number): void {
    this.#muxer.streamOf(number)?.marked()
  }

  onGoAway(reason: number): void {
    this.#muxer.wentAway(reason)
  }

  onRoom(): void {
    this.#muxer.drained()
  }

  onFlushed(): void {
    this.#muxer.flushed()
  }

  onClosed(failure: Failure, errno: number): void {
    this.#muxer.ended(failure, errno)
  }

  onError(error: unknown): void {
    this.#muxer.cut(error instanceof Error ? error : new Error(String(error)))
  }
}

/**
 * In place of the secured stream, whose work is done: libp2p's muxer listens to it for as long as the connection lives,
 * and would keep it, its buffers and what is left of its keys. What the base class uses of it, and no more.
 */
class NothingBelow implements Pick<MessageStream, 'log' | 'addEventListener'> {
  readonly log: Logger

  constructor({ log }: MessageStream) {
    this.log = log
  }

  addEventListener(): void {}
}

function errorOf(failure: Exclude<Failure, 'ended' | 'aborted' | 'io'>): Error {
  switch (failure) {
    case 'record-unauthentic':
      return noiseErrors.NZ_NOISE_UNAUTHENTIC()
    case 'record-malformed':
      return noiseErrors.NZ_NOISE_UNAUTHENTIC({ why: 'it is shorter than its tag' })
    case 'exhausted':
      return noiseErrors.NZ_NOISE_EXHAUSTED()
    case 'frame-invalid':
      return muxerErrors.NZ_MUXER_FRAME_INVALID()
    case 'window-exceeded':
      return muxerErrors.NZ_MUXER_WINDOW_EXCEEDED()
    case 'flood':
      return muxerErrors.NZ_MUXER_FLOODED()
    case 'none':
    case 'broken':
      return new Error(`the native session failed: ${failure}`)
  }
}
