/**
 * The JS thread's side of the session engines: sessions by number, commands into rings, events out of batches.
 *
 * There are two engines, one with an I/O thread and one without. A connection begins without: what it sends leaves in the
 * same task, what it receives is told by the event loop itself, and no other thread has to wake up. One that moves much is
 * promoted to the thread, and released from there when it has been calm for a while.
 */
import { EVENT, EVENT_WORDS, FAILURES } from './addon.ts'
import { COMMAND } from './command-ring.ts'
import { countersOfAll, MAX_COUNTER_SLOTS, startLane } from './lane.ts'
import { NativeSession } from './session.ts'
import type { Addon } from './addon.ts'
import type { Started } from './binding.ts'
import type { Lane, LaneInit } from './lane.ts'
import type { SessionListener } from './session.ts'

const RING_BYTES = 2 * 1024 * 1024
/** It is read whenever something was written: it stays in the processor's cache. */
const INLINE_RING_BYTES = 512 * 1024
/** What all receive windows together may have grown by. */
const WINDOW_BUDGET_BYTES = 256 * 1024 * 1024
const KEEP_ALIVE_MS = 30_000
/** About 25 MB/s of all connections: less costs this thread a few hundredths of its time. */
const BUSY_BYTES = 256 * 1024
const BUSY_MS = 10
/** Seconds. */
const CALM_TICKS = 3
/** Records one key may seal or open (protocols/noise/cipher-state.ts). */
const MAX_RECORDS = 2 ** 48
const EBUSY = 16
const ESHUTDOWN = 108

export interface EngineInit {
  readonly mayUseUring: boolean
  readonly windowBudgetBytes?: number
  /**
   * When connections move `busyBytes` within `busyMs`, those with a part in it are promoted; one that moves less a second,
   * `calmTicks` times, is released.
   */
  readonly busyBytes?: number
  readonly busyMs?: number
  readonly calmTicks?: number
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
  /** Of the engine with a thread. */
  readonly backend: 'io_uring' | 'epoll'
  readonly #addon: Addon
  readonly #thread: Lane
  readonly #inline: Lane | null
  readonly #counters: BigUint64Array
  readonly #freeSlots: number[] = []
  #usedSlots = 0
  readonly #sessions = new Map<number, NativeSession>()
  readonly #needRoom = new Set<NativeSession>()
  readonly #onNoRoom = (session: NativeSession): void => void this.#needRoom.add(session)
  /** Whose batch is being told. */
  #telling: Lane | null = null
  readonly #keep = (chunk: Uint8Array): Uint8Array | null => {
    const lane = this.#telling
    if (lane === null || chunk.buffer !== lane.slabs.buffer) return null
    const memory = this.#addon.keep(lane.handle, chunk.byteOffset, chunk.byteLength)
    return memory === undefined ? null : new Uint8Array(memory)
  }
  #nextId = 1
  #isStopped = false

  private constructor(addon: Addon, init: EngineInit, thread: Lane, laneInit: Omit<LaneInit, 'start' | 'onBatch'>) {
    this.#addon = addon
    this.#thread = thread
    this.#inline = this.#startInline(init, laneInit)
    this.backend = thread.started.backend === 1 ? 'io_uring' : 'epoll'
    this.#counters = new BigUint64Array(laneInit.counters)
  }

  static start(addon: Addon, init: EngineInit): Started {
    const { mayUseUring, windowBudgetBytes = WINDOW_BUDGET_BYTES, busyBytes = BUSY_BYTES } = init
    const calmTicks = addon.startInline === undefined ? 0 : (init.calmTicks ?? CALM_TICKS)
    const limits = { keepAliveMs: KEEP_ALIVE_MS, busyBytes }
    const laneInit = { addon, ringBytes: RING_BYTES, counters: countersOfAll(), limits }
    const thread = startLane({
      ...laneInit,
      start: (areas) => addon.start({ ...areas, mayUseUring, windowBudgetBytes, calmTicks }),
      onBatch: (lane, ...batch) => engine?.onBatch(lane, ...batch),
    })
    if (typeof thread === 'number') return { started: false, errno: thread }
    const engine: Engine | undefined = new Engine(addon, init, thread, laneInit)
    return { started: true, engine, uringError: thread.started.uringError ?? 0 }
  }

  /** `null`: everything is the thread's, from the beginning on. */
  #startInline({ busyMs = BUSY_MS }: EngineInit, laneInit: Omit<LaneInit, 'start' | 'onBatch'>): Lane | null {
    const { startInline } = this.#addon
    if (startInline === undefined) return null
    const lane = startLane({
      ...laneInit,
      ringBytes: INLINE_RING_BYTES,
      start: (areas) => startInline({ ...areas, thread: this.#thread.handle, busyMs }),
      onBatch: (...batch) => this.onBatch(...batch),
    })
    return typeof lane === 'number' ? null : lane
  }

  /** Open connections. */
  get size(): number {
    return this.#sessions.size
  }

  /** Those of them that are without a thread just now. */
  get inlineSize(): number {
    const ring = this.#inline?.ring
    return ring === undefined ? 0 : [...this.#sessions.values()].filter((each) => each.writesTo(ring)).length
  }

  /**
   * Takes a connection over. A number is an errno: nothing has happened then. Set the session's listener in the same
   * step: it is called from the next turn of the event loop on.
   */
  attach({ fd, take, ...init }: AttachInit): NativeSession | number {
    if (this.#isStopped) return ESHUTDOWN
    const { handle, ring } = this.#inline ?? this.#thread
    const own = this.#addon.duplicate(handle, fd)
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
      const errno = this.#addon.attach(handle, options)
      if (errno !== 0) throw new Error(`the native session refuses the connection: errno ${errno}`)
    } finally {
      taken.sendKey.fill(0)
      taken.receiveKey.fill(0)
    }
    const session = new NativeSession({
      id,
      counterSlot,
      ring,
      counters: counterSlot < MAX_COUNTER_SLOTS ? this.#counters : null,
      onNoRoom: this.#onNoRoom,
      keep: this.#keep,
    })
    this.#sessions.set(id, session)
    if (this.#sessions.size === 1) this.#addon.hold(this.#thread.handle, true)
    // The first round trip is measured at once; windows grow by it.
    ring.command(COMMAND.ping, id, 0, 0)
    return session
  }

  /** Cuts every connection. No listener hears of it. */
  stop(): void {
    if (this.#isStopped) return
    this.#isStopped = true
    this.#sessions.clear()
    this.#needRoom.clear()
    if (this.#inline !== null) this.#addon.stop(this.#inline.handle)
    this.#addon.stop(this.#thread.handle)
  }

  /** Called by the addon. */
  onBatch(lane: Lane, count: number, offset: number, overflow: ArrayBuffer | undefined): void {
    const bytes = overflow === undefined ? lane.slabs : new Uint8Array(overflow)
    this.#inline?.ring.beginTurn()
    this.#thread.ring.beginTurn()
    this.#telling = lane
    for (let at = 0; at < count * EVENT_WORDS; at += EVENT_WORDS) {
      const type = lane.events[at] ?? 0
      const session = this.#sessions.get(lane.events[at + 1] ?? 0)
      if (type === EVENT.ringSpace) this.#onRoom(lane)
      else if (session !== undefined) this.#tell(session, lane.events, at, bytes, offset)
    }
    this.#telling = null
    this.#inline?.ring.publish()
    this.#thread.ring.publish()
  }

  #tell(session: NativeSession, events: Uint32Array, at: number, bytes: Uint8Array, offset: number): void {
    const type = events[at] ?? 0
    const stream = events[at + 2] ?? 0
    const a = events[at + 3] ?? 0
    const b = events[at + 4] ?? 0
    const { listener } = session
    try {
      if (type === EVENT.closed) this.#onClosed(session, a, b)
      else if (type === EVENT.busy) this.#promote(session)
      else if (type === EVENT.calm) this.#release(session)
      else if (type === EVENT.released) this.#onReleased(session, a === 1)
      else if (listener === null) session.abort()
      else if (type === EVENT.data) listener.onData(stream, bytes.subarray(offset + a, offset + a + b))
      else tell(listener, type, stream, a)
    } catch (error) {
      session.abort()
      listener?.onError(error)
    }
  }

  /** What it was told before is told first by the addon; what it wrote before is run first here. */
  #promote(session: NativeSession): void {
    if (this.#inline === null || !session.writesTo(this.#inline.ring)) return
    this.#inline.ring.drain()
    if (this.#addon.promote?.(this.#inline.handle, this.#thread.handle, session.id) === true)
      this.#goOn(session, this.#thread)
  }

  #release(session: NativeSession): void {
    if (this.#inline === null || !session.writesTo(this.#thread.ring)) return
    this.#thread.ring.command(COMMAND.release, session.id, 0, 0)
    session.hold()
  }

  #onReleased(session: NativeSession, isFree: boolean): void {
    const inline = isFree ? this.#inline : null
    if (inline !== null) this.#addon.adopt?.(inline.handle, this.#thread.handle, session.id)
    this.#goOn(session, inline ?? this.#thread)
  }

  #goOn(session: NativeSession, { ring }: Lane): void {
    session.goOn(ring)
    if (this.#needRoom.delete(session)) session.listener?.onRoom()
  }

  #onClosed(session: NativeSession, failure: number, errno: number): void {
    this.#sessions.delete(session.id)
    this.#needRoom.delete(session)
    session.end()
    if (session.counterSlot < MAX_COUNTER_SLOTS) this.#freeSlots.push(session.counterSlot)
    if (this.#sessions.size === 0) this.#addon.hold(this.#thread.handle, false)
    session.listener?.onClosed(FAILURES[failure] ?? 'broken', errno)
  }

  #onRoom({ ring }: Lane): void {
    if (!ring.onRoom()) return
    const waiting = [...this.#needRoom]
    this.#needRoom.clear()
    for (const { listener } of waiting) listener?.onRoom()
  }
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
