/**
 * Slow writers that have proven who they are: a peer with several connections opens as many streams of each protocol of
 * a whole node as it is let, and streams of no protocol yet, and says one byte a second on each, for ever. Others go on
 * being served, what the node holds for the peer is bounded, refused streams are counted, and negotiations that do not
 * end are ended. Until the node has ended them all, after 10 s; NZ_FULL=1: a minute.
 */
import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { it } from 'node:test'
import { multiaddr } from '@multiformats/multiaddr'
import { startNetworkNode } from '../fake/network-node.ts'
import { stockLibp2p } from '../fake/stock-libp2p.ts'
import { Machine } from './story/machine.ts'
import type { Connection, Stream, StreamMuxer } from '@libp2p/interface'

const isFull = process.env['NZ_FULL'] === '1'
const ATTACK_MS = isFull ? 60_000 : 5_000
const CONNECTIONS = 4
/** Asked for of each protocol, over all connections. */
const STREAMS_OF_EACH = 40
/** Most of ours serve fewer of one peer; a relay may bring so many connections. */
const MOST_OF_EACH = 32
const MOST_BY_RELAY = 64
/** The protocols on which a peer may be silent for as long as it likes, each with few streams. */
const UNHURRIED = ['/ipfs/id/1.0.0', '/ipfs/ping/1.0.0']
/** Without a protocol, of each connection. */
const HALF_STREAMS = 60
const MAX_GROWTH_BYTES = 96 * 1024 * 1024
const DEADLINE_MS = 60_000
const LINE = Buffer.from('\u0013/multistream/1.0.0\n')

const wait = async (ms: number): Promise<void> => await new Promise((resolve) => setTimeout(resolve, ms))

/** One byte a second on each of its streams, what comes back is let lie. */
class SlowPeer {
  readonly half = new Set<Stream>()
  readonly slow = new Map<Stream, number>()
  opened = 0
  #isOver = false

  open(stream: Stream): void {
    this.opened += 1
    this.slow.set(stream, 0)
    stream.addEventListener('close', () => this.slow.delete(stream))
  }

  openHalf(stream: Stream): void {
    this.half.add(stream)
    stream.addEventListener('close', () => this.half.delete(stream))
  }

  async drip(): Promise<void> {
    for (let at = 0; !this.#isOver; at += 1) {
      for (const stream of this.half) write(stream, LINE.subarray(at % LINE.length, (at % LINE.length) + 1))
      // A length that promises more than comes.
      for (const stream of this.slow.keys()) write(stream, Uint8Array.of(at === 0 ? 100 : 8))
      await wait(1_000)
    }
  }

  stop(): void {
    this.#isOver = true
  }
}

function write(stream: Stream, bytes: Uint8Array): void {
  try {
    if (stream.writeStatus === 'writable') stream.send(bytes)
  } catch {
    // It was cut between.
  }
}

async function residentBytes(pid: number): Promise<number> {
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1_024
}

const skip = process.platform === 'linux' ? false : 'what a process holds is read from /proc'

it('slow streams of a proven peer keep nobody out', { timeout: 300_000, skip }, async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'nz-slow-'))
  const machine = await Machine.create(join(folder, 'desk'), '[network]\nlisten = ["/ip4/127.0.0.1/tcp/0"]\n')
  const hostile = await stockLibp2p({ localAddress: '127.0.66.6', pingsConnections: false })
  const honest = await stockLibp2p({ localAddress: '127.0.77.7' })
  const friend = await startNetworkNode({ config: { listen: [] } })
  const slow = new SlowPeer()
  try {
    await machine.json('up')
    const status = (await machine.json('status')) as { addresses: string[]; peerId: string; pid: number }
    const [address = assert.fail('it listens nowhere')] = status.addresses
    const { peerId, pid } = status
    const signal = AbortSignal.timeout(250_000)
    await friend.network.connect(peerId, { addresses: [address], signal })
    const since = friend.network.peer(peerId)?.connectedAtMs
    const descriptors = async (): Promise<number> => (await readdir(`/proc/${pid}/fd`)).length
    const before = { descriptors: await descriptors(), residentBytes: await residentBytes(pid) }

    const connections: Connection[] = []
    for (let at = 0; at < CONNECTIONS; at += 1)
      connections.push(await hostile.dial(multiaddr(address), { signal, force: true }))
    const protocols = await protocolsOf(hostile, connections[0] ?? assert.fail())
    assert.ok(protocols.length >= 8, protocols.join(' '))
    for (const connection of connections) {
      const muxer = Reflect.get(connection, 'muxer') as StreamMuxer
      for (let at = 0; at < HALF_STREAMS; at += 1) slow.openHalf(await muxer.createStream())
    }
    const dripping = slow.drip()
    for (const protocol of protocols)
      for (let at = 0; at < STREAMS_OF_EACH; at += 1) {
        const connection = connections[at % CONNECTIONS] ?? assert.fail()
        const options = { signal: AbortSignal.timeout(20_000), maxOutboundStreams: 1_000 }
        // Those beyond what is served are cut while they are negotiated, or right behind it.
        await connection.newStream(protocol, options).then(
          (stream) => slow.open(stream),
          () => undefined,
        )
      }

    const served = { pings: 0, dials: 0, mostMs: 0 }
    const begunMs = performance.now()
    const isOver = (): boolean => performance.now() - begunMs > ATTACK_MS && served.pings >= 20 && served.dials >= 10
    const pings = async (): Promise<void> => {
      for (; !isOver(); served.pings += 1) {
        const limit = AbortSignal.timeout(DEADLINE_MS)
        served.mostMs = Math.max(served.mostMs, await friend.network.ping(peerId, { signal: limit }))
        await wait(50)
      }
    }
    const dials = async (): Promise<void> => {
      for (; !isOver(); served.dials += 1) {
        const dialled = await honest.dial(multiaddr(address), { signal: AbortSignal.timeout(DEADLINE_MS) })
        await honest.services.ping.ping(dialled.remotePeer, { signal: AbortSignal.timeout(DEADLINE_MS) })
        await dialled.close()
        await wait(250)
      }
    }
    await Promise.all([pings(), dials()])
    // A reset may have come before anybody listened for it.
    const open = [...slow.slow.keys()].filter(({ status }) => status === 'open')
    const held = Map.groupBy(open, ({ protocol }) => protocol)
    for (const endMs = performance.now() + DEADLINE_MS; slow.half.size > 0 && performance.now() < endMs;)
      await wait(100)
    const { limits } = (await machine.json('status')) as { limits: { streamsRefused: Record<string, number> } }
    const most = await residentBytes(pid)
    t.diagnostic(
      `${protocols.length} protocols, ${slow.opened} streams opened, held: ${[...held].map(([name, all]) => `${name} ${all.length}`).join(', ')}; ` +
        `${served.dials} dials, ${served.pings} pings, the slowest ${served.mostMs.toFixed(0)} ms; ` +
        `refused ${JSON.stringify(limits)}; grown by ${((most - before.residentBytes) / 1_048_576).toFixed(0)} MiB`,
    )
    // What is cut are streams: a peer that does no harm else keeps its connections.
    assert.deepEqual([...new Set(connections.map(({ status }) => status))], ['open'])
    assert.equal(slow.half.size, 0, 'negotiations that do not end are ended')
    assert.equal(friend.network.peer(peerId)?.connectedAtMs, since, 'the connection that stood before stands')
    for (const [protocol, streams] of held) {
      const most = protocol.endsWith('/stop') ? MOST_BY_RELAY : MOST_OF_EACH
      assert.ok(streams.length <= most, `${streams.length} streams of ${protocol}`)
    }
    // All the others have ended them by then.
    if (isFull) for (const protocol of held.keys()) assert.ok(UNHURRIED.includes(protocol), protocol)
    assert.ok((limits.streamsRefused['protocol-full'] ?? 0) > 0, JSON.stringify(limits))
    assert.ok(most - before.residentBytes <= MAX_GROWTH_BYTES, `grown by ${most - before.residentBytes} bytes`)

    slow.stop()
    await hostile.stop()
    await dripping
    for (const endMs = performance.now() + DEADLINE_MS; performance.now() < endMs; await wait(100))
      if ((await descriptors()) <= before.descriptors + 2) break
    assert.ok((await descriptors()) <= before.descriptors + 2, 'descriptors are left')
  } finally {
    slow.stop()
    await machine.run('down')
    await Promise.all([hostile.stop(), honest.stop(), friend.stop()])
    await rm(folder, { recursive: true, force: true })
  }
})

/** What the node tells of itself; the packages' own interface has no other way to ask. */
async function protocolsOf(
  { peerStore }: Awaited<ReturnType<typeof stockLibp2p>>,
  { remotePeer }: Connection,
): Promise<readonly string[]> {
  for (const endMs = performance.now() + DEADLINE_MS; performance.now() < endMs; await wait(50)) {
    const { protocols } = await peerStore.get(remotePeer)
    if (protocols.length > 0) return protocols
  }
  throw new Error('the node has not said what it speaks')
}
