/** The JS thread's side of the engine: sessions by number, commands into the ring, events out of batches. */
import { COUNTER_SLOT_WORDS, COUNTERS, EVENT, EVENT_WORDS, FAILURES, MAX_EVENTS, SLABS_BYTES } from './addon.ts'
import { COMMAND, CommandRing } from './command-ring.ts'
import type { Addon, CounterName, Failure } from './addon.ts'
import type { Started } from './binding.ts'

const RING_BYTES = 2 * 1024 * 1024
const CONTROL_BYTES = 64
/** Connections whose counters can be read; those beyond count for themselves alone. */
const MAX_COUNTER_SLOTS = 16_384
/** What all receive windows together may have grown by. */
const WINDOW_BUDGET_BYTES = 256 * 1024 * 1024
const KEEP_ALIVE_MS = 30_000
/** Records one key may seal or open (protocols/noise/cipher-state.ts). */
const MAX_RECORDS = 2 ** 48
const EBUSY = 16
const ESHUTDOWN = 108

/** What a connection tells. An exception of a listener costs that connection alone. */
export interface SessionListener {
  /** The peer opened a stream; `accept` it, whatever becomes of it. */
  onStream(stream: number): void
  /** `chunk` is lent for the time of the call: what is kept is copied. Say `consumed` when it has been used. */
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

export interface AttachInit {
  /** Of the JS socket, which stays open and is never read again. */
  readonly fd: number
  /** Hands everything over, once nothing but a bug can fail any more; `null` leaves the connection as it is. */
  readonly take: () => TakenSession | null
  readonly isClient: boolean
  readonly mergesMessages: boolean
  readonly maxInboundStreams: number
  /** Streams of the peer that wait for `accept`. */
  readonly maxBacklog: number
  readonly maxWindowBytes: number
  /** @default 2^48 */
  readonly maxRecords?: number
}

export interface TakenSession {
  /** 32 bytes; zeroed here. */
  readonly sendKey: Uint8Array
  readonly sendCount: number
  readonly receiveKey: Uint8Array
  readonly receiveCount: number
  /** Opened already, to be read first. */
  readonly plaintext: Uint8Array
  /** Arrived and not opened. */
  readonly sealed: Uint8Array
}

export class Engine {
  readonly backend: 'io_uring' | 'epoll'
  readonly #addon: Addon
  readonly #handle: object
  readonly #ring: CommandRing
  readonly #events: Uint32Array
  readonly #slabs: Uint8Array
  readonly #counters: BigUint64Array
  readonly #freeSlots: number[] = []
  #usedSlots = 0
  readonly #sessions = new Map<number, NativeSession>()
  readonly #needRoom = new Set<NativeSession>()
  #nextId = 1
  #isStopped = false

  private constructor(addon: Addon, handle: object, backend: 'io_uring' | 'epoll', areas: Areas, ring: CommandRing) {
    this.#addon = addon
    this.#handle = handle
    this.backend = backend
    this.#events = new Uint32Array(areas.events)
    this.#slabs = new Uint8Array(areas.slabs)
    this.#counters = new BigUint64Array(areas.counters)
    this.#ring = ring
  }

  static start(
    addon: Addon,
    { mayUseUring, windowBudgetBytes = WINDOW_BUDGET_BYTES }: { mayUseUring: boolean; windowBudgetBytes?: number },
  ): Started {
    const areas: Areas = {
      commands: new ArrayBuffer(RING_BYTES),
      control: new ArrayBuffer(CONTROL_BYTES),
      counters: new ArrayBuffer(MAX_COUNTER_SLOTS * COUNTER_SLOT_WORDS * 8),
      events: new ArrayBuffer(MAX_EVENTS * EVENT_WORDS * 4),
      slabs: new ArrayBuffer(SLABS_BYTES),
    }
    const { backend, uringError, handle } = addon.start({
      ...areas,
      onBatch: (count, offset, overflow) => engine?.onBatch(count, offset, overflow),
      mayUseUring,
      windowBudgetBytes,
      keepAliveMs: KEEP_ALIVE_MS,
    })
    if (handle === undefined) return { started: false, errno: -backend }
    const onWake = (): void => addon.wake(handle)
    const ring = new CommandRing({ ring: areas.commands, control: areas.control, onWake })
    const engine: Engine | undefined = new Engine(addon, handle, backend === 1 ? 'io_uring' : 'epoll', areas, ring)
    return { started: true, engine, uringError: uringError ?? 0 }
  }

  /** Open connections. */
  get size(): number {
    return this.#sessions.size
  }

  /**
   * Takes a connection over. A number is an errno: nothing has happened then. Set the session's listener in the same
   * step: it is called from the next turn of the event loop on.
   */
  attach({ fd, take, ...init }: AttachInit): NativeSession | number {
    if (this.#isStopped) return ESHUTDOWN
    const own = this.#addon.duplicate(this.#handle, fd)
    if (own < 0) return -own
    const taken = take()
    if (taken === null) {
      this.#addon.release(own)
      return EBUSY
    }
    const id = this.#nextId
    this.#nextId = id === 0xffff_ffff ? 1 : id + 1
    const counterSlot = this.#freeSlots.pop() ?? this.#usedSlots++
    try {
      const options = { maxRecords: MAX_RECORDS, ...init, ...taken, fd: own, id, counterSlot }
      const errno = this.#addon.attach(this.#handle, options)
      if (errno !== 0) throw new Error(`the native session refuses the connection: errno ${errno}`)
    } finally {
      taken.sendKey.fill(0)
      taken.receiveKey.fill(0)
    }
    const session = new NativeSession({
      id,
      counterSlot,
      ring: this.#ring,
      counters: counterSlot < MAX_COUNTER_SLOTS ? this.#counters : null,
      onNoRoom: (each) => this.#needRoom.add(each),
    })
    this.#sessions.set(id, session)
    if (this.#sessions.size === 1) this.#addon.hold(this.#handle, true)
    return session
  }

  /** Cuts every connection. No listener hears of it. */
  stop(): void {
    if (this.#isStopped) return
    this.#isStopped = true
    this.#sessions.clear()
    this.#needRoom.clear()
    this.#addon.stop(this.#handle)
  }

  /** Called by the addon. */
  onBatch(count: number, offset: number, overflow: ArrayBuffer | undefined): void {
    const events = this.#events
    const bytes = overflow === undefined ? this.#slabs : new Uint8Array(overflow)
    for (let at = 0; at < count * EVENT_WORDS; at += EVENT_WORDS) {
      const type = events[at] ?? 0
      const session = this.#sessions.get(events[at + 1] ?? 0)
      if (type === EVENT.ringSpace) this.#onRoom()
      else if (session !== undefined) this.#tell(session, at, bytes, offset)
    }
    this.#ring.publish()
  }

  #tell(session: NativeSession, at: number, bytes: Uint8Array, offset: number): void {
    const events = this.#events
    const type = events[at] ?? 0
    const stream = events[at + 2] ?? 0
    const a = events[at + 3] ?? 0
    const b = events[at + 4] ?? 0
    const { listener } = session
    try {
      if (type === EVENT.closed) this.#onClosed(session, a, b)
      else if (listener === null) session.abort()
      else if (type === EVENT.data) listener.onData(stream, bytes.subarray(offset + a, offset + a + b))
      else tell(listener, type, stream, a)
    } catch (error) {
      session.abort()
      listener?.onError(error)
    }
  }

  #onClosed(session: NativeSession, failure: number, errno: number): void {
    this.#sessions.delete(session.id)
    this.#needRoom.delete(session)
    session.end()
    if (session.counterSlot < MAX_COUNTER_SLOTS) this.#freeSlots.push(session.counterSlot)
    if (this.#sessions.size === 0) this.#addon.hold(this.#handle, false)
    session.listener?.onClosed(FAILURES[failure] ?? 'broken', errno)
  }

  #onRoom(): void {
    if (!this.#ring.onRoom()) return
    const waiting = [...this.#needRoom]
    this.#needRoom.clear()
    for (const { listener } of waiting) listener?.onRoom()
  }
}

/** One connection. Calls after its end do nothing. */
export class NativeSession {
  readonly id: number
  readonly counterSlot: number
  listener: SessionListener | null = null
  readonly #ring: CommandRing
  readonly #onNoRoom: (session: NativeSession) => void
  /** Those of all connections, with this one's from `#firstCounter` on. */
  #counters: BigUint64Array | null
  #firstCounter: number
  #isClosed = false

  constructor({ id, counterSlot, ring, counters, onNoRoom }: NativeSessionInit) {
    this.id = id
    this.counterSlot = counterSlot
    this.#ring = ring
    this.#counters = counters
    this.#firstCounter = counterSlot * COUNTER_SLOT_WORDS
    this.#onNoRoom = onNoRoom
  }

  /** How many bytes were taken; with fewer than all, `onRoom` follows. */
  write(stream: number, bytes: Uint8Array): number {
    if (this.#isClosed) return bytes.byteLength
    const taken = this.#ring.write(this.id, stream, bytes)
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

  /** For the engine to call. */
  end(): void {
    this.#isClosed = true
    // The slot may become another connection's.
    this.#counters = this.#counters?.slice(this.#firstCounter, this.#firstCounter + COUNTER_SLOT_WORDS) ?? null
    this.#firstCounter = 0
  }

  #command(type: number, stream: number, argument: number): void {
    if (!this.#isClosed) this.#ring.command(type, this.id, stream, argument)
  }
}

interface NativeSessionInit {
  readonly id: number
  readonly counterSlot: number
  readonly ring: CommandRing
  readonly counters: BigUint64Array | null
  /** A write found no room. */
  readonly onNoRoom: (session: NativeSession) => void
}

interface Areas {
  readonly commands: ArrayBuffer
  readonly control: ArrayBuffer
  readonly counters: ArrayBuffer
  readonly events: ArrayBuffer
  readonly slabs: ArrayBuffer
}

function tell(listener: SessionListener, type: number, stream: number, a: number): void {
  switch (type) {
    case EVENT.stream:
      return listener.onStream(stream)
    case EVENT.end:
      return listener.onEnd(stream)
    case EVENT.reset:
      return listener.onReset(stream)
    case EVENT.mark:
      return listener.onMark(stream)
    case EVENT.goAway:
      return listener.onGoAway(a)
    case EVENT.flushed:
      return listener.onFlushed()
    default:
  }
}
