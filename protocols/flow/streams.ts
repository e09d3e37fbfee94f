/**
 * The streams of one session: segments that may be lost, doubled or overtaken in, ordered streams out; and back. Who
 * called opens the even ones, who was called the odd ones (NZ-ROUTING-01 §9). Knows no clock and no sockets.
 */
import { MAX_ENDED, MAX_RESETS, MAX_SKIPPED, MAX_STREAM, MAX_STREAMS, MIN_TIMEOUT_MS } from './limits.ts'
import { Receiver } from './receiver.ts'
import { Sender } from './sender.ts'
import type { Segment } from './segment.ts'

export interface Stream {
  readonly id: number
  readonly sender: Sender
  readonly receiver: Receiver
}

export interface StreamsInit {
  readonly role: 'initiator' | 'responder'
  /** The peer has opened a stream. */
  readonly onOpened: (stream: Stream) => void
  /** Something came for the stream: bytes, their end, room. */
  readonly onProgress: (stream: Stream) => void
  /** The peer has reset it. */
  readonly onReset: (stream: Stream) => void
}

/** A stream that is over here: what still comes for it is answered. */
interface Ended {
  readonly answer: Segment
  /** The peer has to see the reset: when it is told again. */
  resets: number
  tellAtMs: number
}

export class Streams {
  readonly #init: StreamsInit
  readonly #open = new Map<number, Stream>()
  readonly #ended = new Map<number, Ended>()
  readonly #mine = new WeakSet<Stream>()
  /** Numbers below the highest of the peer that have not been seen. */
  readonly #skipped = new Set<number>()
  #nextOwn: number
  #nextTheirs: number

  constructor(init: StreamsInit) {
    this.#init = init
    this.#nextOwn = init.role === 'initiator' ? 0 : 1
    this.#nextTheirs = init.role === 'initiator' ? 1 : 0
  }

  get size(): number {
    return this.#open.size
  }

  /** Whether the stream is one of these, over or not. */
  has(stream: Stream): boolean {
    return this.#mine.has(stream)
  }

  /** Bytes held in streams, in both directions. */
  get heldBytes(): number {
    let held = 0
    for (const { sender, receiver } of this.#open.values()) held += sender.pendingBytes + receiver.heldBytes
    return held
  }

  /** The most timeouts in a row that any stream has seen. */
  get timeouts(): number {
    return Math.max(0, ...[...this.#open.values()].map(({ sender }) => sender.timeouts))
  }

  get isWaiting(): boolean {
    return [...this.#open.values()].some(({ sender }) => sender.pendingBytes > 0)
  }

  /** `null` when there are too many. */
  open(): Stream | null {
    if (this.#open.size >= MAX_STREAMS || this.#nextOwn > MAX_STREAM) return null
    const stream = this.#add(this.#nextOwn)
    this.#nextOwn += 2
    return stream
  }

  /** Ends both directions at once. */
  reset(id: number, nowMs: number): void {
    if (this.#open.delete(id))
      this.#end(id, { answer: { type: 'reset', stream: id }, resets: MAX_RESETS, tellAtMs: nowMs })
  }

  receive(segment: Segment, nowMs: number): void {
    if (segment.type === 'probe' || segment.type === 'echo') return
    const stream = this.#open.get(segment.stream) ?? (segment.type === 'data' ? this.#accept(segment.stream) : null)
    if (stream === null || stream === undefined) return this.#receiveLate(segment, nowMs)
    switch (segment.type) {
      case 'data':
        if (stream.receiver.receive(segment.offset, segment.bytes, segment.isLast)) this.#init.onProgress(stream)
        return
      case 'ack':
        if (!stream.sender.acknowledge(segment.next, segment.limit, segment.ranges, nowMs)) return
        this.#init.onProgress(stream)
        return this.#finish(stream)
      case 'reset':
      case 'resetSeen':
        this.#open.delete(stream.id)
        this.#end(stream.id, { answer: { type: 'resetSeen', stream: stream.id }, resets: 1, tellAtMs: nowMs })
        this.#init.onReset(stream)
    }
  }

  /** To be called when a stream was read or written: what is over is forgotten. */
  settle(stream: Stream): void {
    this.#finish(stream)
  }

  /** When `take` has something although nothing came. */
  get dueAtMs(): number {
    let due = Infinity
    for (const { sender } of this.#open.values()) due = Math.min(due, sender.dueAtMs)
    for (const { resets, tellAtMs } of this.#ended.values()) if (resets > 0) due = Math.min(due, tellAtMs)
    return due
  }

  /** What to send now: acknowledgements, what is due, and as much as the windows let through. */
  take(nowMs: number): readonly Segment[] {
    const segments: Segment[] = []
    for (const { id, sender, receiver } of this.#open.values()) {
      if (receiver.owesAck) segments.push(receiver.acknowledgement(id))
      segments.push(...sender.take(id, nowMs))
    }
    for (const ended of this.#ended.values()) {
      if (ended.resets === 0 || nowMs < ended.tellAtMs) continue
      segments.push(ended.answer)
      ended.resets -= 1
      ended.tellAtMs = nowMs + MIN_TIMEOUT_MS * 2 ** (MAX_RESETS - ended.resets)
    }
    return segments
  }

  changePath(): void {
    for (const { sender } of this.#open.values()) sender.changePath()
  }

  #accept(id: number): Stream | null {
    if (id % 2 !== this.#nextTheirs % 2 || this.#ended.has(id)) return null
    const isNew = id >= this.#nextTheirs
    if ((!isNew && !this.#skipped.has(id)) || this.#open.size >= MAX_STREAMS) return null
    if (isNew && (id - this.#nextTheirs) / 2 + this.#skipped.size > MAX_SKIPPED) return null
    for (let skipped = this.#nextTheirs; skipped < id; skipped += 2) this.#skipped.add(skipped)
    this.#skipped.delete(id)
    this.#nextTheirs = Math.max(this.#nextTheirs, id + 2)
    const stream = this.#add(id)
    this.#init.onOpened(stream)
    return stream
  }

  /** For a stream that is over, or never was. */
  #receiveLate(segment: Exclude<Segment, { type: 'probe' | 'echo' }>, nowMs: number): void {
    const ended = this.#ended.get(segment.stream)
    if (segment.type === 'reset') this.#say(segment.stream, { type: 'resetSeen', stream: segment.stream }, nowMs)
    else if (segment.type === 'resetSeen') {
      if (ended !== undefined) ended.resets = 0
    } else if (segment.type === 'data') {
      this.#say(segment.stream, ended?.answer ?? { type: 'reset', stream: segment.stream }, nowMs)
    }
  }

  /** Once, with the next that is sent. */
  #say(id: number, answer: Segment, nowMs: number): void {
    const ended = this.#ended.get(id)
    if (ended?.answer.type === answer.type) {
      ended.resets = Math.max(ended.resets, 1)
      ended.tellAtMs = nowMs
    } else this.#end(id, { answer, resets: 1, tellAtMs: nowMs })
  }

  #add(id: number): Stream {
    const stream = { id, sender: new Sender(), receiver: new Receiver() }
    this.#open.set(id, stream)
    this.#mine.add(stream)
    return stream
  }

  #finish(stream: Stream): void {
    const { id, sender, receiver } = stream
    if (!sender.isDone || !receiver.isAtEnd || !this.#open.delete(id)) return
    this.#end(id, { answer: receiver.acknowledgement(id), resets: 1, tellAtMs: 0 })
    this.#init.onProgress(stream)
  }

  #end(id: number, ended: Ended): void {
    this.#ended.delete(id)
    this.#ended.set(id, ended)
    if (this.#ended.size <= MAX_ENDED) return
    const [oldest] = this.#ended.keys()
    if (oldest !== undefined) this.#ended.delete(oldest)
  }
}
