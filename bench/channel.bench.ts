/**
 * Messages of 1 MiB through an end-to-end channel over a TCP stream on loopback, against the same stream without it, and
 * the sealing and opening alone. Both ends in this process, round by round in turn.
 */
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { createEventBus, systemClock, systemRandom } from '../kernel/index.ts'
import { Channels } from '../modules/channels/channels.ts'
import { ChannelKeys } from '../modules/channels/keys.ts'
import { IdentityKeys } from '../modules/identity/keys.ts'
import { verifyFor } from '../protocols/identity/signature.ts'
import { Endpoint } from '../protocols/channel/endpoint.ts'
import { measureInTurn } from './interleaved.ts'
import { FULL_ROUNDS, SMALL_ROUNDS, timedRates } from './scenario.ts'
import type { Socket } from 'node:net'
import type { MessageChannel } from '../modules/channels/service.ts'
import type { CarrierStream } from '../modules/channels/stream-carrier.ts'
import type { HandshakeInit } from '../protocols/handshake/handshake.ts'
import type { Scenario } from './scenario.ts'
import type { Variant } from './interleaved.ts'

const MESSAGE_BYTES = 1_048_576
const CHUNK_BYTES = 65_536
const MESSAGES = { small: 2, full: 64 } as const
const PURPOSE = 'nzcore/bench/1'

export const channel: Scenario = {
  name: 'channel',
  async run({ size, isCompared, signal }) {
    const ends = await openEnds(signal)
    try {
      const messages = MESSAGES[size]
      const message = systemRandom.bytes(MESSAGE_BYTES)
      const variants: readonly Variant[] = [
        { name: 'stream', run: async () => await overStream(ends.plain, message, messages) },
        {
          name: 'channel over the stream',
          run: async () => await overChannel(ends.secure, message, { messages, signal }),
        },
        {
          name: 'sealed and opened, no stream',
          run: async () => await Promise.resolve(sealing(ends.endpoints, message, messages)),
        },
      ]
      const rounds = size === 'full' ? FULL_ROUNDS : SMALL_ROUNDS
      const times = await measureInTurn(isCompared ? variants : variants.slice(1, 2), { rounds, signal })
      return {
        scenario: 'channel',
        title: `${messages} messages of 1 MiB, end to end`,
        rounds,
        figures: timedRates(times, (messages * MESSAGE_BYTES) / 1_000_000, 'MB/s'),
      }
    } finally {
      ends.close()
    }
  },
}

/** One after another, each awaited at its end: what `send` of a channel promises. */
async function overStream(
  [near, far]: readonly [CarrierStream, CarrierStream],
  message: Uint8Array,
  messages: number,
): Promise<void> {
  for (let count = 0; count < messages; count += 1) {
    const write = async (): Promise<void> => {
      for (let at = 0; at < message.byteLength; at += CHUNK_BYTES)
        await near.write(message.subarray(at, at + CHUNK_BYTES))
    }
    const read = async (): Promise<void> => {
      const whole = Buffer.allocUnsafe(message.byteLength)
      for (let at = 0; at < whole.byteLength;) {
        const chunk = await far.read()
        if (chunk === null) throw new Error('the stream ended')
        whole.set(chunk, at)
        at += chunk.byteLength
      }
      requireSame(whole, message)
    }
    await Promise.all([write(), read()])
  }
}

async function overChannel(
  [near, far]: readonly [MessageChannel, MessageChannel],
  message: Uint8Array,
  { messages, signal }: { readonly messages: number; readonly signal: AbortSignal },
): Promise<void> {
  for (let count = 0; count < messages; count += 1) {
    const [, came] = await Promise.all([near.send(message, { signal }), far.receive({ signal })])
    requireSame(came, message)
  }
}

function sealing([near, far]: readonly [Endpoint, Endpoint], message: Uint8Array, messages: number): void {
  const whole = Buffer.allocUnsafe(message.byteLength)
  for (let count = 0; count < messages; count += 1) {
    for (let at = 0; at < message.byteLength; at += CHUNK_BYTES) {
      const sealed = near.seal(message.subarray(at, at + CHUNK_BYTES), systemClock.monotonicMs())
      if ('refused' in sealed) throw new Error(sealed.refused)
      const { payload } = far.receive(sealed.packet, systemClock.monotonicMs())
      if (payload === undefined) throw new Error('a packet did not open')
      whole.set(payload, at)
    }
    requireSame(whole, message)
  }
}

function requireSame(came: Uint8Array | null, sent: Uint8Array): void {
  if (came === null || Buffer.compare(came, sent) !== 0) throw new Error('a message came otherwise than it was sent')
}

interface Ends {
  readonly plain: readonly [CarrierStream, CarrierStream]
  readonly secure: readonly [MessageChannel, MessageChannel]
  readonly endpoints: readonly [Endpoint, Endpoint]
  close(): void
}

async function openEnds(signal: AbortSignal): Promise<Ends> {
  const [near, far] = [await keysOf(1), await keysOf(2)]
  const [plain, carried] = [await socketPair(), await socketPair()]
  const called = Promise.withResolvers<MessageChannel>()
  const caller = channelsOf(near.keys, async () => await Promise.resolve(carried.streams[0]))
  const answerer = channelsOf(far.keys, async () => await Promise.reject(new Error('nobody is called')))
  const handler = async (accepted: MessageChannel): Promise<void> => {
    called.resolve(accepted)
    await once(accepted.signal, 'abort')
  }
  answerer.accept(PURPOSE, handler, { signal, act: 'send' })
  void answerer.serve(carried.streams[1], { signal }).catch((error: unknown) => called.reject(error))
  const opened = await caller.open(far.peerId, { purpose: PURPOSE, signal })
  const secure = [opened, await called.promise] as const
  return {
    plain: plain.streams,
    secure,
    endpoints: endpointPair(near.keys, far.keys),
    close() {
      plain.close()
      carried.close()
    },
  }
}

function channelsOf(keys: ChannelKeys, openStream: () => Promise<CarrierStream>): Channels {
  const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }
  return new Channels({
    keys,
    network: { openStream },
    trust: { may: () => true },
    events: createEventBus({ onListenerError: () => undefined }),
    clock: systemClock,
    random: systemRandom,
    log: silent,
  })
}

async function keysOf(seed: number): Promise<{ readonly keys: ChannelKeys; readonly peerId: string }> {
  const identity = await IdentityKeys.derive(new Uint8Array(32).fill(seed), ['A', 'B', 'C', 'D'])
  const keys = new ChannelKeys({
    self: identity.self,
    deriveKey: (label) => identity.deriveKey(label),
    signAsNode: (purpose, message) => identity.signAsNode(purpose, message),
    verify: verifyFor,
  })
  return { keys, peerId: identity.self.peerId }
}

function endpointPair(near: ChannelKeys, far: ChannelKeys): readonly [Endpoint, Endpoint] {
  const nowMs = systemClock.monotonicMs()
  const shared = { verify: verifyFor, purpose: PURPOSE, features: [], random: systemRandom, nowMs } as const
  const initiator: HandshakeInit = { ...shared, role: 'initiator', identity: near.identity }
  const responder: HandshakeInit = { ...shared, role: 'responder', identity: far.identity }
  const ends = [new Endpoint({ handshake: initiator }), new Endpoint({ handshake: responder })] as const
  let frames: readonly Uint8Array[] = ends[0].due(nowMs).send
  for (let turn = 1; frames.length > 0; turn += 1) {
    const end = turn % 2 === 0 ? ends[0] : ends[1]
    frames = frames.flatMap((frame) => [...end.receive(frame, nowMs).send])
  }
  return ends
}

async function socketPair(): Promise<{ readonly streams: readonly [CarrierStream, CarrierStream]; close(): void }> {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const near = connect(address.port, '127.0.0.1')
  const [far] = (await once(server, 'connection')) as [Socket]
  for (const socket of [near, far]) socket.setNoDelay(true)
  return {
    streams: [streamOf(near), streamOf(far)],
    close() {
      near.destroy()
      far.destroy()
      server.close()
    },
  }
}

function streamOf(socket: Socket): CarrierStream {
  const ended = new AbortController()
  socket.on('close', () => ended.abort())
  socket.on('error', () => ended.abort())
  return {
    peerId: '',
    signal: ended.signal,
    async write(bytes) {
      if (!socket.write(bytes)) await once(socket, 'drain', { signal: ended.signal })
    },
    async read({ signal = ended.signal } = {}) {
      for (;;) {
        const bytes = socket.read() as Buffer | null
        if (bytes !== null) return bytes
        await once(socket, 'readable', { signal })
      }
    },
    closeWrite: async () => await Promise.resolve(void socket.end()),
    close: async () => await Promise.resolve(void socket.destroy()),
    reset: () => void socket.destroy(),
  }
}
