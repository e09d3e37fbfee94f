/** Services that nodes offer, over an in-memory mesh: found, ranked, withdrawn, and forgotten with their nodes. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { SimulatedClock } from '../../kernel/index.ts'
import { decodeFind, encodeFound, FIND_METHOD } from '../../protocols/discovery/messages.ts'
import { createRecord } from '../../protocols/discovery/record.ts'
import { startDiscoveryNode, startDiscoveryNodes, stopAll, whileTimePasses, unknownOf } from '../fake/discovery.ts'
import { fakeIdentity } from '../fake/identity.ts'
import { createFakeNetwork } from '../fake/network.ts'
import type { FoundService } from '../../modules/discovery/service.ts'
import type { Content, RecordBody } from '../../protocols/discovery/record.ts'
import type { DiscoveryNode } from '../fake/discovery.ts'

const { signal } = new AbortController()
const offer = { name: 'printer', version: '1.2', health: 'healthy', capabilities: ['pdf', 'colour'] } as const

describe('services', () => {
  const find = { name: 'printer', capabilities: [], isChecked: true, signal }

  it('are found by name and by capability by a node that has never met the announcer, until they are withdrawn', async () => {
    const { nodes, clock } = await startDiscoveryNodes(6)
    const [, a, , , , z] = nodes
    assert.ok(a !== undefined && z !== undefined)
    const announced = await whileTimePasses(clock, a.discovery.announce(offer, { signal }))
    assert.ok(announced.holders >= 4)
    const [found, ...none] = await whileTimePasses(clock, z.discovery.findServices(find))
    assert.equal(none.length, 0)
    assert.deepEqual([found?.peerId, found?.state, found?.capabilities], [a.peerId, 'answers', ['colour', 'pdf']])
    const byCapability = async (...capabilities: string[]) =>
      (await whileTimePasses(clock, z.discovery.findServices({ capabilities, isChecked: false, signal }))).length
    assert.deepEqual(
      [await byCapability('pdf'), await byCapability('pdf', 'fax'), await byCapability('fax')],
      [1, 0, 0],
    )
    await whileTimePasses(clock, a.discovery.withdraw('printer', { signal }))
    assert.deepEqual(await whileTimePasses(clock, z.discovery.findServices(find)), [])
    assert.deepEqual(a.discovery.offers(), [])
    await assert.rejects(a.discovery.withdraw('printer', { signal }), { code: 'NZ_DISCOVERY_SERVICE_UNKNOWN' })
    await stopAll(nodes)
  })

  it('of a node that was killed are silent at once and gone when their time is over', async () => {
    const config = { serviceTtlMs: 12_000, intervalMs: 4_000 }
    const { nodes, clock } = await startDiscoveryNodes(6, { config })
    const [, a, , , , z] = nodes
    assert.ok(a !== undefined && z !== undefined)
    await whileTimePasses(clock, a.discovery.announce(offer, { signal }))
    await clock.advance(24_000)
    assert.equal((await whileTimePasses(clock, z.discovery.findServices(find)))[0]?.state, 'answers')
    await a[Symbol.asyncDispose]()
    assert.equal((await whileTimePasses(clock, z.discovery.findServices(find)))[0]?.state, 'silent')
    await clock.advance(12_000)
    assert.deepEqual(await whileTimePasses(clock, z.discovery.findServices(find)), [])
    await stopAll(nodes.filter((node) => node !== a))
  })

  it('are taken from no liar: forged, older, over, too large, of another name, all refused and counted', async () => {
    const { nodes, clock, mesh } = await startDiscoveryNodes(4)
    const [first, a, , z] = nodes
    assert.ok(first !== undefined && a !== undefined && z !== undefined)
    await whileTimePasses(clock, a.discovery.announce(offer, { signal }))
    const [own] = await whileTimePasses(clock, z.discovery.findServices(find))
    assert.ok(own !== undefined)
    const victim = a.identity
    const liar = fakeIdentity(66)
    const recordOf = (
      changes: Partial<RecordBody>,
      by: Pick<typeof liar, 'self' | 'signAsNode'>,
      of: Pick<typeof liar, 'self'> = by,
    ): Uint8Array => {
      const signer = Buffer.from(of.self.nodePublicKey).toString('hex')
      const content: Content = { kind: 'service', ...offer, health: 'healthy', capabilities: ['colour', 'pdf'] }
      const body = { signer, sequence: clock.nowMs(), ttlS: 300, content, ...changes }
      return createRecord(body, (purpose, message) => by.signAsNode(purpose, message)).bytes
    }
    const network = mesh.add(liar.self.peerId)
    const [address = ''] = network.addresses()
    const peer: Content = { kind: 'peer', addresses: [address.replace(/\/p2p\/.*/, '')] }
    // The victim's true record as it was once, which anybody can keep.
    const older = recordOf({ sequence: own.sequence - 1 }, victim)
    const lies = [
      recordOf({ sequence: own.sequence + 1 }, liar, victim),
      older,
      recordOf({ sequence: clock.nowMs() - 400_000 }, liar),
      new Uint8Array(2_049),
      recordOf({ content: { kind: 'service', ...offer, name: 'scanner', capabilities: [] } }, liar),
    ]
    let told = 0
    const lie = async (payload: Uint8Array): Promise<Uint8Array> => {
      told += decodeFind(payload)?.wantsRecords === true ? 1 : 0
      return await Promise.resolve(encodeFound({ records: lies, closer: [], own: recordOf({ content: peer }, liar) }))
    }
    network.handleRequests(FIND_METHOD, lie, { signal })
    await network.connect(z.peerId, { addresses: z.network.addresses(), signal })
    await clock.advance(1_000)
    const search = { name: 'printer', capabilities: [], isChecked: false, signal }
    for (let round = 0; round < 20 && told === 0; round++) {
      await clock.advance(60_000)
      const found: readonly FoundService[] = await whileTimePasses(clock, z.discovery.findServices(search))
      assert.deepEqual(
        found.map(({ peerId, name }) => [peerId, name]),
        [[a.peerId, 'printer']],
      )
      assert.ok((found[0]?.sequence ?? 0) >= own.sequence)
    }
    assert.ok(told > 0, 'the liar was asked')
    const { refused } = z.discovery.status().counters
    for (const code of ['FORGED', 'EXPIRED', 'TOO_LARGE', 'WRONG_KEY'])
      assert.ok((refused[`NZ_DISCOVERY_${code}`] ?? 0) > 0, code)
    await stopAll(nodes)
  })

  it('are announced again after a restart, also when nobody could take them before', async () => {
    const clock = new SimulatedClock()
    const mesh = createFakeNetwork({ clock })
    const alone = await startDiscoveryNode({ mesh, seed: 1, clock })
    assert.equal((await alone.discovery.announce(offer, { signal })).holders, 0)
    await alone[Symbol.asyncDispose]()
    await clock.advance(3_600_000)
    const again = await startDiscoveryNode({ mesh, seed: 1, clock, disk: alone.disk })
    const other = await startDiscoveryNode({ mesh, seed: 2, clock, bootstrap: [again] })
    await clock.advance(150_000)
    assert.equal((await whileTimePasses(clock, other.discovery.findServices(find)))[0]?.peerId, again.peerId)
    await stopAll([again, other])
  })

  it('are ranked: who answers, then who is well, then who is trusted', async () => {
    const levels = new Map<string, string>()
    const clock = new SimulatedClock()
    const mesh = createFakeNetwork({ clock })
    const first = await startDiscoveryNode({ mesh, seed: 1, clock })
    const others: DiscoveryNode[] = []
    for (let seed = 2; seed < 6; seed++) {
      others.push(await startDiscoveryNode({ mesh, seed, clock, bootstrap: [first] }))
      await clock.advance(10)
    }
    const trust = {
      explain: (peerId: string) => ({ ...unknownOf(peerId), level: (levels.get(peerId) ?? 'UNKNOWN') as 'HIGH' }),
    }
    const asker = await startDiscoveryNode({ mesh, seed: 7, clock, bootstrap: [first], trust })
    await clock.advance(1_000)
    const [failing, plain, trusted, dead] = others
    assert.ok(failing !== undefined && plain !== undefined && trusted !== undefined && dead !== undefined)
    levels.set(trusted.peerId, 'HIGH')
    for (const [node, health] of [
      [failing, 'failing'],
      [plain, 'healthy'],
      [trusted, 'healthy'],
      [dead, 'healthy'],
    ] as const)
      await whileTimePasses(clock, node.discovery.announce({ ...offer, health }, { signal }))
    await dead[Symbol.asyncDispose]()
    const ranked = await whileTimePasses(clock, asker.discovery.findServices(find))
    assert.deepEqual(
      ranked.map(({ peerId }) => peerId),
      [trusted, plain, failing, dead].map(({ peerId }) => peerId),
    )
    await stopAll([first, failing, plain, trusted, asker])
  })

  it('that cannot be announced are refused, and no more than fit', async () => {
    const clock = new SimulatedClock()
    await using node = await startDiscoveryNode({ mesh: createFakeNetwork({ clock }), seed: 1, clock })
    for (const wrong of [
      { name: 'Print Server' },
      { name: '' },
      { capabilities: Array.from({ length: 9 }, (_, n) => `c${n}`) },
    ])
      await assert.rejects(node.discovery.announce({ ...offer, ...wrong }, { signal }), {
        code: 'NZ_DISCOVERY_SERVICE_INVALID',
      })
    for (let n = 0; n < 64; n++) await node.discovery.announce({ ...offer, name: `s${n}` }, { signal })
    await assert.rejects(node.discovery.announce({ ...offer, name: 'more' }, { signal }), {
      code: 'NZ_DISCOVERY_SERVICES_FULL',
    })
  })
})
