/**
 * A libp2p stream over a yamux channel. Passes single messages on without the queues of its base class where it can:
 * those are for what cannot be sent or read yet.
 */
import { StreamMessageEvent } from '@libp2p/interface'
import { AbstractStream } from '@libp2p/utils'
import { readDirectly } from './directly-readable.ts'
import type { AbstractStreamInit, SendResult } from '@libp2p/utils'
import type { Uint8ArrayList } from 'uint8arraylist'
import type { Channel, Session } from '../../../protocols/yamux/session.ts'
import type { DirectlyReadable } from './directly-readable.ts'
import type { Outbox } from './outbox.ts'

/** Pieces that wait for a reader; more are put together, so that single bytes do not cost hundreds. */
const MAX_WAITING_PIECES = 1_024

export interface MuxedStreamInit extends AbstractStreamInit {
  readonly channel: Channel<MuxedStream>
  readonly session: Session<MuxedStream>
  readonly outbox: Outbox
}

export class MuxedStream extends AbstractStream implements DirectlyReadable {
  readonly #channel: Channel<MuxedStream>
  readonly #session: Session<MuxedStream>
  readonly #outbox: Outbox
  #sink: ((bytes: Uint8Array) => void) | null = null
  #waitingPieces = 0

  constructor({ channel, session, outbox, ...init }: MuxedStreamInit) {
    super(init)
    this.#channel = channel
    this.#session = session
    this.#outbox = outbox
  }

  get canSend(): boolean {
    return this.#channel.sendBytes > 0 && !this.#outbox.isFull
  }

  override send(data: Uint8Array | Uint8ArrayList): boolean {
    const isQueued = this.writeBuffer.byteLength > 0 || this.writableNeedsDrain || this.sendingData
    if (isQueued || this.writeStatus !== 'writable' || !(data instanceof Uint8Array)) return super.send(data)
    if (this.maxWriteBufferLength !== undefined) return super.send(data)
    const sentBytes = this.#outbox.isFull ? 0 : this.#session.send(this.#channel, data)
    if (sentBytes < data.byteLength) this.writeBuffer.append(data.subarray(sentBytes))
    else if (this.canSend) return true
    this.writableNeedsDrain = true
    return false
  }

  override sendData(data: Uint8ArrayList): SendResult {
    let sentBytes = 0
    for (const part of data) {
      if (this.#outbox.isFull) return { sentBytes, canSendMore: false }
      const partBytes = this.#session.send(this.#channel, part)
      sentBytes += partBytes
      if (partBytes < part.byteLength) return { sentBytes, canSendMore: false }
    }
    return { sentBytes, canSendMore: this.canSend }
  }

  /** There is room where there was none. */
  drained(): void {
    if (this.writableNeedsDrain && this.canSend) this.safeDispatchEvent('drain')
  }

  /** Bytes from the peer. */
  deliver(bytes: Uint8Array): void {
    if (this.#sink !== null) return this.#sink(bytes)
    if (this.readStatus === 'closing' || this.readStatus === 'closed') return this.took(bytes.byteLength)
    const isWanted = this.readStatus === 'readable' && this.listenerCount('message') > 0
    if (isWanted && this.readBuffer.byteLength === 0) {
      this.dispatchEvent(new StreamMessageEvent(bytes))
      this.took(bytes.byteLength)
      return
    }
    // A view keeps the whole record it was cut from.
    this.readBuffer.append(bytes.byteLength * 2 >= bytes.buffer.byteLength ? bytes : bytes.slice())
    this.#waitingPieces += 1
    if (this.#waitingPieces > MAX_WAITING_PIECES) this.#putTogether()
    this.dispatchReadBuffer()
  }

  [readDirectly](sink: (bytes: Uint8Array) => void): void {
    this.#sink = sink
    for (const bytes of this.readBuffer.sublist()) sink(bytes)
    this.readBuffer.consume(this.readBuffer.byteLength)
    this.maybeDispatchEnd()
  }

  took(byteLength: number): void {
    this.#session.take(this.#channel, byteLength)
  }

  override sendReset(): void {
    this.#session.reset(this.#channel)
  }

  /** Without room given back the peer stops by itself. */
  override sendPause(): void {}
  override sendResume(): void {}

  override async sendCloseWrite(): Promise<void> {
    this.#session.finish(this.#channel)
  }

  override async sendCloseRead(): Promise<void> {}

  protected override dispatchReadBuffer(): void {
    const { byteLength } = this.readBuffer
    super.dispatchReadBuffer()
    const takenBytes = byteLength - this.readBuffer.byteLength
    if (takenBytes <= 0) return
    this.#waitingPieces = 0
    this.took(takenBytes)
  }

  #putTogether(): void {
    const whole = this.readBuffer.slice()
    this.readBuffer.consume(whole.byteLength)
    this.readBuffer.append(whole)
    this.#waitingPieces = 1
  }
}
