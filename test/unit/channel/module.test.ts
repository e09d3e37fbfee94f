/** The channels module: over streams of the network and over paths of packets, admitted by trust. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { createEventBus, LifetimeScope, systemClock, systemRandom } from '../../../kernel/index.ts'
import { MAX_STREAMS_PER_PEER } from '../../../modules/channels/channels.ts'
import channelsModule from '../../../modules/channels/index.ts'
import { channelsEvents } from '../../../modules/channels/service.ts'
import { trustEvents } from '../../../modules/trust/service.ts'
import { MAX_EARLY_PAYLOADS } from '../../../modules/channels/packet-channel.ts'
import { OVERHEAD_BYTES } from '../../../protocols/channel/packet.ts'
import { fakeIdentity } from '../../fake/identity.ts'
import { createFakeNetwork } from '../../fake/network.ts'
import { trustingAll } from '../../fake/trust.ts'
import type { ChannelsService, MessageChannel, PacketPath } from '../../../modules/channels/service.ts'
import type { EventBus } from '../../../kernel/index.ts'
import type { NetworkService } from '../../../modules/network/service.ts'
import type { TrustService } from '../../../modules/trust/service.ts'
import type { FakeNetwork } from '../../fake/network.ts'

const signal = AbortSignal.timeout(60_000)
const PURPOSE = 'nzcore/test/1'

interface Node extends AsyncDisposable {
  readonly peerId: string
  readonly network: NetworkService
  readonly channels: ChannelsService
  /** `opened XX`, `closed`, `refused CODE`, as they happened. */
  readonly told: string[]
  readonly events: EventBus
}

async function startNode(mesh: FakeNetwork, seed: number, trust: TrustService = trustingAll): Promise<Node> {
  const identity = { ...fakeIdentity(seed), deriveKey: () => new Uint8Array(32).fill(seed) }
  const { peerId } = identity.self
  const log = { debug() {}, info() {}, warn() {}, error() {} }
  const events = createEventBus({ onListenerError: () => undefined })
  const scope = new LifetimeScope()
  const network = mesh.add(peerId)
  const told: string[] = []
  events.on(channelsEvents.opened, ({ pattern }) => void told.push(`opened ${pattern}`), { signal: scope.signal })
  events.on(channelsEvents.closed, () => void told.push('closed'), { signal: scope.signal })
  events.on(channelsEvents.refused, ({ code }) => void told.push(`refused ${code}`), { signal: scope.signal })
  const context = {
    name: 'channels',
    log,
    events,
    clock: systemClock,
    random: systemRandom,
    scope,
    fail: () => undefined,
    finish: () => undefined,
  }
  const instance = await channelsModule.setup(context, { identity, network, trust }, {})
  await instance.start?.({ signal })
  const { channels } = instance.services
  return { peerId, network, channels, told, events, [Symbol.asyncDispose]: () => scope[Symbol.asyncDispose]() }
}

async function twoNodes(trust?: TrustService) {
  const mesh = createFakeNetwork()
  const desk = await startNode(mesh, 1, trust)
  const laptop = await startNode(mesh, 2)
  await laptop.network.connect(desk.peerId, { addresses: desk.network.addresses(), signal })
  return {
    mesh,
    desk,
    laptop,
    async [Symbol.asyncDispose]() {
      await Promise.all([desk[Symbol.asyncDispose](), laptop[Symbol.asyncDispose]()])
    },
  }
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) {
    signal.throwIfAborted()
    await new Promise(setImmediate)
  }
}

async function echo(channel: MessageChannel): Promise<void> {
  for (let message = await channel.receive({ signal }); message !== null; message = await channel.receive({ signal })) {
    await channel.send(message, { signal, isCompressed: message.byteLength % 2 === 0 })
  }
}

describe('channels over streams', () => {
  it('carry messages of any size both ways, and are listed while they are open', async () => {
    await using nodes = await twoNodes()
    const { desk, laptop } = nodes
    desk.channels.accept(PURPOSE, echo, { signal, act: 'send' })
    const channel = await laptop.channels.open(desk.peerId, { purpose: PURPOSE, signal })
    assert.deepEqual([channel.peerId, channel.features], [desk.peerId, ['deflate', 'zstd']])
    for (const size of [0, 1, 70_000, 1_200_000]) {
      const message = Buffer.alloc(size, `${size}`)
      const [, answer] = await Promise.all([channel.send(message, { signal }), channel.receive({ signal })])
      assert.ok(answer !== null && Buffer.compare(answer, message) === 0)
    }
    const [listed] = laptop.channels.list()
    assert.deepEqual(
      [listed?.peerId, listed?.purpose, listed?.carrier, listed?.role, listed?.pattern, listed?.refused],
      [desk.peerId, PURPOSE, 'stream', 'initiator', 'XX', {}],
    )
    assert.ok((listed?.txPackets ?? 0) > 15 && (listed?.rxPackets ?? 0) > 15)
    await channel.close()
    await until(() => desk.channels.list().length === 0)
    assert.deepEqual(laptop.channels.list(), [])
    await assert.rejects(channel.send(Uint8Array.of(1), { signal }), { code: 'NZ_CHANNEL_CLOSED' })
  })

  it('resume by a ticket, and call a known key when there is none', async () => {
    await using nodes = await twoNodes()
    const { desk, laptop } = nodes
    desk.channels.accept(PURPOSE, echo, { signal, act: 'send' })
    desk.channels.accept('nzcore/other/1', echo, { signal, act: 'send' })
    for (const purpose of [PURPOSE, PURPOSE, 'nzcore/other/1']) {
      const channel = await laptop.channels.open(desk.peerId, { purpose, signal })
      await channel.send(Uint8Array.of(1), { signal })
      await channel.close()
    }
    await until(() => laptop.told.length === 6)
    assert.deepEqual(
      laptop.told.filter((each) => each !== 'closed'),
      ['opened XX', 'opened IKpsk1', 'opened IK'],
    )
  })

  it('are refused to whom trust does not let, and for purposes that nobody serves', async () => {
    await using nodes = await twoNodes({ ...trustingAll, may: () => false })
    const { desk, laptop } = nodes
    desk.channels.accept(PURPOSE, echo, { signal, act: 'route' })
    const refused = laptop.channels.open(desk.peerId, { purpose: PURPOSE, signal })
    await assert.rejects(refused, { code: 'NZ_HANDSHAKE_NOT_ALLOWED' })
    await until(() => desk.told.length > 0)
    assert.deepEqual(desk.told, ['refused NZ_HANDSHAKE_NOT_ALLOWED'])
    const unknown = laptop.channels.open(desk.peerId, { purpose: 'nzcore/unknown/1', signal })
    await assert.rejects(unknown, { code: /^NZ_(?:NETWORK_STREAM_RESET|CHANNEL_ENDED)$/ })
    assert.deepEqual(laptop.channels.list(), [])
  })

  it('end when trust in the peer does', async () => {
    let isTrusted = true
    await using nodes = await twoNodes({ ...trustingAll, may: () => isTrusted })
    const { desk, laptop } = nodes
    desk.channels.accept(PURPOSE, echo, { signal, act: 'send' })
    const channel = await laptop.channels.open(desk.peerId, { purpose: PURPOSE, signal })
    await until(() => desk.channels.list().length === 1)
    isTrusted = false
    const change = { issuer: desk.peerId, subject: laptop.peerId, kind: 'revoke', level: null } as const
    desk.events.emit(trustEvents.changed, change)
    assert.equal(await channel.receive({ signal }), null)
    await until(() => channel.signal.aborted && desk.channels.list().length === 0)
  })

  it('end for both when the connection is cut', async () => {
    await using nodes = await twoNodes()
    const { desk, laptop, mesh } = nodes
    let atDesk: MessageChannel | undefined
    const handler = async (channel: MessageChannel): Promise<void> => {
      atDesk = channel
      await channel.receive({ signal })
    }
    desk.channels.accept(PURPOSE, handler, { signal, act: 'send' })
    const channel = await laptop.channels.open(desk.peerId, { purpose: PURPOSE, signal })
    await until(() => atDesk !== undefined)
    const waiting = channel.receive({ signal })
    mesh.cut(desk.peerId, laptop.peerId)
    await assert.rejects(waiting, { code: 'NZ_CHANNEL_CLOSED' })
    await until(() => atDesk?.signal.aborted === true && desk.channels.list().length === 0)
  })

  it('are at most so many that a peer has opened, until one of them ends', async () => {
    await using nodes = await twoNodes()
    const { desk, laptop } = nodes
    desk.channels.accept(PURPOSE, echo, { signal, act: 'send' })
    const open = async (): Promise<MessageChannel> =>
      await laptop.channels.open(desk.peerId, { purpose: PURPOSE, signal })
    const [first] = await Promise.all(Array.from({ length: MAX_STREAMS_PER_PEER }, open))
    await until(() => desk.channels.list().length === MAX_STREAMS_PER_PEER)
    await assert.rejects(open(), { code: 'NZ_NETWORK_STREAM_RESET' })
    assert.equal(desk.channels.list().length, MAX_STREAMS_PER_PEER)
    await first?.close()
    await until(() => desk.channels.list().length < MAX_STREAMS_PER_PEER)
    const again = await open()
    await again.send(Uint8Array.of(7), { signal })
    assert.deepEqual([...((await again.receive({ signal })) ?? [])], [7])
  })

  it('hold a sender back whose messages nobody takes', async () => {
    await using nodes = await twoNodes()
    const { desk, laptop } = nodes
    const takes = Promise.withResolvers<void>()
    let taken = 0
    const handler = async (channel: MessageChannel): Promise<void> => {
      await takes.promise
      while ((await channel.receive({ signal })) !== null) taken += 1
    }
    desk.channels.accept(PURPOSE, handler, { signal, act: 'send' })
    const channel = await laptop.channels.open(desk.peerId, { purpose: PURPOSE, signal })
    let sent = 0
    const sending = Array.from({ length: 100 }, async () => {
      await channel.send(new Uint8Array(100_000), { signal })
      sent += 1
    })
    for (let turns = 0; turns < 200; turns += 1) await new Promise(setImmediate)
    assert.equal(sent, 0)
    takes.resolve()
    await Promise.all(sending)
    assert.equal(taken, 100)
  })
})

/** Two ends of a path that drops every `loses`-th packet. */
function pathPair(
  sources: readonly [string, string],
  loses: number,
): readonly [PacketPath, PacketPath, AbortController] {
  const gone = new AbortController()
  const handlers: (((packet: Uint8Array) => void) | null)[] = [null, null]
  let count = 0
  const end = (own: 0 | 1): PacketPath => ({
    source: sources[1 - own] ?? '',
    maxPacketBytes: 1_200,
    signal: gone.signal,
    send(packet) {
      count += 1
      if (count % loses === 0) return true
      const copy = Uint8Array.from(packet)
      setImmediate(() => handlers[1 - own]?.(copy))
      return true
    },
    onPacket: (handler) => void (handlers[own] = handler),
  })
  return [end(0), end(1), gone]
}

describe('channels over paths of packets', () => {
  it('open though packets are lost, carry payloads, and end with the path', async () => {
    await using nodes = await twoNodes()
    const { desk, laptop } = nodes
    const [near, far, gone] = pathPair([laptop.peerId, desk.peerId], 5)
    const [caller, called] = await Promise.all([
      laptop.channels.overPath(near, { purpose: PURPOSE, signal, as: { role: 'initiator', peerId: desk.peerId } }),
      desk.channels.overPath(far, { purpose: PURPOSE, signal, as: { role: 'responder', act: 'route' } }),
    ])
    assert.deepEqual([caller.peerId, called.peerId], [desk.peerId, laptop.peerId])
    assert.equal(caller.maxPayloadBytes, 1_200 - OVERHEAD_BYTES)
    assert.equal(caller.send(new Uint8Array(caller.maxPayloadBytes + 1)), false)
    const came: string[] = []
    for (let count = 0; count < 5; count += 1) called.send(Buffer.from('early'))
    await until(() => (laptop.channels.list()[0]?.rxPackets ?? 0) >= 4)
    caller.onPayload((payload) => void came.push(Buffer.from(payload).toString()))
    assert.ok(came.length >= 3 && came.length <= MAX_EARLY_PAYLOADS)
    assert.equal(laptop.channels.list()[0]?.carrier, 'packets')
    gone.abort()
    assert.deepEqual([caller.signal.aborted, called.signal.aborted], [true, true])
    assert.deepEqual([laptop.channels.list(), desk.channels.list()], [[], []])
    assert.equal(caller.send(Uint8Array.of(1)), false)
  })

  it('close on both sides when one does', async () => {
    await using nodes = await twoNodes()
    const { desk, laptop } = nodes
    const [near, far] = pathPair([laptop.peerId, desk.peerId], Infinity)
    const [caller, called] = await Promise.all([
      laptop.channels.overPath(near, { purpose: PURPOSE, signal, as: { role: 'initiator', peerId: desk.peerId } }),
      desk.channels.overPath(far, { purpose: PURPOSE, signal, as: { role: 'responder', act: 'route' } }),
    ])
    await caller.close()
    await until(() => called.signal.aborted)
  })

  it('are given up when the path goes, when it is not wanted any more, and when another peer answers', async () => {
    await using nodes = await twoNodes()
    const { desk, laptop } = nodes
    const [near, , gone] = pathPair([laptop.peerId, desk.peerId], Infinity)
    const opening = laptop.channels.overPath(near, {
      purpose: PURPOSE,
      signal,
      as: { role: 'initiator', peerId: desk.peerId },
    })
    gone.abort()
    await assert.rejects(opening, { code: 'NZ_CHANNEL_ENDED' })
    const stop = new AbortController()
    const [, far] = pathPair([laptop.peerId, desk.peerId], Infinity)
    const waiting = desk.channels.overPath(far, {
      purpose: PURPOSE,
      signal: stop.signal,
      as: { role: 'responder', act: 'route' },
    })
    stop.abort(new Error('not wanted'))
    await assert.rejects(waiting, /not wanted/)
  })
})
