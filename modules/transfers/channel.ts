/** One transfer stream: frames over a `PeerStream`, kept alive while idle, cut when the peer falls silent. */
import { encodeControl, FrameDecoder } from '../../protocols/transfer/frame.ts'
import { ALIVE_INTERVAL_MS, IDLE_TIMEOUT_MS } from '../../protocols/transfer/limits.ts'
import { protocolError } from '../../protocols/transfer/errors.ts'
import type { Clock, Timer } from '../../kernel/index.ts'
import type { TransferEvent } from '../../protocols/transfer/frame.ts'
import type { ControlMessage } from '../../protocols/transfer/messages.ts'
import type { PeerStream } from '../network/service.ts'

export class TransferChannel {
  readonly #stream: PeerStream
  readonly #clock: Clock
  #timer: Timer
  #hasWritten = false
  #isWriting = false
  /** When the read that is waiting began; `null` while this side is busy and reads nothing. */
  #readingSinceMs: number | null = null

  constructor(stream: PeerStream, clock: Clock) {
    this.#stream = stream
    this.#clock = clock
    this.#timer = this.#nextTick()
    stream.signal.addEventListener('abort', () => this.#timer.cancel(), { once: true })
  }

  get signal(): AbortSignal {
    return this.#stream.signal
  }

  /** @throws NZ_NETWORK_STREAM_RESET */
  async send(message: ControlMessage): Promise<void> {
    await this.sendFrame(encodeControl(message))
  }

  /** Resolves when there is room for more. The frame may not change until it is acknowledged. */
  async sendFrame(frame: Uint8Array): Promise<void> {
    this.#hasWritten = true
    this.#isWriting = true
    try {
      await this.#stream.write(frame)
    } finally {
      this.#isWriting = false
    }
  }

  /** What the peer sends, until it closes its side. @throws NZ_NETWORK_STREAM_RESET, NZ_TRANSFER_PROTOCOL */
  async *events(): AsyncGenerator<TransferEvent> {
    const decoder = new FrameDecoder()
    for (let bytes = await this.#read(); bytes !== null; bytes = await this.#read()) yield* decoder.push(bytes)
    if (!decoder.isAtBoundary) throw protocolError('the stream ended inside a frame')
  }

  /** Ends the stream in order. */
  async close(): Promise<void> {
    this.#timer.cancel()
    await this.#stream.close()
  }

  /** Ends the stream at once; what was not read is lost. */
  reset(): void {
    this.#timer.cancel()
    this.#stream.reset()
  }

  async #read(): Promise<Uint8Array | null> {
    this.#readingSinceMs = this.#clock.monotonicMs()
    try {
      return await this.#stream.read()
    } finally {
      this.#readingSinceMs = null
    }
  }

  #nextTick(): Timer {
    return this.#clock.setTimer(ALIVE_INTERVAL_MS, () => this.#tick(), { unref: true })
  }

  #tick(): void {
    if (this.signal.aborted) return
    if (this.#clock.monotonicMs() - (this.#readingSinceMs ?? Infinity) >= IDLE_TIMEOUT_MS) {
      this.reset()
      return
    }
    this.#timer = this.#nextTick()
    if (!this.#hasWritten && !this.#isWriting) {
      // A write that fails shows in the reader as a reset.
      void this.send({ type: 'alive' }).catch(() => this.reset())
    }
    this.#hasWritten = false
  }
}
