/**
 * What streams of our muxers have in common: how bytes of the peer reach whoever reads, by `message` events as libp2p has
 * it, or straight (directly-readable.ts). The peer gets room again only for what was read.
 */
import { StreamMessageEvent } from '@libp2p/interface'
import { AbstractStream } from '@libp2p/utils'
import { youngCollection } from '../young-collection.ts'
import { readDirectly } from './directly-readable.ts'
import type { DirectlyReadable } from './directly-readable.ts'

/** Pieces that wait for a reader; more are put together, so that single bytes do not cost hundreds. */
const MAX_WAITING_PIECES = 1_024
/** From here on filling memory with zeros costs more than asking for memory that is not filled. */
const UNFILLED_FROM_BYTES = 4_096

export abstract class DirectStream extends AbstractStream implements DirectlyReadable {
  abstract readonly lendsBytes: boolean
  #sink: ((bytes: Uint8Array) => void) | null = null
  #waitingPieces = 0

  abstract took(byteLength: number): void

  /** Bytes from the peer; only lent where the stream says so. */
  deliver(bytes: Uint8Array): void {
    if (this.#sink !== null) return this.#sink(bytes)
    if (this.readStatus === 'closing' || this.readStatus === 'closed') return this.took(bytes.byteLength)
    const isWanted = this.readStatus === 'readable' && this.listenerCount('message') > 0
    if (isWanted && this.readBuffer.byteLength === 0) {
      this.dispatchEvent(new StreamMessageEvent(this.lendsBytes ? this.own(bytes) : bytes))
      this.took(bytes.byteLength)
      // Behind the event: what it brought is garbage by now, unless somebody keeps it.
      if (this.lendsBytes) youngCollection.note(bytes.byteLength)
      return
    }
    // A view keeps all that it was cut from.
    const isMostOfIt = !this.lendsBytes && bytes.byteLength * 2 >= bytes.buffer.byteLength
    this.readBuffer.append(isMostOfIt ? bytes : this.own(bytes))
    if (!isMostOfIt) youngCollection.note(bytes.byteLength)
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

  /** The same bytes in memory of their own, which nobody fills with zeros before when it is large. */
  protected own(bytes: Uint8Array): Uint8Array {
    if (bytes.byteLength < UNFILLED_FROM_BYTES) return bytes.slice()
    const memory = Buffer.allocUnsafeSlow(bytes.byteLength)
    memory.set(bytes)
    return new Uint8Array(memory.buffer, memory.byteOffset, memory.byteLength)
  }

  /** Without room given back the peer stops by itself. */
  override sendPause(): void {}
  override sendResume(): void {}

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
