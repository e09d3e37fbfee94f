/** js-libp2p over TCP, used as its documentation does, with its own stack or ours below the same `Stream`. */
import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { tcp } from '@libp2p/tcp'
import { lpStream } from '@libp2p/utils'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { systemClock } from '../../kernel/index.ts'
import { chooseBackend } from '../../modules/network/backend-choice.ts'
import { joinsUpgrades } from '../../modules/network/joined-upgrade.ts'
import { typescriptMuxer } from '../../modules/network/muxer/muxer.ts'
import { noiseEncrypter } from '../../modules/network/noise/encrypter.ts'
import { silentLogger } from '../../modules/network/silent-logger.ts'
import { MAX_STREAM_WINDOW_BYTES } from '../../modules/network/swarm.ts'
import type { Stream } from '@libp2p/interface'
import type { Libp2p, Libp2pOptions } from 'libp2p'
import type { Pipe, Transport } from '../pipe.ts'

const PROTOCOL = '/nzcore-bench/1'
const MESSAGES_PER_SEND = 64

type Stack = () => Promise<
  Pick<Libp2pOptions, 'connectionEncrypters' | 'streamMuxers' | 'transports' | 'services' | 'logger'>
>

const stock: Stack = async () => ({ connectionEncrypters: [noise()], streamMuxers: [yamux()], transports: [tcp()] })
/** As most programs have it: both sides ask each other who they are. */
const identifying: Stack = async () => ({ ...(await stock()), services: { identify: identify() } })
/** What modules/network/swarm.ts puts together, without the node around it. */
const ours = {
  logger: silentLogger,
  transports: [joinsUpgrades(tcp(), { clock: systemClock, handshakeTimeoutMs: 10_000 })],
  connectionEncrypters: [noiseEncrypter()],
}
const typescript: Stack = async () => ({ ...ours, streamMuxers: [typescriptMuxer()] })
const native: Stack = async () => {
  const { native: muxer, reason } = await chooseBackend('auto')
  if (muxer === null) throw new Error(reason ?? 'the native session does not run')
  const limits = { maxInboundStreams: 1_000, maxOutboundStreams: 1_000, maxStreamWindowBytes: MAX_STREAM_WINDOW_BYTES }
  return { ...ours, streamMuxers: [() => muxer.factory({ ...limits, fallback: typescriptMuxer()() })] }
}

async function createNode(stack: Stack, listen: readonly string[]): Promise<Libp2p> {
  return await createLibp2p({
    addresses: { listen: [...listen] },
    ...(await stack()),
    // Five connections a second from one address and 300 in all are the default, and would be what the bench measures.
    connectionManager: {
      inboundConnectionThreshold: 1_000_000,
      maxIncomingPendingConnections: 1_000,
      maxConnections: 1_000_000,
    },
    // Cuts connections whose ping comes late, which a busy machine makes of good ones.
    connectionMonitor: { enabled: false },
  })
}

/** One `send` a message. */
function sending(stream: Stream): Pipe {
  return {
    write(bytes) {
      if (stream.send(bytes)) return undefined
      const { promise, resolve } = Promise.withResolvers<void>()
      // `stream.onDrain()` answers at once after its first drain; the event tells the truth.
      stream.addEventListener('drain', () => resolve(), { once: true })
      return promise
    },
    flush() {},
    onBytes(listener) {
      stream.addEventListener('message', ({ data }) => {
        if (data instanceof Uint8Array) listener(data)
        else for (const part of data) listener(part)
      })
    },
    pause: () => stream.pause(),
    async close() {
      stream.abort(new Error('the bench has ended'))
    },
  }
}

/** `MESSAGES_PER_SEND` messages a `send`. */
function batching(stream: Stream): Pipe {
  const pipe = sending(stream)
  let held: Uint8Array[] = []
  const send = (): Promise<void> | undefined => {
    const batch = Buffer.concat(held)
    held = []
    return batch.byteLength === 0 ? undefined : pipe.write(batch)
  }
  return {
    ...pipe,
    write(bytes) {
      held.push(bytes)
      return held.length < MESSAGES_PER_SEND ? undefined : send()
    },
    flush: () => void send(),
  }
}

/** libp2p's own way to send messages: a promise and a length for each. */
function lengthPrefixing(stream: Stream): Pipe {
  const messages = lpStream(stream, { maxDataLength: 1_048_576 })
  return {
    write: async (bytes) => await messages.write(bytes),
    flush() {},
    onBytes(listener) {
      void (async () => {
        for (;;) listener((await messages.read()).subarray())
      })().catch(() => undefined)
    },
    pause: () => stream.pause(),
    async close() {
      stream.abort(new Error('the bench has ended'))
    },
  }
}

function libp2pOf(stack: Stack, pipeOf: (stream: Stream) => Pipe): Transport {
  return {
    async serve(onPipe) {
      const node = await createNode(stack, ['/ip4/127.0.0.1/tcp/0'])
      const limits = { maxInboundStreams: 1_000 }
      await node.handle(PROTOCOL, (stream) => onPipe(pipeOf(stream)), limits)
      return { address: String(node.getMultiaddrs()[0]), close: async () => await node.stop() }
    },
    async connect(address) {
      const node = await createNode(stack, [])
      const peer = multiaddr(address)
      const connection = await node.dial(peer)
      return {
        open: async () => pipeOf(await connection.newStream(PROTOCOL, { maxOutboundStreams: 1_000 })),
        dial: async () => await (await node.dial(peer, { force: true })).close(),
        async hold(count) {
          for (let i = 0; i < count; i++) await node.dial(peer, { force: true })
        },
        close: async () => await node.stop(),
      }
    },
    async join(onPipe) {
      const node = await createNode(stack, ['/ip4/127.0.0.1/tcp/0'])
      const limits = { maxInboundStreams: 1_000, maxOutboundStreams: 1_000 }
      await node.handle(PROTOCOL, (stream) => onPipe(pipeOf(stream)), limits)
      return {
        address: String(node.getMultiaddrs()[0]),
        open: async (address) => pipeOf(await (await node.dial(multiaddr(address))).newStream(PROTOCOL, limits)),
        close: async () => await node.stop(),
      }
    },
  }
}

export const libp2p = libp2pOf(stock, sending)
export const libp2pIdentifying = libp2pOf(identifying, sending)
export const libp2pBatched = libp2pOf(stock, batching)
export const libp2pLengthPrefixed = libp2pOf(stock, lengthPrefixing)
/** Our TypeScript stack under libp2p's `Stream`: what a program that knows nothing of nzcore gets. */
export const typescriptStreams = libp2pOf(typescript, sending)
/** The native session under the same `Stream`. */
export const nativeStreams = libp2pOf(native, sending)
