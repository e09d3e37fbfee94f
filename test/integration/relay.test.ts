/** Relays on loopback: places, connections through them, and every bound, told to both ends before it cuts. */
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { describe, it } from 'node:test'
import { multiaddr } from '@multiformats/multiaddr'
import { isNzError } from '../../kernel/index.ts'
import { relayOf } from '../../modules/network/address.ts'
import { ListeningPorts } from '../../modules/network/reach/listening-port.ts'
import { networkEvents } from '../../modules/network/service.ts'
import { startNetworkNode } from '../fake/network-node.ts'
import { until } from '../net/peer.ts'
import type { NetworkNode, NodeConfig } from '../fake/network-node.ts'

const signal = AbortSignal.timeout(150_000)
const ECHO = '/nz/test-echo/1'
const listen = ['/ip4/127.0.0.1/tcp/0']

const relayWith = async (relay: NodeConfig['relay'] = {}): Promise<NetworkNode> =>
  await startNetworkNode({ config: { listen, relay: { serve: true, ...relay } } })

const guestOf = async (...relays: readonly NetworkNode[]): Promise<NetworkNode> => await guestAt(listen, relays)

async function guestAt(at: string[], relays: readonly NetworkNode[]): Promise<NetworkNode> {
  const use = relays.map(({ network }) => network.addresses()[0] ?? '')
  const node = await startNetworkNode({ config: { listen: at, relay: { use } } })
  node.network.handleStreams(
    ECHO,
    async (stream) => {
      for (let bytes = await stream.read(); bytes !== null; bytes = await stream.read()) await stream.write(bytes)
    },
    { signal },
  )
  await until(
    async () => await Promise.resolve(node.network.reachability().relays),
    (held) => held.every(({ state }) => state === 'reserved'),
  )
  return node
}

const relayed = ({ network }: NetworkNode): readonly string[] =>
  network.addresses().filter((address) => address.includes('/p2p-circuit'))

const caller = async (): Promise<NetworkNode> => await startNetworkNode({ config: { listen } })

describe('a relay', () => {
  it('brings two together that know only it, and says what it carried and what it allows', async () => {
    await using relay = await relayWith()
    await using guest = await guestOf(relay)
    await using other = await caller()
    const { peerId } = guest.network
    await other.network.connect(peerId, { addresses: relayed(guest), signal })
    const path = other.network.peer(peerId)?.paths[0]
    assert.equal(path?.transport, 'relay')
    assert.equal(path.limit?.secondsLeft, 3_600)
    const stream = await other.network.openStream(peerId, ECHO, { signal })
    await stream.write(new Uint8Array(100_000))
    let read = 0
    while (read < 100_000) read += (await stream.read({ signal }))?.length ?? assert.fail('it ended')
    stream.reset()
    const serving = relay.network.reachability().serving
    assert.equal(serving?.reservations, 1)
    assert.equal(serving.circuits, 1)
    assert.ok(serving.carriedBytes > 200_000)
  })

  it('cuts at its byte bound; both ends were warned, and the node says so', async () => {
    await using relay = await relayWith({ circuitBytes: 400_000 })
    await using guest = await guestOf(relay)
    await using other = await caller()
    const { peerId } = guest.network
    const warned = [guest, other].map(
      async ({ events }) =>
        await new Promise((resolve) => events.on(networkEvents.relayLimitNear, resolve, { signal })),
    )
    await other.network.connect(peerId, { addresses: relayed(guest), signal })
    const stream = await other.network.openStream(peerId, ECHO, { signal })
    const pumped = (async () => {
      for (;;) {
        await stream.write(new Uint8Array(10_000), { signal })
        if ((await stream.read({ signal })) === null) throw new Error('it ended')
      }
    })()
    await assert.rejects(pumped)
    await Promise.all(warned)
    assert.equal(relay.network.reachability().serving?.cutByBytes, 1)
  })

  it('near its bound is left for another one: the peer stays connected, and is tried directly on', async () => {
    await using bounded = await relayWith({ circuitBytes: 400_000 })
    await using free = await relayWith()
    // It listens nowhere itself, so that no direct connection comes first.
    await using guest = await guestAt([], [bounded, free])
    await using other = await caller()
    const { peerId } = guest.network
    const lost: string[] = []
    for (const { events } of [guest, other])
      events.on(networkEvents.peerDisconnected, ({ peerId: gone }) => void lost.push(gone), { signal })
    const through = (relay: NetworkNode): string[] =>
      relayed(guest).filter((address) => address.includes(relay.network.peerId))
    await other.network.connect(peerId, { addresses: through(bounded), signal })
    const stream = await other.network.openStream(peerId, ECHO, { signal })
    let isNear = false
    other.events.on(networkEvents.relayLimitNear, () => void (isNear = true), { signal })
    const pour = async (isEnough: () => boolean): Promise<void> => {
      while (!isEnough()) {
        await stream.write(new Uint8Array(10_000), { signal })
        if ((await stream.read({ signal })) === null) throw new Error('it ended')
      }
    }
    await pour(() => isNear)
    const relays = async (): Promise<readonly (string | null)[]> =>
      await Promise.resolve((other.network.peer(peerId)?.paths ?? []).map(({ address }) => relayOf(address)))
    assert.deepEqual(await until(relays, ({ length }) => length === 2), [free.network.peerId, bounded.network.peerId])
    await assert.rejects(pour(() => false))
    assert.deepEqual(await until(relays, ({ length }) => length === 1), [free.network.peerId])
    assert.deepEqual(lost, [], 'nobody was disconnected meanwhile')
    const again = await other.network.openStream(peerId, ECHO, { signal })
    await again.write(Uint8Array.of(7))
    assert.deepEqual([...((await again.read({ signal })) ?? [])], [7])
    again.reset()
    // The tries began over the connection that is gone.
    const [tries] = await until(
      async () => await Promise.resolve(guest.network.reachability().directTries),
      ([first]) => first?.nextTryAtMs != null,
    )
    assert.equal(tries?.peerId, other.network.peerId)
  })

  it('cuts when the time is over', async () => {
    await using relay = await relayWith({ circuitSeconds: 1 })
    await using guest = await guestOf(relay)
    await using other = await caller()
    await other.network.connect(guest.network.peerId, { addresses: relayed(guest), signal })
    await until(
      async () => await Promise.resolve(relay.network.reachability().serving?.cutBySeconds),
      (cut) => (cut ?? 0) >= 1,
    )
  })

  it('gives no more places than it has, and passes nobody on to one without a place', async () => {
    await using relay = await relayWith({ maxReservations: 1 })
    await using guest = await guestOf(relay)
    const use = [relay.network.addresses()[0] ?? '']
    await using late = await startNetworkNode({ config: { listen, relay: { use } } })
    await until(
      async () => await Promise.resolve(late.network.reachability().relays),
      ([held]) => held?.state === 'refused' && held.code === 'NZ_NETWORK_RELAY_FULL',
    )
    await using other = await caller()
    const address = `${relayed(guest)[0]?.split('/p2p-circuit')[0] ?? ''}/p2p-circuit`
    await assert.rejects(other.network.connect(late.network.peerId, { addresses: [address], signal }), (error) =>
      isNzError(error, 'NZ_NETWORK_UNREACHABLE'),
    )
    assert.equal(other.network.attempts(late.network.peerId).at(-1)?.code, 'NZ_NETWORK_RELAY_NO_PLACE')
  })

  it('opens no more connections than it may, for all and for one peer', async () => {
    await using relay = await relayWith({ maxCircuits: 1 })
    await using guest = await guestOf(relay)
    await using first = await caller()
    await using second = await caller()
    await first.network.connect(guest.network.peerId, { addresses: relayed(guest), signal })
    await assert.rejects(second.network.connect(guest.network.peerId, { addresses: relayed(guest), signal }))
    assert.equal(second.network.attempts(guest.network.peerId).at(-1)?.code, 'NZ_NETWORK_RELAY_FULL')
    await first.network.disconnect(guest.network.peerId, { signal })
    await until(
      async () => await Promise.resolve(relay.network.reachability().serving?.circuits),
      (circuits) => circuits === 0,
    )
    await second.network.connect(guest.network.peerId, { addresses: relayed(guest), signal })
  })

  it('that stops is replaced by the other; who is blocked is not let in through it', async () => {
    await using relay = await relayWith()
    const gone = await relayWith()
    await using guest = await guestOf(relay, gone)
    await using other = await caller()
    const addresses = relayed(guest)
    assert.equal(addresses.length, 2)
    await gone.stop()
    await until(
      async () => await Promise.resolve(relayed(guest)),
      (left) => left.length === 1,
    )
    await other.network.connect(guest.network.peerId, { addresses, signal })
    await guest.network.block(other.network.peerId)
    await until(
      async () => await Promise.resolve(other.network.peer(guest.network.peerId)),
      (peer) => peer?.state !== 'connected',
    )
    await assert.rejects(other.network.connect(guest.network.peerId, { addresses: relayed(guest), signal }))
  })

  it('serves nobody when it was not asked to', async () => {
    await using plain = await caller()
    await using guest = await startNetworkNode({
      config: { listen, relay: { use: [plain.network.addresses()[0] ?? ''] } },
    })
    await until(
      async () => await Promise.resolve(guest.network.reachability().relays[0]?.code),
      (code) => code === 'NZ_NETWORK_PROTOCOL_UNKNOWN',
    )
    assert.equal(plain.network.reachability().serving, null)
  })
})

describe('a listening port', () => {
  const ports = new ListeningPorts()
  const skip = ports.canShare ? false : 'the native addon is not there'

  it('is shared by dials, and not by a second node', { skip }, async () => {
    await using node = await caller()
    const address = node.network.addresses()[0] ?? ''
    const port = Number(multiaddr(address).toString().split('/')[4])
    const taken = `/ip4/127.0.0.1/tcp/${port}`
    await assert.rejects(startNetworkNode({ config: { listen: [taken] } }), (error) =>
      isNzError(error, 'NZ_NETWORK_LISTEN_FAILED'),
    )
    // The node still answers: the try has not taken connections from it.
    for (let at = 0; at < 8; at += 1) {
      const socket = connect(port, '127.0.0.1')
      await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject))
      socket.destroy()
    }
  })
})
