/** Two real network modules over loopback sockets. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { after, describe, it } from 'node:test'
import { isNzError } from '../../kernel/index.ts'
import { startNetworkNode } from '../fake/network-node.ts'
import type { AddressInfo } from 'node:net'
import type { NetworkNode, NodeConfig } from '../fake/network-node.ts'

const signal = AbortSignal.timeout(55_000)
const nodes: NetworkNode[] = []
after(async () => await Promise.all(nodes.map(async (node) => await node.stop())))

async function node(config: NodeConfig = {}): Promise<NetworkNode> {
  const started = await startNetworkNode({ config })
  nodes.push(started)
  return started
}

async function pair(): Promise<{ desk: NetworkNode['network']; laptop: NetworkNode['network'] }> {
  const [{ network: desk }, { network: laptop }] = await Promise.all([node(), node()])
  await desk.connect(laptop.peerId, { addresses: laptop.addresses(), signal })
  return { desk, laptop }
}

function isCode(...codes: string[]): (error: unknown) => boolean {
  return (error) => isNzError(error, ...codes)
}

function addressOf(network: NetworkNode['network'], transport: 'tcp' | 'ws'): string {
  const address = network.addresses().find((each) => each.includes('/ws') === (transport === 'ws'))
  assert.ok(address !== undefined)
  return address
}

describe('two nodes', () => {
  for (const transport of ['tcp', 'ws'] as const)
    it(`connect over ${transport}, identify and ping`, async () => {
      const [{ network: desk }, { network: laptop }] = await Promise.all([node(), node()])
      const peer = await desk.connect(laptop.peerId, { addresses: [addressOf(laptop, transport)], signal })
      assert.equal(peer.state, 'connected')
      assert.equal(peer.paths[0]?.transport, transport === 'ws' ? 'websocket' : 'tcp')
      assert.equal(peer.paths[0]?.direction, 'outbound')
      const rttMs = await desk.ping(laptop.peerId, { signal })
      assert.ok(rttMs > 0 && rttMs < 1_000)
      assert.equal(desk.peer(laptop.peerId)?.rttMs, rttMs)
      assert.ok((await laptop.ping(desk.peerId, { signal })) > 0)
      const [attempt] = desk.attempts(laptop.peerId)
      assert.equal(attempt?.code, null)
      assert.equal(attempt?.stage, 'open')
    })

  it('connect although one of the addresses is of a kind that is not dialled', async () => {
    const [{ network: desk }, { network: laptop }] = await Promise.all([node(), node()])
    const relayed = `/ip4/127.0.0.1/tcp/1/p2p/${desk.peerId}/p2p-circuit/p2p/${laptop.peerId}`
    const peer = await desk.connect(laptop.peerId, { addresses: [relayed, addressOf(laptop, 'tcp')], signal })
    assert.equal(peer.state, 'connected')
    await assert.rejects(laptop.connect(desk.peerId.replace(/.$/, 'A'), { addresses: ['not an address'], signal }), {
      code: 'NZ_NETWORK_ADDRESS_INVALID',
    })
  })

  it('connect past an address that never answers, which is given up and told of as no failure', async () => {
    const silent = createServer().listen(0, '127.0.0.1')
    await once(silent, 'listening')
    const { port } = silent.address() as AddressInfo
    const [{ network: desk }, { network: laptop }] = await Promise.all([node({ dialTimeoutMs: 30_000 }), node()])
    try {
      const addresses = [`/ip4/127.0.0.1/tcp/${port}`, addressOf(laptop, 'tcp')]
      const peer = await desk.connect(laptop.peerId, { addresses, signal })
      assert.equal(peer.paths.length, 1)
      assert.deepEqual(
        desk.attempts(laptop.peerId).map(({ code }) => code),
        [null],
      )
    } finally {
      silent.close()
    }
  })

  it('carry bytes both ways, half-close, and tell an end from a cut', async () => {
    const { desk, laptop } = await pair()
    laptop.handleStreams(
      '/echo/1',
      async (stream) => {
        for (let chunk = await stream.read(); chunk !== null; chunk = await stream.read()) await stream.write(chunk)
      },
      { signal },
    )
    const stream = await desk.openStream(laptop.peerId, '/echo/1', { signal })
    const sent = new Uint8Array(3_000_000).map((_, at) => at % 251)
    const writing = (async () => {
      await stream.write(sent)
      await stream.write(Uint8Array.of(1, 2, 3))
      await stream.closeWrite()
    })()
    const received: Uint8Array[] = []
    for (let chunk = await stream.read(); chunk !== null; chunk = await stream.read()) received.push(chunk)
    await writing
    assert.deepEqual(Buffer.concat(received), Buffer.concat([sent, Uint8Array.of(1, 2, 3)]))
    assert.equal(stream.signal.aborted, true)

    const cut = await desk.openStream(laptop.peerId, '/echo/1', { signal })
    await cut.write(Uint8Array.of(7))
    assert.deepEqual(await cut.read(), Uint8Array.of(7))
    const reading = assert.rejects(cut.read(), isCode('NZ_NETWORK_STREAM_RESET'))
    await laptop.disconnect(desk.peerId, { signal })
    await reading
    assert.equal(cut.signal.aborted, true)
  })

  it('say which protocol and which method the peer does not know', async () => {
    const { desk, laptop } = await pair()
    await assert.rejects(desk.openStream(laptop.peerId, '/none/1', { signal }), isCode('NZ_NETWORK_PROTOCOL_UNKNOWN'))
    await assert.rejects(
      desk.request(laptop.peerId, 'none', new Uint8Array(), { signal }),
      isCode('NZ_NETWORK_METHOD_UNKNOWN'),
    )
  })

  it('answer many requests over one stream, in any order', async () => {
    const { desk, laptop } = await pair()
    laptop.handleRequests(
      'later',
      async (payload) => {
        await new Promise((resolve) => setTimeout(resolve, payload[0] ?? 0))
        return payload
      },
      { signal },
    )
    const answers = await Promise.all(
      Array.from({ length: 300 }, async (_, at) =>
        desk.request(laptop.peerId, 'later', Uint8Array.of(at % 50, at >> 8, at & 255), { signal }),
      ),
    )
    answers.forEach((answer, at) => assert.deepEqual([...answer], [at % 50, at >> 8, at & 255]))
    assert.ok((desk.peer(laptop.peerId)?.paths[0]?.streams ?? 99) <= 3)
  })

  it('connect again by themselves when kept', async () => {
    const { desk, laptop } = await pair()
    const kept = desk.keep(laptop.peerId, laptop.addresses())
    await laptop.disconnect(desk.peerId, { signal })
    while (desk.peer(laptop.peerId)?.state !== 'connected') await new Promise((resolve) => setTimeout(resolve, 20))
    kept.release()
  })

  it('refuse a blocked peer from both sides, and remember it', async () => {
    const { desk, laptop } = await pair()
    await laptop.block(desk.peerId)
    while (desk.peer(laptop.peerId)?.state === 'connected') await new Promise((resolve) => setTimeout(resolve, 10))
    await assert.rejects(laptop.connect(desk.peerId, { signal }), isCode('NZ_NETWORK_BLOCKED'))
    await assert.rejects(
      (async () => {
        await desk.connect(laptop.peerId, { addresses: [addressOf(laptop, 'tcp')], signal })
        await desk.ping(laptop.peerId, { signal })
      })(),
      isCode('NZ_NETWORK_UNREACHABLE', 'NZ_NETWORK_STREAM_RESET', 'NZ_NETWORK_NOT_CONNECTED'),
    )
    await laptop.unblock(desk.peerId)
    await laptop.connect(desk.peerId, { addresses: desk.addresses(), signal })
  })

  it('leave one attempt for each address, with its code', async () => {
    const [{ network: desk }, { network: laptop }, { network: other }] = await Promise.all([node(), node(), node()])
    const wrong = addressOf(other, 'tcp').replace(/\/p2p\/.*/, '')
    await assert.rejects(
      desk.connect(laptop.peerId, { addresses: ['/ip4/127.0.0.1/tcp/1', wrong], signal }),
      isCode('NZ_NETWORK_UNREACHABLE'),
    )
    assert.deepEqual(
      desk.attempts(laptop.peerId).map(({ code, stage }) => `${stage} ${code}`),
      ['connect NZ_NETWORK_REFUSED', 'secure NZ_NETWORK_WRONG_PEER'],
    )
  })
})
