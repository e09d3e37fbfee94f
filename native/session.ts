/** One connection of the engine, as its muxer has it. */
import { COUNTER_SLOT_WORDS, COUNTERS } from './addon.ts'
import { COMMAND } from './command-ring.ts'
import type { CounterName, Failure } from './addon.ts'
import type { CommandRing } from './command-ring.ts'

/** What a connection tells. An exception of a listener costs that connection alone. */
export interface SessionListener {
  /** The peer opened a stream; `accept` it, whatever becomes of it. */
  onStream(stream: number): void
  /** `chunk` is lent for the time of the call: what is kept is copied, or had by `keep`. Say `consumed` when it has been used. */
  onData(stream: number, chunk: Uint8Array): void
  /** The peer writes no more on the stream. */
  onEnd(stream: number): void
  onReset(stream: number): void
  /** What was written to the stream before `mark` waits no longer. One for each mark. */
  onMark(stream: number): void
  onGoAway(reason: number): void
  /** After `shutdown`: everything has been given to the system. */
  onFlushed(): void
  /** There is room in the ring again for the writes that found none. */
  onRoom(): void
  /** Nothing follows. `errno` is 0 unless the failure is `io`. */
  onClosed(failure: Failure, errno: number): void
  /** A listener threw; the connection is aborted. */
  onError(error: unknown): void
}

/** One connection. Calls after its end do nothing. */
export class NativeSession {
  readonly id: number
  readonly counterSlot: number
  listener: SessionListener | null = null
  /** Of the engine that has it. */
  #ring: CommandRing
  /** Commands given while it goes from one engine to the other: three words each. */
  #held: number[] | null = null
  readonly #onNoRoom: (session: NativeSession) => void
  readonly #keep: (chunk: Uint8Array) => Uint8Array | null
  /** Those of all connections, with this one's from `#firstCounter` on. */
  #counters: BigUint64Array | null
  #firstCounter: number
  #isClosed = false

  constructor({ id, counterSlot, ring, counters, onNoRoom, keep }: NativeSessionInit) {
    this.id = id
    this.counterSlot = counterSlot
    this.#ring = ring
    this.#counters = counters
    this.#firstCounter = counterSlot * COUNTER_SLOT_WORDS
    this.#onNoRoom = onNoRoom
    this.#keep = keep
  }

  /** How many bytes were taken; with fewer than all, `onRoom` follows. */
  write(stream: number, bytes: Uint8Array): number {
    if (this.#isClosed) return bytes.byteLength
    const taken = this.#held !== null ? 0 : this.#ring.write(this.id, stream, bytes)
    if (taken < bytes.byteLength) this.#onNoRoom(this)
    return taken
  }

  /** `stream`: odd on the side that dialled, even on the other, each number once. */
  open(stream: number): void {
    this.#command(COMMAND.open, stream, 0)
  }

  accept(stream: number): void {
    this.#command(COMMAND.accept, stream, 0)
  }

  closeWrite(stream: number): void {
    this.#command(COMMAND.closeWrite, stream, 0)
  }

  reset(stream: number): void {
    this.#command(COMMAND.reset, stream, 0)
  }

  /** The peer may send as much again. */
  consumed(stream: number, byteLength: number): void {
    this.#command(COMMAND.consumed, stream, byteLength)
  }

  /**
   * While `onData` runs: the same bytes, and no copy of them, for as long as they are wanted. Their memory is the
   * session's again when V8 has collected them; `null` when too much of it is out already, or this Node takes no memory
   * of others. Worth it for large chunks.
   */
  keep(chunk: Uint8Array): Uint8Array | null {
    return this.#keep(chunk)
  }

  mark(stream: number): void {
    this.#command(COMMAND.mark, stream, 0)
  }

  /** Everything written leaves, then a GoAway; then `onFlushed`. */
  shutdown(reason: number): void {
    this.#command(COMMAND.shutdown, 0, reason)
  }

  abort({ isReset = false }: { readonly isReset?: boolean } = {}): void {
    this.#command(COMMAND.abort, 0, isReset ? 1 : 0)
  }

  /** `null` when too many connections are open to count for each. Exact up to 2^53. */
  counter(name: CounterName): number | null {
    const value = this.#counters?.[this.#firstCounter + COUNTERS.indexOf(name)]
    return value === undefined ? null : Number(value)
  }

  /** For the engine to call: whether its commands go there. */
  writesTo(ring: CommandRing): boolean {
    return this.#ring === ring && this.#held === null
  }

  /** For the engine to call: nothing is written for it before `goOn`, in order then. As many as its streams make. */
  hold(): void {
    this.#held ??= []
  }

  goOn(ring: CommandRing): void {
    this.#ring = ring
    const held = this.#held ?? []
    this.#held = null
    for (let at = 0; at < held.length; at += 3)
      ring.command(held[at] ?? 0, this.id, held[at + 1] ?? 0, held[at + 2] ?? 0)
  }

  end(): void {
    this.#isClosed = true
    // The slot may become another connection's.
    this.#counters = this.#counters?.slice(this.#firstCounter, this.#firstCounter + COUNTER_SLOT_WORDS) ?? null
    this.#firstCounter = 0
  }

  #command(type: number, stream: number, argument: number): void {
    if (this.#isClosed) return
    if (this.#held !== null) this.#held.push(type, stream, argument)
    else this.#ring.command(type, this.id, stream, argument)
  }
}

export interface NativeSessionInit {
  readonly id: number
  readonly counterSlot: number
  readonly ring: CommandRing
  readonly counters: BigUint64Array | null
  /** A write found no room. */
  readonly onNoRoom: (session: NativeSession) => void
  /** See `keep`. */
  readonly keep: (chunk: Uint8Array) => Uint8Array | null
}
