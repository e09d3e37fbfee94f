/**
 * What the peer may send on one stream (spec.md, "Flow Control"). Room is given back once half of the window has been
 * used, not with every frame: an answer to each frame costs as much as the frame. The window grows with the measured
 * bandwidth-delay product, so a far peer is not held back and a slow one holds no memory.
 */
import { INITIAL_WINDOW_BYTES } from './constants.ts'
import { muxerErrors } from './errors.ts'

export interface WindowGrowth {
  /** Round trip; `null` before the first measurement: nothing grows. */
  readonly rttMs: number | null
  /** Bytes that windows may grow by now, for this stream and for its connection, whichever is less. */
  readonly roomBytes: number
}

export class ReceiveWindow {
  #sizeBytes = INITIAL_WINDOW_BYTES
  /** What the peer may still send. */
  #openBytes = INITIAL_WINDOW_BYTES
  /** Taken by the reader and not given back yet. */
  #takenBytes = 0
  #epochMs: number

  constructor(nowMs: number) {
    this.#epochMs = nowMs
  }

  get sizeBytes(): number {
    return this.#sizeBytes
  }

  /** Bytes that arrived and were not taken. */
  get heldBytes(): number {
    return this.#sizeBytes - this.#openBytes - this.#takenBytes
  }

  /** A data frame of `byteLength` begins. @throws NZ_MUXER_WINDOW_EXCEEDED */
  arrive(byteLength: number): void {
    if (byteLength > this.#openBytes) {
      throw muxerErrors.NZ_MUXER_WINDOW_EXCEEDED({ data: { byteLength, openBytes: this.#openBytes } })
    }
    this.#openBytes -= byteLength
  }

  /** The reader took `byteLength` of what arrived. What to announce to the peer now; usually 0. */
  take(byteLength: number, nowMs: number, growth: WindowGrowth): number {
    this.#takenBytes += byteLength
    if (this.#takenBytes * 2 < this.#sizeBytes) return 0
    const growthBytes = this.#growthBytes(nowMs - this.#epochMs, growth)
    const delta = this.#takenBytes + growthBytes
    this.#sizeBytes += growthBytes
    this.#openBytes += delta
    this.#takenBytes = 0
    this.#epochMs = nowMs
    return delta
  }

  /** Twice the bandwidth-delay product keeps the peer sending while the announcement travels; at most twice a step. */
  #growthBytes(epochMs: number, { rttMs, roomBytes }: WindowGrowth): number {
    if (rttMs === null) return 0
    const wantedBytes = (2 * this.#takenBytes * rttMs) / Math.max(epochMs, 0.001)
    if (wantedBytes <= this.#sizeBytes) return 0
    return Math.max(0, Math.min(this.#sizeBytes, Math.ceil(wantedBytes) - this.#sizeBytes, roomBytes))
  }
}
