/**
 * Bytes of a stream that nobody has read yet, in order.
 *
 * A view of a record keeps the whole record: kept as they come, single bytes among the frames of another stream would
 * hold thousands of times what is counted. Small pieces are gathered, other small parts of records are copied.
 */

/** Smaller pieces than this are gathered while nobody reads: a piece of one byte costs a hundred. */
const GATHER_BYTES = 4 * 1024

export class UnreadBytes {
  readonly #pieces: Uint8Array[] = []
  /** The last of the pieces, while it has room. */
  #gathering: { readonly buffer: Uint8Array; length: number } | null = null
  #byteLength = 0

  get byteLength(): number {
    return this.#byteLength
  }

  /** `isLent`: the bytes are another's once this returns, so they are copied. */
  push(bytes: Uint8Array, { isLent = false }: { readonly isLent?: boolean } = {}): void {
    const { byteLength } = bytes
    this.#byteLength += byteLength
    const last = this.#gathering
    if (byteLength < GATHER_BYTES && last !== null && last.length + byteLength <= last.buffer.byteLength) {
      last.buffer.set(bytes, last.length)
      last.length += byteLength
      this.#pieces[this.#pieces.length - 1] = last.buffer.subarray(0, last.length)
      return
    }
    this.#gathering = null
    if (byteLength >= GATHER_BYTES || this.#pieces.length === 0) {
      const isKept = !isLent && byteLength * 2 >= bytes.buffer.byteLength
      this.#pieces.push(isKept ? bytes : bytes.slice())
    } else {
      const buffer = new Uint8Array(GATHER_BYTES)
      buffer.set(bytes)
      this.#gathering = { buffer, length: byteLength }
      this.#pieces.push(buffer.subarray(0, byteLength))
    }
  }

  shift(): Uint8Array | undefined {
    const piece = this.#pieces.shift()
    if (this.#pieces.length === 0) this.#gathering = null
    this.#byteLength -= piece?.byteLength ?? 0
    return piece
  }

  /** Throws all away and returns how much that was. */
  clear(): number {
    const { byteLength } = this
    this.#pieces.length = 0
    this.#gathering = null
    this.#byteLength = 0
    return byteLength
  }
}
