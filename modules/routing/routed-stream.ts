/** `PeerStream` over a session: the promises of a stream on a connection, kept by acknowledged segments. */
import { isNzError, orAbort } from '../../kernel/index.ts'
import { networkErrors } from '../network/service.ts'
import type { Clock } from '../../kernel/index.ts'
import type { Stream } from '../../protocols/flow/streams.ts'
import type { PeerStream, UseBytes } from '../network/service.ts'

/** How long `close` waits for the peer to have everything and close its side. */
const CLOSE_TIMEOUT_MS = 5_000
/** What is handed on at a time, so that writers wait in time. */
const PIECE_BYTES = 65_536

export interface RoutedStreamInit {
  readonly peerId: string
  readonly clock: Clock
  readonly stream: Stream
  /** Something was read or written: the session may have to send. */
  readonly onUse: () => void
  /** Ends it at the session, too. */
  readonly onReset: () => void
  readonly onBytes: (direction: 'tx' | 'rx', byteLength: number) => void
}

export class RoutedStream implements PeerStream {
  readonly peerId: string
  #protocol: string
  readonly #init: RoutedStreamInit
  readonly #ended = new AbortController()
  #isWriteClosed = false
  #isReset = false
  #isDiscarding = false
  #givenBack: Uint8Array | null = null
  #progress: PromiseWithResolvers<void> | null = null
  #lastWrite: Promise<void> = Promise.resolve()

  constructor(init: RoutedStreamInit, protocol: string) {
    this.#init = init
    this.peerId = init.peerId
    this.#protocol = protocol
  }

  get protocol(): string {
    return this.#protocol
  }

  get signal(): AbortSignal {
    return this.#ended.signal
  }

  /** Bytes that were read and belong to whoever reads next. */
  giveBack(bytes: Uint8Array): void {
    if (bytes.byteLength > 0) this.#givenBack = bytes
  }

  /** Once it was read from the stream's head. */
  name(protocol: string): void {
    this.#protocol = protocol
  }

  async write(bytes: Uint8Array, { signal }: { readonly signal?: AbortSignal } = {}): Promise<void> {
    signal?.throwIfAborted()
    this.#expectWritable()
    const before = this.#lastWrite
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#lastWrite = promise
    try {
      await before
      for (let at = 0; at < bytes.byteLength; at += PIECE_BYTES)
        await this.#hand(bytes.subarray(at, at + PIECE_BYTES), signal)
    } finally {
      resolve()
    }
  }

  async writeMany(parts: Iterable<Uint8Array>, options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    for (const bytes of parts) await this.write(bytes, options)
  }

  async consume(use: UseBytes, options: { readonly signal?: AbortSignal } = {}): Promise<void> {
    for (let bytes = await this.read(options); bytes !== null; bytes = await this.read(options)) await use(bytes)
  }

  async read({ signal }: { readonly signal?: AbortSignal } = {}): Promise<Uint8Array | null> {
    for (;;) {
      signal?.throwIfAborted()
      if (this.#isReset) throw this.#resetError()
      const { receiver } = this.#init.stream
      const bytes = this.#givenBack ?? receiver.read()
      this.#givenBack = null
      if (bytes !== null) {
        this.#init.onBytes('rx', bytes.byteLength)
        this.#init.onUse()
        return bytes
      }
      if (receiver.isAtEnd) return null
      await this.#progressed(signal)
    }
  }

  async closeWrite({ signal }: { readonly signal?: AbortSignal } = {}): Promise<void> {
    if (this.#isWriteClosed || this.#isReset) return
    this.#isWriteClosed = true
    await orAbort(this.#lastWrite, signal)
    this.#init.stream.sender.end()
    this.#init.onUse()
  }

  async close({ signal }: { readonly signal?: AbortSignal } = {}): Promise<void> {
    if (this.#ended.signal.aborted) return
    const limit = new AbortController()
    const timer = this.#init.clock.setTimer(CLOSE_TIMEOUT_MS, () => limit.abort(), { unref: true })
    const stop = signal === undefined ? limit.signal : AbortSignal.any([limit.signal, signal])
    this.#isDiscarding = true
    try {
      await this.closeWrite({ signal: stop })
      this.progress()
      while (!this.#ended.signal.aborted && !stop.aborted) await this.#progressed(stop)
    } catch (error) {
      if (!stop.aborted && !isNzError(error)) throw error
    } finally {
      timer.cancel()
      if (!this.#ended.signal.aborted) this.reset()
    }
  }

  reset(): void {
    if (this.#ended.signal.aborted) return
    this.#isReset = true
    this.#init.onReset()
    this.finish()
  }

  /** The session has something new for it, or room. */
  progress(): void {
    if (this.#isDiscarding) this.#init.stream.receiver.discard()
    this.#progress?.resolve()
    this.#progress = null
    const { sender, receiver } = this.#init.stream
    if (sender.isDone && receiver.isAtEnd) this.finish()
  }

  /** The peer or the session has ended it. */
  cut(): void {
    const { sender, receiver } = this.#init.stream
    if (!(sender.isDone && receiver.isComplete)) this.#isReset = true
    this.finish()
  }

  finish(): void {
    this.#ended.abort()
    this.#progress?.resolve()
    this.#progress = null
  }

  async #hand(bytes: Uint8Array, signal: AbortSignal | undefined): Promise<void> {
    const { sender } = this.#init.stream
    while (!sender.hasRoom) {
      await this.#progressed(signal)
      this.#expectAlive()
    }
    signal?.throwIfAborted()
    this.#expectAlive()
    sender.write(bytes)
    this.#init.onBytes('tx', bytes.byteLength)
    this.#init.onUse()
  }

  async #progressed(signal: AbortSignal | undefined): Promise<void> {
    if (this.#ended.signal.aborted) return
    this.#progress ??= Promise.withResolvers()
    await orAbort(this.#progress.promise, signal)
  }

  #expectWritable(): void {
    if (this.#isWriteClosed) throw this.#resetError('this side was closed for writing')
    this.#expectAlive()
  }

  #expectAlive(): void {
    if (this.#isReset || this.#ended.signal.aborted) throw this.#resetError()
  }

  #resetError(why = 'the stream has ended'): Error {
    return networkErrors.NZ_NETWORK_STREAM_RESET({ why, data: { peerId: this.peerId } })
  }
}
