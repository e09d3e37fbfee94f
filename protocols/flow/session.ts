/**
 * One end of a session between the two ends of paths: a handshake, then a channel that carries the segments of streams.
 * Packets in and out may take any path, be lost, doubled or overtaken (NZ-ROUTING-01 §9). Knows no clock, no sockets.
 */
import { Channel } from '../channel/channel.ts'
import { decodeSegment, encodeSegment } from './segment.ts'
import { Streams } from './streams.ts'
import type { Random } from '../../kernel/index.ts'
import type { Established, RunningHandshake } from '../handshake/handshake.ts'
import type { X25519KeyPair } from '../noise/x25519.ts'
import type { Segment } from './segment.ts'
import type { Stream, StreamsInit } from './streams.ts'

/** The peer is asked for a sign of life when none came for so long. */
export const PROBE_AFTER_MS = 3_000
/** A session of which nothing was heard for so long is over. */
export const SILENCE_MS = 30_000
/** A session without streams is closed after so long. */
export const IDLE_MS = 60_000

export interface SessionInit extends Pick<StreamsInit, 'role' | 'onOpened' | 'onProgress' | 'onReset'> {
  readonly handshake: RunningHandshake
  readonly staticKey: X25519KeyPair
  readonly random: Random
  readonly nowMs: number
  readonly onEstablished: (established: Established) => void
}

/** Where it receives packets, and the state it is in. */
export class Session {
  readonly streams: Streams
  readonly #init: SessionInit
  readonly #handshake: RunningHandshake
  #channel: Channel | null = null
  #end: string | null = null
  #waiting: Uint8Array[] = []
  #heardAtMs: number
  #askedAtMs = -Infinity
  #usedAtMs: number
  #echo: Segment | null = null
  #roundTripMs: number | null = null

  constructor(init: SessionInit) {
    this.#init = init
    this.#handshake = init.handshake
    this.#heardAtMs = init.nowMs
    this.#usedAtMs = init.nowMs
    this.streams = new Streams(init)
  }

  get localIndex(): number {
    return this.#handshake.localIndex
  }

  get role(): SessionInit['role'] {
    return this.#init.role
  }

  /** The peer was proven, and that it is there now. */
  get isOpen(): boolean {
    return this.#end === null && this.#channel?.state === 'open' && this.#channel.isConfirmed
  }

  /** Why it is over: a code, or `closed`. */
  get end(): string | null {
    return this.#end
  }

  /** Of the last probe; `null` before. */
  get roundTripMs(): number | null {
    return this.#roundTripMs
  }

  get epoch(): number {
    return this.#channel?.epoch ?? 0
  }

  /** When nothing of the peer came for longer than a living path lets it be. */
  isSilent(nowMs: number, forMs: number): boolean {
    return nowMs - this.#heardAtMs > forMs && this.#askedAtMs > this.#heardAtMs
  }

  /** Takes a frame of the peer. `false` when it was not authentic, or not for this session. */
  receive(frame: Uint8Array, nowMs: number): boolean {
    if (this.#end !== null) return false
    if (!isPacket(frame)) return this.#step(this.#handshake.receive(frame, nowMs), nowMs)
    if (this.#channel === null) return false
    const opened = this.#channel.open(frame, nowMs)
    if ('refused' in opened) return false
    this.#handshake.confirm()
    this.#heardAtMs = nowMs
    if ('payload' in opened) this.#receiveSegment(opened.payload, nowMs)
    if (this.#channel.state !== 'open') this.#finish('closed')
    return true
  }

  /** What to send now. Call it only when there is a path: what it gives counts as sent. */
  take(nowMs: number): readonly Uint8Array[] {
    if (this.#end !== null) return this.#rest()
    const due = this.#handshake.dueAtMs
    if (due !== null && nowMs >= due) this.#step(this.#handshake.due(nowMs), nowMs)
    const channel = this.#channel
    if (channel === null) return this.#rest()
    for (const segment of this.#segments(nowMs)) {
      const sealed = channel.seal(encodeSegment(segment), nowMs)
      if ('refused' in sealed) {
        this.#finish(sealed.refused)
        break
      }
      this.#waiting.push(sealed.packet)
    }
    this.#waiting.push(...channel.due(nowMs))
    return this.#rest()
  }

  /** When `take` has something although nothing came. */
  get dueAtMs(): number {
    if (this.#end !== null) return Infinity
    const channelAtMs = this.#channel === null ? null : this.#channel.dueAtMs
    const streamsAtMs = this.#channel === null ? Infinity : this.streams.dueAtMs
    const probeAtMs = this.#channel === null ? Infinity : Math.max(this.#heardAtMs, this.#askedAtMs) + PROBE_AFTER_MS
    return Math.min(this.#handshake.dueAtMs ?? Infinity, channelAtMs ?? Infinity, streamsAtMs, probeAtMs)
  }

  /** Ends it when its time is over. */
  tick(nowMs: number): void {
    if (this.#end !== null) return
    if (this.streams.size > 0) this.#usedAtMs = nowMs
    if (nowMs - this.#heardAtMs > SILENCE_MS) this.#finish('NZ_ROUTE_TIMEOUT')
    else if (nowMs - this.#usedAtMs > IDLE_MS) this.close()
  }

  /** The peer is told with what `take` gives afterwards. */
  close(): void {
    if (this.#end !== null) return
    this.#waiting.push(...(this.#channel?.close() ?? []))
    this.#finish('closed')
  }

  changePath(nowMs: number): void {
    this.streams.changePath()
    // The new path has to prove itself.
    this.#askedAtMs = Math.min(this.#askedAtMs, nowMs - PROBE_AFTER_MS)
  }

  #step(step: ReturnType<RunningHandshake['receive']>, nowMs: number): boolean {
    this.#waiting.push(...step.send)
    if (step.failed !== undefined) this.#finish(step.failed)
    if (step.done === undefined) return step.refused === undefined
    const { staticKey, random, onEstablished } = this.#init
    onEstablished(step.done)
    this.#channel = new Channel({ established: step.done, staticKey, random, nowMs })
    this.#heardAtMs = nowMs
    return true
  }

  #receiveSegment(payload: Uint8Array, nowMs: number): void {
    const segment = decodeSegment(payload)
    if (segment === null) return
    if (segment.type === 'probe') this.#echo = { type: 'echo', stamp: segment.stamp }
    else if (segment.type === 'echo') this.#roundTripMs = Math.max(0, nowMs - segment.stamp)
    else {
      this.#usedAtMs = nowMs
      this.streams.receive(segment, nowMs)
    }
  }

  #segments(nowMs: number): readonly Segment[] {
    const segments = [...this.streams.take(nowMs)]
    if (this.#echo !== null) segments.push(this.#echo)
    this.#echo = null
    const isQuiet = nowMs - Math.max(this.#heardAtMs, this.#askedAtMs) >= PROBE_AFTER_MS
    if (isQuiet || (this.#roundTripMs === null && this.#askedAtMs === -Infinity)) {
      this.#askedAtMs = nowMs
      segments.push({ type: 'probe', stamp: Math.floor(nowMs) })
    }
    return segments
  }

  #finish(end: string): void {
    this.#end ??= end
  }

  #rest(): readonly Uint8Array[] {
    const waiting = this.#waiting
    this.#waiting = []
    return waiting
  }
}

export type { Stream }

/** Whether a frame belongs to a channel, not to a handshake. */
export function isPacket(frame: Uint8Array): boolean {
  return frame[1] === PACKET_TYPE
}

const PACKET_TYPE = 0x10
