/**
 * The handshake's side of a raw libp2p connection: reads one length-prefixed message at a time, then gives the
 * connection and every byte already read to the secured stream, in one step, so that none is lost or read twice.
 */
import { frameMessage, RecordReader } from '../../../protocols/noise/record.ts'
import { noiseErrors } from '../../../protocols/noise/errors.ts'
import type { MessageStream, StreamCloseEvent, StreamMessageEvent } from '@libp2p/interface'

/** Bytes a peer may send ahead of the handshake before its connection is paused. */
export const MAX_EARLY_BYTES = 131_072

export class HandshakeChannel {
  readonly connection: MessageStream
  readonly #reader = new RecordReader()
  #waiting: PromiseWithResolvers<Uint8Array> | null = null
  #closed: Error | null = null

  constructor(connection: MessageStream) {
    this.connection = connection
    connection.addEventListener('message', this.#onMessage)
    connection.addEventListener('close', this.#onClose)
    connection.addEventListener('remoteCloseWrite', this.#onEnd)
  }

  write(message: Uint8Array): void {
    this.connection.send(frameMessage(message))
  }

  /** @throws NZ_NOISE_MALFORMED when the connection ends first; the signal's reason when it aborts */
  async read(signal: AbortSignal | undefined): Promise<Uint8Array> {
    signal?.throwIfAborted()
    const ready = this.#reader.next()
    if (ready !== null) return new Uint8Array(ready)
    if (this.#closed !== null) throw this.#closed
    const waiting = Promise.withResolvers<Uint8Array>()
    this.#waiting = waiting
    const onAbort = (): void => waiting.reject(signal?.reason as Error)
    signal?.addEventListener('abort', onAbort, { once: true })
    try {
      return await waiting.promise
    } finally {
      this.#waiting = null
      signal?.removeEventListener('abort', onAbort)
    }
  }

  /** Stops listening and hands over what was read ahead; the next listener must be added in the same step. */
  detach(): RecordReader {
    this.connection.removeEventListener('message', this.#onMessage)
    this.connection.removeEventListener('close', this.#onClose)
    this.connection.removeEventListener('remoteCloseWrite', this.#onEnd)
    return this.#reader
  }

  readonly #onMessage = ({ data }: StreamMessageEvent): void => {
    if (data instanceof Uint8Array) this.#reader.push(data)
    else for (const chunk of data) this.#reader.push(chunk)
    if (this.#reader.bufferedBytes > MAX_EARLY_BYTES) this.#fail(new Error('too much data before the handshake ended'))
    if (this.#waiting === null) return
    const message = this.#reader.next()
    if (message === null) return
    // At once, not when the reader wakes: what else arrives in this turn belongs to the next read.
    this.#waiting.resolve(new Uint8Array(message))
    this.#waiting = null
  }

  readonly #onClose = ({ error }: StreamCloseEvent): void => this.#fail(error)
  readonly #onEnd = (): void => this.#fail(undefined)

  #fail(cause: Error | undefined): void {
    this.#closed = noiseErrors.NZ_NOISE_MALFORMED({ why: 'the connection ended during the handshake', cause })
    this.#waiting?.reject(this.#closed)
  }
}
