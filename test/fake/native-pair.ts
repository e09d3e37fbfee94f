/** Two muxers of the native session on a socket of the loopback, with keys that both know: no handshake, no libp2p. */
import { once } from 'node:events'
import { connect as connectTcp, createServer } from 'node:net'
import { defaultLogger } from '@libp2p/logger'
import { AbstractMultiaddrConnection } from '@libp2p/utils'
import { multiaddr } from '@multiformats/multiaddr'
import { nativeFactory } from '../../modules/network/native-muxer/native-muxer.ts'
import { SecuredStream } from '../../modules/network/noise/secured-stream.ts'
import { CipherState } from '../../protocols/noise/cipher-state.ts'
import { RecordReader } from '../../protocols/noise/record.ts'
import type { AddressInfo, Socket } from 'node:net'
import type { AbortOptions, Logger, StreamMuxer, StreamMuxerFactory } from '@libp2p/interface'
import type { SendResult } from '@libp2p/utils'
import type { Uint8ArrayList } from 'uint8arraylist'
import type { Engine } from '../../native/binding.ts'

const OPTIONS = { maxInboundStreams: 1_024, maxOutboundStreams: 1_024, maxStreamWindowBytes: 2 * 1024 * 1024 } as const

/** A connection as @libp2p/tcp makes them. */
export class SocketConnection extends AbstractMultiaddrConnection {
  readonly socket: Socket

  constructor(socket: Socket, { log, direction }: { log: Logger; direction: 'inbound' | 'outbound' }) {
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

/** The dialler seals with key 1, the listener with key 2. */
export function securedStream(connection: SocketConnection): SecuredStream {
  const [own, other] = connection.direction === 'outbound' ? [1, 2] : [2, 1]
  const state = (key: number): CipherState => new CipherState(new Uint8Array(32).fill(key))
  return new SecuredStream({ connection, sender: state(own), receiver: state(other), reader: new RecordReader() })
}

export async function socketPair(): Promise<readonly [Socket, Socket]> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const accepted = once(server, 'connection')
  const dialler = connectTcp((server.address() as AddressInfo).port, '127.0.0.1')
  const [[listener]] = (await Promise.all([accepted, once(dialler, 'connect')])) as [[Socket], unknown]
  server.close()
  return [dialler, listener]
}

export interface MuxerPair {
  readonly dialler: StreamMuxer
  readonly listener: StreamMuxer
  /** Ends both sockets, and waits until they have ended. */
  close(isAbrupt: boolean): Promise<void>
}

export interface NativePair extends MuxerPair {
  /** Connections that the engine did not take. */
  readonly fallbacks: number
}

export async function nativePair(
  engine: Engine,
  { accepted, hasNoDescriptors = false }: { readonly accepted?: Socket; readonly hasNoDescriptors?: boolean } = {},
): Promise<NativePair> {
  let fallbacks = 0
  const fallback = {
    protocol: '',
    createStreamMuxer() {
      fallbacks += 1
      return { streams: [] }
    },
  } as unknown as StreamMuxerFactory
  const used = hasNoDescriptors ? withoutDescriptors(engine) : engine
  const pair = await pairOf(nativeFactory(used, { ...OPTIONS, fallback }), accepted)
  return { ...pair, fallbacks }
}

/** Two muxers of any kind; with `accepted` one, at this end of it. */
export async function pairOf(factory: StreamMuxerFactory, accepted?: Socket): Promise<MuxerPair> {
  const sockets = accepted === undefined ? await socketPair() : [accepted]
  const connections = sockets.map((socket, i) => {
    const direction = accepted === undefined && i === 0 ? ('outbound' as const) : ('inbound' as const)
    return new SocketConnection(socket, { log: defaultLogger().forComponent('test'), direction })
  })
  const muxers = connections.map((connection) => factory.createStreamMuxer(securedStream(connection)))
  const [first, last] = [muxers[0], muxers.at(-1)]
  if (first === undefined || last === undefined) throw new Error('no connection')
  return {
    dialler: first,
    listener: last,
    async close(isAbrupt) {
      const ended = sockets.map(async (socket) => socket.closed || (await once(socket, 'close')))
      for (const connection of connections) {
        if (isAbrupt) connection.abort(new Error('cut'))
        else await connection.close().catch(() => undefined)
      }
      await Promise.all(ended)
    },
  }
}

/** As the system is when a process has as many descriptors as it may: EMFILE. */
function withoutDescriptors(engine: Engine): Engine {
  return new Proxy(engine, {
    get(target, name) {
      if (name === 'attach') return () => 24
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}
