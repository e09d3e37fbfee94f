/** The node and a stock js-libp2p client of its own composition, both ways, open and with a cluster secret. */
import assert from 'node:assert/strict'
import { after, describe, it } from 'node:test'
import { preSharedKey } from '@libp2p/pnet'
import { multiaddr } from '@multiformats/multiaddr'
import { isNzError } from '../../kernel/index.ts'
import { clusterKeyOf } from '../../modules/network/cluster-secret.ts'
import { startNetworkNode } from '../fake/network-node.ts'
import { stockLibp2p } from '../fake/stock-libp2p.ts'
import type { NetworkNode, NodeConfig } from '../fake/network-node.ts'
import type { StockInit } from '../fake/stock-libp2p.ts'

const signal = AbortSignal.timeout(55_000)
const started: Array<() => Promise<void>> = []
after(async () => await Promise.all(started.map(async (stop) => await stop())))

async function node(config: NodeConfig = {}): Promise<NetworkNode> {
  const made = await startNetworkNode({ config })
  started.push(async () => await made.stop())
  return made
}

async function stock(init: StockInit = {}): Promise<Awaited<ReturnType<typeof stockLibp2p>>> {
  const made = await stockLibp2p(init)
  started.push(async () => await made.stop())
  return made
}

async function protector(secret: string): Promise<NonNullable<StockInit['connectionProtector']>> {
  const key = (await clusterKeyOf(Buffer.from(secret))).toString('hex')
  return preSharedKey({ psk: new TextEncoder().encode(`/key/swarm/psk/1.0.0/\n/base16/\n${key}`) })
}

describe('a stock js-libp2p client', () => {
  for (const transport of ['tcp', 'ws'] as const)
    it(`dials the node over ${transport}, identifies and pings it`, async () => {
      const [{ network }, client] = await Promise.all([node(), stock()])
      const address = network.addresses().find((each) => each.includes('/ws') === (transport === 'ws'))
      const identified = Promise.withResolvers<{ agentVersion?: string; protocols: string[] }>()
      client.addEventListener('peer:identify', ({ detail }) => identified.resolve(detail))
      const connection = await client.dial(multiaddr(address), { signal })
      assert.equal(connection.remotePeer.toString(), network.peerId)
      const { agentVersion, protocols } = await identified.promise
      assert.match(agentVersion ?? '', /^nzcore/)
      assert.ok(protocols.includes('/nzcore/rpc/1'))
      assert.ok((await client.services.ping.ping(connection.remotePeer, { signal })) >= 0)
      const [path] = network.peer(client.peerId.toString())?.paths ?? []
      assert.equal(path?.direction, 'inbound')
      assert.equal(path?.transport, transport === 'ws' ? 'websocket' : 'tcp')
    })

  it('is dialled by the node, and speaks streams with it', async () => {
    const [{ network }, server] = await Promise.all([node(), stock({ listen: ['/ip4/127.0.0.1/tcp/0'] })])
    await server.handle('/shout/1', async (stream) => {
      for await (const chunk of stream) stream.send(chunk.subarray().map((byte) => byte - 32))
      await stream.close()
    })
    const peerId = server.peerId.toString()
    await network.connect(peerId, { addresses: server.getMultiaddrs().map(String), signal })
    assert.ok((await network.ping(peerId, { signal })) > 0)
    const stream = await network.openStream(peerId, '/shout/1', { signal })
    await stream.write(new TextEncoder().encode('hello'))
    await stream.closeWrite()
    const heard: Uint8Array[] = []
    for (let chunk = await stream.read({ signal }); chunk !== null; chunk = await stream.read({ signal }))
      heard.push(chunk)
    assert.equal(Buffer.concat(heard).toString(), 'HELLO')
    while (network.peer(peerId)?.agent === null) await new Promise((resolve) => setTimeout(resolve, 5))
    assert.match(network.peer(peerId)?.agent ?? '', /libp2p/)
  })

  it('gets in with the cluster secret, and never with another or without', async () => {
    const secret = 'correct horse battery staple'
    const { network } = await node({ clusterSecret: secret, handshakeTimeoutMs: 20_000 })
    for (const [connectionProtector, isLetIn] of [
      [await protector(secret), true],
      [await protector('incorrect horse battery staple'), false],
      [null, false],
    ] as const) {
      const client = await stock(connectionProtector === null ? {} : { connectionProtector })
      for (const address of network.addresses()) {
        const dial = client.dial(multiaddr(address), { signal: AbortSignal.timeout(isLetIn ? 30_000 : 2_000) })
        if (isLetIn) assert.equal((await dial).remotePeer.toString(), network.peerId)
        else await assert.rejects(dial)
      }
      const isConnected = (): boolean => network.peer(client.peerId.toString())?.state === 'connected'
      while (isLetIn && !isConnected()) await new Promise((resolve) => setTimeout(resolve, 5))
      assert.equal(isConnected(), isLetIn)
    }
  })
})

it('nodes with different cluster secrets never connect, and the attempt says what it looks like', async () => {
  const short = { handshakeTimeoutMs: 1_000, dialTimeoutMs: 1_500 }
  const { network: desk } = await node({ ...short, clusterSecret: 'a secret of sixteen' })
  const { network: laptop } = await node({ ...short, clusterSecret: 'another of sixteen+' })
  await assert.rejects(desk.connect(laptop.peerId, { addresses: laptop.addresses(), signal }), (error) =>
    isNzError(error, 'NZ_NETWORK_UNREACHABLE'),
  )
  assert.deepEqual([...new Set(desk.attempts(laptop.peerId).map(({ code }) => code))], ['NZ_NETWORK_PNET_MISMATCH'])
})
