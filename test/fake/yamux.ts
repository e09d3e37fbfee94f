/** Yamux sessions without a connection: what they send is kept as frames, and delivered when the test says so. */
import { FRAME, HEADER_BYTES } from '../../protocols/yamux/constants.ts'
import { writeHeader } from '../../protocols/yamux/header.ts'
import { Session } from '../../protocols/yamux/session.ts'
import type { Channel, SessionInit } from '../../protocols/yamux/session.ts'

export interface SentFrame {
  readonly type: number
  readonly flags: number
  readonly streamId: number
  readonly length: number
}

/** One end of a stream and what it was told. */
export class HeardStream {
  readonly channel: Channel<HeardStream>
  readonly heard: number[] = []
  unread = 0
  isFinished = false
  isReset = false
  /** How often it was told that there is room. */
  writable = 0

  constructor(channel: Channel<HeardStream>) {
    this.channel = channel
  }
}

export interface SessionEnd {
  readonly session: Session<HeardStream>
  readonly frames: SentFrame[]
  readonly streams: HeardStream[]
  acknowledged: number
  readonly goneAway: number[]
  open(): HeardStream
  /** Bytes sent since the last call. */
  takeSent(): Uint8Array
}

type Options = Partial<Pick<SessionInit<HeardStream>, 'maxInboundStreams' | 'maxStreamWindowBytes'>> & {
  readonly isClient: boolean
  readonly clock?: { nowMs: number }
}

const EMPTY = new Uint8Array(0)

export function sessionWith({ isClient, clock = { nowMs: 0 }, ...limits }: Options): SessionEnd {
  const streams: HeardStream[] = []
  const frames: SentFrame[] = []
  const sent: Uint8Array[] = []
  const send = (type: number, flags: number, streamId: number, length: number, payload: Uint8Array = EMPTY): void => {
    frames.push({ type, flags, streamId, length })
    const bytes = new Uint8Array(HEADER_BYTES + payload.byteLength)
    bytes.set(payload, writeHeader(bytes, 0, type, flags, streamId, length))
    sent.push(bytes)
  }
  const add = (channel: Channel<HeardStream>): HeardStream => {
    const stream = new HeardStream(channel)
    channel.owner = stream
    streams.push(stream)
    return stream
  }
  const session = new Session<HeardStream>({
    isClient,
    maxInboundStreams: 1_000,
    maxStreamWindowBytes: 2 * 1024 * 1024,
    ...limits,
    monotonicMs: () => clock.nowMs,
    output: { frame: send, data: (flags, id, bytes) => send(FRAME.data, flags, id, bytes.byteLength, bytes) },
    events: {
      opened: add,
      data: (stream, bytes) => {
        if (bytes.byteLength < 64) stream.heard.push(...bytes)
        stream.unread += bytes.byteLength
      },
      finished: (stream) => (stream.isFinished = true),
      reset: (stream) => (stream.isReset = true),
      writable: (stream) => (stream.writable += 1),
      acknowledged: () => (end.acknowledged += 1),
      goneAway: (code) => void end.goneAway.push(code),
    },
  })
  const end: SessionEnd = {
    session,
    frames,
    streams,
    acknowledged: 0,
    goneAway: [],
    open: () => add(session.open()),
    takeSent: () => Buffer.concat(sent.splice(0)),
  }
  return end
}

/** Two ends; `deliver` carries everything that was sent, and what is sent in answer. */
export function sessionPair(limits: Omit<Options, 'isClient' | 'clock'> = {}): {
  client: SessionEnd
  server: SessionEnd
  clock: { nowMs: number }
  deliver: () => void
} {
  const clock = { nowMs: 0 }
  const client = sessionWith({ isClient: true, clock, ...limits })
  const server = sessionWith({ isClient: false, clock, ...limits })
  const deliver = (): void => {
    for (let rounds = 0; rounds < 100; rounds++) {
      const [toServer, toClient] = [client.takeSent(), server.takeSent()]
      if (toServer.byteLength + toClient.byteLength === 0) return
      server.session.push(toServer)
      client.session.push(toClient)
    }
    throw new Error('the sessions never stop to answer each other')
  }
  return { client, server, clock, deliver }
}
