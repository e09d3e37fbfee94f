/** Streams under pressure: a reader that is slow makes its writer wait, and nothing piles up on the way. */
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { after, describe, it } from 'node:test'
import { isNzError } from '../../kernel/index.ts'
import { startNetworkNode } from '../fake/network-node.ts'
import type { NetworkNode, NodeConfig } from '../fake/network-node.ts'
import { networkEvents } from '../../modules/network/service.ts'
import type { NetworkService, PeerStream } from '../../modules/network/service.ts'

const MIB = 1024 * 1024
const signal = AbortSignal.timeout(55_000)
const nodes: NetworkNode[] = []
after(async () => await Promise.all(nodes.map(async (node) => await node.stop())))

const wait = async (ms: number): Promise<void> => await new Promise((resolve) => setTimeout(resolve, ms))

async function pair(config: NodeConfig = {}): Promise<{ desk: NetworkService; laptop: NetworkService }> {
  const made = await Promise.all([startNetworkNode({ config }), startNetworkNode({ config })])
  nodes.push(...made)
  const [{ network: desk }, { network: laptop }] = made
  await desk.connect(laptop.peerId, { addresses: laptop.addresses(), signal })
  return { desk, laptop }
}

/** Serves `/sink/1`; resolves with the incoming stream. */
async function sink(laptop: NetworkService): Promise<PeerStream> {
  const { promise, resolve } = Promise.withResolvers<PeerStream>()
  laptop.handleStreams(
    '/sink/1',
    async (stream, options) => {
      resolve(stream)
      if (!options.signal.aborted) await new Promise((done) => options.signal.addEventListener('abort', done))
    },
    { signal },
  )
  return await promise
}

describe('a slow reader', () => {
  // js-libp2p's `stream.onDrain()` gives no back-pressure after its first drain: a loop over it buffers without bound.
  it('holds its writer back: buffers stay small and the event loop stays free', async (t) => {
    const { desk, laptop } = await pair()
    const incoming = sink(laptop)
    const stream = await desk.openStream(laptop.peerId, '/sink/1', { signal })
    const total = 96 * MIB
    const piece = new Uint8Array(MIB)
    let written = 0
    const writing = (async () => {
      for (; written < total; written += piece.byteLength) await stream.write(piece)
      await stream.closeWrite()
    })()
    const reader = await incoming
    const delay = monitorEventLoopDelay({ resolution: 5 })
    delay.enable()
    let received = 0
    let worstBuffered = 0
    for (let chunk = await reader.read(); chunk !== null; chunk = await reader.read()) {
      received += chunk.byteLength
      worstBuffered = Math.max(worstBuffered, desk.counters().bufferedBytes, written - received)
      if (received % (4 * MIB) < chunk.byteLength) await wait(10)
    }
    await writing
    delay.disable()
    assert.equal(received, total)
    t.diagnostic(
      `worst on the way and in buffers ${(worstBuffered / MIB).toFixed(2)} MiB, ` +
        `event loop delay p99 ${(delay.percentile(99) / 1e6).toFixed(1)} ms`,
    )
    assert.ok(worstBuffered <= 4 * MIB + piece.byteLength)
  })

  it('that has stopped stops its writer, and no other stream of the connection', async () => {
    const { desk, laptop } = await pair()
    laptop.handleStreams(
      '/count/1',
      async (stream) => {
        while ((await stream.read()) !== null);
      },
      { signal },
    )
    const incoming = sink(laptop)
    const stuck = await desk.openStream(laptop.peerId, '/sink/1', { signal })
    let sent = 0
    const writing = (async () => {
      for (;;) {
        await stuck.write(new Uint8Array(64 * 1024))
        sent += 64 * 1024
      }
    })()
    await incoming
    const other = await desk.openStream(laptop.peerId, '/count/1', { signal })
    for (let at = 0; at < 32; at += 1) await other.write(new Uint8Array(MIB))
    await other.close({ signal })
    const before = sent
    await wait(50)
    assert.equal(sent, before)
    assert.ok(sent <= 3 * MIB, `${sent} bytes were taken`)
    assert.ok((await laptop.ping(desk.peerId, { signal })) < 1_000)
    stuck.reset()
    await assert.rejects(writing, (error) => isNzError(error, 'NZ_NETWORK_STREAM_RESET'))
  })
})

describe('writes that nobody waits for', () => {
  it('arrive in the order of the calls, small ones and large ones, also behind one that was given up', async () => {
    const { desk, laptop } = await pair()
    const incoming = sink(laptop)
    const stream = await desk.openStream(laptop.peerId, '/sink/1', { signal })
    const given = new AbortController()
    const sizes = [3 * MIB, 5_000, 10, 5_000, 10, 20, 300_000, 1]
    const writing = sizes.map(async (size, at) => await stream.write(new Uint8Array(size).fill(at)))
    const lost = stream.write(new Uint8Array(70_000).fill(99), { signal: given.signal })
    const last = stream.write(new Uint8Array(10_000).fill(sizes.length))
    given.abort(new Error('given up'))
    await assert.rejects(lost, /given up/)
    const reader = await incoming
    const seen: number[] = []
    const reading = (async () => {
      for (let chunk = await reader.read(); chunk !== null; chunk = await reader.read())
        for (const byte of chunk) if (seen.at(-1) !== byte) seen.push(byte)
    })()
    await Promise.all([...writing, last])
    await stream.closeWrite()
    await reading
    assert.deepEqual(
      seen,
      Array.from({ length: sizes.length + 1 }, (_, at) => at),
    )
  })
})

describe('the byte budget', () => {
  it('at its bound makes streams wait and refuses new ones, and all is well when it is read', async () => {
    const { desk, laptop } = await pair({ bufferBudgetBytes: MIB })
    const readers: PeerStream[] = []
    laptop.handleStreams(
      '/sink/1',
      async (stream, options) => {
        readers.push(stream)
        if (!options.signal.aborted) await new Promise((done) => options.signal.addEventListener('abort', done))
      },
      { signal, maxStreamsPerPeer: 100 },
    )
    const writers = await Promise.all(
      Array.from({ length: 8 }, async () => desk.openStream(laptop.peerId, '/sink/1', { signal })),
    )
    const writing = Promise.all(
      writers.map(async (stream) => {
        for (let at = 0; at < 8; at += 1) await stream.write(new Uint8Array(64 * 1024))
        await stream.closeWrite()
      }),
    )
    await wait(200)
    const { bufferedBytes, bufferBudgetBytes } = laptop.counters()
    assert.equal(bufferBudgetBytes, MIB)
    // What libp2p holds for a paused stream is at most one window of it.
    assert.ok(bufferedBytes <= bufferBudgetBytes + 8 * 256 * 1024, `${bufferedBytes} bytes`)
    const refused = await desk.openStream(laptop.peerId, '/sink/1', { signal })
    await assert.rejects(refused.read({ signal }), (error) => isNzError(error, 'NZ_NETWORK_STREAM_RESET'))
    const received = await Promise.all(
      readers.map(async (stream) => {
        let bytes = 0
        for (let chunk = await stream.read(); chunk !== null; chunk = await stream.read()) bytes += chunk.byteLength
        return bytes
      }),
    )
    await writing
    assert.deepEqual(received, Array<number>(8).fill(8 * 64 * 1024))
    assert.equal(laptop.counters().bufferedBytes, 0)
  })
})

describe('limits', () => {
  it('streams of one protocol and peer', async () => {
    const { desk, laptop } = await pair()
    laptop.handleStreams('/two/1', async (stream) => void (await stream.read()), { signal, maxStreamsPerPeer: 2 })
    const [first, , third] = [
      await desk.openStream(laptop.peerId, '/two/1', { signal }),
      await desk.openStream(laptop.peerId, '/two/1', { signal }),
      await desk.openStream(laptop.peerId, '/two/1', { signal }),
    ]
    await assert.rejects(third.read({ signal }), (error) => isNzError(error, 'NZ_NETWORK_STREAM_RESET'))
    assert.equal(first.signal.aborted, false)
    first.reset()
    await wait(50)
    const fourth = await desk.openStream(laptop.peerId, '/two/1', { signal })
    await wait(50)
    assert.equal(fourth.signal.aborted, false)
  })

  it('handshakes of one address: the 11th in a second is dropped and counted', async () => {
    const target = await startNetworkNode({ config: { limits: { handshakesPerSecondFromLoopback: 10 } } })
    nodes.push(target)
    const port = Number(target.network.addresses()[0]?.split('/')[4])
    const startedMs = performance.now()
    const sockets = Array.from({ length: 20 }, () => connect({ host: '127.0.0.1', port }))
    for (const socket of sockets) socket.on('error', () => undefined).write('\x13/multistream/1.0.0\n')
    const dropped = (): number => target.network.counters().connectionsRefused['handshake-rate'] ?? 0
    while (dropped() === 0) await wait(5)
    await wait(100)
    const refilled = Math.ceil((performance.now() - startedMs) / 100)
    assert.ok(dropped() <= 10 && dropped() >= 10 - refilled, `${dropped()} dropped`)
    for (const socket of sockets) socket.destroy()
  })

  it('connections of one peer and of all', async () => {
    const target = await startNetworkNode({ config: { limits: { maxConnections: 2 } } })
    nodes.push(target)
    const dialers = await Promise.all(Array.from({ length: 3 }, async () => startNetworkNode()))
    nodes.push(...dialers)
    const outcomes: boolean[] = []
    for (const { network } of dialers)
      outcomes.push(
        await network.connect(target.network.peerId, { addresses: target.network.addresses(), signal }).then(
          () => true,
          () => false,
        ),
      )
    assert.deepEqual(outcomes, [true, true, false])
    assert.ok((target.network.counters().connectionsRefused['full'] ?? 0) >= 1)
  })
})

describe('a connection', () => {
  it('says what its muxer has counted, also when it is over', async () => {
    const made = await Promise.all([startNetworkNode({}), startNetworkNode({})])
    nodes.push(...made)
    const [desk, laptop] = made
    const closed = new Promise<Readonly<Record<string, number | null>> | null>((resolve) =>
      desk.events.on(networkEvents.connectionClosed, ({ muxer }) => resolve(muxer), { signal }),
    )
    const { peerId } = laptop.network
    await desk.network.connect(peerId, { addresses: laptop.network.addresses(), signal })
    const incoming = sink(laptop.network)
    const stream = await desk.network.openStream(peerId, '/sink/1', { signal })
    await stream.writeMany(Array.from({ length: 100 }, () => new Uint8Array(1_000)))
    const closing = stream.closeWrite({ signal })
    let receivedBytes = 0
    await (await incoming).consume((bytes) => void (receivedBytes += bytes.byteLength), { signal })
    await closing
    assert.equal(receivedBytes, 100_000)
    const path = desk.network.peer(peerId)?.paths[0]
    const counted = path?.muxer ?? assert.fail('nothing is counted')
    assert.ok(counted.txFrames > 0 && counted.txRecords > 0 && counted.rxFrames > 0, JSON.stringify(counted))
    const isNative = path?.backend === 'io_uring' || path?.backend === 'epoll'
    assert.equal(counted.txWireBytes !== null && counted.txWireBytes > 100_000, isNative)
    await desk.network.disconnect(peerId, { signal })
    const last = (await closed) ?? assert.fail('nothing is told')
    for (const name of ['txFrames', 'rxFrames', 'txRecords', 'txWireBytes'] as const)
      assert.ok((last[name] ?? 0) >= (counted[name] ?? 0), `${name}: ${JSON.stringify(last)}`)
  })
})
