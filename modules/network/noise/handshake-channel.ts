/**
 * The handshake's side of a raw libp2p connection: agrees on the protocol where nobody has, reads one length-prefixed
 * message at a time, then gives the connection and every byte already read to the secured stream, in one step, so that
 * none is lost or read twice.
 *
 * What is written leaves in one piece when there is something to wait for: each write of its own wakes the peer.
 */
import { frameMessage, RecordReader } from '../../../protocols/noise/record.ts'
import { noiseErrors } from '../../../protocols/noise/errors.ts'
import { Offer } from '../../../protocols/multistream/negotiation.ts'
import type { MessageStream, StreamCloseEvent, StreamMessageEvent } from '@libp2p/interface'
import type { Answer } from '../../../protocols/multistream/negotiation.ts'

/** Bytes a peer may send ahead of the handshake before its connection is paused. */
export const MAX_EARLY_BYTES = 131_072

export class HandshakeChannel {
  readonly connection: MessageStream
  readonly #reader = new RecordReader()
  /** `null` when it is over, or was somebody else's affair. */
  #negotiation: Offer | Answer | null
  #unsent: Uint8Array[] = []
  #waiting: PromiseWithResolvers<Uint8Array> | null = null
  #closed: Error | null = null

  constructor(connection: MessageStream, negotiation: Offer | Answer | null = null) {
    this.connection = connection
    this.#negotiation = negotiation
    if (negotiation instanceof Offer) this.#unsent.push(negotiation.opening)
    connection.addEventListener('message', this.#onMessage)
    connection.addEventListener('close', this.#onClose)
    connection.addEventListener('remoteCloseWrite', this.#onEnd)
  }

  /** Leaves with the next `flush`, or when `read` has to wait. */
  write(message: Uint8Array): void {
    this.#unsent.push(frameMessage(message))
  }

  flush(): void {
    const [first, ...others] = this.#unsent
    if (first === undefined) return
    this.#unsent = []
    this.connection.send(others.length === 0 ? first : Buffer.concat([first, ...others]))
  }

  /**
   * @throws NZ_NOISE_MALFORMED when the connection ends first; NZ_MULTISTREAM_INVALID, NZ_MULTISTREAM_REFUSED; the
   * signal's reason when it aborts
   */
  async read(signal: AbortSignal | undefined): Promise<Uint8Array> {
    signal?.throwIfAborted()
    const ready = this.#next()
    if (ready !== null) return ready
    if (this.#closed !== null) throw this.#closed
    this.flush()
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
    try {
      if (data instanceof Uint8Array) this.#push(data)
      else for (const chunk of data) this.#push(chunk)
    } catch (error) {
      return this.#failWith(error as Error)
    }
    if (this.#reader.bufferedBytes > MAX_EARLY_BYTES) this.#fail(new Error('too much data before the handshake ended'))
    if (this.#waiting === null) return
    // At once, not when the reader wakes: what else arrives in this turn belongs to the next read.
    const message = this.#next()
    if (message === null) return this.flush()
    this.#waiting.resolve(message)
    this.#waiting = null
  }

  #push(bytes: Uint8Array): void {
    if (this.#negotiation === null) return this.#reader.push(bytes)
    const { reply, protocol, rest } = this.#negotiation.push(bytes)
    if (reply.byteLength > 0) this.#unsent.push(reply)
    if (protocol === null) return
    this.#negotiation = null
    if (rest.byteLength > 0) this.#reader.push(rest)
  }

  #next(): Uint8Array | null {
    const message = this.#reader.next()
    return message === null ? null : new Uint8Array(message)
  }

  readonly #onClose = ({ error }: StreamCloseEvent): void => this.#fail(error)
  readonly #onEnd = (): void => this.#fail(undefined)

  #fail(cause: Error | undefined): void {
    this.#failWith(noiseErrors.NZ_NOISE_MALFORMED({ why: 'the connection ended during the handshake', cause }))
  }

  #failWith(error: Error): void {
    this.#closed = error
    this.#waiting?.reject(error)
  }
}
