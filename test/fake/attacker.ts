/**
 * A peer that knows the keys of its connection and no manners: records and frames as it likes, reading or not. The other
 * end is a muxer of ours on a real socket.
 */
import { once } from 'node:events'
import { connect as connectTcp, createServer } from 'node:net'
import { defaultLogger } from '@libp2p/logger'
import { CipherState } from '../../protocols/noise/cipher-state.ts'
import { FLAG, FRAME, HEADER_BYTES } from '../../protocols/yamux/constants.ts'
import { writeHeader } from '../../protocols/yamux/header.ts'
import { securedStream, SocketConnection } from './native-pair.ts'
import type { AddressInfo, Server, Socket } from 'node:net'
import type { StreamMuxer, StreamMuxerFactory } from '@libp2p/interface'

const FRAMES_PER_RECORD = 5_000
const EMPTY = new Uint8Array(0)

export class Attacker {
  readonly socket: Socket
  readonly #sender = new CipherState(new Uint8Array(32).fill(1))

  constructor(socket: Socket) {
    this.socket = socket
    socket.on('error', () => undefined)
    socket.pause()
  }

  get isOver(): boolean {
    return this.socket.closed || this.socket.destroyed
  }

  /** Resolves when the connection has ended, in whichever way. */
  async over(): Promise<void> {
    if (!this.isOver) await new Promise((done) => this.socket.once('close', done))
  }

  record(...frames: readonly Uint8Array[]): Buffer {
    const sealed = this.#sender.seal(Buffer.concat(frames))
    const length = Buffer.alloc(2)
    length.writeUInt16BE(sealed.byteLength)
    return Buffer.concat([length, sealed])
  }

  /** Resolves when there is room for more, or when the other side has cut the connection. */
  async write(bytes: Uint8Array): Promise<void> {
    if (this.isOver || this.socket.write(bytes)) return
    const stop = new AbortController()
    const { signal } = stop
    const events = ['drain', 'close'].map(async (event) => await once(this.socket, event, { signal }))
    await Promise.race(events).catch(() => undefined)
    for (const each of events) each.catch(() => undefined)
    stop.abort()
  }

  /** Opens streams, each number once, for as long as it is let. */
  async openForEver(): Promise<void> {
    for (let stream = 1; !this.isOver;) {
      const opens: Uint8Array[] = []
      for (; opens.length < FRAMES_PER_RECORD; stream += 2) opens.push(frame(FRAME.windowUpdate, FLAG.syn, stream, 0))
      await this.write(this.record(...opens))
    }
  }

  async pingForEver(): Promise<void> {
    for (let round = 0; !this.isOver; round += 1) {
      const pings = Array.from({ length: FRAMES_PER_RECORD }, (_, i) => frame(FRAME.ping, FLAG.syn, 0, round + i))
      await this.write(this.record(...pings))
    }
  }
}

export function frame(
  type: number,
  flags: number,
  stream: number,
  length: number,
  body: Uint8Array = EMPTY,
): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + body.byteLength)
  bytes.set(body, writeHeader(bytes, 0, type, flags, stream, length))
  return bytes
}

/** The attacked end of one connection. */
export interface Victim {
  readonly muxer: StreamMuxer
  /** With what the connection was cut; `undefined` for an end without an error. */
  readonly ended: Promise<Error | undefined>
  close(): void
}

/** A listener of ours; every connection gets a muxer of `factory`. */
export async function listen(factory: StreamMuxerFactory, onVictim: (victim: Victim) => void): Promise<Server> {
  const server = createServer((socket) => {
    const connection = new SocketConnection(socket, {
      log: defaultLogger().forComponent('test'),
      direction: 'inbound',
    })
    const ended = (once(connection, 'close') as Promise<[Event & { error?: Error }]>).then(([{ error }]) => error)
    const muxer = factory.createStreamMuxer(securedStream(connection))
    // As libp2p does; streams that nobody waits for have a small bound of their own.
    muxer.addEventListener('stream', () => undefined)
    onVictim({ muxer, ended, close: () => connection.abort(new Error('done')) })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return server
}

export function portOf(server: Server): number {
  return (server.address() as AddressInfo).port
}

export async function dial(port: number): Promise<Attacker> {
  const socket = connectTcp(port, '127.0.0.1')
  await once(socket, 'connect')
  return new Attacker(socket)
}
