/**
 * The commands to an engine, in memory shared with it (src/command_ring.h): this side writes, the engine's thread reads;
 * an engine without a thread reads at once when it is woken. A command is sixteen bytes, behind a write its payload; all
 * begin at a multiple of sixteen. Numbers are little-endian, as on every processor the addon is made for.
 *
 * Nothing is lost when the ring is full: a write says that it took nothing, and other commands wait here for room.
 */

export const COMMAND = {
  wrap: 0,
  open: 1,
  accept: 2,
  write: 3,
  closeWrite: 4,
  reset: 5,
  consumed: 6,
  mark: 7,
  ping: 8,
  shutdown: 9,
  abort: 10,
  release: 11,
} as const

/** Words of the control block (src/command_ring.h, `Control`). */
const CONTROL = { head: 0, tail: 1, isSleeping: 2, isWaiting: 3 } as const

const COMMAND_BYTES = 16
/** Most bytes of one write; larger ones are cut. */
const MAX_WRITE_BYTES = 64 * 1024
/** The thread is told at once when this much was written since it was last told. */
const PUBLISH_BYTES = 128 * 1024

export interface CommandRingInit {
  /** A power of two. */
  readonly ring: ArrayBuffer
  readonly control: ArrayBuffer
  /** The thread sleeps: wake it. There is no thread: run what was written. */
  readonly onWake: () => void
}

export class CommandRing {
  readonly #bytes: Uint8Array
  readonly #words: Uint32Array
  readonly #control: Uint32Array
  readonly #size: number
  readonly #onWake: () => void
  /** Bytes written, bytes made visible, bytes read as far as known; all modulo 2^32. */
  #tail = 0
  #published = 0
  #head = 0
  /** Commands that found no room: four words each. */
  #waiting: number[] = []
  #isScheduled = false
  #hasPublishedThisTurn = false

  constructor({ ring, control, onWake }: CommandRingInit) {
    this.#bytes = new Uint8Array(ring)
    this.#words = new Uint32Array(ring)
    this.#control = new Uint32Array(control)
    this.#size = ring.byteLength
    this.#onWake = onWake
  }

  command(type: number, session: number, stream: number, argument: number): void {
    if (this.#waiting.length === 0 && this.#hasRoom(COMMAND_BYTES)) this.#put(type, session, stream, argument)
    else {
      this.#waiting.push(type, session, stream, argument)
      this.#wait()
    }
    this.#schedule()
  }

  /** Copies `bytes` for the stream and returns how many it took; with fewer than all, `onRoom` of the engine follows. */
  write(session: number, stream: number, bytes: Uint8Array): number {
    let taken = 0
    while (taken < bytes.byteLength) {
      const size = Math.min(bytes.byteLength - taken, MAX_WRITE_BYTES)
      const padded = COMMAND_BYTES + ((size + 15) & ~15)
      if (this.#waiting.length > 0 || !this.#hasRoom(padded)) {
        this.#wait()
        break
      }
      this.#put(COMMAND.write, session, stream, size)
      const at = this.#tail & (this.#size - 1)
      this.#bytes.set(size === bytes.byteLength ? bytes : bytes.subarray(taken, taken + size), at)
      this.#tail = (this.#tail + padded - COMMAND_BYTES) >>> 0
      taken += size
      if ((this.#tail - this.#published) >>> 0 >= PUBLISH_BYTES) this.publish()
    }
    this.#schedule()
    return taken
  }

  /** Shows the thread what was written. */
  publish(): void {
    if (this.#published === this.#tail) return
    this.#published = this.#tail
    Atomics.store(this.#control, CONTROL.tail, this.#tail)
    // The thread says that it sleeps before it looks at the tail for the last time: one of both is seen.
    if (Atomics.load(this.#control, CONTROL.isSleeping) === 0) return
    Atomics.store(this.#control, CONTROL.isSleeping, 0)
    this.#onWake()
  }

  /** Something has been told: what is written now answers it. */
  beginTurn(): void {
    this.#hasPublishedThisTurn = false
  }

  /** All that was written is read: for a reader that reads before `onWake` returns. */
  drain(): void {
    this.publish()
    while (this.#waiting.length > 0) this.onRoom()
  }

  /** The thread has read on: what waited goes first. True when writers may go on. */
  onRoom(): boolean {
    const waiting = this.#waiting
    let done = 0
    while (done < waiting.length && this.#hasRoom(COMMAND_BYTES)) {
      this.#put(waiting[done] ?? 0, waiting[done + 1] ?? 0, waiting[done + 2] ?? 0, waiting[done + 3] ?? 0)
      done += 4
    }
    this.#waiting = done === waiting.length ? [] : waiting.slice(done)
    if (this.#waiting.length > 0) this.#wait()
    this.publish()
    return this.#waiting.length === 0
  }

  /** Room for a command and its payload in one piece, after the rest of the ring was skipped if need be. */
  #hasRoom(byteLength: number): boolean {
    const offset = this.#tail & (this.#size - 1)
    const skipped = offset + byteLength > this.#size ? this.#size - offset : 0
    if (!this.#isFree(skipped + byteLength)) return false
    if (skipped > 0) {
      this.#words[offset >> 2] = COMMAND.wrap
      this.#tail = (this.#tail + skipped) >>> 0
    }
    return true
  }

  #isFree(byteLength: number): boolean {
    if (this.#size - ((this.#tail - this.#head) >>> 0) >= byteLength) return true
    this.#head = Atomics.load(this.#control, CONTROL.head)
    return this.#size - ((this.#tail - this.#head) >>> 0) >= byteLength
  }

  #put(type: number, session: number, stream: number, argument: number): void {
    const at = (this.#tail & (this.#size - 1)) >> 2
    this.#words[at] = type
    this.#words[at + 1] = session
    this.#words[at + 2] = stream
    this.#words[at + 3] = argument
    this.#tail = (this.#tail + COMMAND_BYTES) >>> 0
  }

  #wait(): void {
    Atomics.store(this.#control, CONTROL.isWaiting, 1)
    this.publish()
    // With nothing new to show, the thread may sleep on a ring that it has emptied since.
    if (Atomics.load(this.#control, CONTROL.isSleeping) !== 0) this.#onWake()
  }

  /** An answer leaves at the end of the running task; who writes on and on, also with an `await` between, once a turn. */
  #schedule(): void {
    if (this.#isScheduled || this.#published === this.#tail) return
    this.#isScheduled = true
    if (this.#hasPublishedThisTurn) {
      setImmediate(this.#endTurn)
      return
    }
    this.#hasPublishedThisTurn = true
    queueMicrotask(this.#publishScheduled)
  }

  readonly #publishScheduled = (): void => {
    this.#isScheduled = false
    this.publish()
  }

  readonly #endTurn = (): void => {
    this.#hasPublishedThisTurn = false
    this.#publishScheduled()
  }
}
