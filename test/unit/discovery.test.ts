/** The discovery module over an in-memory mesh: peers, values and services found through others, and what is refused. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { SimulatedClock } from '../../kernel/index.ts'
import { MAX_REQUESTS } from '../../modules/discovery/answering.ts'
import { recordCodes } from '../../protocols/discovery/errors.ts'
import {
  decodeFound,
  decodeStored,
  encodeFind,
  encodeStore,
  FIND_METHOD,
  STORE_METHOD,
} from '../../protocols/discovery/messages.ts'
import { createRecord, keyOfService } from '../../protocols/discovery/record.ts'
import { startDiscoveryNode, startDiscoveryNodes, stopAll, whileTimePasses } from '../fake/discovery.ts'
import { fakeIdentity } from '../fake/identity.ts'
import { createFakeNetwork } from '../fake/network.ts'
import type { Content, RecordBody } from '../../protocols/discovery/record.ts'

const { signal } = new AbortController()
const offer = { name: 'printer', version: '1.2', health: 'healthy', capabilities: ['pdf', 'colour'] } as const

describe('finding peers', () => {
  it('reaches a peer that was never met, and says how it was found', async () => {
    const { nodes, clock } = await startDiscoveryNodes(8)
    const [, second] = nodes
    const last = nodes.at(-1)
    assert.ok(second !== undefined && last !== undefined)
    const lookup = await whileTimePasses(clock, last.discovery.findPeer(second.peerId, { signal }))
    assert.deepEqual(lookup.addresses, [second.network.addresses()[0]?.replace(/\/p2p\/.*/, '')])
    assert.ok(lookup.hops <= 3)
    assert.deepEqual(last.discovery.lastLookup(second.peerId), lookup)
    await second.network.disconnect(last.peerId, { signal })
    const peer = await whileTimePasses(clock, last.network.connect(second.peerId, { signal }))
    assert.equal(peer.state, 'connected')
    await stopAll(nodes)
  })

  it('reaches a contact at the address it has moved to', async () => {
    const { nodes, clock, mesh } = await startDiscoveryNodes(5)
    const [first, second, third] = nodes
    assert.ok(first !== undefined && second !== undefined && third !== undefined)
    await whileTimePasses(clock, third.network.connect(second.peerId, { signal }))
    const before = second.network.addresses()
    await second[Symbol.asyncDispose]()
    const moved = await startDiscoveryNode({ mesh, seed: 2, clock, bootstrap: [first] })
    assert.notDeepEqual(moved.network.addresses(), before)
    await clock.advance(5_000)
    const peer = await whileTimePasses(clock, third.network.connect(second.peerId, { addresses: before, signal }))
    assert.equal(peer.state, 'connected')
    await stopAll([first, moved, ...nodes.slice(2)])
  })

  it('comes back without an introducer, by the table it has kept', async () => {
    const { nodes, clock, mesh } = await startDiscoveryNodes(4)
    const last = nodes.at(-1)
    assert.ok(last !== undefined)
    await clock.advance(120_000)
    await last[Symbol.asyncDispose]()
    const again = await startDiscoveryNode({ mesh, seed: 4, clock, disk: last.disk })
    await clock.advance(5_000)
    assert.ok(again.discovery.status().tableSize >= 3)
    await stopAll([...nodes.slice(0, -1), again])
  })

  it('says that it is alone, that it is off, and that nobody knows the peer', async () => {
    const clock = new SimulatedClock()
    const mesh = createFakeNetwork({ clock })
    const alone = await startDiscoveryNode({ mesh, seed: 1, clock })
    const stranger = fakeIdentity(200).self.peerId
    await assert.rejects(alone.discovery.findPeer(stranger, { signal }), { code: 'NZ_DISCOVERY_ALONE' })
    const off = await startDiscoveryNode({ mesh, seed: 2, clock, config: { mode: 'off' } })
    await assert.rejects(off.discovery.findPeer(stranger, { signal }), { code: 'NZ_DISCOVERY_OFF' })
    const second = await startDiscoveryNode({ mesh, seed: 3, clock, bootstrap: [alone] })
    await clock.advance(100)
    const lookup = await whileTimePasses(clock, second.discovery.findPeer(stranger, { signal }))
    assert.equal(lookup.addresses, null)
    await assert.rejects(second.discovery.findPeer('nobody', { signal }), { code: 'NZ_DISCOVERY_PEER_INVALID' })
    await stopAll([alone, off, second])
  })

  it('lets nobody know of a client, which finds others', async () => {
    const { nodes, clock, mesh } = await startDiscoveryNodes(3)
    const [first] = nodes
    assert.ok(first !== undefined)
    const client = await startDiscoveryNode({ mesh, seed: 9, clock, bootstrap: [first], config: { mode: 'client' } })
    await clock.advance(5_000)
    assert.ok(client.discovery.status().tableSize >= 2)
    assert.equal(first.discovery.status().tableSize, 2)
    const lookup = await whileTimePasses(
      clock,
      nodes[1]?.discovery.findPeer(client.peerId, { signal }) ?? Promise.reject(),
    )
    assert.equal(lookup.addresses, null)
    await stopAll([...nodes, client])
  })

  it('tells nobody of whom it would not let in itself', async () => {
    const { nodes, clock, mesh } = await startDiscoveryNodes(3)
    const [first, second, third] = nodes
    assert.ok(first !== undefined && second !== undefined && third !== undefined)
    await clock.advance(5_000)
    const asker = mesh.add('asker')
    await asker.connect(first.peerId, { addresses: first.network.addresses(), signal })
    const told = async (): Promise<number | undefined> => {
      const request = encodeFind({ target: new Uint8Array(32), wantsRecords: false, wantsOwn: false, own: null })
      const answer = await whileTimePasses(clock, asker.request(first.peerId, FIND_METHOD, request, { signal }))
      return decodeFound(answer)?.closer.length
    }
    assert.equal(await told(), 2)
    await first.network.block(second.peerId)
    assert.equal(await told(), 1)
    // Nor does it take the word of others for such a one.
    const fourth = await startDiscoveryNode({ mesh, seed: 4, clock, bootstrap: [third] })
    await fourth.network.block(second.peerId)
    await clock.advance(5_000)
    assert.equal(fourth.discovery.status().tableSize, 2)
    await stopAll([...nodes, fourth])
  })

  it('drops the dead from the table', async () => {
    const { nodes, clock } = await startDiscoveryNodes(6, { config: { idleMs: 30_000 } })
    const [first, ...others] = nodes
    assert.ok(first !== undefined)
    await clock.advance(10_000)
    assert.equal(first.discovery.status().tableSize, 5)
    await stopAll(others.slice(0, 3))
    await clock.advance(240_000)
    assert.equal(first.discovery.status().tableSize, 2)
    await stopAll([first, ...others.slice(3)])
  })
})

describe('values', () => {
  it('are found by others, the newest of them', async () => {
    const { nodes, clock } = await startDiscoveryNodes(6)
    const [a, , , , , z] = nodes
    assert.ok(a !== undefined && z !== undefined)
    const put = async (text: string) =>
      await whileTimePasses(clock, a.discovery.putValue('motd', Buffer.from(text), { ttlS: 3_600, signal }))
    const got = async () => {
      const record = await whileTimePasses(clock, z.discovery.getValue(a.peerId, 'motd', { signal }))
      return record?.content.kind === 'value' ? Buffer.from(record.content.value).toString() : null
    }
    assert.equal(await got(), null)
    assert.ok((await put('hello')).holders >= 4)
    assert.equal(await got(), 'hello')
    await put('later')
    assert.equal(await got(), 'later')
    await assert.rejects(a.discovery.putValue('motd', new Uint8Array(1_025), { ttlS: 60, signal }), {
      code: 'NZ_DISCOVERY_VALUE_INVALID',
    })
    await stopAll(nodes)
  })
})

describe('a node that is asked', () => {
  const mallory = fakeIdentity(66)
  const key = keyOfService('printer')

  function recordOf(changes: Partial<RecordBody> & { readonly content?: Content }, by = mallory): Uint8Array {
    const signer = Buffer.from(mallory.self.nodePublicKey).toString('hex')
    const content = { kind: 'service' as const, ...offer, capabilities: ['colour', 'pdf'] }
    const body = { signer, sequence: 1_700_000_000_000, ttlS: 300, content, ...changes }
    return createRecord(body, (purpose, message) => by.signAsNode(purpose, message)).bytes
  }

  it('refuses and counts what is forged, stale, over, too large or in the wrong place', async () => {
    const clock = new SimulatedClock()
    const mesh = createFakeNetwork({ clock })
    await using node = await startDiscoveryNode({ mesh, seed: 1, clock })
    const attacker = mesh.add(mallory.self.peerId)
    await attacker.connect(node.peerId, { addresses: node.network.addresses(), signal })
    const store = async (record: Uint8Array, at = key) => {
      const answer = await attacker.request(node.peerId, STORE_METHOD, encodeStore([{ key: at, record }]), { signal })
      return recordCodes[decodeStored(answer)?.[0] ?? 255]
    }
    assert.equal(await store(recordOf({})), null)
    assert.equal(await store(recordOf({ sequence: 1_699_999_999_999 })), 'NZ_DISCOVERY_STALE')
    assert.equal(await store(recordOf({ sequence: 1_700_000_000_001 }, fakeIdentity(67))), 'NZ_DISCOVERY_FORGED')
    assert.equal(await store(recordOf({ sequence: 1_699_999_000_000 })), 'NZ_DISCOVERY_EXPIRED')
    assert.equal(await store(recordOf({ sequence: 1_700_000_400_000 })), 'NZ_DISCOVERY_EXPIRED')
    assert.equal(
      await store(recordOf({ sequence: 1_700_000_000_002 }), keyOfService('other')),
      'NZ_DISCOVERY_WRONG_KEY',
    )
    assert.equal(await store(new Uint8Array(2_049)), 'NZ_DISCOVERY_TOO_LARGE')
    assert.equal(await store(new Uint8Array(64)), 'NZ_DISCOVERY_MALFORMED')
    assert.deepEqual(node.discovery.status().counters.refused, {
      NZ_DISCOVERY_STALE: 1,
      NZ_DISCOVERY_FORGED: 1,
      NZ_DISCOVERY_EXPIRED: 2,
      NZ_DISCOVERY_WRONG_KEY: 1,
      NZ_DISCOVERY_TOO_LARGE: 1,
      NZ_DISCOVERY_MALFORMED: 1,
    })
    assert.equal(node.discovery.status().records, 1)
    await clock.advance(400_000)
    assert.equal(node.discovery.status().records, 0)
  })

  it('answers no more than it can, and nothing that is no request', async () => {
    const clock = new SimulatedClock()
    const mesh = createFakeNetwork({ clock })
    await using node = await startDiscoveryNode({ mesh, seed: 1, clock })
    const attacker = mesh.add(mallory.self.peerId)
    await attacker.connect(node.peerId, { addresses: node.network.addresses(), signal })
    const ask = async (bytes: Uint8Array) => await attacker.request(node.peerId, FIND_METHOD, bytes, { signal })
    await assert.rejects(ask(new Uint8Array(8)), { code: 'NZ_DISCOVERY_PROTOCOL' })
    const request = encodeFind({ target: key, wantsRecords: true, wantsOwn: false, own: null })
    for (let n = 1; n < MAX_REQUESTS; n++) await ask(request)
    await assert.rejects(ask(request), { code: 'NZ_DISCOVERY_BUSY' })
    await clock.advance(10_000)
    await ask(request)
    assert.equal(node.discovery.status().counters.limited, 1)
  })

  it('takes the peer record of nobody else for that of who asks', async () => {
    const clock = new SimulatedClock()
    const mesh = createFakeNetwork({ clock })
    await using node = await startDiscoveryNode({ mesh, seed: 1, clock })
    const attacker = mesh.add(fakeIdentity(67).self.peerId)
    await attacker.connect(node.peerId, { addresses: node.network.addresses(), signal })
    const own = recordOf({ content: { kind: 'peer', addresses: ['/ip4/192.0.2.1/tcp/4001'] } })
    await attacker.request(
      node.peerId,
      FIND_METHOD,
      encodeFind({ target: key, wantsRecords: false, wantsOwn: false, own }),
      { signal },
    )
    assert.equal(node.discovery.status().tableSize, 0)
    assert.deepEqual(node.discovery.status().counters.refused, { NZ_DISCOVERY_FORGED: 1 })
  })
})
