/** A js-libp2p node on loopback whose connections the native session takes over, and an engine for a whole test file. */
import { once } from 'node:events'
import { identify } from '@libp2p/identify'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { createLibp2p } from 'libp2p'
import { loadAddon, startEngine } from '../../native/binding.ts'
import { typescriptMuxer } from '../../modules/network/muxer/muxer.ts'
import { nativeFactory } from '../../modules/network/native-muxer/native-muxer.ts'
import { nativeAsked } from './native-asked.ts'
import { noiseEncrypter } from '../../modules/network/noise/encrypter.ts'
import type { Connection, Libp2p, Stream, StreamMuxerFactory } from '@libp2p/interface'
import type { Engine, EngineInit } from '../../native/binding.ts'

export const MUXER_OPTIONS = {
  maxInboundStreams: 1_024,
  maxOutboundStreams: 1_024,
  maxStreamWindowBytes: 2 * 1024 * 1024,
} as const

/** Why there is no native session here: the reason with which tests are left out; `false` when there is one. */
export function whyNoNative(): string | false {
  if (nativeAsked() === 'off') return 'native session: NZ_NATIVE=0'
  const loaded = loadAddon()
  return loaded.supported ? false : `native session: ${loaded.reason}`
}

export function startTestEngine(choice: 'auto' | 'epoll', init: Partial<EngineInit> = {}): Engine {
  const loaded = loadAddon()
  if (!loaded.supported) throw new Error(loaded.reason)
  const made = startEngine(loaded.addon, { ...init, mayUseUring: choice === 'auto' && nativeAsked() !== 'epoll' })
  if (!made.started) throw new Error(`the engine does not start: errno ${made.errno}`)
  return made.engine
}

export interface NativeLibp2pInit {
  readonly listen?: readonly string[]
  readonly muxer: StreamMuxerFactory
}

/** With the muxer given; `nativeMuxerOf` and `typescriptMuxerOf` make some. */
export async function libp2pWith({ listen = [], muxer }: NativeLibp2pInit) {
  return await createLibp2p({
    addresses: { listen: [...listen] },
    transports: [tcp()],
    connectionEncrypters: [noiseEncrypter()],
    streamMuxers: [() => muxer],
    services: { identify: identify(), ping: ping() },
    connectionManager: { inboundConnectionThreshold: Infinity, maxIncomingPendingConnections: 10_000 },
  })
}

export function nativeMuxerOf(engine: Engine): StreamMuxerFactory {
  return nativeFactory(engine, { ...MUXER_OPTIONS, fallback: refusal })
}

export function typescriptMuxerOf(): StreamMuxerFactory {
  return typescriptMuxer(MUXER_OPTIONS)()
}

/** A test that expects a connection to be taken over wants to hear when it was not. */
const refusal = {
  protocol: '/yamux/1.0.0',
  createStreamMuxer() {
    throw new Error('the connection was not taken over')
  },
} as unknown as StreamMuxerFactory

export async function connect(from: Libp2p, to: Libp2p): Promise<Connection> {
  const [address] = to.getMultiaddrs()
  if (address === undefined) throw new Error('the node listens nowhere')
  return await from.dial(address)
}

/** Everything up to the end of the peer's side. */
export async function readAll(stream: Stream): Promise<Buffer> {
  const parts: Uint8Array[] = []
  for await (const chunk of stream) parts.push(...(chunk instanceof Uint8Array ? [chunk] : [...chunk]))
  return Buffer.concat(parts)
}

/** Writes with the back-pressure that libp2p offers. */
export async function writeAll(stream: Stream, bytes: Uint8Array, pieceBytes: number): Promise<void> {
  for (let at = 0; at < bytes.byteLength; at += pieceBytes) {
    if (stream.send(bytes.subarray(at, at + pieceBytes))) continue
    await once(stream as unknown as EventTarget, 'drain')
  }
}

export async function echo(stream: Stream): Promise<void> {
  for await (const chunk of stream) {
    for (const part of chunk instanceof Uint8Array ? [chunk] : chunk) {
      if (stream.send(part)) continue
      await once(stream as unknown as EventTarget, 'drain')
    }
  }
  await stream.close()
}
