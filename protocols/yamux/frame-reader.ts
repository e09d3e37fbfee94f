/**
 * Cuts a byte stream into frames without an object for each: a header is read where it lies, and the payload of a data
 * frame is handed on piece by piece as it comes, so that nothing waits for the end of a frame and nothing is copied.
 */
import { FRAME, HEADER_BYTES, VERSION } from './constants.ts'
import { muxerErrors } from './errors.ts'
import { readUint16, readUint32 } from './header.ts'

export interface FrameSink {
  /** `length`: bytes of a data frame, delta of a window, value of a ping, code of a go-away. */
  onFrame(type: number, flags: number, streamId: number, length: number): void
  /** Payload of the data frame before; a view of what was pushed. The pieces of a frame add up to its length. */
  onPayload(piece: Uint8Array): void
}

export class FrameReader {
  readonly #sink: FrameSink
  /** The beginning of a header whose end has not arrived. */
  readonly #partial = new Uint8Array(HEADER_BYTES)
  #partialBytes = 0
  #payloadBytes = 0

  constructor(sink: FrameSink) {
    this.#sink = sink
  }

  /** @throws NZ_MUXER_FRAME_INVALID, and what the sink throws; nothing may be pushed after that */
  push(bytes: Uint8Array): void {
    let offset = 0
    while (offset < bytes.byteLength) {
      if (this.#payloadBytes > 0) {
        const end = Math.min(bytes.byteLength, offset + this.#payloadBytes)
        this.#payloadBytes -= end - offset
        this.#sink.onPayload(offset === 0 && end === bytes.byteLength ? bytes : bytes.subarray(offset, end))
        offset = end
        continue
      }
      if (this.#partialBytes === 0 && bytes.byteLength - offset >= HEADER_BYTES) {
        this.#header(bytes, offset)
        offset += HEADER_BYTES
        continue
      }
      const end = Math.min(bytes.byteLength, offset + HEADER_BYTES - this.#partialBytes)
      this.#partial.set(bytes.subarray(offset, end), this.#partialBytes)
      this.#partialBytes += end - offset
      offset = end
      if (this.#partialBytes < HEADER_BYTES) return
      this.#partialBytes = 0
      this.#header(this.#partial, 0)
    }
  }

  #header(bytes: Uint8Array, offset: number): void {
    const version = bytes[offset] ?? 0
    const type = bytes[offset + 1] ?? 0
    if (version !== VERSION) throw invalid(`it speaks version ${version}`)
    if (type > FRAME.goAway) throw invalid(`it sent a frame of type ${type}`)
    const length = readUint32(bytes, offset + 8)
    if (type === FRAME.data) this.#payloadBytes = length
    this.#sink.onFrame(type, readUint16(bytes, offset + 2), readUint32(bytes, offset + 4), length)
  }
}

function invalid(why: string): Error {
  return muxerErrors.NZ_MUXER_FRAME_INVALID({ why })
}
