/**
 * One side of a yamux session, without I/O: bytes and calls in, frames and events out
 * (https://github.com/hashicorp/yamux/blob/master/spec.md). A peer that breaks a rule gets an error thrown at whoever
 * pushed its bytes; the session is dead then, and the connection has to be cut.
 */
import { Allowance, COST } from './allowance.ts'
import {
  FLAG,
  FRAME,
  GO_AWAY,
  INITIAL_WINDOW_BYTES,
  MAX_LENGTH,
  MAX_STREAM_ID,
  MAX_UNACKNOWLEDGED_STREAMS,
  SESSION_ID,
} from './constants.ts'
import { Crumbs } from './crumbs.ts'
import { muxerErrors } from './errors.ts'
import { FrameReader } from './frame-reader.ts'
import { ReceiveWindow } from './receive-window.ts'

/** Bytes by which the windows of one connection may have grown together. */
export const MAX_GROWN_BYTES = 16 * 1_024 * 1_024
/** A round trip older than this is measured again when a window might grow. */
const RTT_MAX_AGE_MS = 10_000

export interface SessionOutput {
  /** Sends a frame without payload. */
  frame(type: number, flags: number, streamId: number, length: number): void
  /** Sends `bytes` in one or more data frames; `flags` go with the first. */
  data(flags: number, streamId: number, bytes: Uint8Array): void
}

export interface SessionEvents<Owner> {
  /** The peer opens a stream; `null` resets it. */
  opened(channel: Channel<Owner>): Owner | null
  /** Bytes of a stream: a view of what was pushed, or of nothing else when they are small pieces put together. */
  data(owner: Owner, bytes: Uint8Array): void
  /** The peer sends no more on this stream. */
  finished(owner: Owner): void
  reset(owner: Owner): void
  /** There is room to send where there was none. */
  writable(owner: Owner): void
  /** A stream of this side was acknowledged: there is room for another. */
  acknowledged(): void
  /** The peer accepts no new streams; `code` says why (GO_AWAY). */
  goneAway(code: number): void
}

export interface SessionInit<Owner> {
  readonly isClient: boolean
  readonly maxInboundStreams: number
  readonly maxStreamWindowBytes: number
  readonly monotonicMs: () => number
  /** Whether small pieces of a stream may be told as one. @default true */
  readonly mergesPieces?: boolean
  readonly output: SessionOutput
  readonly events: SessionEvents<Owner>
}

/** A stream as the session sees it. */
export class Channel<Owner> {
  readonly id: number
  readonly isInbound: boolean
  readonly window: ReceiveWindow
  /** Bytes that may be sent. */
  sendBytes = INITIAL_WINDOW_BYTES
  /** SYN or ACK that the next frame carries. */
  greeting: number
  owner: Owner | null = null
  isAcknowledged: boolean
  isFinishedHere = false
  isFinishedThere = false
  hasReceivedBytes = false

  constructor(id: number, isInbound: boolean, nowMs: number) {
    this.id = id
    this.isInbound = isInbound
    this.window = new ReceiveWindow(nowMs)
    this.greeting = isInbound ? FLAG.ack : FLAG.syn
    this.isAcknowledged = isInbound
  }
}

export class Session<Owner> {
  readonly #init: SessionInit<Owner>
  readonly #channels = new Map<number, Channel<Owner>>()
  readonly #reader: FrameReader
  readonly #crumbs: Crumbs<Owner>
  /** Where the payload of the frame at hand goes; `null` throws it away. */
  #receiving: Channel<Owner> | null = null
  /** A data frame with FIN whose payload is still to come. */
  #finishing: { readonly channel: Channel<Owner>; byteLength: number } | null = null
  #nextId: number
  #inbound = 0
  #unacknowledged = 0
  #grownBytes = 0
  #rtt: { readonly ms: number; readonly atMs: number } | null = null
  #ping: { readonly value: number; readonly sentMs: number } | null = null
  #pings = 0
  readonly #allowance: Allowance
  #isGoneAway = false
  #isGoingAway = false
  rxFrames = 0
  windowStalls = 0

  constructor(init: SessionInit<Owner>) {
    this.#init = init
    this.#nextId = init.isClient ? 1 : 2
    this.#allowance = new Allowance(init.monotonicMs())
    this.#crumbs = new Crumbs((owner, bytes) => init.events.data(owner, bytes))
    this.#reader = new FrameReader({
      onFrame: (...frame) => this.#onFrame(...frame),
      onPayload: (piece) => this.#onPayload(piece),
    })
  }

  /** The last measured round trip; `null` before the first. */
  get rttMs(): number | null {
    return this.#rtt?.ms ?? null
  }

  get streams(): number {
    return this.#channels.size
  }

  /** Whether this side may open a stream now; if not for lack of acknowledgements, `acknowledged` tells when. */
  get isFull(): boolean {
    return this.#unacknowledged >= MAX_UNACKNOWLEDGED_STREAMS
  }

  get isGoneAway(): boolean {
    return this.#isGoneAway
  }

  /** Bytes from the peer. @throws NZ_MUXER_FRAME_INVALID, NZ_MUXER_WINDOW_EXCEEDED, NZ_MUXER_FLOODED */
  push(bytes: Uint8Array): void {
    try {
      this.#reader.push(bytes)
    } finally {
      this.#crumbs.flush()
    }
  }

  /** A stream of this side; its first frame, or `greet`, tells the peer. @throws NZ_MUXER_EXHAUSTED */
  open(): Channel<Owner> {
    if (this.#nextId > MAX_STREAM_ID) throw muxerErrors.NZ_MUXER_EXHAUSTED()
    const channel = new Channel<Owner>(this.#nextId, false, this.#init.monotonicMs())
    this.#nextId += 2
    this.#unacknowledged += 1
    this.#channels.set(channel.id, channel)
    return channel
  }

  /** Sends the SYN or ACK of a stream that no other frame has carried yet. */
  greet(channel: Channel<Owner>): void {
    if (channel.greeting === 0 || !this.#isOpen(channel)) return
    this.#init.output.frame(FRAME.windowUpdate, this.#takeGreeting(channel), channel.id, 0)
  }

  /** Sends as much of `bytes` as the window lets through, and returns how much that was. */
  send(channel: Channel<Owner>, bytes: Uint8Array): number {
    const byteLength = Math.min(bytes.byteLength, channel.sendBytes)
    if (byteLength < bytes.byteLength) this.windowStalls += 1
    if (byteLength === 0) return 0
    channel.sendBytes -= byteLength
    const part = byteLength === bytes.byteLength ? bytes : bytes.subarray(0, byteLength)
    this.#init.output.data(this.#takeGreeting(channel), channel.id, part)
    return byteLength
  }

  /** The reader took `byteLength` bytes of `data`: they make room for more. */
  take(channel: Channel<Owner>, byteLength: number): void {
    if (channel.isFinishedThere || !this.#isOpen(channel)) return
    const nowMs = this.#init.monotonicMs()
    const { sizeBytes } = channel.window
    const roomBytes = Math.min(this.#init.maxStreamWindowBytes - sizeBytes, MAX_GROWN_BYTES - this.#grownBytes)
    const delta = channel.window.take(byteLength, nowMs, { rttMs: this.rttMs, roomBytes })
    if (delta === 0) return
    this.#grownBytes += channel.window.sizeBytes - sizeBytes
    this.#init.output.frame(FRAME.windowUpdate, this.#takeGreeting(channel), channel.id, delta)
    if (roomBytes > 0 && (this.#rtt === null || nowMs - this.#rtt.atMs > RTT_MAX_AGE_MS)) this.ping()
  }

  /** This side sends no more on the stream. */
  finish(channel: Channel<Owner>): void {
    if (channel.isFinishedHere || !this.#isOpen(channel)) return
    channel.isFinishedHere = true
    this.#init.output.frame(FRAME.windowUpdate, this.#takeGreeting(channel) | FLAG.fin, channel.id, 0)
    if (channel.isFinishedThere) this.#forget(channel)
  }

  reset(channel: Channel<Owner>): void {
    if (!this.#isOpen(channel)) return
    this.#init.output.frame(FRAME.windowUpdate, this.#takeGreeting(channel) | FLAG.rst, channel.id, 0)
    this.#forget(channel)
  }

  /** Measures the round trip, one at a time; `rttMs` has it when the answer comes. */
  ping(): void {
    if (this.#ping !== null) return
    this.#pings = (this.#pings + 1) % MAX_LENGTH
    this.#ping = { value: this.#pings, sentMs: this.#init.monotonicMs() }
    this.#init.output.frame(FRAME.ping, FLAG.syn, SESSION_ID, this.#ping.value)
  }

  /** Tells the peer to open no more streams; those it opens nevertheless are reset. Once. */
  goAway(code: number = GO_AWAY.normal): void {
    if (this.#isGoingAway) return
    this.#isGoingAway = true
    this.#init.output.frame(FRAME.goAway, 0, SESSION_ID, code)
  }

  #onFrame(type: number, flags: number, streamId: number, length: number): void {
    this.rxFrames += 1
    // Whatever else is told comes behind the bytes before it.
    if (type !== FRAME.data || flags !== 0) this.#crumbs.flush()
    if (type === FRAME.ping || type === FRAME.goAway) {
      if (streamId !== SESSION_ID) throw invalid('it sent a message of the session on a stream')
      if (type === FRAME.ping) this.#onPing(flags, length)
      else this.#onGoAway(length)
      return
    }
    if (streamId === SESSION_ID) throw invalid('it sent a message of a stream on the session')
    const channel = (flags & FLAG.syn) === 0 ? this.#channels.get(streamId) : this.#onSyn(streamId)
    this.#receiving = null
    // Frames of a stream that was reset here may still be on their way.
    if (channel === undefined) return
    if ((flags & FLAG.ack) !== 0) this.#onAcknowledged(channel)
    if (type === FRAME.data) this.#onData(channel, length)
    else this.#onWindow(channel, length)
    if ((flags & FLAG.rst) !== 0) this.#onReset(channel)
    // The end comes behind the payload.
    else if ((flags & FLAG.fin) !== 0 && (type !== FRAME.data || length === 0)) this.#onFinished(channel)
    else if ((flags & FLAG.fin) !== 0) this.#finishing = { channel, byteLength: length }
  }

  #onPayload(piece: Uint8Array): void {
    const owner = this.#receiving?.owner
    if (owner !== null && owner !== undefined) {
      if (this.#init.mergesPieces === false) this.#init.events.data(owner, piece)
      else this.#crumbs.push(owner, piece)
    }
    const finishing = this.#finishing
    if (finishing === null) return
    finishing.byteLength -= piece.byteLength
    if (finishing.byteLength > 0) return
    this.#finishing = null
    this.#crumbs.flush()
    this.#onFinished(finishing.channel)
  }

  #onSyn(streamId: number): Channel<Owner> | undefined {
    const { isClient, maxInboundStreams, monotonicMs, output, events } = this.#init
    if ((streamId % 2 === 0) !== isClient) throw invalid('it opened a stream with a number of this side')
    if (this.#channels.has(streamId)) throw invalid('it opened a stream twice')
    if (!this.#isGoingAway && this.#inbound < maxInboundStreams) {
      const channel = new Channel<Owner>(streamId, true, monotonicMs())
      this.#channels.set(streamId, channel)
      this.#inbound += 1
      channel.owner = events.opened(channel)
      if (channel.owner !== null) return channel
      this.#forget(channel)
    }
    this.#spend(COST.refusal)
    output.frame(FRAME.windowUpdate, FLAG.rst, streamId, 0)
    return undefined
  }

  #onAcknowledged(channel: Channel<Owner>): void {
    if (channel.isAcknowledged) return
    channel.isAcknowledged = true
    this.#unacknowledged -= 1
    this.#init.events.acknowledged()
  }

  #onData(channel: Channel<Owner>, length: number): void {
    if (channel.isFinishedThere) throw invalid('it sent more after it said that it had ended')
    channel.window.arrive(length)
    channel.hasReceivedBytes ||= length > 0
    this.#receiving = channel
  }

  #onWindow(channel: Channel<Owner>, delta: number): void {
    if (delta === 0) return
    if (channel.sendBytes + delta > MAX_LENGTH) throw invalid('it opened a window beyond all bounds')
    channel.sendBytes += delta
    if (!channel.isFinishedHere && channel.owner !== null) this.#init.events.writable(channel.owner)
  }

  #onFinished(channel: Channel<Owner>): void {
    if (channel.isFinishedThere || !this.#isOpen(channel)) return
    channel.isFinishedThere = true
    if (channel.isFinishedHere) this.#forget(channel)
    if (channel.owner !== null) this.#init.events.finished(channel.owner)
  }

  #onReset(channel: Channel<Owner>): void {
    if (!this.#isOpen(channel)) return
    if (channel.isInbound && !channel.hasReceivedBytes) this.#spend(COST.vainStream)
    this.#forget(channel)
    this.#receiving = null
    if (channel.owner !== null) this.#init.events.reset(channel.owner)
  }

  #onPing(flags: number, value: number): void {
    if ((flags & FLAG.syn) !== 0) {
      this.#spend(COST.ping)
      return this.#init.output.frame(FRAME.ping, FLAG.ack, SESSION_ID, value)
    }
    if ((flags & FLAG.ack) === 0) throw invalid('it sent a ping that neither asks nor answers')
    if (this.#ping?.value !== value) return
    const nowMs = this.#init.monotonicMs()
    this.#rtt = { ms: nowMs - this.#ping.sentMs, atMs: nowMs }
    this.#ping = null
  }

  #onGoAway(code: number): void {
    this.#isGoneAway = true
    this.#init.events.goneAway(code)
  }

  #spend(units: number): void {
    if (!this.#allowance.spend(units, this.#init.monotonicMs)) throw muxerErrors.NZ_MUXER_FLOODED()
  }

  #takeGreeting(channel: Channel<Owner>): number {
    const { greeting } = channel
    channel.greeting = 0
    return greeting
  }

  #isOpen(channel: Channel<Owner>): boolean {
    return this.#channels.get(channel.id) === channel
  }

  #forget(channel: Channel<Owner>): void {
    this.#channels.delete(channel.id)
    if (channel.isInbound) this.#inbound -= 1
    this.#grownBytes -= channel.window.sizeBytes - INITIAL_WINDOW_BYTES
    if (this.#receiving === channel && !channel.isFinishedThere) this.#receiving = null
    if (channel.isAcknowledged) return
    channel.isAcknowledged = true
    this.#unacknowledged -= 1
    this.#init.events.acknowledged()
  }
}

function invalid(why: string): Error {
  return muxerErrors.NZ_MUXER_FRAME_INVALID({ why })
}
