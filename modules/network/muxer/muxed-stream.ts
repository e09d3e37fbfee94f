/**
 * A libp2p stream over a yamux channel. Passes single messages on without the queues of its base class where it can:
 * those are for what cannot be sent or read yet.
 */
import { DirectStream } from './direct-stream.ts'
import type { AbstractStreamInit, SendResult } from '@libp2p/utils'
import type { Uint8ArrayList } from 'uint8arraylist'
import type { Channel, Session } from '../../../protocols/yamux/session.ts'
import type { Outbox } from './outbox.ts'

export interface MuxedStreamInit extends AbstractStreamInit {
  readonly channel: Channel<MuxedStream>
  readonly session: Session<MuxedStream>
  readonly outbox: Outbox
}

export class MuxedStream extends DirectStream {
  readonly lendsBytes = false
  readonly #channel: Channel<MuxedStream>
  readonly #session: Session<MuxedStream>
  readonly #outbox: Outbox

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

  took(byteLength: number): void {
    this.#session.take(this.#channel, byteLength)
  }

  override sendReset(): void {
    this.#session.reset(this.#channel)
  }

  override async sendCloseWrite(): Promise<void> {
    this.#session.finish(this.#channel)
  }
}
