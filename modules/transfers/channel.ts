/** One transfer stream: frames over a `PeerStream`, kept alive while idle, cut when the peer falls silent. */
import { encodeControl, FrameDecoder } from '../../protocols/transfer/frame.ts'
import { ALIVE_INTERVAL_MS, IDLE_TIMEOUT_MS } from '../../protocols/transfer/limits.ts'
import { protocolError } from '../../protocols/transfer/errors.ts'
import type { Clock, Timer } from '../../kernel/index.ts'
import type { TransferEvent } from '../../protocols/transfer/frame.ts'
import type { ControlMessage } from '../../protocols/transfer/messages.ts'
import type { PeerStream } from '../network/service.ts'

/** Whether it has had enough. A promise makes the peer wait. */
export type UseEvent = (event: TransferEvent) => boolean | Promise<boolean>

export class TransferChannel {
  readonly #stream: PeerStream
  readonly #clock: Clock
  #timer: Timer
  #hasWritten = false
  #isWriting = false
  /** Since when this side waits for the peer; `null` while it is busy and reads nothing. */
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

  /**
   * Gives `use` what the peer sends until `use` has had enough: then `true`; `false` when the peer closed its side first.
   * Bytes of data are lent for the time of the call.
   *
   * @throws NZ_NETWORK_STREAM_RESET, NZ_TRANSFER_PROTOCOL, and what `use` throws
   */
  async receive(use: UseEvent): Promise<boolean> {
    const decoder = new FrameDecoder()
    const enough = new AbortController()
    const tell = (events: Iterator<TransferEvent, void>): Promise<void> | undefined => {
      for (let next = events.next(); next.done !== true; next = events.next()) {
        const isEnough = use(next.value)
        if (isEnough === false) continue
        if (isEnough === true) {
          enough.abort()
          return undefined
        }
        decoder.keep()
        return isEnough.then(async (is) => (is ? enough.abort() : await tell(events)))
      }
      this.#readingSinceMs = this.#clock.monotonicMs()
      return undefined
    }
    this.#readingSinceMs = this.#clock.monotonicMs()
    try {
      const takeBytes = (bytes: Uint8Array): Promise<void> | undefined => {
        this.#readingSinceMs = null
        return tell(decoder.push(bytes))
      }
      await this.#stream.consume(takeBytes, { signal: enough.signal })
    } catch (error) {
      if (!enough.signal.aborted) throw error
    } finally {
      this.#readingSinceMs = null
    }
    if (!enough.signal.aborted && !decoder.isAtBoundary) throw protocolError('the stream ended inside a frame')
    return enough.signal.aborted
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
