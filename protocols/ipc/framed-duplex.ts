/** A `Duplex` over any pipe of bytes (the upgraded connection), and a pair of them without one (embedded node). */
import { NzError } from '../../kernel/index.ts'
import { encodeFrame, FrameDecoder, MAX_DATA_FRAME_BYTES, MAX_MESSAGE_FRAME_BYTES } from './duplex.ts'
import { ipcErrors } from './errors.ts'
import { publicError } from './problem.ts'
import type { Duplex } from './endpoint.ts'
import type { Frame } from './duplex.ts'

/** A connection as a duplex needs it. */
export interface BytePipe {
  /** The next bytes; `null` after the other side closed. Rejects when the connection broke. */
  read(): Promise<Uint8Array | null>
  /** Resolves when there is room for more. Rejects when the connection broke. */
  write(parts: readonly Uint8Array[]): Promise<void>
  /** Sends what is buffered and says that nothing follows; reading goes on. Idempotent. */
  end(): void
  /** Gives the connection up. Idempotent. */
  destroy(): void
}

/** Bytes of frames that wait for `read`; then the connection is read no further and the other side has to wait. */
export const DUPLEX_BUFFER_BYTES = 262_144
/** Bytes that are thrown away after a failure, so that its error frame still arrives. */
export const DUPLEX_LINGER_BYTES = 16_777_216

type Item = { readonly bytes: Uint8Array } | { readonly message: never }

export class FramedDuplex implements Duplex<unknown, never> {
  readonly #pipe: BytePipe
  readonly #decoder = new FrameDecoder()
  readonly #closed = new AbortController()
  readonly #queue: Item[] = []
  #queuedBytes = 0
  #changed = Promise.withResolvers<void>()
  #readEnded = false
  /** Whether the reader was told of the end: before that it may still be busy with what came. */
  #isReadOut = false
  #writeEnded = false
  #isReleased = false
  #failure: Error | null = null
  readonly #pumped: Promise<void>

  constructor(pipe: BytePipe) {
    this.#pipe = pipe
    this.#pumped = this.#pump()
  }

  get signal(): AbortSignal {
    return this.#closed.signal
  }

  async write(bytes: Uint8Array): Promise<void> {
    for (let from = 0; from < bytes.byteLength; from += MAX_DATA_FRAME_BYTES) {
      await this.#put({ type: 'data', bytes: bytes.subarray(from, from + MAX_DATA_FRAME_BYTES) })
    }
  }

  async send(message: unknown): Promise<void> {
    await this.#put({ type: 'message', message })
  }

  async read(): Promise<Item | null> {
    for (;;) {
      const item = this.#queue.shift()
      if (item !== undefined) {
        this.#queuedBytes -= sizeOf(item)
        this.#tell()
        return item
      }
      if (this.#readEnded) {
        this.#isReadOut = true
        this.#closeWhenBothEnded()
        return null
      }
      if (this.#failure !== null) throw this.#failure
      await this.#changed.promise
    }
  }

  async end(): Promise<void> {
    if (this.#writeEnded) return
    await this.#put({ type: 'end' })
    this.#writeEnded = true
    this.#closeWhenBothEnded()
  }

  fail(error: unknown): void {
    if (this.signal.aborted) return
    const known = publicError(error)
    this.#pipe.write(encodeFrame({ type: 'error', error: known.toDocument() })).catch(() => {
      // The connection is gone already: nobody is left to tell.
    })
    this.#queue.length = 0
    this.#break(known)
  }

  /** Nobody reads or writes any more: what still comes is thrown away, and the connection closes after it. */
  release(): void {
    this.#isReleased = true
    this.#queue.length = 0
    this.#queuedBytes = 0
    this.#pipe.end()
    this.#tell()
  }

  async #put(frame: Frame): Promise<void> {
    if (this.#failure !== null) throw this.#failure
    if (this.#writeEnded) throw new TypeError('write after end')
    try {
      await this.#pipe.write(encodeFrame(frame))
    } catch (cause) {
      if (cause instanceof NzError && cause.code === 'NZ_IPC_FRAME_INVALID') throw cause
      await this.#pumped
      throw this.#failure ?? this.#break(ipcErrors.NZ_IPC_CONNECTION_LOST({ cause }))
    }
    if (this.#failure !== null) throw this.#failure
  }

  /** Reads ahead up to the bound, so that an error of the other side is known before anyone reads up to it. */
  async #pump(): Promise<void> {
    let discarded = 0
    try {
      for (;;) {
        while (this.#queuedBytes >= DUPLEX_BUFFER_BYTES) await this.#changed.promise
        const bytes = await this.#pipe.read()
        if (bytes === null) break
        if (this.signal.aborted || this.#isReleased) {
          discarded += bytes.byteLength
          if (discarded > DUPLEX_LINGER_BYTES) break
        } else {
          this.#decoder.push(bytes)
          for (let frame = this.#decoder.next(); frame !== null; frame = this.#decoder.next()) this.#take(frame)
        }
      }
      if (!this.#readEnded || !this.#writeEnded) this.#break(ipcErrors.NZ_IPC_CONNECTION_LOST())
    } catch (error) {
      if (error instanceof NzError) this.fail(error)
      else this.#break(ipcErrors.NZ_IPC_CONNECTION_LOST({ cause: error }))
    }
    this.#pipe.destroy()
  }

  #take(frame: Frame): void {
    if (frame.type === 'data') this.#enqueue({ bytes: frame.bytes })
    else if (frame.type === 'message') this.#enqueue({ message: frame.message as never })
    else if (frame.type === 'error') this.#break(NzError.fromDocument(frame.error))
    else {
      this.#readEnded = true
      this.#tell()
    }
  }

  #enqueue(item: Item): void {
    this.#queue.push(item)
    this.#queuedBytes += sizeOf(item)
    this.#tell()
  }

  #break(error: Error): Error {
    if (this.signal.aborted) return this.#failure ?? error
    this.#failure = error
    this.#queuedBytes = 0
    this.#pipe.end()
    this.#closed.abort(error)
    this.#tell()
    return error
  }

  #closeWhenBothEnded(): void {
    if (!this.#isReadOut || !this.#writeEnded) return
    this.#pipe.end()
    this.#closed.abort(new DOMException('the duplex ended', 'AbortError'))
  }

  #tell(): void {
    this.#changed.resolve()
    this.#changed = Promise.withResolvers()
  }
}

/** What an item costs while it waits; a message is counted as the most it may be. */
function sizeOf(item: Item): number {
  return 'bytes' in item ? item.bytes.byteLength : MAX_MESSAGE_FRAME_BYTES
}

/** Two ends of one duplex inside this process. */
export function duplexPair(): [FramedDuplex, FramedDuplex] {
  const there = new PairQueue()
  const back = new PairQueue()
  return [new FramedDuplex(pipeOf(there, back)), new FramedDuplex(pipeOf(back, there))]
}

/** One direction of a pair: at most DUPLEX_BUFFER_BYTES and one write wait here. */
class PairQueue {
  readonly #parts: Uint8Array[] = []
  #bytes = 0
  #isEnded = false
  #isGone = false
  #changed = Promise.withResolvers<void>()

  async put(parts: readonly Uint8Array[]): Promise<void> {
    if (this.#isEnded || this.#isGone) throw ipcErrors.NZ_IPC_CONNECTION_LOST()
    for (const part of parts) {
      if (part.byteLength === 0) continue
      this.#parts.push(part)
      this.#bytes += part.byteLength
    }
    this.#tell()
    // Also when this side gives up meanwhile: nobody may ever read what waits here.
    while (this.#bytes > DUPLEX_BUFFER_BYTES && !this.#isEnded && !this.#isGone) await this.#changed.promise
  }

  async take(): Promise<Uint8Array | null> {
    for (;;) {
      const part = this.#parts.shift()
      if (part !== undefined) {
        this.#bytes -= part.byteLength
        this.#tell()
        return part
      }
      if (this.#isEnded || this.#isGone) return null
      await this.#changed.promise
    }
  }

  end(): void {
    this.#isEnded = true
    this.#tell()
  }

  destroy(): void {
    this.#isGone = true
    this.#parts.length = 0
    this.#bytes = 0
    this.#tell()
  }

  #tell(): void {
    this.#changed.resolve()
    this.#changed = Promise.withResolvers()
  }
}

function pipeOf(outgoing: PairQueue, incoming: PairQueue): BytePipe {
  return {
    read: async () => await incoming.take(),
    write: async (parts) => await outgoing.put(parts),
    end: () => {
      outgoing.end()
    },
    destroy: () => {
      outgoing.end()
      incoming.destroy()
    },
  }
}
