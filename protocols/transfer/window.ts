/**
 * What a sender holds of a transfer: every byte that may still be asked for again, with the running SHA-256 before
 * each chunk, so that it can check what a receiver says it has and go on from any offset it still holds.
 */
import { createHash } from 'node:crypto'
import { encodeDataFrame } from './frame.ts'
import { FRAME_HEADER_BYTES, MAX_DATA_BYTES, WINDOW_BYTES } from './limits.ts'
import type { Hash } from 'node:crypto'

interface Chunk {
  readonly offset: number
  readonly length: number
  /** Header and payload, ready to send. */
  readonly frame: Uint8Array
  /** SHA-256 state of everything before `offset`. */
  readonly hashBefore: Hash
}

export class SendWindow {
  readonly #capacityBytes: number
  #chunks: Chunk[] = []
  #hash = createHash('sha256')
  #acked = 0
  #end = 0

  constructor(capacityBytes: number = WINDOW_BYTES) {
    this.#capacityBytes = capacityBytes
  }

  /** Everything before it is safe with the receiver. */
  get acked(): number {
    return this.#acked
  }

  /** Bytes taken from the source so far. */
  get end(): number {
    return this.#end
  }

  /** Bytes that may be appended before the receiver must acknowledge. */
  get room(): number {
    return this.#capacityBytes - (this.#end - this.#acked)
  }

  /** A frame cut to fit into what is left would have to be copied, and the rest of it too. */
  get hasRoomForFrame(): boolean {
    return this.room >= Math.min(MAX_DATA_BYTES, this.#capacityBytes)
  }

  /** Takes ownership of `frame`, a data frame whose payload are the next bytes of the source. */
  append(frame: Uint8Array): void {
    const payload = frame.subarray(FRAME_HEADER_BYTES)
    if (payload.byteLength > this.room) throw new RangeError('window is full')
    this.#chunks.push({ offset: this.#end, length: payload.byteLength, frame, hashBefore: this.#hash.copy() })
    this.#hash.update(payload)
    this.#end += payload.byteLength
  }

  /** Forgets what the receiver has. Gives back buffers that are free for reuse. */
  ack(offset: number): Uint8Array[] {
    if (offset < this.#acked || offset > this.#end) throw new RangeError('acknowledged offset out of range')
    this.#acked = offset
    const keep = this.#chunks.findIndex((chunk) => chunk.offset + chunk.length > offset)
    return this.#chunks.splice(0, keep === -1 ? this.#chunks.length : keep).map(({ frame }) => frame)
  }

  /** Whether the bytes from `offset` on are still here (or are the next ones of the source). */
  holds(offset: number): boolean {
    return offset <= this.#end && offset >= (this.#chunks[0]?.offset ?? this.#end)
  }

  /** SHA-256 of the first `offset` bytes; `offset` must be held. */
  prefixSha256(offset: number): Uint8Array {
    const chunk = this.#chunkAt(offset)
    if (chunk === undefined) return this.#hash.copy().digest()
    const payload = chunk.frame.subarray(FRAME_HEADER_BYTES)
    return chunk.hashBefore
      .copy()
      .update(payload.subarray(0, offset - chunk.offset))
      .digest()
  }

  /** A data frame that starts at `offset`, and where it ends; `null` at the end. `offset` must be held. */
  frameAt(offset: number): { readonly frame: Uint8Array; readonly end: number } | null {
    const chunk = this.#chunkAt(offset)
    if (chunk === undefined) return null
    const end = chunk.offset + chunk.length
    if (offset === chunk.offset) return { frame: chunk.frame, end }
    return { frame: encodeDataFrame(chunk.frame.subarray(FRAME_HEADER_BYTES + offset - chunk.offset)), end }
  }

  /** Begins anew at `offset` of a source that can be read again; `hash` is the state of everything before. */
  rewind(offset: number, hash: Hash): void {
    this.#chunks = []
    this.#hash = hash
    this.#acked = offset
    this.#end = offset
  }

  #chunkAt(offset: number): Chunk | undefined {
    if (!this.holds(offset)) throw new RangeError('offset is not held')
    let low = 0
    let high = this.#chunks.length
    while (low < high) {
      const middle = (low + high) >>> 1
      const chunk = this.#chunks[middle]
      if (chunk !== undefined && chunk.offset + chunk.length <= offset) low = middle + 1
      else high = middle
    }
    return this.#chunks[low]
  }
}
