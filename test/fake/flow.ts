/** Two ends of a session's streams over a simulated path that loses, doubles and lets overtake, and can be cut. */
import assert from 'node:assert/strict'
import { seededRandom } from '../../kernel/index.ts'
import { decodeSegment, encodeSegment } from '../../protocols/flow/segment.ts'
import { Streams } from '../../protocols/flow/streams.ts'
import type { Stream } from '../../protocols/flow/streams.ts'

export interface PathInit {
  readonly seed?: number
  readonly loss?: number
  readonly duplication?: number
  readonly delayMs?: readonly [least: number, most: number]
}

export class FlowEnd {
  readonly streams: Streams
  readonly opened: Stream[] = []
  readonly wasReset: number[] = []
  /** Whether what comes is read at once. */
  isReading = true
  readonly #received = new Map<number, Uint8Array[]>()

  constructor(role: 'initiator' | 'responder') {
    this.streams = new Streams({
      role,
      onOpened: (stream) => void this.opened.push(stream),
      onProgress: (stream) => this.isReading && this.read(stream),
      onReset: ({ id }) => void this.wasReset.push(id),
    })
  }

  read(stream: Stream): void {
    const received = this.#received.get(stream.id) ?? []
    this.#received.set(stream.id, received)
    for (let bytes = stream.receiver.read(); bytes !== null; bytes = stream.receiver.read()) received.push(bytes)
    this.streams.settle(stream)
  }

  received(id: number): Buffer {
    return Buffer.concat(this.#received.get(id) ?? [])
  }
}

export class FlowPair {
  readonly ann = new FlowEnd('initiator')
  readonly bob = new FlowEnd('responder')
  readonly random
  readonly #init: PathInit
  #inFlight: Array<{ readonly dueMs: number; readonly to: FlowEnd; readonly bytes: Uint8Array }> = []
  isCut = false
  nowMs = 0
  sentBytes = 0

  constructor(init: PathInit = {}) {
    this.#init = init
    this.random = seededRandom(init.seed ?? 1)
  }

  /** Until `isDone`, at most `mostMs`. */
  run(mostMs: number, isDone: () => boolean = () => false): void {
    const endMs = this.nowMs + mostMs
    for (; this.nowMs < endMs && !isDone(); this.nowMs += 1) {
      const due = this.#inFlight.filter(({ dueMs }) => dueMs <= this.nowMs)
      this.#inFlight = this.#inFlight.filter(({ dueMs }) => dueMs > this.nowMs)
      for (const { to, bytes } of due) {
        const segment = decodeSegment(bytes)
        assert.ok(segment !== null)
        to.streams.receive(segment, this.nowMs)
      }
      this.#send(this.ann, this.bob)
      this.#send(this.bob, this.ann)
    }
  }

  #send(from: FlowEnd, to: FlowEnd): void {
    const { loss = 0, duplication = 0, delayMs: [least, most] = [5, 5] } = this.#init
    for (const segment of from.streams.take(this.nowMs)) {
      const bytes = encodeSegment(segment)
      this.sentBytes += bytes.length
      for (let copies = this.random.unit() < duplication ? 2 : 1; copies > 0; copies--) {
        if (this.isCut || this.random.unit() < loss) continue
        this.#inFlight.push({ dueMs: this.nowMs + least + this.random.unit() * (most - least), to, bytes })
      }
    }
  }
}
