/**
 * libp2p's official stream-muxer suite against the native session, over both drivers. The suite joins two muxers by a
 * connection in memory; here that connection stands for a real socket on the loopback, secured as any other: what it
 * does to the one happens to the other.
 */
import './mocha-globals.ts'
import { once } from 'node:events'
import { connect as connectTcp, createServer } from 'node:net'
import { after, describe } from 'node:test'
import { AbstractMultiaddrConnection } from '@libp2p/utils'
import { multiaddr } from '@multiformats/multiaddr'
import { nativeFactory } from '../../modules/network/native-muxer/native-muxer.ts'
import { SecuredStream } from '../../modules/network/noise/secured-stream.ts'
import { CipherState } from '../../protocols/noise/cipher-state.ts'
import { RecordReader } from '../../protocols/noise/record.ts'
import { MUXER_OPTIONS, startTestEngine, whyNoNative } from '../fake/native-libp2p.ts'
import type { AddressInfo, Socket } from 'node:net'
import type { AbortOptions, MultiaddrConnection, StreamMuxer, StreamMuxerFactory } from '@libp2p/interface'
import type { SendResult } from '@libp2p/utils'
import type { Uint8ArrayList } from 'uint8arraylist'
import type { Engine } from '../../native/binding.ts'

const skip = whyNoNative()
if (skip !== false) process.stdout.write(`# left out: ${skip}\n`)
else {
  const { default: streamMuxerSuite } = await import('@libp2p/interface-compliance-tests/stream-muxer')
  for (const choice of ['auto', 'epoll'] as const) {
    describe(`the native session (${choice})`, () => {
      const engine = startTestEngine(choice)
      let waiting: Socket | null = null
      after(() => {
        waiting?.destroy()
        engine.stop()
      })
      streamMuxerSuite({
        // Called for the dialler first, then for the listener.
        async setup() {
          if (waiting !== null) {
            const socket = waiting
            waiting = null
            return factoryOver(socket, engine)
          }
          const [dialler, listener] = await socketPair()
          waiting = listener
          return factoryOver(dialler, engine)
        },
        async teardown() {},
      })
    })
  }
}

function factoryOver(socket: Socket, engine: Engine): StreamMuxerFactory {
  const fallback = {
    protocol: '',
    createStreamMuxer() {
      throw new Error('the connection was not taken over')
    },
  } as unknown as StreamMuxerFactory
  // The suite counts messages: they stay what they were.
  const factory = nativeFactory(engine, { ...MUXER_OPTIONS, fallback, mergesMessages: false })
  return {
    ...factory,
    createStreamMuxer(stand: MultiaddrConnection): StreamMuxer {
      const below = new SocketConnection(socket, stand)
      stand.addEventListener('close', ({ error }) => {
        if (error === undefined) void below.close().catch(() => undefined)
        else below.abort(error)
      })
      below.addEventListener('close', () => void stand.close())
      const muxer = factory.createStreamMuxer(secured(below, stand.direction))
      muxers.push(muxer)
      actSlow(stand, () => muxers.slice(-2).filter((each) => each !== muxer))
      return muxer
    },
  } as StreamMuxerFactory
}

const muxers: StreamMuxer[] = []

/** The suite makes a connection slow by a field of its own; a peer that does not read makes a real one slow. */
function actSlow(stand: MultiaddrConnection, others: () => readonly StreamMuxer[]): void {
  const local: unknown = Reflect.get(stand, 'local')
  if (typeof local !== 'object' || local === null) throw new TypeError('the connection of the suite has changed')
  Object.defineProperty(local, 'delay', {
    get: () => 0,
    set: () => {
      for (const { streams } of others()) for (const stream of streams) stream.pause()
    },
  })
}

function secured(connection: SocketConnection, direction: 'inbound' | 'outbound'): SecuredStream {
  const [own, other] = direction === 'outbound' ? [1, 2] : [2, 1]
  const state = (key: number): CipherState => new CipherState(new Uint8Array(32).fill(key))
  return new SecuredStream({ connection, sender: state(own), receiver: state(other), reader: new RecordReader() })
}

/** A connection as @libp2p/tcp makes them. */
class SocketConnection extends AbstractMultiaddrConnection {
  readonly socket: Socket

  constructor(socket: Socket, { log, direction }: MultiaddrConnection) {
    super({ log, direction, remoteAddr: multiaddr(`/ip4/127.0.0.1/tcp/${socket.remotePort ?? 0}`) })
    this.socket = socket
    socket.on('data', (chunk) => this.onData(chunk))
    socket.on('error', (error) => this.abort(error))
    socket.once('close', () => this.onTransportClosed())
  }

  override sendData(data: Uint8ArrayList): SendResult {
    for (const part of data) this.socket.write(part)
    return { sentBytes: data.byteLength, canSendMore: true }
  }

  override async sendClose(options?: AbortOptions): Promise<void> {
    if (this.socket.destroyed) return
    this.socket.destroySoon()
    await once(this.socket, 'close', options)
  }

  override sendReset(): void {
    if (this.socket.writableEnded) this.socket.destroy()
    else this.socket.resetAndDestroy()
  }

  override sendPause(): void {
    this.socket.pause()
  }

  override sendResume(): void {
    this.socket.resume()
  }
}

async function socketPair(): Promise<readonly [Socket, Socket]> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const accepted = once(server, 'connection')
  const dialler = connectTcp((server.address() as AddressInfo).port, '127.0.0.1')
  const [[listener]] = (await Promise.all([accepted, once(dialler, 'connect')])) as [[Socket], unknown]
  server.close()
  return [dialler, listener]
}
