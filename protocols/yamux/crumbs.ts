/**
 * Puts small pieces of one stream together that came in one record: a peer that sends a byte a frame costs its reader no
 * call a byte. Who gathers flushes before anything else is told of that stream, and before its own call returns.
 */

/** Larger pieces are passed on as they are. */
export const MAX_CRUMB_BYTES = 256
const GATHERED_BYTES = 4_096

/** Whatever is gathered is handed over within one call: one area serves all. */
const area = new Uint8Array(GATHERED_BYTES)

export class Crumbs<Owner> {
  readonly #pass: (owner: Owner, bytes: Uint8Array) => void
  #owner: Owner | null = null
  /** The only piece so far: most come alone, and are not copied. */
  #first: Uint8Array | null = null
  #gatheredBytes = 0

  constructor(pass: (owner: Owner, bytes: Uint8Array) => void) {
    this.#pass = pass
  }

  push(owner: Owner, piece: Uint8Array): void {
    const isCrumb = piece.byteLength <= MAX_CRUMB_BYTES
    if (this.#owner !== null && (owner !== this.#owner || !isCrumb || this.#isFull)) this.flush()
    if (!isCrumb) return this.#pass(owner, piece)
    if (this.#owner === null) {
      this.#owner = owner
      this.#first = piece
      return
    }
    if (this.#first !== null) this.#gather(this.#first)
    this.#first = null
    this.#gather(piece)
  }

  flush(): void {
    const owner = this.#owner
    if (owner === null) return
    const bytes = this.#first ?? area.slice(0, this.#gatheredBytes)
    this.#owner = null
    this.#first = null
    this.#gatheredBytes = 0
    this.#pass(owner, bytes)
  }

  get #isFull(): boolean {
    return this.#gatheredBytes + MAX_CRUMB_BYTES > GATHERED_BYTES
  }

  #gather(piece: Uint8Array): void {
    area.set(piece, this.#gatheredBytes)
    this.#gatheredBytes += piece.byteLength
  }
}
