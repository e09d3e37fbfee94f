/** Frames of a 2-byte big-endian length and as many bytes, as join and forward headers use them: encoder and splitter. */

const LENGTH_BYTES = 2

/** @throws RangeError above 65 535 bytes: the caller bounds what it sends */
export function shortFrame(body: Uint8Array): Uint8Array {
  if (body.length > 0xffff) throw new RangeError(`frame of ${body.length} bytes`)
  const frame = new Uint8Array(LENGTH_BYTES + body.length)
  new DataView(frame.buffer).setUint16(0, body.length)
  frame.set(body, LENGTH_BYTES)
  return frame
}

export type NextFrame =
  | { readonly state: 'frame'; readonly body: Uint8Array }
  | { readonly state: 'incomplete' }
  /** The peer announced more than `maxBytes`; nothing after it can be read. */
  | { readonly state: 'tooLarge' }

/** Cuts the bytes of a stream into frames; holds less than one frame and what came in the same chunk after it. */
export class ShortFrames {
  readonly #maxBytes: number
  #pending: Uint8Array = new Uint8Array()

  constructor({ maxBytes }: { readonly maxBytes: number }) {
    this.#maxBytes = maxBytes
  }

  push(bytes: Uint8Array): void {
    const joined = new Uint8Array(this.#pending.length + bytes.length)
    joined.set(this.#pending)
    joined.set(bytes, this.#pending.length)
    this.#pending = joined
  }

  next(): NextFrame {
    if (this.#pending.length < LENGTH_BYTES) return { state: 'incomplete' }
    const length = new DataView(this.#pending.buffer, this.#pending.byteOffset).getUint16(0)
    if (length > this.#maxBytes) return { state: 'tooLarge' }
    if (this.#pending.length < LENGTH_BYTES + length) return { state: 'incomplete' }
    const body = this.#pending.slice(LENGTH_BYTES, LENGTH_BYTES + length)
    this.#pending = this.#pending.slice(LENGTH_BYTES + length)
    return { state: 'frame', body }
  }

  /** What came after the last frame: the first bytes of whatever follows the frames. */
  rest(): Uint8Array {
    const rest = this.#pending
    this.#pending = new Uint8Array()
    return rest
  }
}
