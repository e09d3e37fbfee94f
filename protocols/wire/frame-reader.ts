/** Cuts the bytes of a stream into frames (NZ-WIRE-01 §2). Holds at most one frame that is not whole. */
import { HEADER_BYTES, readHeader } from './frame.ts'
import type { WireCode } from './errors.ts'

const EMPTY = new Uint8Array(0)

export class FrameReader {
  /** Bytes that came and belong to no frame given out yet. */
  #chunks: Uint8Array[] = []
  #heldBytes = 0
  #trouble: WireCode | null = null

  /** Bytes held; below the largest frame plus the chunk pushed last, when `next` is called until it gives `null`. */
  get heldBytes(): number {
    return this.#heldBytes
  }

  push(bytes: Uint8Array): void {
    if (bytes.byteLength === 0) return
    this.#chunks.push(bytes)
    this.#heldBytes += bytes.byteLength
  }

  /** The next whole frame, header included; `null` when more bytes are needed. A code: nothing after it can be read. */
  next(): Uint8Array | WireCode | null {
    if (this.#trouble !== null) return this.#trouble
    if (this.#heldBytes < HEADER_BYTES) return null
    const header = readHeader(this.#front(HEADER_BYTES))
    if (typeof header === 'string') {
      this.#trouble = header
      this.#chunks = []
      this.#heldBytes = 0
      return header
    }
    const frameBytes = HEADER_BYTES + header.bodyBytes
    return this.#heldBytes < frameBytes ? null : this.#take(frameBytes)
  }

  /** At least `byteLength` bytes at the front, in one piece. */
  #front(byteLength: number): Uint8Array {
    const first = this.#chunks[0] ?? EMPTY
    if (first.byteLength >= byteLength) return first
    this.#chunks = [Buffer.concat(this.#chunks)]
    return this.#chunks[0] ?? EMPTY
  }

  #take(byteLength: number): Uint8Array {
    const front = this.#front(byteLength)
    this.#chunks.shift()
    if (front.byteLength > byteLength) this.#chunks.unshift(front.subarray(byteLength))
    this.#heldBytes -= byteLength
    return front.subarray(0, byteLength)
  }
}

/** The whole frames that `bytes` are, one behind the other, as a packet's payload holds them. */
export function splitFrames(bytes: Uint8Array): readonly Uint8Array[] | WireCode {
  const frames: Uint8Array[] = []
  for (let at = 0; at < bytes.byteLength;) {
    if (bytes.byteLength - at < HEADER_BYTES) return 'NZ_WIRE_MALFORMED'
    const header = readHeader(bytes.subarray(at))
    if (typeof header === 'string') return header
    const end = at + HEADER_BYTES + header.bodyBytes
    if (end > bytes.byteLength) return 'NZ_WIRE_MALFORMED'
    frames.push(bytes.subarray(at, end))
    at = end
  }
  return frames
}
