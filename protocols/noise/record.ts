/**
 * Noise messages on a byte stream, as libp2p frames them: a 2-byte big-endian length, then the message
 * (https://github.com/libp2p/specs/blob/master/noise/README.md, "Wire format").
 */
import { MAX_MESSAGE_BYTES } from './handshake.ts'

export const LENGTH_BYTES = 2

const EMPTY = new Uint8Array(0)
const MAX_FRAMED_BYTES = LENGTH_BYTES + MAX_MESSAGE_BYTES

/** Buffers for messages that arrive in pieces, kept for the next one that does; an idle connection holds none. */
const spareBuffers: Uint8Array[] = []
const MAX_SPARE_BUFFERS = 8

/**
 * Cuts a byte stream into messages. Keeps at most one message and one chunk; a message that lies whole in a chunk is
 * not copied.
 */
export class RecordReader {
  #chunk: Uint8Array = EMPTY
  #offset = 0
  /** Holds the beginning of a message whose end has not arrived, length included. */
  #partial: Uint8Array | null = null
  #partialBytes = 0

  /** Bytes that wait for their message to be complete or to be taken. */
  get bufferedBytes(): number {
    return this.#partialBytes + this.#chunk.byteLength - this.#offset
  }

  push(chunk: Uint8Array): void {
    const isUsedUp = this.#offset === this.#chunk.byteLength
    this.#chunk = isUsedUp ? chunk : Buffer.concat([this.#chunk.subarray(this.#offset), chunk])
    this.#offset = 0
  }

  /**
   * The next whole message; `null` when more bytes are needed: then no chunk that was pushed is held any more. A view:
   * valid until the next call of `next` or `push`.
   */
  next(): Uint8Array | null {
    const message = this.#partialBytes > 0 ? this.#completed() : this.#whole()
    if (this.#offset === this.#chunk.byteLength) {
      this.#chunk = EMPTY
      this.#offset = 0
    }
    return message
  }

  /** Every byte that waits, and an empty reader. */
  takeAll(): Uint8Array {
    const partial = (this.#partial ?? EMPTY).subarray(0, this.#partialBytes)
    const all = new Uint8Array(Buffer.concat([partial, this.#chunk.subarray(this.#offset)]))
    this.release()
    return all
  }

  /** Gives back what it borrowed. Call it when the connection has ended. */
  release(): void {
    this.#chunk = EMPTY
    this.#offset = 0
    this.#partialBytes = 0
    this.#releasePartial()
  }

  #whole(): Uint8Array | null {
    this.#releasePartial()
    const available = this.#chunk.byteLength - this.#offset
    const length = available < LENGTH_BYTES ? 0 : lengthAt(this.#chunk, this.#offset)
    if (available < LENGTH_BYTES + length) {
      if (available > 0) this.#keep(available)
      return null
    }
    const start = this.#offset + LENGTH_BYTES
    this.#offset = start + length
    return this.#chunk.subarray(start, this.#offset)
  }

  #completed(): Uint8Array | null {
    const partial = this.#partial ?? EMPTY
    if (this.#partialBytes < LENGTH_BYTES) this.#keep(LENGTH_BYTES - this.#partialBytes)
    if (this.#partialBytes < LENGTH_BYTES) return null
    const end = LENGTH_BYTES + lengthAt(partial, 0)
    this.#keep(end - this.#partialBytes)
    if (this.#partialBytes < end) return null
    this.#partialBytes = 0
    return partial.subarray(LENGTH_BYTES, end)
  }

  /** Moves up to `byteLength` bytes of the chunk behind those kept. */
  #keep(byteLength: number): void {
    this.#partial ??= spareBuffers.pop() ?? new Uint8Array(MAX_FRAMED_BYTES)
    const bytes = this.#chunk.subarray(this.#offset, this.#offset + byteLength)
    this.#partial.set(bytes, this.#partialBytes)
    this.#partialBytes += bytes.byteLength
    this.#offset += bytes.byteLength
  }

  #releasePartial(): void {
    if (this.#partial !== null && spareBuffers.length < MAX_SPARE_BUFFERS) spareBuffers.push(this.#partial)
    this.#partial = null
  }
}

function lengthAt(bytes: Uint8Array, offset: number): number {
  return ((bytes[offset] ?? 0) << 8) | (bytes[offset + 1] ?? 0)
}

/** `message` with its length in front. `message` has at most 65,535 bytes. */
export function frameMessage(message: Uint8Array): Uint8Array {
  if (message.byteLength > MAX_MESSAGE_BYTES) throw new RangeError('a Noise message has at most 65,535 bytes')
  const framed = new Uint8Array(LENGTH_BYTES + message.byteLength)
  framed[0] = message.byteLength >> 8
  framed[1] = message.byteLength & 0xff
  framed.set(message, LENGTH_BYTES)
  return framed
}
