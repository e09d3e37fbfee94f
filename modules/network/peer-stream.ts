/**
 * `PeerStream` over a libp2p stream. libp2p's own `onDrain()` gives back-pressure only once, so the `drain` event is
 * awaited instead; a connection that ends while the peer has not said that it is done is a reset here, never an end.
 *
 * Over our own muxer bytes come without events, and the peer gets room again only when the application has read: a
 * reader that stops holds at most one window of its stream (256 KiB, grown at most to MAX_STREAM_WINDOW_BYTES). Over
 * another muxer the stream is paused, and holds what is unread here besides its window.
 */
import { isDirectlyReadable, readDirectly } from './muxer/directly-readable.ts'
import { orAbort } from '../../kernel/index.ts'
import { networkErrors } from './service.ts'
import { StreamWriter } from './stream-writer.ts'
import { UnreadBytes } from './unread-bytes.ts'
import type { Stream } from '@libp2p/interface'
import type { Clock } from '../../kernel/index.ts'
import type { DirectlyReadable } from './muxer/directly-readable.ts'
import type { ByteAccount } from './byte-budget.ts'
import type { PeerStream, UseBytes } from './service.ts'

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
  readonly #writer: StreamWriter
  /** The same stream when it is of our own muxer. */
  readonly #direct: DirectlyReadable | null
  #isRemoteDone: boolean
  #isDiscarding = false
  #isReset = false
  /** Of a reader that waits. */
  #arrival: PromiseWithResolvers<void> | null = null
  /** Of a `consume` that waits, and what its last call gave. */
  #user: UseBytes | null = null
  #userIsBusy: Promise<void> | null = null

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
    this.#writer = new StreamWriter(stream, {
      account: init.account,
      isDirect: this.#direct !== null,
      onSent: (byteLength) => init.onBytes('tx', byteLength),
      ended: this.#ended.signal,
      isReset: () => this.#isReset,
      resetError: (why, cause) => networkErrors.NZ_NETWORK_STREAM_RESET({ cause, why, data: { peerId: this.peerId } }),
    })
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
    return this.#unread.byteLength + readBufferLength + writeBufferLength + this.#writer.heldBytes
  }

  async write(bytes: Uint8Array, { signal }: { readonly signal?: AbortSignal } = {}): Promise<void> {
    await this.#writer.write(bytes, { signal })
  }

  async writeMany(parts: Iterable<Uint8Array>, { signal }: { readonly signal?: AbortSignal } = {}): Promise<void> {
    for (const bytes of parts) {
      const wait = this.#writer.write(bytes, { signal })
      if (wait !== undefined) await wait
    }
  }

  async read({ signal }: { readonly signal?: AbortSignal } = {}): Promise<Uint8Array | null> {
    for (;;) {
      const chunk = this.#next(signal)
      if (chunk !== undefined) return chunk
      await orAbort((this.#arrival ??= Promise.withResolvers()).promise, signal)
    }
  }

  async consume(use: UseBytes, { signal }: { readonly signal?: AbortSignal } = {}): Promise<void> {
    for (;;) {
      const chunk = this.#next(signal)
      if (chunk === null) return
      if (chunk === undefined) await this.#useStraight(use, signal)
      else {
        const busy = use(chunk)
        if (busy !== undefined) await orAbort(busy, signal)
      }
    }
  }

  async closeWrite({ signal }: { readonly signal?: AbortSignal } = {}): Promise<void> {
    await this.#writer.closeWrite({ signal })
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

  #onData(data: Uint8Array | Iterable<Uint8Array>): void {
    for (const part of data instanceof Uint8Array ? [data] : data) if (!this.#handOver(part)) this.#keep(part)
    if (this.#isDiscarding) return
    const isTooMuch = this.#unread.byteLength > PAUSE_ABOVE_BYTES || this.#init.account.isFull
    if (isTooMuch && this.#stream.readStatus === 'readable') this.#stream.pause()
    this.#arrive()
  }

  #onDirect(bytes: Uint8Array): void {
    if (this.#handOver(bytes)) return
    this.#keep(bytes)
    if (this.#isDiscarding) this.#direct?.took(bytes.byteLength)
    else this.#arrive()
  }

  /** What is unread comes first, `null` at the end, `undefined` while nothing is there. */
  #next(signal: AbortSignal | undefined): Uint8Array | null | undefined {
    signal?.throwIfAborted()
    if (this.#isReset) throw networkErrors.NZ_NETWORK_STREAM_RESET({ data: { peerId: this.peerId } })
    if (this.#unread.byteLength === 0 && !this.#isAtEnd()) this.#resume()
    const chunk = this.#unread.shift()
    if (chunk !== undefined) this.#take(chunk.byteLength)
    return chunk ?? (this.#isAtEnd() ? null : undefined)
  }

  /** Gives what comes to `use` until it is busy, or something else is to be done. */
  async #useStraight(use: UseBytes, signal: AbortSignal | undefined): Promise<void> {
    this.#user = use
    try {
      await orAbort((this.#arrival ??= Promise.withResolvers()).promise, signal)
    } finally {
      this.#user = null
    }
    const busy = this.#userIsBusy
    this.#userIsBusy = null
    if (busy !== null) await orAbort(busy, signal)
  }

  /** Whether the bytes went straight to a `consume` that waits. */
  #handOver(bytes: Uint8Array): boolean {
    const use = this.#user
    if (use === null || this.#isDiscarding || this.#unread.byteLength > 0) return false
    this.#init.onBytes('rx', bytes.byteLength)
    let busy: Promise<void> | void = undefined
    try {
      busy = use(bytes)
    } catch (error) {
      busy = Promise.reject(error as Error)
    }
    this.#direct?.took(bytes.byteLength)
    if (busy === undefined) return true
    // Whoever waits below may have been called off.
    busy.catch(() => undefined)
    this.#user = null
    this.#userIsBusy = busy
    this.#arrive()
    return true
  }

  #keep(part: Uint8Array): void {
    this.#init.onBytes('rx', part.byteLength)
    if (this.#isDiscarding) return
    // Without the ways of Node's Buffer, whose `slice` does not copy.
    const bytes = new Uint8Array(part.buffer, part.byteOffset, part.byteLength)
    this.#unread.push(bytes, { isLent: this.#direct?.lendsBytes ?? false })
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
    this.#writer.finish()
    this.#ended.abort()
    this.#arrive()
  }

  #arrive(): void {
    this.#arrival?.resolve()
    this.#arrival = null
  }
}

async function eitherAborts(...signals: readonly AbortSignal[]): Promise<void> {
  const any = AbortSignal.any([...signals])
  if (any.aborted) return
  await new Promise<void>((resolve) => any.addEventListener('abort', () => resolve(), { once: true }))
}
