/**
 * `PeerStream` over a libp2p stream. libp2p's own `onDrain()` gives back-pressure only once, so the `drain` event is
 * awaited instead; a connection that ends while the peer has not said that it is done is a reset here, never an end.
 *
 * Over our own muxer bytes come without events, and the peer gets room again only when the application has read: a
 * reader that stops holds at most one window of its stream (256 KiB, grown at most to MAX_STREAM_WINDOW_BYTES). Over
 * another muxer the stream is paused, and holds what is unread here besides its window.
 */
import { isDirectlyReadable, readDirectly } from './muxer/directly-readable.ts'
import { orAbort } from './or-abort.ts'
import { networkErrors } from './service.ts'
import { UnreadBytes } from './unread-bytes.ts'
import type { Stream } from '@libp2p/interface'
import type { Clock } from '../../kernel/index.ts'
import type { DirectlyReadable } from './muxer/directly-readable.ts'
import type { ByteAccount } from './byte-budget.ts'
import type { PeerStream } from './service.ts'

/** Most bytes handed to libp2p at a time; what a stream holds unsent is at most this. */
const CHUNK_BYTES = 64 * 1024
/** Writes up to this size are collected until the tick ends: the cost of a send is mostly the cost of a frame. */
const COALESCE_BYTES = 4 * 1024
/** Unread bytes above which the peer is made to wait, and below which it may go on. */
const PAUSE_ABOVE_BYTES = 256 * 1024
const RESUME_BELOW_BYTES = 64 * 1024
/** How long `close` waits for the peer to close its side. */
const CLOSE_TIMEOUT_MS = 5_000

export interface PeerStreamInit {
  readonly peerId: string
  readonly account: ByteAccount
  readonly clock: Clock
  /** Told of every byte moved. */
  readonly onBytes: (direction: 'tx' | 'rx', byteLength: number) => void
}

export class Libp2pPeerStream implements PeerStream {
  readonly peerId: string
  readonly protocol: string
  readonly #stream: Stream
  readonly #init: PeerStreamInit
  readonly #ended = new AbortController()
  readonly #unread = new UnreadBytes()
  /** The same stream when it is of our own muxer. */
  readonly #direct: DirectlyReadable | null
  #isRemoteDone: boolean
  #isDiscarding = false
  #isReset = false
  #isWriteClosed = false
  /** Of a reader that waits. */
  #arrival: PromiseWithResolvers<void> | null = null
  /** Writes in line; none: the next one may go at once. */
  #writesInLine = 0
  /** The last write in line; each write waits for the one before. */
  #lastWrite: Promise<void> = Promise.resolve()
  #collected: Uint8Array[] = []
  #collectedBytes = 0
  #hasFlushedThisTurn = false
  /** Of collections that wait for their turn. */
  #inLineBytes = 0

  constructor(stream: Stream, init: PeerStreamInit) {
    this.#stream = stream
    this.#init = init
    this.peerId = init.peerId
    this.protocol = stream.protocol
    this.#isRemoteDone = stream.status === 'open' && stream.remoteWriteStatus === 'closed'
    stream.addEventListener('remoteCloseWrite', () => (this.#isRemoteDone = true))
    stream.addEventListener('end', () => this.#arrive())
    stream.addEventListener('close', ({ error }) => this.#onClose(error !== undefined))
    this.#direct = isDirectlyReadable(stream) ? stream : null
    if (this.#direct === null) stream.addEventListener('message', ({ data }) => this.#onData(data))
    else this.#direct[readDirectly]((bytes) => this.#onDirect(bytes))
    if (stream.status !== 'open') this.#onClose(stream.status !== 'closed')
  }

  get signal(): AbortSignal {
    return this.#ended.signal
  }

  /** Whether the peer opened it. */
  get isIncoming(): boolean {
    return this.#stream.direction === 'inbound'
  }

  /** Bytes held for the reader here and in libp2p, and for the peer. */
  get bufferedBytes(): number {
    const { readBufferLength, writeBufferLength } = this.#stream
    return this.#unread.byteLength + readBufferLength + writeBufferLength + this.#collectedBytes + this.#inLineBytes
  }

  async write(bytes: Uint8Array, { signal }: { readonly signal?: AbortSignal } = {}): Promise<void> {
    signal?.throwIfAborted()
    this.#expectWritable()
    if (bytes.byteLength === 0) return
    if (this.#direct !== null && this.#pass(bytes)) return
    if (this.#direct === null && this.#collect(bytes)) return
    void this.#flush()
    await this.#inLine(async () => {
      for (let at = 0; at < bytes.byteLength; at += CHUNK_BYTES)
        await this.#send(bytes.subarray(at, at + CHUNK_BYTES), signal)
    }, signal)
  }

  async read({ signal }: { readonly signal?: AbortSignal } = {}): Promise<Uint8Array | null> {
    for (;;) {
      signal?.throwIfAborted()
      if (this.#isReset) throw networkErrors.NZ_NETWORK_STREAM_RESET({ data: { peerId: this.peerId } })
      const chunk = this.#unread.shift()
      if (chunk !== undefined) {
        this.#take(chunk.byteLength)
        return chunk
      }
      if (this.#isAtEnd()) return null
      this.#resume()
      if (this.#unread.byteLength > 0) continue
      this.#arrival ??= Promise.withResolvers()
      await orAbort(this.#arrival.promise, signal)
    }
  }

  async closeWrite({ signal }: { readonly signal?: AbortSignal } = {}): Promise<void> {
    if (this.#isWriteClosed || this.#isReset) return
    void this.#flush()
    await this.#inLine(async () => {
      if (this.#isWriteClosed) return
      this.#isWriteClosed = true
      try {
        await this.#stream.close(signal === undefined ? {} : { signal })
      } catch (cause) {
        throw this.#resetError(cause)
      }
    }, signal)
  }

  async close({ signal }: { readonly signal?: AbortSignal } = {}): Promise<void> {
    if (this.#ended.signal.aborted) return
    const limit = new AbortController()
    const timer = this.#init.clock.setTimer(CLOSE_TIMEOUT_MS, () => limit.abort(), { unref: true })
    const stop = signal === undefined ? limit.signal : AbortSignal.any([limit.signal, signal])
    this.#discard()
    try {
      await this.closeWrite({ signal: stop })
      if (!this.#ended.signal.aborted) await eitherAborts(this.#ended.signal, stop)
    } catch {
      // What could not be closed in order is reset below.
    } finally {
      timer.cancel()
      if (!this.#ended.signal.aborted) this.reset()
    }
  }

  reset(): void {
    this.#isReset = true
    this.#stream.abort(new Error('stream was reset on this side'))
    this.#finish()
  }

  /** The connection is gone: unless the peer had said all, the stream is cut; what it said can still be read. */
  lostConnection(): void {
    this.#onClose(false)
  }

  /** Gives a write to our own muxer, which collects by itself; `false` when it has to wait for those before it. */
  #pass(bytes: Uint8Array): boolean {
    const stream = this.#stream
    if (this.#writesInLine > 0 || stream.writableNeedsDrain || stream.writeBufferLength > 0) return false
    if (bytes.byteLength > CHUNK_BYTES) return false
    stream.send(bytes)
    this.#init.onBytes('tx', bytes.byteLength)
    return true
  }

  /** Takes a small write into the collection of this tick; `false` when it must be sent by itself. */
  #collect(bytes: Uint8Array): boolean {
    const { byteLength } = bytes
    if (byteLength > COALESCE_BYTES || this.#collectedBytes + byteLength > CHUNK_BYTES) return false
    if (this.#stream.writableNeedsDrain || !this.#init.account.tryAcquire(byteLength)) return false
    if (this.#collected.length === 0) this.#scheduleFlush()
    this.#collected.push(bytes)
    this.#collectedBytes += byteLength
    return true
  }

  /** An answer leaves at once; who writes on and on, also with an `await` between, is sent once a turn. */
  #scheduleFlush(): void {
    if (this.#hasFlushedThisTurn) {
      setImmediate(() => void this.#flush())
      return
    }
    this.#hasFlushedThisTurn = true
    setImmediate(() => (this.#hasFlushedThisTurn = false))
    queueMicrotask(() => void this.#flush())
  }

  /** Puts what was collected in line: behind the writes made before it, before those made after it. */
  async #flush(): Promise<void> {
    if (this.#collectedBytes === 0) return
    const bytes = concat(this.#collected, this.#collectedBytes)
    this.#collected = []
    this.#collectedBytes = 0
    this.#inLineBytes += bytes.byteLength
    try {
      await this.#inLine(async () => await this.#hand(bytes))
    } catch {
      // The stream ended; its next write, read or close says so.
    } finally {
      this.#inLineBytes -= bytes.byteLength
      this.#init.account.release(bytes.byteLength)
    }
  }

  async #send(bytes: Uint8Array, signal?: AbortSignal): Promise<void> {
    const { account } = this.#init
    if (!account.tryAcquire(bytes.byteLength)) await this.#waitForBudget(bytes.byteLength, signal)
    try {
      await this.#hand(bytes, signal)
    } finally {
      this.#init.account.release(bytes.byteLength)
    }
  }

  /** Gives bytes to libp2p and waits until it holds none of them. */
  async #hand(bytes: Uint8Array, signal?: AbortSignal): Promise<void> {
    this.#expectWritable()
    try {
      this.#stream.send(bytes)
    } catch (cause) {
      throw this.#resetError(cause)
    }
    this.#init.onBytes('tx', bytes.byteLength)
    while (this.#stream.writableNeedsDrain || this.#stream.writeBufferLength > 0) {
      this.#expectWritable()
      await this.#drain(signal)
    }
  }

  async #drain(signal?: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const done = (): void => resolve()
    // One listener each in place of `AbortSignal.any`: this runs for every chunk.
    const targets = [this.signal, ...(signal === undefined ? [] : [signal])]
    this.#stream.addEventListener('drain', done)
    this.#stream.addEventListener('idle', done)
    for (const target of targets) target.addEventListener('abort', done)
    try {
      if (!targets.some(({ aborted }) => aborted)) await promise
      // libp2p sends what waits one microtask after `drain`.
      await Promise.resolve()
    } finally {
      this.#stream.removeEventListener('drain', done)
      this.#stream.removeEventListener('idle', done)
      for (const target of targets) target.removeEventListener('abort', done)
    }
    signal?.throwIfAborted()
  }

  /** Work one after another, in the order of the calls, also when one of them gives up before its turn. */
  async #inLine(work: () => Promise<void>, signal?: AbortSignal): Promise<void> {
    const before = this.#lastWrite
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#lastWrite = promise
    this.#writesInLine += 1
    try {
      await orAbort(before, signal)
      await work()
    } finally {
      this.#writesInLine -= 1
      void before.then(resolve)
    }
  }

  async #waitForBudget(byteLength: number, signal?: AbortSignal): Promise<void> {
    const stop = signal === undefined ? this.signal : AbortSignal.any([signal, this.signal])
    try {
      await this.#init.account.acquire(byteLength, { signal: stop })
    } catch (error) {
      signal?.throwIfAborted()
      throw this.#resetError(error)
    }
  }

  #expectWritable(): void {
    if (this.#isReset || this.#isWriteClosed || this.#stream.writeStatus !== 'writable') throw this.#resetError()
  }

  #resetError(cause?: unknown): Error {
    const why = this.#isWriteClosed ? 'this side was closed for writing' : 'the stream has ended'
    return networkErrors.NZ_NETWORK_STREAM_RESET({ cause, why, data: { peerId: this.peerId } })
  }

  #onData(data: Uint8Array | Iterable<Uint8Array>): void {
    for (const part of data instanceof Uint8Array ? [data] : data) this.#keep(part)
    if (this.#isDiscarding) return
    const isTooMuch = this.#unread.byteLength > PAUSE_ABOVE_BYTES || this.#init.account.isFull
    if (isTooMuch && this.#stream.readStatus === 'readable') this.#stream.pause()
    this.#arrive()
  }

  #onDirect(bytes: Uint8Array): void {
    this.#keep(bytes)
    if (this.#isDiscarding) this.#direct?.took(bytes.byteLength)
    else this.#arrive()
  }

  #keep(part: Uint8Array): void {
    this.#init.onBytes('rx', part.byteLength)
    if (this.#isDiscarding) return
    // Without the ways of Node's Buffer, whose `slice` does not copy.
    this.#unread.push(new Uint8Array(part.buffer, part.byteOffset, part.byteLength))
    this.#init.account.charge(part.byteLength)
  }

  #take(byteLength: number): void {
    this.#init.account.release(byteLength)
    const unreadBytes = this.#unread.byteLength
    if (this.#direct !== null) this.#direct.took(byteLength)
    else if (unreadBytes === 0 || (unreadBytes < RESUME_BELOW_BYTES && !this.#init.account.isFull)) this.#resume()
    this.#maybeFinish()
  }

  #resume(): void {
    if (this.#stream.readStatus === 'paused') this.#stream.resume()
  }

  #discard(): void {
    this.#isDiscarding = true
    const unreadBytes = this.#unread.clear()
    this.#init.account.release(unreadBytes)
    this.#direct?.took(unreadBytes)
    this.#resume()
    this.#maybeFinish()
  }

  #isAtEnd(): boolean {
    return this.#isRemoteDone && this.#stream.readBufferLength === 0 && this.#unread.byteLength === 0
  }

  #onClose(isError: boolean): void {
    if (isError || !this.#isRemoteDone) this.#isReset = true
    this.#maybeFinish()
    this.#arrive()
  }

  #maybeFinish(): void {
    if (this.#stream.status === 'open') return
    if (this.#isReset || this.#isAtEnd()) this.#finish()
  }

  #finish(): void {
    this.#init.account.release(this.#unread.clear())
    if (this.#collectedBytes > 0) this.#init.account.release(this.#collectedBytes)
    this.#collected = []
    this.#collectedBytes = 0
    this.#ended.abort()
    this.#arrive()
  }

  #arrive(): void {
    this.#arrival?.resolve()
    this.#arrival = null
  }
}

function concat(parts: readonly Uint8Array[], byteLength: number): Uint8Array {
  const whole = new Uint8Array(byteLength)
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.byteLength
  }
  return whole
}

async function eitherAborts(...signals: readonly AbortSignal[]): Promise<void> {
  const any = AbortSignal.any([...signals])
  if (any.aborted) return
  await new Promise<void>((resolve) => any.addEventListener('abort', () => resolve(), { once: true }))
}
