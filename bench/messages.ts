/**
 * Messages that say who they are: a number in the first four bytes, then a part of one random block that starts
 * elsewhere in each message. The receiver counts, orders and compares every byte. After `MADE_BYTES` of them they begin
 * anew: who sends many does not make each.
 */
import { createHash } from 'node:crypto'

const BLOCK_BYTES = 131_072
/** Enough of the block that a message of the largest size can start anywhere in the first part of it. */
const STARTS = 4_093
/** As many different messages as these bytes hold are made, once, and sent again and again. */
const MADE_BYTES = 16_777_216
export const MAX_MESSAGE_BYTES = BLOCK_BYTES - STARTS

const block = new Uint8Array(
  Buffer.concat(
    Array.from({ length: BLOCK_BYTES / 32 }, (_, i) => createHash('sha256').update(`nzcore bench ${i}`).digest()),
  ),
)

/** How many messages of `size` bytes differ from each other. */
export function differentMessages(size: number): number {
  return Math.max(1, Math.floor(MADE_BYTES / size))
}

/** A new array for each call: a transport may keep it. */
export function messageOf(index: number, size: number): Uint8Array {
  const message = block.slice(startOf(index), startOf(index) + size)
  new DataView(message.buffer).setUint32(0, index)
  return message
}

/** Cuts a stream of bytes into messages of one size and checks each. */
export class MessageCheck {
  readonly #size: number
  readonly #different: number
  readonly #partial: Buffer
  #held = 0
  #next = 0

  constructor(size: number) {
    this.#size = size
    this.#different = differentMessages(size)
    this.#partial = Buffer.alloc(size)
  }

  /** Messages that came whole. */
  get count(): number {
    return this.#next
  }

  /** @throws Error when a message is not the one that comes next, byte by byte */
  push(bytes: Uint8Array): void {
    const whole = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    let offset = 0
    if (this.#held > 0) {
      const part = whole.subarray(0, this.#size - this.#held)
      this.#partial.set(part, this.#held)
      this.#held += part.byteLength
      offset = part.byteLength
      if (this.#held < this.#size) return
      this.#held = 0
      this.#check(this.#partial, 0)
    }
    for (; offset + this.#size <= whole.byteLength; offset += this.#size) this.#check(whole, offset)
    this.#held = whole.copy(this.#partial, 0, offset)
  }

  /** In place: what the check costs is measured with every variant, and should be little. */
  #check(bytes: Buffer, at: number): void {
    const index = this.#next++ % this.#different
    const start = startOf(index)
    const number = bytes.readUInt32BE(at)
    const isIntact = bytes.compare(block, start + 4, start + this.#size, at + 4, at + this.#size) === 0
    if (number !== index || !isIntact) throw new Error(`message ${index} came as ${number}, intact: ${isIntact}`)
  }
}

function startOf(index: number): number {
  return (index * 61) % STARTS
}
