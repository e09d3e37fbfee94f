/** Everything that happens in a run, one line each, and the digest over all lines: equal for equal runs. */
import { createHash } from 'node:crypto'

/** Lines are hashed together in pieces of about this many characters. */
const PIECE_CHARACTERS = 65_536

export class Trace {
  readonly #hash = createHash('sha256')
  readonly #onLine: ((line: string) => void) | undefined
  #piece = ''
  #lines = 0

  constructor({ onLine }: { readonly onLine?: ((line: string) => void) | undefined } = {}) {
    this.#onLine = onLine
  }

  get lines(): number {
    return this.#lines
  }

  note(atMs: number, what: string): void {
    const line = `${atMs} ${what}`
    this.#lines += 1
    this.#onLine?.(line)
    this.#piece += `${line}\n`
    if (this.#piece.length > PIECE_CHARACTERS) this.#flush()
  }

  /** Of all lines up to now, in hexadecimal. */
  digest(): string {
    this.#flush()
    return this.#hash.copy().digest('hex')
  }

  #flush(): void {
    this.#hash.update(this.#piece)
    this.#piece = ''
  }
}
