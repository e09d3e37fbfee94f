/**
 * Bytes on their way to the disk, copied into a few large buffers that are used again and again: what comes from the
 * network is small and becomes garbage at once, instead of living as long as a slow disk needs.
 */

/** One write to the disk. */
export const BATCH_BUFFER_BYTES = 1_048_576

/** Buffers kept for reuse; a window and what is being written fit into them. */
const MAX_POOLED = 10

export interface Filled {
  readonly buffer: Uint8Array
  length: number
}

export class BatchBuffers {
  readonly #pool: Uint8Array[] = []
  #filled: Filled[] = []
  #bytes = 0

  get bytes(): number {
    return this.#bytes
  }

  push(bytes: Uint8Array): void {
    let rest = bytes
    while (rest.byteLength > 0) {
      const last = this.#open()
      const piece = rest.subarray(0, last.buffer.byteLength - last.length)
      last.buffer.set(piece, last.length)
      last.length += piece.byteLength
      rest = rest.subarray(piece.byteLength)
    }
    this.#bytes += bytes.byteLength
  }

  /** Everything pushed so far; give it back with `recycle`. */
  take(): Filled[] {
    const filled = this.#filled
    this.#filled = []
    this.#bytes = 0
    return filled
  }

  recycle(filled: readonly Filled[]): void {
    for (const { buffer } of filled) if (this.#pool.length < MAX_POOLED) this.#pool.push(buffer)
  }

  /** Forgets everything, the pool too. */
  clear(): void {
    this.take()
    this.#pool.length = 0
  }

  #open(): Filled {
    const last = this.#filled.at(-1)
    if (last !== undefined && last.length < last.buffer.byteLength) return last
    const next = { buffer: this.#pool.pop() ?? new Uint8Array(BATCH_BUFFER_BYTES), length: 0 }
    this.#filled.push(next)
    return next
  }
}
