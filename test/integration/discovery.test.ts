/** Discovery over real sockets on loopback: a peer by its id alone, a service of a stranger, the LAN. */
import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { setTimeout as pause } from 'node:timers/promises'
import { describe, it } from 'node:test'
import { Kernel, provide } from '../../kernel/index.ts'
import { ContactsService } from '../../modules/contacts/service.ts'
import discoveryModule from '../../modules/discovery/index.ts'
import { DiscoveryService } from '../../modules/discovery/service.ts'
import { IdentityService } from '../../modules/identity/service.ts'
import { NetworkService } from '../../modules/network/service.ts'
import { StorageService } from '../../modules/storage/service.ts'
import { TrustService } from '../../modules/trust/service.ts'
import { encodeAnswer, LAN_GROUP } from '../../protocols/discovery/lan.ts'
import { createRecord } from '../../protocols/discovery/record.ts'
import { noContacts, unknownOf } from '../fake/discovery.ts'
import { fakeIdentity } from '../fake/identity.ts'
import { startNetworkNode } from '../fake/network-node.ts'
import { openStore } from '../fake/storage.ts'
import { trustingAll } from '../fake/trust.ts'

const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }
const TIMEOUT_MS = 60_000

async function startNode(seed: number, config: object = {}) {
  const identity = fakeIdentity(seed)
  const privateKey = Buffer.concat([new Uint8Array(32).fill(seed), identity.self.nodePublicKey])
  const node = await startNetworkNode({ privateKey, config: { listen: ['/ip4/127.0.0.1/tcp/0'] } })
  const storage = await openStore()
  const kernel = new Kernel({
    modules: [discoveryModule],
    config: { discovery: { intervalMs: 500, serviceTtlMs: 5_000, ...config } },
    services: [
      provide(ContactsService, noContacts),
      provide(IdentityService, identity),
      provide(NetworkService, node.network),
      provide(StorageService, storage),
      provide(TrustService, { ...trustingAll, explain: unknownOf }),
    ],
    log: silent,
  })
  await kernel.start()
  return {
    network: node.network,
    peerId: identity.self.peerId,
    discovery: kernel.get(DiscoveryService),
    async [Symbol.asyncDispose]() {
      await kernel.stop()
      await node.stop()
      await storage.close()
    },
  }
}

async function until<T>(what: () => Promise<T | null | false | undefined>): Promise<T> {
  const signal = AbortSignal.timeout(TIMEOUT_MS)
  for (;;) {
    const found = await what()
    if (found !== null && found !== false && found !== undefined) return found
    await pause(50, undefined, { signal })
  }
}

describe('nodes that know one common node', () => {
  it('reach each other by their ids, and find a service until its node is dead', async () => {
    await using common = await startNode(1)
    const config = { bootstrap: [common.network.addresses()[0]] }
    const a = await startNode(2, config)
    await using c = await startNode(3, config)
    for (const node of [a, c]) await until(async () => node.discovery.status().tableSize > 0)
    const signal = AbortSignal.timeout(TIMEOUT_MS)
    await until(async () => (await c.discovery.findPeer(a.peerId, { signal })).addresses)
    assert.equal((await c.network.connect(a.peerId, { signal })).state, 'connected')

    const offer = { name: 'printer', version: '1', health: 'healthy', capabilities: ['pdf'] } as const
    await a.discovery.announce(offer, { signal })
    const find = async () =>
      await c.discovery.findServices({ name: 'printer', capabilities: ['pdf'], isChecked: true, signal })
    const found = await until(async () => (await find())[0])
    assert.deepEqual([found.peerId, found.state], [a.peerId, 'answers'])
    await a[Symbol.asyncDispose]()
    assert.notEqual((await find())[0]?.state, 'answers')
    await until(async () => (await find()).length === 0)
  })
})

describe('nodes of one LAN', () => {
  it('find each other without any address, and take nobody’s word for another', async (t) => {
    const port = await freeUdpPort()
    const lan = { enabled: true, port, address: '127.0.0.1', intervalMs: 1_000 }
    if (!(await hasMulticast(port))) return t.skip('this machine has no multicast on loopback')
    await using a = await startNode(4, { lan })
    await using b = await startNode(5, { lan })
    await until(async () => b.discovery.status().tableSize > 0)
    const signal = AbortSignal.timeout(TIMEOUT_MS)
    assert.equal((await b.network.connect(a.peerId, { signal })).state, 'connected')

    const victim = fakeIdentity(9)
    const forged = createRecord(
      {
        signer: Buffer.from(victim.self.nodePublicKey).toString('hex'),
        sequence: Date.now(),
        ttlS: 300,
        content: { kind: 'peer', addresses: ['/ip4/127.0.0.1/tcp/9'] },
      },
      (purpose, message) => fakeIdentity(10).signAsNode(purpose, message),
    )
    await send(port, encodeAnswer('forged', forged.bytes))
    await until(async () => (a.discovery.status().counters.refused['NZ_DISCOVERY_FORGED'] ?? 0) > 0)
    return undefined
  })
})

async function freeUdpPort(): Promise<number> {
  const socket = createSocket('udp4')
  socket.bind(0)
  await once(socket, 'listening')
  const { port } = socket.address()
  socket.close()
  return port
}

async function send(port: number, bytes: Uint8Array): Promise<void> {
  const socket = createSocket('udp4')
  socket.bind(0)
  await once(socket, 'listening')
  socket.setMulticastInterface('127.0.0.1')
  socket.setMulticastLoopback(true)
  await new Promise<void>((resolve) => socket.send(bytes, port, LAN_GROUP, () => resolve()))
  socket.close()
}

async function hasMulticast(port: number): Promise<boolean> {
  const socket = createSocket({ type: 'udp4', reuseAddr: true })
  socket.on('error', () => undefined)
  socket.bind(port)
  await once(socket, 'listening')
  try {
    socket.addMembership(LAN_GROUP, '127.0.0.1')
    const heard = once(socket, 'message', { signal: AbortSignal.timeout(5_000) })
    await send(port, Uint8Array.of(1))
    await heard
    return true
  } catch {
    return false
  } finally {
    socket.close()
  }
}
