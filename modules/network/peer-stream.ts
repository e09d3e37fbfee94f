/**
 * `PeerStream` over a libp2p stream. libp2p's own `onDrain()` gives back-pressure only once, so the `drain` event is
 * awaited instead; a connection that ends while the peer has not said that it is done is a reset here, never an end.
 */
import { orAbort } from './or-abort.ts'
import { networkErrors } from './service.ts'
import type { Stream } from '@libp2p/interface'
import type { Clock } from '../../kernel/index.ts'
import type { ByteAccount } from './byte-budget.ts'
import type { PeerStream } from './service.ts'

/** Most bytes handed to libp2p at a time; what a stream holds unsent is at most this. */
const CHUNK_BYTES = 64 * 1024
/** Writes up to this size are collected until the tick ends: the cost of a send is mostly the cost of a frame. */
const COALESCE_BYTES = 4 * 1024
/** Unread bytes above which the peer is made to wait, and below which it may go on. */
const PAUSE_ABOVE_BYTES = 256 * 1024
const RESUME_BELOW_BYTES = 64 * 1024
/** Smaller pieces than this are gathered while nobody reads: a piece of one byte costs a hundred. */
const GATHER_BYTES = 4 * 1024
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
  readonly #unread: Uint8Array[] = []
  #unreadBytes = 0
  /** The last of the unread, while it has room. */
  #gathering: { readonly buffer: Uint8Array; length: number } | null = null
  #isRemoteDone: boolean
  #isDiscarding = false
  #isReset = false
  #isWriteClosed = false
  #arrival = Promise.withResolvers<void>()
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
    stream.addEventListener('message', ({ data }) => this.#onData(data))
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
    return this.#unreadBytes + readBufferLength + writeBufferLength + this.#collectedBytes + this.#inLineBytes
  }

  async write(bytes: Uint8Array, { signal }: { readonly signal?: AbortSignal } = {}): Promise<void> {
    signal?.throwIfAborted()
    this.#expectWritable()
    if (bytes.byteLength === 0) return
    if (this.#collect(bytes)) return
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
        if (this.#unread.length === 0) this.#gathering = null
        this.#take(chunk.byteLength)
        return chunk
      }
      if (this.#isAtEnd()) return null
      this.#resume()
      if (this.#unread.length === 0) await orAbort(this.#arrival.promise, signal)
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
    try {
      await orAbort(before, signal)
      await work()
    } finally {
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
    for (const part of data instanceof Uint8Array ? [data] : data) {
      // Without the ways of Node's Buffer, whose `slice` does not copy.
      const bytes = new Uint8Array(part.buffer, part.byteOffset, part.byteLength)
      this.#init.onBytes('rx', bytes.byteLength)
      if (this.#isDiscarding) continue
      this.#keep(bytes)
      this.#unreadBytes += bytes.byteLength
      this.#init.account.charge(bytes.byteLength)
    }
    if (this.#isDiscarding) return
    const isTooMuch = this.#unreadBytes > PAUSE_ABOVE_BYTES || this.#init.account.isFull
    if (isTooMuch && this.#stream.readStatus === 'readable') this.#stream.pause()
    this.#arrive()
  }

  /**
   * A view of a record keeps the whole record: kept as they come, single bytes among the frames of another stream would
   * hold thousands of times what the budget counts.
   */
  #keep(bytes: Uint8Array): void {
    const { byteLength } = bytes
    const last = this.#gathering
    if (byteLength < GATHER_BYTES && last !== null && last.length + byteLength <= last.buffer.byteLength) {
      last.buffer.set(bytes, last.length)
      last.length += byteLength
      this.#unread[this.#unread.length - 1] = last.buffer.subarray(0, last.length)
      return
    }
    this.#gathering = null
    if (byteLength >= GATHER_BYTES || this.#unread.length === 0) {
      this.#unread.push(byteLength * 2 >= bytes.buffer.byteLength ? bytes : bytes.slice())
    } else {
      const buffer = new Uint8Array(GATHER_BYTES)
      buffer.set(bytes)
      this.#gathering = { buffer, length: byteLength }
      this.#unread.push(buffer.subarray(0, byteLength))
    }
  }

  #take(byteLength: number): void {
    this.#unreadBytes -= byteLength
    this.#init.account.release(byteLength)
    if (this.#unreadBytes === 0 || (this.#unreadBytes < RESUME_BELOW_BYTES && !this.#init.account.isFull))
      this.#resume()
    this.#maybeFinish()
  }

  #resume(): void {
    if (this.#stream.readStatus === 'paused') this.#stream.resume()
  }

  #discard(): void {
    this.#isDiscarding = true
    for (const chunk of this.#unread.splice(0)) this.#init.account.release(chunk.byteLength)
    this.#gathering = null
    this.#unreadBytes = 0
    this.#resume()
    this.#maybeFinish()
  }

  #isAtEnd(): boolean {
    return this.#isRemoteDone && this.#stream.readBufferLength === 0 && this.#unread.length === 0
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
    for (const chunk of this.#unread.splice(0)) this.#init.account.release(chunk.byteLength)
    this.#gathering = null
    this.#unreadBytes = 0
    if (this.#collectedBytes > 0) this.#init.account.release(this.#collectedBytes)
    this.#collected = []
    this.#collectedBytes = 0
    this.#ended.abort()
    this.#arrive()
  }

  #arrive(): void {
    const { resolve } = this.#arrival
    this.#arrival = Promise.withResolvers()
    resolve()
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
