/**
 * Noise messages on a byte stream, as libp2p frames them: a 2-byte big-endian length, then the message
 * (https://github.com/libp2p/specs/blob/master/noise/README.md, "Wire format").
 */
import { MAX_MESSAGE_BYTES } from './handshake.ts'

export const LENGTH_BYTES = 2

/** Cuts a byte stream into messages. Keeps at most one message and one chunk. */
export class RecordReader {
  #rest: Uint8Array = new Uint8Array(0)
  #offset = 0

  /** Bytes that wait for their message to be complete or to be taken. */
  get bufferedBytes(): number {
    return this.#rest.byteLength - this.#offset
  }

  push(chunk: Uint8Array): void {
    if (chunk.byteLength === 0) return
    if (this.bufferedBytes === 0) this.#rest = chunk
    else this.#rest = Buffer.concat([this.#rest.subarray(this.#offset), chunk])
    this.#offset = 0
  }

  /** The next whole message as a view of what was pushed; `null` when more bytes are needed. */
  next(): Uint8Array | null {
    const available = this.bufferedBytes
    if (available < LENGTH_BYTES) return null
    const length = ((this.#rest[this.#offset] ?? 0) << 8) | (this.#rest[this.#offset + 1] ?? 0)
    if (available < LENGTH_BYTES + length) return null
    const start = this.#offset + LENGTH_BYTES
    this.#offset = start + length
    const message = this.#rest.subarray(start, this.#offset)
    if (this.bufferedBytes === 0) {
      this.#rest = new Uint8Array(0)
      this.#offset = 0
    }
    return message
  }
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
