/** The parts that connect routing with the node: bounded queues to neighbours, who is a neighbour, what the policy said. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { SimulatedClock } from '../../kernel/index.ts'
import {
  MAX_WAITING_BYTES,
  MAX_WAITING_PACKET_BYTES,
  NeighbourStreams,
} from '../../modules/routing/neighbour-streams.ts'
import { MAX_TRACES } from '../../modules/routing/routing.ts'
import { RoutingService } from '../../modules/routing/service.ts'
import { TrustService } from '../../modules/trust/service.ts'
import { POLICY_MEMORY_MS, RecentPolicy } from '../../modules/routing/recent-policy.ts'
import { encodeHead, MAX_PROTOCOL_BYTES, readAnswerOf, readHead } from '../../modules/routing/stream-head.ts'
import { MessageSplitter, ROUTE_PROTOCOL } from '../../protocols/routing/link-frames.ts'
import { createFakeNetwork } from '../fake/network.ts'
import { startApiNode } from '../fake/node.ts'
import { fakeStreamPair } from '../fake/stream.ts'
import type { PeerStream } from '../../modules/network/service.ts'

const { signal } = new AbortController()
const log = { debug() {}, info() {}, warn() {}, error() {} }
const turn = async (): Promise<void> => await new Promise((resolve) => setImmediate(resolve))

async function until(isTrue: () => boolean): Promise<void> {
  for (let turns = 0; !isTrue(); turns++) {
    assert.ok(turns < 10_000, 'it never came true')
    await turn()
  }
}

async function neighbours({ isAllowed = (_peerId: string): boolean => true } = {}) {
  const mesh = createFakeNetwork({ windowBytes: 1_024 })
  const [desk, laptop] = [mesh.add('desk'), mesh.add('laptop')]
  const clock = new SimulatedClock()
  const told: string[] = []
  const taken: PeerStream[] = []
  laptop.handleStreams(
    ROUTE_PROTOCOL,
    async (stream, options) => {
      taken.push(stream)
      await new Promise((resolve) => options.signal.addEventListener('abort', resolve))
    },
    { signal },
  )
  await desk.connect('laptop', { addresses: laptop.addresses(), signal })
  const stop = new AbortController()
  const streams = new NeighbourStreams(
    {
      network: desk,
      clock,
      log,
      isAllowed,
      onUp: (peerId) => void told.push(`up ${peerId}`),
      onDown: (peerId) => void told.push(`down ${peerId}`),
      onMessage: () => undefined,
    },
    { signal: stop.signal },
  )
  return { mesh, desk, laptop, clock, told, taken, streams, stop }
}

function streamPair(): readonly [PeerStream, PeerStream] {
  const bounds = { latencyMs: 0, windowBytes: 4_096 }
  return fakeStreamPair({ clock: new SimulatedClock(), peerIds: ['a', 'b'], protocol: 'x', ...bounds })
}

describe('links to neighbours', () => {
  it('are opened with connected peers that may route, and closed when they may no more', async () => {
    const allowed = new Set<string>()
    const { told, streams, stop } = await neighbours({ isAllowed: (peerId) => allowed.has(peerId) })
    streams.start()
    await turn()
    assert.deepEqual(told, [])
    allowed.add('laptop')
    streams.review()
    await until(() => told.length > 0)
    allowed.clear()
    streams.review()
    assert.deepEqual(told, ['up laptop', 'down laptop'])
    stop.abort()
  })

  it('hold a bounded number of bytes for a neighbour that does not read: packets give way to control', async () => {
    const { told, taken, streams, stop } = await neighbours()
    streams.start()
    await until(() => told.length > 0 && taken.length > 0)
    const message = new Uint8Array(16_384)
    const packets = Math.floor(MAX_WAITING_PACKET_BYTES / message.length)
    for (let at = 0; at < packets + 10; at++) streams.send('laptop', message, false)
    assert.equal(streams.dropped, 10)
    const controls = Math.floor((MAX_WAITING_BYTES - packets * message.length) / message.length)
    for (let at = 0; at < controls + 5; at++) streams.send('laptop', message, true)
    assert.equal(streams.dropped, 15)
    const splitter = new MessageSplitter()
    let read = 0
    while (read < packets + controls)
      read += (splitter.push((await taken[0]?.read()) ?? assert.fail()) ?? assert.fail()).length
    assert.equal(read, packets + controls)
    stop.abort()
  })

  it('are down when the connection is, and tried again later', async () => {
    const { mesh, desk, laptop, told, clock, streams, stop } = await neighbours()
    streams.start()
    await until(() => told.length > 0)
    mesh.cut('desk', 'laptop')
    await until(() => told.length > 1)
    mesh.heal('desk', 'laptop')
    await desk.connect('laptop', { addresses: laptop.addresses(), signal })
    await clock.advance(15_000)
    await until(() => told.length > 2)
    assert.deepEqual(told, ['up laptop', 'down laptop', 'up laptop'])
    stop.abort()
  })
})

describe('what the policy said', () => {
  it('is asked again after a while, and when trust has changed', () => {
    let nowMs = 0
    let asked = 0
    const policy = new RecentPolicy({ nowMs: () => nowMs, ask: () => (asked += 1) > 0 })
    policy.may('a', 'route')
    policy.may('a', 'route')
    assert.equal(asked, 1)
    policy.may('a', 'connect')
    policy.forget()
    policy.may('a', 'route')
    assert.equal(asked, 3)
    nowMs += POLICY_MEMORY_MS
    policy.may('a', 'route')
    assert.equal(asked, 4)
  })
})

describe('the head of a stream', () => {
  it('names the protocol, however it is cut, and loses nothing behind it', async () => {
    const [near, far] = streamPair()
    for (const byte of Buffer.concat([encodeHead('/app/x/1'), Buffer.from('rest')]))
      await near.write(Uint8Array.of(byte))
    await near.closeWrite()
    const head = await readHead(far, { signal })
    assert.equal(head?.protocol, '/app/x/1')
  })

  it('of no bytes, or of too long a name, is none', async () => {
    for (const bytes of [Uint8Array.of(0), Uint8Array.of(MAX_PROTOCOL_BYTES + 1, 1, 2)]) {
      const [near, far] = streamPair()
      await near.write(bytes)
      assert.equal(await readHead(far, { signal }), null)
    }
    assert.throws(() => encodeHead('x'.repeat(MAX_PROTOCOL_BYTES + 1)), TypeError)
  })

  it('is answered by one byte: served, unknown or refused', async () => {
    for (const [byte, code] of [
      [0, undefined],
      [1, 'NZ_NETWORK_PROTOCOL_UNKNOWN'],
      [2, 'NZ_NETWORK_STREAM_RESET'],
    ] as const) {
      const [near, far] = streamPair()
      await far.write(Uint8Array.of(byte, 7))
      const { error, rest } = await readAnswerOf(near, { signal })
      assert.equal(error?.code, code)
      if (code === undefined) assert.ok(rest.length <= 1)
    }
  })
})

describe('traces', () => {
  it('are at most so many at once: one more is refused, and can be made when they are done', async () => {
    const clock = new SimulatedClock()
    const mesh = createFakeNetwork({ clock })
    await using desk = await startApiNode({ mesh, clock, seed: 1 })
    await using laptop = await startApiNode({ mesh, clock, seed: 2 })
    const { peerId } = laptop.network
    const [routing, far] = [desk, laptop].map((node) => node.kernel.get(RoutingService))
    assert.ok(routing !== undefined && far !== undefined)
    await desk.kernel.get(TrustService).set(peerId, { level: 'MEDIUM' })
    await laptop.kernel.get(TrustService).set(desk.network.peerId, { level: 'MEDIUM' })
    await desk.network.connect(peerId, { addresses: laptop.network.addresses(), signal })
    for (let ms = 0; [routing, far].some((each) => each.routes().length === 0); ms += 200) {
      assert.ok(ms < 30_000, 'no route')
      await clock.advance(200)
      await turn()
    }
    const traces = Array.from({ length: MAX_TRACES }, async () => await routing.trace(peerId, { signal }))
    await assert.rejects(routing.trace(peerId, { signal }), { code: 'NZ_ROUTE_LIMITED' })
    const settled = Promise.all(traces)
    await clock.advance(10_000)
    // The peer takes no more than its share of paths from one source; each trace says how it ended.
    const codes = (await settled).map(({ failure }) => failure?.code ?? null)
    assert.ok(codes.includes(null) && codes.every((code) => code === null || code === 'NZ_ROUTE_LIMITED'), codes.join())
    const { failure } = await routing.trace(peerId, { signal })
    assert.equal(failure, null)
  })
})
