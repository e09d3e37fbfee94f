/**
 * The sending half of a stream: bytes in, segments out until each is acknowledged. Congestion as in TCP (RFC 5681), loss
 * by the order of transmissions as in QUIC (RFC 9002 §6.1), timeouts by RFC 6298.
 */
import {
  FIRST_WINDOW_BYTES,
  LOST_AFTER,
  MAX_OFFSET,
  MAX_WINDOW_BYTES,
  MIN_WINDOW_BYTES,
  RECEIVE_WINDOW_BYTES,
  SEGMENT_BYTES,
  SEND_BUFFER_BYTES,
} from './limits.ts'
import { RoundTrip } from './round-trip.ts'
import type { Range, Segment } from './segment.ts'

interface Sent {
  readonly offset: number
  readonly bytes: Uint8Array
  readonly isLast: boolean
  sends: number
  sentAtMs: number
  /** Of its last transmission among all of the stream. */
  order: number
  isLost: boolean
}

export class Sender {
  readonly #roundTrip = new RoundTrip()
  /** Written and not yet cut into segments. */
  readonly #queue: Uint8Array[] = []
  #queuedBytes = 0
  /** Without acknowledgement, ascending by offset. */
  #sent: Sent[] = []
  #nextOffset = 0
  #isEnding = false
  #isEndSent = false
  #isEndSeen = false
  #limit = RECEIVE_WINDOW_BYTES
  #window = FIRST_WINDOW_BYTES
  #slowStartUntil = Infinity
  #order = 0
  /** Losses of transmissions before it have been answered by a smaller window. */
  #recoveryOrder = 0
  #probeAtMs = Infinity
  #timeouts = 0

  /** Whether a writer may go on. */
  get hasRoom(): boolean {
    return this.#queuedBytes < SEND_BUFFER_BYTES
  }

  /** Written and not acknowledged. */
  get pendingBytes(): number {
    return this.#queuedBytes + this.#sent.reduce((sum, { bytes }) => sum + bytes.length, 0)
  }

  /** All was acknowledged, the end included. */
  get isDone(): boolean {
    return this.#isEndSeen
  }

  /** Timeouts since something was acknowledged. */
  get timeouts(): number {
    return this.#timeouts
  }

  get roundTripMs(): number | null {
    return this.#roundTrip.smoothedMs
  }

  /** The bytes are not copied. */
  write(bytes: Uint8Array): void {
    if (this.#isEnding) throw new TypeError('nothing follows the end of a stream')
    if (bytes.length === 0) return
    this.#queue.push(bytes)
    this.#queuedBytes += bytes.length
  }

  end(): void {
    this.#isEnding = true
  }

  /** When `take` has something although nothing came; Infinity: not before something comes. */
  get dueAtMs(): number {
    const oldest = this.#sent.reduce(
      (least, { isLost, sentAtMs }) => (isLost ? least : Math.min(least, sentAtMs)),
      Infinity,
    )
    return Math.min(oldest + this.#roundTrip.timeoutMs, this.#probeAtMs)
  }

  /** What to send now. */
  take(stream: number, nowMs: number): readonly Segment[] {
    if (nowMs >= this.dueAtMs) this.#timeOut(nowMs)
    const segments: Segment[] = []
    let flying = this.#sent.reduce((sum, { isLost, bytes }) => (isLost ? sum : sum + bytes.length), 0)
    for (const sent of this.#sent) {
      if (!sent.isLost) continue
      if (flying >= this.#window) break
      flying += sent.bytes.length
      segments.push(this.#transmit(sent, stream, nowMs))
    }
    while (flying < this.#window) {
      const next = this.#cut()
      if (next === null) break
      flying += next.bytes.length
      this.#sent.push(next)
      segments.push(this.#transmit(next, stream, nowMs))
    }
    this.#planProbe(nowMs, segments.length > 0)
    if (nowMs >= this.#probeAtMs) {
      // The peer has no room and says when it has; if that is lost, this asks for it.
      this.#probeAtMs = nowMs + this.#roundTrip.timeoutMs
      segments.push({ type: 'data', stream, offset: this.#nextOffset, isLast: false, bytes: new Uint8Array(0) })
    }
    return segments
  }

  /** `false` for what was never sent. */
  acknowledge(next: number, limit: number, ranges: readonly Range[], nowMs: number): boolean {
    const highest = ranges.at(-1)?.to ?? next
    if (highest > this.#nextOffset + (this.#isEndSent ? 1 : 0) || limit > MAX_OFFSET) return false
    if (limit > this.#limit) this.#probeAtMs = Infinity
    this.#limit = Math.max(this.#limit, limit)
    const acknowledged = this.#sent.filter((sent) => isIn(sent, next, ranges))
    if (acknowledged.length === 0) return true
    this.#sent = this.#sent.filter((sent) => !acknowledged.includes(sent))
    this.#timeouts = 0
    if (this.#isEndSent && this.#sent.length === 0) this.#isEndSeen = true
    const newest = acknowledged.reduce((latest, sent) => (sent.order > latest.order ? sent : latest))
    if (newest.sends === 1) this.#roundTrip.sample(Math.max(0, nowMs - newest.sentAtMs))
    this.#grow(acknowledged.reduce((sum, { bytes }) => sum + bytes.length, 0))
    this.#findLost(newest.order)
    return true
  }

  /** What was under way on the old path is sent again on the new one, from a small window on. */
  changePath(): void {
    for (const sent of this.#sent) sent.isLost = true
    this.#roundTrip.restart()
    this.#window = FIRST_WINDOW_BYTES
    this.#slowStartUntil = Infinity
    this.#recoveryOrder = this.#order
    this.#timeouts = 0
  }

  #transmit(sent: Sent, stream: number, nowMs: number): Segment {
    this.#order += 1
    sent.order = this.#order
    sent.sends += 1
    sent.sentAtMs = nowMs
    sent.isLost = false
    const { offset, isLast, bytes } = sent
    return { type: 'data', stream, offset, isLast, bytes }
  }

  /** The next segment of what was written; `null` when there is nothing, or the peer has no room. */
  #cut(): Sent | null {
    const room = Math.min(SEGMENT_BYTES, this.#limit - this.#nextOffset)
    const bytes = room <= 0 ? new Uint8Array(0) : this.#shift(room)
    const isLast = this.#isEnding && !this.#isEndSent && this.#queuedBytes === 0
    if (bytes.length === 0 && !isLast) return null
    const offset = this.#nextOffset
    this.#nextOffset += bytes.length
    if (isLast) this.#isEndSent = true
    return { offset, bytes, isLast, sends: 0, sentAtMs: 0, order: 0, isLost: false }
  }

  /** At most `most` bytes from the front of the queue; small writes are put together. */
  #shift(most: number): Uint8Array {
    const [first] = this.#queue
    if (first === undefined) return new Uint8Array(0)
    const length = Math.min(most, this.#queuedBytes)
    this.#queuedBytes -= length
    if (first.length > length) {
      this.#queue[0] = first.subarray(length)
      return first.subarray(0, length)
    }
    if (first.length === length) {
      this.#queue.shift()
      return first
    }
    const joined = new Uint8Array(length)
    let at = 0
    let whole = 0
    for (const piece of this.#queue) {
      const part = piece.subarray(0, length - at)
      joined.set(part, at)
      at += part.length
      if (part.length < piece.length) this.#queue[whole] = piece.subarray(part.length)
      else whole += 1
      if (at === length) break
    }
    this.#queue.splice(0, whole)
    return joined
  }

  #planProbe(nowMs: number, isSending: boolean): void {
    const isHeldBack = this.#queuedBytes > 0 && this.#sent.length === 0 && !isSending
    if (!isHeldBack) this.#probeAtMs = Infinity
    else if (this.#probeAtMs === Infinity) this.#probeAtMs = nowMs + this.#roundTrip.timeoutMs
  }

  #timeOut(nowMs: number): void {
    if (this.#sent.every(({ isLost, sentAtMs }) => isLost || sentAtMs + this.#roundTrip.timeoutMs > nowMs)) return
    for (const sent of this.#sent) sent.isLost = true
    this.#timeouts += 1
    this.#slowStartUntil = Math.max(this.#window / 2, MIN_WINDOW_BYTES)
    this.#window = MIN_WINDOW_BYTES
    this.#recoveryOrder = this.#order
    this.#roundTrip.timedOut()
  }

  #grow(bytes: number): void {
    const isSlowStart = this.#window < this.#slowStartUntil
    const more = isSlowStart ? bytes : (SEGMENT_BYTES * bytes) / this.#window
    this.#window = Math.min(this.#window + more, MAX_WINDOW_BYTES)
  }

  #findLost(newestOrder: number): void {
    let isNew = false
    for (const sent of this.#sent) {
      if (sent.isLost || sent.order + LOST_AFTER > newestOrder) continue
      sent.isLost = true
      isNew ||= sent.order > this.#recoveryOrder
    }
    if (!isNew) return
    this.#recoveryOrder = this.#order
    this.#slowStartUntil = Math.max(this.#window / 2, MIN_WINDOW_BYTES)
    this.#window = this.#slowStartUntil
  }
}

/** The end of the stream counts as one byte behind the last. */
function isIn({ offset, bytes, isLast }: Sent, next: number, ranges: readonly Range[]): boolean {
  const to = offset + bytes.length + (isLast ? 1 : 0)
  return to <= next || ranges.some((range) => range.from <= offset && to <= range.to)
}
