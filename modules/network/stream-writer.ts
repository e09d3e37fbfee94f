/**
 * The writing half of a `PeerStream`: writes in the order of their calls, small ones collected, all of them within the
 * peer's byte budget. Our native muxer collects and bounds by itself; over it a write goes straight through.
 */
import { orAbort } from '../../kernel/index.ts'
import type { Stream } from '@libp2p/interface'
import type { ByteAccount } from './byte-budget.ts'

/** Most bytes handed to libp2p at a time; what a stream holds unsent is at most this. */
const CHUNK_BYTES = 64 * 1024
/** Writes up to this size are collected until the tick ends: the cost of a send is mostly the cost of a frame. */
const COALESCE_BYTES = 4 * 1024

export interface StreamWriterInit {
  readonly account: ByteAccount
  /** Of a stream of our own muxers. */
  readonly isDirect: boolean
  readonly onSent: (byteLength: number) => void
  /** Aborts when the stream has ended. */
  readonly ended: AbortSignal
  readonly isReset: () => boolean
  readonly resetError: (why: string, cause?: unknown) => Error
}

interface Waiting {
  readonly signal?: AbortSignal | undefined
}

export class StreamWriter {
  readonly #stream: Stream
  readonly #init: StreamWriterInit
  #isClosed = false
  /** Writes in line; none: the next one may go at once. */
  #writesInLine = 0
  /** The last write in line; each write waits for the one before. */
  #lastWrite: Promise<void> = Promise.resolve()
  #collected: Uint8Array[] = []
  #collectedBytes = 0
  #hasFlushedThisTurn = false
  /** Of collections that wait for their turn. */
  #inLineBytes = 0

  constructor(stream: Stream, init: StreamWriterInit) {
    this.#stream = stream
    this.#init = init
  }

  /** Taken and not yet given to the muxer. */
  get heldBytes(): number {
    return this.#collectedBytes + this.#inLineBytes
  }

  /** `undefined` when all was taken at once. @throws NZ_NETWORK_STREAM_RESET */
  write(bytes: Uint8Array, { signal }: Waiting): Promise<void> | undefined {
    signal?.throwIfAborted()
    this.#expectWritable()
    if (bytes.byteLength === 0) return undefined
    const rest = this.#init.isDirect ? this.#pass(bytes) : bytes
    if (rest.byteLength === 0 || (!this.#init.isDirect && this.#collect(rest))) return undefined
    return this.#sendInLine(rest, signal)
  }

  async closeWrite({ signal }: Waiting): Promise<void> {
    if (this.#isClosed || this.#init.isReset()) return
    void this.#flush()
    await this.#inLine(async () => {
      if (this.#isClosed) return
      this.#isClosed = true
      try {
        await this.#stream.close(signal === undefined ? {} : { signal })
      } catch (cause) {
        throw this.#resetError(cause)
      }
    }, signal)
  }

  /** Forgets what was collected. */
  finish(): void {
    if (this.#collectedBytes > 0) this.#init.account.release(this.#collectedBytes)
    this.#collected = []
    this.#collectedBytes = 0
  }

  async #sendInLine(bytes: Uint8Array, signal?: AbortSignal): Promise<void> {
    void this.#flush()
    await this.#inLine(async () => {
      for (let at = 0; at < bytes.byteLength; at += CHUNK_BYTES)
        await this.#send(bytes.subarray(at, at + CHUNK_BYTES), signal)
    }, signal)
  }

  /** Gives bytes to our own muxer as long as it takes them; what is left waits in line, as all does behind others. */
  #pass(bytes: Uint8Array): Uint8Array {
    const stream = this.#stream
    let rest = bytes
    while (rest.byteLength > 0) {
      if (this.#writesInLine > 0 || stream.writableNeedsDrain || stream.writeBufferLength > 0) return rest
      const chunk = rest.byteLength <= CHUNK_BYTES ? rest : rest.subarray(0, CHUNK_BYTES)
      stream.send(chunk)
      this.#init.onSent(chunk.byteLength)
      rest = rest.subarray(chunk.byteLength)
    }
    return rest
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
      account.release(bytes.byteLength)
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
    this.#init.onSent(bytes.byteLength)
    while (this.#stream.writableNeedsDrain || this.#stream.writeBufferLength > 0) {
      this.#expectWritable()
      await this.#drain(signal)
    }
  }

  async #drain(signal?: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const done = (): void => resolve()
    // One listener each in place of `AbortSignal.any`: this runs for every chunk.
    const targets = [this.#init.ended, ...(signal === undefined ? [] : [signal])]
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
    const { account, ended } = this.#init
    const stop = signal === undefined ? ended : AbortSignal.any([signal, ended])
    try {
      await account.acquire(byteLength, { signal: stop })
    } catch (error) {
      signal?.throwIfAborted()
      throw this.#resetError(error)
    }
  }

  #expectWritable(): void {
    if (this.#init.isReset() || this.#isClosed || this.#stream.writeStatus !== 'writable') throw this.#resetError()
  }

  #resetError(cause?: unknown): Error {
    return this.#init.resetError(this.#isClosed ? 'this side was closed for writing' : 'the stream has ended', cause)
  }
}

/** One array with all of `parts`, which are `byteLength` bytes together. */
function concat(parts: readonly Uint8Array[], byteLength: number): Uint8Array {
  const whole = new Uint8Array(byteLength)
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.byteLength
  }
  return whole
}
