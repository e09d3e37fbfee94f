/** The stacks of the interoperability matrix, each as a libp2p node, and what they do with each other. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { createLibp2p } from 'libp2p'
import { chooseBackend } from '../../modules/network/backend-choice.ts'
import { systemClock } from '../../kernel/index.ts'
import { joinsUpgrades } from '../../modules/network/joined-upgrade.ts'
import { typescriptMuxer } from '../../modules/network/muxer/muxer.ts'
import { noiseEncrypter } from '../../modules/network/noise/encrypter.ts'
import { nativeAsked } from '../fake/native-asked.ts'
import type { Connection, Stream } from '@libp2p/interface'
import type { Libp2pOptions } from 'libp2p'

export const PROTOCOLS = {
  /** Answers with what it is told, then closes its side. */
  echo: '/nz-test/echo/1',
  /** Answers the number of bytes once the other side has ended. */
  sink: '/nz-test/sink/1',
  /** Resets the stream after its first byte. */
  reset: '/nz-test/reset/1',
} as const

/** What a node is secured and multiplexed by; over plain TCP when it says nothing else. */
export type Security = Pick<Libp2pOptions, 'connectionEncrypters' | 'streamMuxers' | 'transports'>

/** As the node has them: multistream-select and the handshake share their packets. */
const joined = { transports: [joinsUpgrades(tcp(), { clock: systemClock, handshakeTimeoutMs: 10_000 })] }

/** Without early muxer negotiation: multistream-select names the muxer after the handshake. */
type EncrypterOf = NonNullable<Libp2pOptions['connectionEncrypters']>[number]
function late(encrypter: EncrypterOf): EncrypterOf {
  return (components) => {
    const made = encrypter(components)
    const skip = { skipStreamMuxerNegotiation: true }
    return {
      protocol: made.protocol,
      secureOutbound: async (connection, options) => await made.secureOutbound(connection, { ...options, ...skip }),
      secureInbound: async (connection, options) => await made.secureInbound(connection, { ...options, ...skip }),
    }
  }
}

/**
 * With the window that the node's own `stock` has: one of 16 MiB, as it grows to by itself, fills the 4 MiB that libp2p keeps
 * for a reader that pauses, and the stream is reset.
 */
const stockYamux = yamux({ streamOptions: { maxStreamWindowSize: 2 * 1024 * 1024 } })

export const stacks: Readonly<Record<string, () => Promise<Security | string>>> = {
  typescript: async (): Promise<Security> => ({
    ...joined,
    connectionEncrypters: [noiseEncrypter()],
    streamMuxers: [typescriptMuxer()],
  }),
  'typescript, muxer named late': async () => ({
    connectionEncrypters: [late(noiseEncrypter())],
    streamMuxers: [typescriptMuxer()],
  }),
  stock: async () => ({ connectionEncrypters: [noise()], streamMuxers: [stockYamux] }),
  'stock, muxer named late': async () => ({ connectionEncrypters: [late(noise())], streamMuxers: [stockYamux] }),
  ...Object.fromEntries(
    (['auto', 'epoll'] as const).map((asked) => [`native, ${asked}`, async () => await native(asked)]),
  ),
  // The connection is taken over behind multistream-select in place of the handshake.
  'native, muxer named late': async () => {
    const security = await native('auto')
    if (typeof security === 'string') return security
    const { streamMuxers = [] } = security
    return { connectionEncrypters: [late(noiseEncrypter())], streamMuxers }
  },
}

/** The native stack, or why there is none. */
async function native(asked: 'auto' | 'epoll'): Promise<Security | string> {
  const forced = nativeAsked()
  const { native: muxer, reason } = await chooseBackend(forced === 'auto' ? asked : forced)
  if (muxer === null) return reason ?? 'the native stack does not run'
  const limits = { maxInboundStreams: 1_000, maxOutboundStreams: 1_000, maxStreamWindowBytes: 2 * 1024 * 1024 }
  return {
    ...joined,
    connectionEncrypters: [noiseEncrypter()],
    streamMuxers: [() => muxer.factory({ ...limits, fallback: typescriptMuxer()() })],
  }
}

export type InteropNode = Awaited<ReturnType<typeof startStack>>

export async function startStack(security: Security) {
  const node = await createLibp2p({
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp()],
    ...security,
    services: { identify: identify(), ping: ping() },
    connectionManager: { inboundConnectionThreshold: 1_000 },
    connectionMonitor: { enabled: false },
  })
  const many = { maxInboundStreams: 1_000, maxOutboundStreams: 1_000 }
  await node.handle(PROTOCOLS.echo, echo, many)
  await node.handle(PROTOCOLS.sink, sink, many)
  await node.handle(PROTOCOLS.reset, (stream) => {
    stream.addEventListener('message', () => stream.abort(new Error('as the test asks')))
  })
  return node
}

function echo(stream: Stream): void {
  stream.addEventListener('message', ({ data }) => {
    if (!stream.send(data) && stream.readStatus === 'readable') stream.pause()
  })
  stream.addEventListener('drain', () => stream.readStatus === 'paused' && stream.resume())
  whenRead(stream, () => void stream.close().catch(() => undefined))
}

/** Reads nothing for a while, so that a writer meets the end of its window. */
function sink(stream: Stream): void {
  let count = 0
  setTimeout(() => {
    stream.addEventListener('message', ({ data }) => void (count += data.byteLength))
    whenRead(stream, () => {
      stream.send(Buffer.from(String(count)))
      void stream.close().catch(() => undefined)
    })
  }, 100)
}

/** libp2p's `end` may come while bytes that the negotiation had read too many wait to be given back. */
function whenRead(stream: Stream, onRead: () => void): void {
  let isDone = false
  const look = (): void => {
    if (isDone || stream.remoteWriteStatus !== 'closed' || stream.readBufferLength > 0) return
    isDone = true
    onRead()
  }
  stream.addEventListener('message', () => void setImmediate(look))
  stream.addEventListener('end', look)
  setImmediate(look)
}

/** Writes with back-pressure; whether it ever had to wait. */
export async function writeAll(stream: Stream, bytes: Uint8Array): Promise<boolean> {
  let hasWaited = false
  for (let at = 0; at < bytes.byteLength; at += 65_536) {
    if (stream.send(bytes.subarray(at, at + 65_536))) continue
    hasWaited = true
    await drained(stream)
  }
  return hasWaited
}

async function drained(stream: Stream): Promise<void> {
  const target = stream as unknown as EventTarget
  const stop = new AbortController()
  const closed = once(target, 'close', { signal: stop.signal }).then(() => {
    throw new Error('the stream ended while it was written')
  })
  try {
    await Promise.race([once(target, 'drain', { signal: stop.signal }), closed])
  } finally {
    closed.catch(() => undefined)
    stop.abort()
  }
}

export async function readAll(stream: Stream): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>()
  stream.addEventListener('message', ({ data }) => void chunks.push(...(data instanceof Uint8Array ? [data] : data)))
  stream.addEventListener('end', () => resolve(Buffer.concat(chunks)))
  stream.addEventListener('close', ({ error }) => error !== undefined && reject(error))
  return await promise
}

/** 0, 7, 14, … as the other languages make it. */
export function pattern(byteLength: number): Buffer {
  return Buffer.alloc(
    byteLength,
    Uint8Array.from({ length: 256 }, (_, i) => i * 7),
  )
}

/** Sends `byteLength` bytes while they come back, and compares. */
export async function exchange(connection: Connection, byteLength: number, signal: AbortSignal): Promise<void> {
  const stream = await connection.newStream(PROTOCOLS.echo, { signal, maxOutboundStreams: 1_000 })
  const sent = pattern(byteLength)
  const heard = readAll(stream)
  await writeAll(stream, sent)
  await stream.close({ signal })
  assert.ok((await heard).equals(sent), 'what came back is not what was sent')
}
