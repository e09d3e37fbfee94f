/**
 * Many frames at a time: a 4-byte big-endian length before each, all that is ready in one piece of memory, and whole
 * frames given back in batches. What a frame costs is then a copy, not a promise.
 */

const LENGTH_BYTES = 4

/** What came is no sequence of frames within the bound; nothing after it can be read. */
export class FrameTooLargeError extends RangeError {}

/** One array that holds `frames` with their lengths. */
export function encodeFrames(frames: readonly Uint8Array[]): Uint8Array {
  let byteLength = 0
  for (const frame of frames) byteLength += LENGTH_BYTES + frame.byteLength
  const bytes = new Uint8Array(byteLength)
  const view = new DataView(bytes.buffer)
  let at = 0
  for (const frame of frames) {
    view.setUint32(at, frame.byteLength)
    bytes.set(frame, at + LENGTH_BYTES)
    at += LENGTH_BYTES + frame.byteLength
  }
  return bytes
}

/** Cuts a stream of bytes into frames; holds at most one that is not whole. */
export class FrameCutter {
  readonly #maxFrameBytes: number
  /** The beginning of a frame whose end has not come: its length, then its body. */
  readonly #head = new Uint8Array(LENGTH_BYTES)
  #headBytes = 0
  #body: Uint8Array | null = null
  #bodyBytes = 0

  constructor({ maxFrameBytes }: { readonly maxFrameBytes: number }) {
    this.#maxFrameBytes = maxFrameBytes
  }

  /** Whether the bytes so far end with a whole frame. */
  get isAtBoundary(): boolean {
    return this.#headBytes === 0
  }

  /**
   * The frames that are whole now, in order: views of `bytes`, but for one that began earlier.
   *
   * @throws FrameTooLargeError before anything is allocated for it
   */
  push(bytes: Uint8Array): Uint8Array[] {
    const frames: Uint8Array[] = []
    let at = this.isAtBoundary ? 0 : this.#goOn(bytes, frames)
    while (bytes.byteLength - at >= LENGTH_BYTES) {
      const length = this.#check(lengthAt(bytes, at))
      if (bytes.byteLength - at - LENGTH_BYTES < length) break
      at += LENGTH_BYTES
      frames.push(bytes.subarray(at, at + length))
      at += length
    }
    if (at < bytes.byteLength) this.#goOn(bytes.subarray(at), frames)
    return frames
  }

  /** Adds to the frame that is not whole; how many bytes it took. */
  #goOn(bytes: Uint8Array, frames: Uint8Array[]): number {
    const head = bytes.subarray(0, LENGTH_BYTES - this.#headBytes)
    this.#head.set(head, this.#headBytes)
    this.#headBytes += head.byteLength
    if (this.#headBytes < LENGTH_BYTES) return head.byteLength
    this.#body ??= new Uint8Array(this.#check(lengthAt(this.#head, 0)))
    const part = bytes.subarray(head.byteLength, head.byteLength + this.#body.byteLength - this.#bodyBytes)
    this.#body.set(part, this.#bodyBytes)
    this.#bodyBytes += part.byteLength
    if (this.#bodyBytes === this.#body.byteLength) {
      frames.push(this.#body)
      this.#body = null
      this.#bodyBytes = 0
      this.#headBytes = 0
    }
    return head.byteLength + part.byteLength
  }

  #check(length: number): number {
    if (length > this.#maxFrameBytes) throw new FrameTooLargeError(`frame of ${length} bytes`)
    return length
  }
}

function lengthAt(bytes: Uint8Array, at: number): number {
  const [a = 0, b = 0, c = 0, d = 0] = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]
  return a * 0x1000000 + (b << 16) + (c << 8) + d
}
