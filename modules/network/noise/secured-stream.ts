/**
 * A libp2p message stream whose bytes travel in Noise records.
 *
 * Small writes of one tick share a record of up to 64 KiB: sealing and writing each message alone is what makes
 * encrypted small messages slow. A muxer that knows this stream collects by itself and uses the direct port.
 */
import { AbstractMessageStream } from '@libp2p/utils'
import { TAG_BYTES } from '../../../protocols/noise/cipher-state.ts'
import { MAX_MESSAGE_BYTES } from '../../../protocols/noise/handshake.ts'
import { LENGTH_BYTES } from '../../../protocols/noise/record.ts'
import { youngCollection } from '../young-collection.ts'
import { direct } from './direct.ts'
import { recordSocketOf } from './record-socket.ts'
import { below, takeOver } from './take-over.ts'
import type { AbortOptions, MessageStream, StreamCloseEvent } from '@libp2p/interface'
import type { SendResult } from '@libp2p/utils'
import type { Uint8ArrayList } from 'uint8arraylist'
import type { CipherState } from '../../../protocols/noise/cipher-state.ts'
import type { RecordReader } from '../../../protocols/noise/record.ts'
import type { DirectPort, DirectSink, DirectSource } from './direct.ts'
import type { RecordSocket } from './record-socket.ts'
import type { TakenOver, TakeOverSource } from './take-over.ts'

/** Plaintext bytes of one record. */
export const MAX_RECORD_PLAINTEXT_BYTES = MAX_MESSAGE_BYTES - TAG_BYTES
/** Up to this size a record is put together in one buffer; above it a copy costs more than further buffers. */
const COPY_UP_TO_BYTES = 8 * 1_024

export interface SecuredStreamInit {
  readonly connection: MessageStream
  readonly sender: CipherState
  readonly receiver: CipherState
  /** Holds what the peer sent right behind its last handshake message. */
  readonly reader: RecordReader
}

export class SecuredStream extends AbstractMessageStream implements DirectSource, TakeOverSource {
  readonly #connection: MessageStream
  readonly #sender: CipherState
  readonly #receiver: CipherState
  readonly #reader: RecordReader
  readonly #socket: RecordSocket
  #sink: DirectSink | null = null
  #isTakenOver = false
  #isFlushScheduled = false
  #hasFlushedThisTick = false
  #rxRecords = 0
  #txRecords = 0

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
    this.#socket = recordSocketOf(connection, {
      onBytes: (bytes) => this.#onBytes(bytes),
      onDrain: () => {
        if (this.#sink === null) this.safeDispatchEvent('drain')
        else this.#sink.onDrain()
      },
    })
    connection.addEventListener('close', this.#onClose)
    connection.addEventListener('remoteCloseWrite', this.#onRemoteCloseWrite)
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
    for (let at = 0; at < byteLength; at += MAX_RECORD_PLAINTEXT_BYTES) {
      const record = data.sublist(at, Math.min(byteLength, at + MAX_RECORD_PLAINTEXT_BYTES))
      this.#seal([...record], record.byteLength)
    }
    return { sentBytes: byteLength, canSendMore: !this.#socket.isFull }
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

  [direct](sink: DirectSink): DirectPort {
    // The negotiation of the muxer may still wait for the end of the turn: nothing may overtake it.
    if (this.writeStatus === 'writable') this.processSendQueue()
    this.#sink = sink
    // Once the sink is put together.
    queueMicrotask(() => this.#passOn(sink))
    return this.#directPort()
  }

  get [below](): MessageStream {
    return this.#connection
  }

  [takeOver](): TakenOver | null {
    if (this.writeStatus === 'writable' && !this.#isTakenOver) this.processSendQueue()
    const isBusy = this.writeBuffer.byteLength > 0 || this.#socket.waitingBytes > 0
    if (this.#isTakenOver || isBusy || this.status !== 'open' || this.#sink !== null) return null
    this.#isTakenOver = true
    this.#socket.detach()
    this.#connection.removeEventListener('close', this.#onClose)
    this.#connection.removeEventListener('remoteCloseWrite', this.#onRemoteCloseWrite)
    const plaintext = this.readBuffer.slice()
    this.readBuffer.consume(plaintext.byteLength)
    return {
      connection: this.#connection,
      sender: this.#sender.takeOver(),
      receiver: this.#receiver.takeOver(),
      plaintext,
      sealed: this.#reader.takeAll(),
    }
  }

  #directPort(): DirectPort {
    const isFull = (): boolean => this.#socket.isFull
    const rxRecords = (): number => this.#rxRecords
    const txRecords = (): number => this.#txRecords
    return {
      maxBytes: MAX_RECORD_PLAINTEXT_BYTES,
      write: (parts, byteLength) => {
        if (this.status === 'open') this.#seal(parts, byteLength)
      },
      get isFull() {
        return isFull()
      },
      get rxRecords() {
        return rxRecords()
      },
      get txRecords() {
        return txRecords()
      },
    }
  }

  #seal(parts: readonly Uint8Array[], byteLength: number): void {
    this.#txRecords += 1
    if (byteLength <= COPY_UP_TO_BYTES) {
      const record = Buffer.allocUnsafe(LENGTH_BYTES + byteLength + TAG_BYTES)
      record.writeUInt16BE(byteLength + TAG_BYTES, 0)
      const [first] = parts
      const plaintext = parts.length === 1 && first !== undefined ? first : Buffer.concat(parts)
      this.#sender.sealInto(record, LENGTH_BYTES, plaintext)
      this.#socket.write([record])
      return
    }
    const head = Buffer.allocUnsafe(LENGTH_BYTES)
    head.writeUInt16BE(byteLength + TAG_BYTES, 0)
    const sealed = this.#sender.sealParts(parts)
    this.#socket.write([head, ...sealed])
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

  #onBytes(bytes: Uint8Array): void {
    if (this.status !== 'open') return
    this.#reader.push(bytes)
    this.#openRecords()
  }

  #openRecords(): void {
    try {
      for (let record = this.#reader.next(); record !== null; record = this.#reader.next()) {
        const plaintext = this.#receiver.open(record)
        this.#rxRecords += 1
        if (this.#sink === null) {
          this.onData(plaintext)
        } else {
          this.#passOn(this.#sink)
          this.#sink.onPlaintext(plaintext)
        }
        youngCollection.note(plaintext.byteLength)
      }
    } catch (error) {
      this.abort(error as Error)
    }
  }

  /** What came before the muxer did. */
  #passOn(sink: DirectSink): void {
    if (this.readBuffer.byteLength === 0) return
    const early = this.readBuffer.slice()
    this.readBuffer.consume(early.byteLength)
    sink.onPlaintext(early)
  }

  readonly #onRemoteCloseWrite = (): void => this.onRemoteCloseWrite()

  readonly #onClose = ({ error, local }: StreamCloseEvent): void => {
    this.#reader.release()
    if (error === undefined) this.onTransportClosed()
    else if (local === true) this.abort(error)
    else this.onRemoteReset()
  }
}
