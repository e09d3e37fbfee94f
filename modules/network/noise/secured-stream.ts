/**
 * A libp2p message stream whose bytes travel in Noise records.
 *
 * Small writes of one tick share a record of up to 64 KiB, and all records of a tick go to the socket in one write:
 * sealing and writing each message alone is what makes encrypted small messages slow.
 */
import { AbstractMessageStream } from '@libp2p/utils'
import { TAG_BYTES } from '../../../protocols/noise/cipher-state.ts'
import { MAX_MESSAGE_BYTES } from '../../../protocols/noise/handshake.ts'
import { LENGTH_BYTES } from '../../../protocols/noise/record.ts'
import type { AbortOptions, MessageStream, StreamCloseEvent, StreamMessageEvent } from '@libp2p/interface'
import type { SendResult } from '@libp2p/utils'
import type { Uint8ArrayList } from 'uint8arraylist'
import type { CipherState } from '../../../protocols/noise/cipher-state.ts'
import type { RecordReader } from '../../../protocols/noise/record.ts'

/** Plaintext bytes of one record. */
export const MAX_RECORD_PLAINTEXT_BYTES = MAX_MESSAGE_BYTES - TAG_BYTES

export interface SecuredStreamInit {
  readonly connection: MessageStream
  readonly sender: CipherState
  readonly receiver: CipherState
  /** Holds what the peer sent right behind its last handshake message. */
  readonly reader: RecordReader
}

export class SecuredStream extends AbstractMessageStream {
  readonly #connection: MessageStream
  readonly #sender: CipherState
  readonly #receiver: CipherState
  readonly #reader: RecordReader
  #isFlushScheduled = false
  #hasFlushedThisTick = false

  constructor({ connection, sender, receiver, reader }: SecuredStreamInit) {
    super({
      log: connection.log,
      inactivityTimeout: connection.inactivityTimeout,
      maxReadBufferLength: connection.maxReadBufferLength,
      direction: connection.direction,
    })
    this.#connection = connection
    this.#sender = sender
    this.#receiver = receiver
    this.#reader = reader
    connection.addEventListener('message', this.#onMessage)
    connection.addEventListener('close', this.#onClose)
    connection.addEventListener('drain', () => this.safeDispatchEvent('drain'))
    connection.addEventListener('remoteCloseWrite', () => this.onRemoteCloseWrite())
    if (reader.bufferedBytes > 0) queueMicrotask(() => this.#openRecords())
  }

  /** Bytes are sealed and written at the end of the tick, or at once when they fill a record. */
  override send(data: Uint8Array | Uint8ArrayList): boolean {
    if (this.writeStatus !== 'writable') return super.send(data)
    this.writeBuffer.append(data)
    if (this.writeBuffer.byteLength >= MAX_RECORD_PLAINTEXT_BYTES) return this.processSendQueue()
    if (!this.#isFlushScheduled) {
      this.#isFlushScheduled = true
      // A consumer that awaits between its messages would turn one flush a microtask into one a message.
      if (this.#hasFlushedThisTick) setImmediate(this.#flush)
      else queueMicrotask(this.#flush)
    }
    return !this.writableNeedsDrain
  }

  override sendData(data: Uint8ArrayList): SendResult {
    const { byteLength } = data
    const records = Math.ceil(byteLength / MAX_RECORD_PLAINTEXT_BYTES)
    const sealed = Buffer.allocUnsafe(byteLength + records * (LENGTH_BYTES + TAG_BYTES))
    let offset = 0
    for (const part of plaintexts(data)) {
      offset = sealed.writeUInt16BE(part.byteLength + TAG_BYTES, offset)
      offset = this.#sender.sealInto(sealed, offset, part)
    }
    return { sentBytes: byteLength, canSendMore: this.#connection.send(sealed) }
  }

  override sendReset(error: Error): void {
    this.#connection.abort(error)
  }

  override sendPause(): void {
    this.#connection.pause()
  }

  override sendResume(): void {
    this.#connection.resume()
  }

  async close(options?: AbortOptions): Promise<void> {
    if (this.writeStatus === 'writable') this.processSendQueue()
    await this.#connection.close(options)
  }

  readonly #flush = (): void => {
    this.#isFlushScheduled = false
    if (!this.#hasFlushedThisTick) {
      this.#hasFlushedThisTick = true
      setImmediate(() => {
        this.#hasFlushedThisTick = false
      })
    }
    try {
      this.processSendQueue()
    } catch (error) {
      this.log.error('flush failed - %e', error)
    }
  }

  readonly #onMessage = ({ data }: StreamMessageEvent): void => {
    if (data instanceof Uint8Array) this.#reader.push(data)
    else for (const chunk of data) this.#reader.push(chunk)
    this.#openRecords()
  }

  #openRecords(): void {
    try {
      for (let record = this.#reader.next(); record !== null; record = this.#reader.next()) {
        this.onData(this.#receiver.open(record))
      }
    } catch (error) {
      this.abort(error as Error)
    }
  }

  readonly #onClose = ({ error, local }: StreamCloseEvent): void => {
    this.#reader.release()
    if (error === undefined) this.onTransportClosed()
    else if (local === true) this.abort(error)
    else this.onRemoteReset()
  }
}

/** Where the parts of one record are put together. Used within one call, so one serves every connection. */
const gathered = new Uint8Array(MAX_RECORD_PLAINTEXT_BYTES)

/** What each record holds, in order: views, each valid until the next one is asked for. */
function* plaintexts(data: Uint8ArrayList): Generator<Uint8Array> {
  let bytes = 0
  for (const part of data) {
    for (let at = 0; at < part.byteLength;) {
      const room = MAX_RECORD_PLAINTEXT_BYTES - bytes
      const piece = part.subarray(at, at + room)
      at += piece.byteLength
      if (piece.byteLength === MAX_RECORD_PLAINTEXT_BYTES) {
        yield piece
        continue
      }
      gathered.set(piece, bytes)
      bytes += piece.byteLength
      if (bytes < MAX_RECORD_PLAINTEXT_BYTES) continue
      yield gathered
      bytes = 0
    }
  }
  if (bytes > 0) yield gathered.subarray(0, bytes)
}
