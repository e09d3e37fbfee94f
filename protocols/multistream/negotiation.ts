/**
 * multistream-select (https://github.com/multiformats/multistream-select): two peers agree on what a stream speaks.
 * Sans-I/O: bytes in, bytes out. Each side says a line with its length before it and a line feed behind it.
 */
import { multistreamErrors } from './errors.ts'

const HEADER = '/multistream/1.0.0'
const NOT_AVAILABLE = 'na'
const LIST = 'ls'
/** Of one line, as other implementations have it. */
export const MAX_LINE_BYTES = 1_024
/** Lines a peer may say before one of them is a protocol spoken here. */
export const MAX_LINES = 64

const EMPTY = new Uint8Array(0)

export interface Progress {
  /** To be sent, in this order with what was to be sent before. */
  readonly reply: Uint8Array
  /** What was agreed on; `null` while more bytes are needed. */
  readonly protocol: string | null
  /** Bytes behind the negotiation, once it is over. */
  readonly rest: Uint8Array
}

/**
 * The side that asks, with one protocol to offer. It need not wait for the answer: what it sends behind `opening` is
 * read by the protocol when the peer speaks it, and there is nothing to go on with when the peer does not.
 */
export class Offer {
  /** The first bytes to send. */
  readonly opening: Uint8Array
  readonly #protocol: string
  readonly #lines = new LineReader()
  #count = 0

  constructor(protocol: string) {
    this.#protocol = protocol
    this.opening = Buffer.concat([lineOf(HEADER), lineOf(protocol)])
  }

  /** @throws NZ_MULTISTREAM_INVALID, NZ_MULTISTREAM_REFUSED */
  push(bytes: Uint8Array): Progress {
    this.#lines.push(bytes)
    for (let line = this.#lines.next(); line !== null; line = this.#lines.next()) {
      this.#count += 1
      if (this.#count === 1) continue
      if (line === this.#protocol) return { reply: EMPTY, protocol: line, rest: this.#lines.takeRest() }
      if (line === NOT_AVAILABLE)
        throw multistreamErrors.NZ_MULTISTREAM_REFUSED({ why: `it does not speak ${this.#protocol}` })
      throw multistreamErrors.NZ_MULTISTREAM_INVALID({ why: 'it answered something else' })
    }
    return { reply: EMPTY, protocol: null, rest: EMPTY }
  }
}

/** The side that is asked. */
export class Answer {
  readonly #protocols: readonly string[]
  readonly #lines = new LineReader()
  #count = 0

  constructor(protocols: readonly string[]) {
    this.#protocols = protocols
  }

  /** @throws NZ_MULTISTREAM_INVALID, NZ_MULTISTREAM_REFUSED when the peer asked for MAX_LINES things in vain */
  push(bytes: Uint8Array): Progress {
    this.#lines.push(bytes)
    const replies: Uint8Array[] = []
    for (let line = this.#lines.next(); line !== null; line = this.#lines.next()) {
      this.#count += 1
      if (this.#count > MAX_LINES) throw multistreamErrors.NZ_MULTISTREAM_REFUSED({ why: 'it asked too often' })
      const isSpoken = this.#protocols.includes(line)
      replies.push(this.#replyTo(line, isSpoken))
      if (isSpoken) return { reply: Buffer.concat(replies), protocol: line, rest: this.#lines.takeRest() }
    }
    return { reply: Buffer.concat(replies), protocol: null, rest: EMPTY }
  }

  #replyTo(line: string, isSpoken: boolean): Uint8Array {
    if (line === HEADER || isSpoken) return lineOf(line)
    if (line !== LIST) return lineOf(NOT_AVAILABLE)
    const all = Buffer.concat([...this.#protocols.map(lineOf), Buffer.from('\n')])
    return Buffer.concat([lengthOf(all.byteLength), all])
  }
}

/** `text`, at most MAX_LINE_BYTES with its line feed, as it is sent. */
function lineOf(text: string): Uint8Array {
  const line = Buffer.from(`${text}\n`, 'utf8')
  if (line.byteLength > MAX_LINE_BYTES) throw new RangeError('the name of a protocol is too long')
  return Buffer.concat([lengthOf(line.byteLength), line])
}

/** An unsigned varint below 2^14. */
function lengthOf(byteLength: number): Uint8Array {
  return byteLength < 0x80 ? Uint8Array.of(byteLength) : Uint8Array.of((byteLength & 0x7f) | 0x80, byteLength >> 7)
}

/** Cuts bytes into lines; the first one can only be the header. Holds at most one line that has not ended, and what `takeRest` is for. */
class LineReader {
  #held: Uint8Array = EMPTY
  #hasHeader = false

  push(bytes: Uint8Array): void {
    this.#held = this.#held.byteLength === 0 ? bytes : Buffer.concat([this.#held, bytes])
  }

  /** @throws NZ_MULTISTREAM_INVALID for a line that is too long, or does not end as lines do */
  next(): string | null {
    const [first, second] = this.#held
    if (first === undefined) return null
    // At once, not when a line of that length is complete: who speaks something else may wait for an answer.
    if (!this.#hasHeader && first !== HEADER.length + 1)
      throw multistreamErrors.NZ_MULTISTREAM_INVALID({ why: 'it began with something else' })
    const isLong = first >= 0x80
    if (isLong && second === undefined) return null
    const length = isLong ? (first & 0x7f) | ((second ?? 0) << 7) : first
    if (length === 0 || length > MAX_LINE_BYTES || (second ?? 0) >= 0x80)
      throw multistreamErrors.NZ_MULTISTREAM_INVALID({ why: 'a line has an invalid length' })
    const start = isLong ? 2 : 1
    if (this.#held.byteLength < start + length) return null
    const line = Buffer.from(this.#held.subarray(start, start + length)).toString('utf8')
    this.#held = this.#held.subarray(start + length)
    if (!line.endsWith('\n'))
      throw multistreamErrors.NZ_MULTISTREAM_INVALID({ why: 'a line does not end with a line feed' })
    if (!this.#hasHeader && line !== `${HEADER}\n`)
      throw multistreamErrors.NZ_MULTISTREAM_INVALID({ why: 'it began with something else' })
    this.#hasHeader = true
    return line.slice(0, -1)
  }

  takeRest(): Uint8Array {
    const rest = this.#held
    this.#held = EMPTY
    return rest
  }
}
