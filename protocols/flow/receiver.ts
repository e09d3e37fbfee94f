/** The receiving half of a stream: segments in any order in, bytes in order out, each once. */
import { MAX_EARLY_PIECES, MAX_RANGES, RECEIVE_WINDOW_BYTES } from './limits.ts'
import type { Range, Segment } from './segment.ts'

/** Room that is told to the peer at once. */
const TELL_ROOM_OF = RECEIVE_WINDOW_BYTES / 4

export class Receiver {
  /** In order, not read yet. */
  readonly #ready: Uint8Array[] = []
  /** Behind a gap, ascending by offset; they do not overlap. */
  readonly #early: Array<{ readonly offset: number; readonly bytes: Uint8Array }> = []
  #next = 0
  #readBytes = 0
  #toldLimit = RECEIVE_WINDOW_BYTES
  /** Where the stream ends, once it is known. */
  #endOffset: number | null = null
  #owesAck = false

  /** Bytes held for the reader. */
  get heldBytes(): number {
    const early = this.#early.reduce((sum, { bytes }) => sum + bytes.length, 0)
    return this.#next - this.#readBytes + early
  }

  /** All came, up to the end. */
  get isComplete(): boolean {
    return this.#endOffset === this.#next
  }

  /** All came and was read. */
  get isAtEnd(): boolean {
    return this.isComplete && this.#ready.length === 0
  }

  get owesAck(): boolean {
    return this.#owesAck
  }

  /** `false` for what contradicts what came before, or has no room. */
  receive(offset: number, bytes: Uint8Array, isLast: boolean): boolean {
    const end = offset + bytes.length
    this.#owesAck = true
    if (end > this.#readBytes + RECEIVE_WINDOW_BYTES) return false
    if (this.#endOffset !== null && (end > this.#endOffset || (isLast && end !== this.#endOffset))) return false
    if (isLast) {
      if (end < this.#highest()) return false
      this.#endOffset = end
    }
    this.#keep(offset, bytes)
    return true
  }

  /** The next bytes, in order; `null` when none are here. */
  read(): Uint8Array | null {
    const bytes = this.#ready.shift()
    if (bytes === undefined) return null
    this.#readBytes += bytes.length
    if (this.#limit() - this.#toldLimit >= TELL_ROOM_OF) this.#owesAck = true
    return bytes
  }

  /** What the peer is told; nothing is owed afterwards. */
  acknowledgement(stream: number): Segment {
    this.#owesAck = false
    this.#toldLimit = this.#limit()
    const next = this.#next + (this.isComplete ? 1 : 0)
    return { type: 'ack', stream, next, limit: this.#toldLimit, ranges: this.#ranges() }
  }

  /** A stream that is not read any more takes what comes and forgets it. */
  discard(): void {
    for (let bytes = this.read(); bytes !== null; bytes = this.read());
  }

  #limit(): number {
    return this.#readBytes + RECEIVE_WINDOW_BYTES
  }

  #highest(): number {
    const last = this.#early.at(-1)
    return last === undefined ? this.#next : last.offset + last.bytes.length
  }

  #keep(offset: number, bytes: Uint8Array): void {
    const known = this.#next - offset
    if (bytes.length > 0 && known >= 0) {
      if (known < bytes.length) this.#append(bytes.subarray(known))
    } else if (bytes.length > 0) this.#insert(offset, bytes)
    for (let first = this.#early[0]; first !== undefined && first.offset <= this.#next; first = this.#early[0]) {
      this.#early.shift()
      const rest = first.bytes.subarray(this.#next - first.offset)
      if (rest.length > 0) this.#append(rest)
    }
  }

  #append(bytes: Uint8Array): void {
    this.#ready.push(bytes)
    this.#next += bytes.length
  }

  /** What overlaps with what is here already comes again when it is missing. */
  #insert(offset: number, bytes: Uint8Array): void {
    if (this.#early.length >= MAX_EARLY_PIECES) return
    const at = this.#early.findIndex((piece) => piece.offset >= offset)
    const place = at === -1 ? this.#early.length : at
    const [before, after] = [this.#early[place - 1], this.#early[place]]
    if (before !== undefined && before.offset + before.bytes.length > offset) return
    if (after !== undefined && offset + bytes.length > after.offset) return
    this.#early.splice(place, 0, { offset, bytes })
  }

  #ranges(): readonly Range[] {
    const ranges: Array<{ from: number; to: number }> = []
    for (const { offset, bytes } of this.#early) {
      const last = ranges.at(-1)
      const to = offset + bytes.length
      if (last !== undefined && last.to === offset) last.to = to
      else ranges.push({ from: offset, to })
    }
    const [end] = this.#endOffset === null ? [] : ranges.filter(({ to }) => to === this.#endOffset)
    // The end itself is told with what is before it.
    if (end !== undefined) end.to += 1
    return ranges.slice(0, MAX_RANGES)
  }
}
