/** The cores of discovery by themselves: the table, lookups and the record store, each at its bounds. */
import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { describe, it } from 'node:test'
import { dialableAddresses, rangeOfAddress, tellableAddresses } from '../../modules/discovery/address-range.ts'
import { commonBits, compareDistance, fractionBetween, placeOf } from '../../protocols/discovery/distance.ts'
import {
  K,
  MAX_CANDIDATES,
  MAX_PATIENCE,
  MAX_RANGE_ASKED,
  MAX_RANGE_PER_BUCKET,
  MAX_RECORDS_PER_KEY,
  MAX_RECORDS_PER_PEER,
  MAX_RECORDS_PER_SIGNER,
  MAX_REGION,
  PARALLEL_PER_PATH,
  PATHS,
} from '../../protocols/discovery/limits.ts'
import { SimulatedNetwork } from '../../bench/dht-network.ts'
import { seededRandom } from '../../kernel/index.ts'
import { Lookup } from '../../protocols/discovery/lookup.ts'
import { RecordStore } from '../../protocols/discovery/record-store.ts'
import { keyOfService, keyOfValue } from '../../protocols/discovery/record.ts'
import { RoutingTable } from '../../protocols/discovery/routing-table.ts'
import type { DiscoveryRecord } from '../../protocols/discovery/record.ts'
import type { Node } from '../../protocols/discovery/lookup.ts'
import type { Contact } from '../../protocols/discovery/routing-table.ts'

const NOW_MS = 1_700_000_000_000
const place = (text: string) => placeOf(hash('sha256', text, 'buffer'))
const contact = (n: number, range: string | null = null): Contact => ({
  peerId: `peer${n}`,
  place: place(`node${n}`),
  record: { sequence: 1, bytes: new Uint8Array(), content: { kind: 'peer', addresses: ['/ip4/192.0.2.1/tcp/1'] } },
  range,
})

describe('distances', () => {
  it('are compared by exclusive or', () => {
    const zero = placeOf(new Uint8Array(32))
    const one = placeOf(Uint8Array.from({ length: 32 }, (_, at) => (at === 31 ? 1 : 0)))
    const half = placeOf(Uint8Array.from({ length: 32 }, (_, at) => (at === 0 ? 0x80 : 0)))
    assert.deepEqual([commonBits(zero, zero), commonBits(zero, one), commonBits(zero, half)], [256, 255, 0])
    assert.ok(compareDistance(zero, one, half) < 0 && compareDistance(half, one, half) > 0)
    assert.equal(compareDistance(zero, one, one), 0)
    assert.equal(fractionBetween(zero, half), 0.5)
    assert.throws(() => placeOf(new Uint8Array(31)), RangeError)
  })
})

describe('addresses in records', () => {
  it('are told without loopback unless there is nothing else, and dialled so', () => {
    const mixed = ['/ip4/203.0.113.7/tcp/1/p2p/12D3', '/ip4/127.0.0.1/tcp/1/p2p/12D3']
    assert.deepEqual(tellableAddresses(mixed, 8), ['/ip4/203.0.113.7/tcp/1'])
    assert.deepEqual(tellableAddresses(mixed.slice(1), 8), ['/ip4/127.0.0.1/tcp/1'])
    assert.deepEqual(dialableAddresses(['/ip4/127.0.0.1/tcp/1', '/ip4/10.0.0.1/tcp/1'], mixed), ['/ip4/10.0.0.1/tcp/1'])
    assert.deepEqual(dialableAddresses(['/ip4/127.0.0.1/tcp/1'], mixed.slice(1)), ['/ip4/127.0.0.1/tcp/1'])
  })

  it('name the network of public hosts alone', () => {
    assert.equal(rangeOfAddress('/ip4/203.0.113.7/tcp/1'), '203.0.113')
    assert.equal(rangeOfAddress('/ip6/2001:db8:1:2::3/tcp/1'), '2001:db8:1')
    for (const address of [
      '/ip4/10.1.2.3/tcp/1',
      '/ip4/100.64.0.1/tcp/1',
      '/ip6/fd00::1/tcp/1',
      '/dns4/a.example/tcp/1',
    ])
      assert.equal(rangeOfAddress(address), null)
  })
})

describe('the table', () => {
  it('keeps who answers, drops who is silent, and lets the waiting take the place', () => {
    const table = new RoutingTable(place('self'))
    for (let n = 0; n < 2_000; n++) table.heard(contact(n), { isProven: true })
    const full = table.size
    assert.ok(full > 300 && full < 600, `${full}`)
    const one = table.entries().find((entry) => commonBits(place('self'), entry.place) === 0)
    assert.ok(one !== undefined)
    table.answered(one.peerId, { atMs: 5, rttMs: 1, isProven: true })
    table.failed(one.peerId)
    assert.equal(table.get(one.peerId)?.failures, 1)
    assert.ok(!table.closest(one.place, 1, { forOthers: true }).some(({ peerId }) => peerId === one.peerId))
    table.failed(one.peerId)
    assert.equal(table.get(one.peerId), undefined)
    assert.equal(table.size, full)
  })

  it('tells others only of those that are proven', () => {
    const table = new RoutingTable(place('self'))
    table.heard(contact(1), { isProven: false })
    assert.deepEqual(table.closest(place('x'), K, { forOthers: true }), [])
    assert.equal(table.closest(place('x'), K).length, 1)
    table.answered('peer1', { atMs: 1, rttMs: 1, isProven: true })
    assert.equal(table.closest(place('x'), K, { forOthers: true }).length, 1)
  })

  it('asks first whose connection has ended, then who was silent longest, and the connected last', () => {
    const table = new RoutingTable(place('self'))
    for (const n of [1, 2, 3, 4]) {
      table.heard(contact(n), { isProven: true })
      table.answered(`peer${n}`, { atMs: n * 100, rttMs: 1, isProven: true })
    }
    const isConnected = (peerId: string): boolean => peerId === 'peer1'
    const idle = (nowMs: number, count = 4): readonly string[] =>
      table.idle(nowMs, { idleMs: 1_000, count, isConnected }).map(({ peerId }) => peerId)
    assert.deepEqual(idle(1_000), [])
    assert.deepEqual(idle(1_300), ['peer2', 'peer3'])
    table.asked('peer2', 1_300)
    assert.deepEqual(idle(1_300), ['peer3'])
    table.doubted('peer4')
    assert.deepEqual(idle(1_300), ['peer4', 'peer3'])
    assert.deepEqual(idle(1_300, 1), ['peer4'])
    table.asked('peer4', 1_300)
    assert.deepEqual(idle(4_099), ['peer3', 'peer2', 'peer4'])
    assert.deepEqual(idle(4_100), ['peer1', 'peer3', 'peer2', 'peer4'])
  })

  it('is patient with who has been there for long, until many are gone', () => {
    const table = new RoutingTable(place('self'))
    table.heard(contact(1), { isProven: true })
    const idleMs = 1_000
    const isDue = (nowMs: number, options: { readonly isUrgent?: boolean } = {}): boolean =>
      table.idle(nowMs, { idleMs, count: 1, ...options }).length > 0
    const answers = (atMs: number): void => table.answered('peer1', { atMs, rttMs: 1, isProven: true })
    answers(0)
    assert.deepEqual([isDue(999), isDue(1_000)], [false, true])
    // Silent as long as it was there: twice as long with each answer, up to a bound.
    for (const [atMs, patienceMs] of [
      [1_000, 1_000],
      [2_000, 2_000],
      [4_000, 4_000],
      [8_000, 8_000],
      [16_000, MAX_PATIENCE * idleMs],
    ] as const) {
      answers(atMs)
      assert.deepEqual([isDue(atMs + patienceMs - 1), isDue(atMs + patienceMs)], [false, true], `${atMs}`)
    }
    assert.equal(isDue(17_000, { isUrgent: true }), true)
    table.failed('peer1')
    answers(20_000)
    assert.equal(isDue(21_000), true)
  })

  it('takes a request for life only of a peer that can be asked', () => {
    const table = new RoutingTable(place('self'))
    table.heard(contact(1), { isProven: false })
    table.asked('peer1', 5)
    assert.equal(table.get('peer1')?.answeredAtMs, null)
  })

  it('wants whom it does not know, and a newer record of whom it knows', () => {
    const table = new RoutingTable(place('self'))
    const known = contact(1)
    assert.ok(table.wants(known))
    table.heard(known, { isProven: true })
    assert.ok(!table.wants(known))
    assert.ok(table.wants({ ...known, record: { ...known.record, sequence: known.record.sequence + 1 } }))
  })

  it('has few entries of one range of addresses, and estimates how many nodes there are', () => {
    const self = place('self')
    const table = new RoutingTable(self)
    for (let n = 0; n < 500; n++) table.heard(contact(n, '203.0.113'), { isProven: true })
    const buckets = Map.groupBy(table.entries(), (entry) => commonBits(self, entry.place))
    assert.ok([...buckets.values()].every((entries) => entries.length <= MAX_RANGE_PER_BUCKET))
    const wide = new RoutingTable(self)
    for (let n = 0; n < 2_000; n++) wide.heard(contact(n), { isProven: true })
    const estimate = wide.estimatedNodes()
    assert.ok(estimate > 1_000 && estimate < 4_000, `${estimate}`)
  })
})

/** Drives a lookup over nodes that all know each other; `liars` tell of themselves alone. */
function drive(lookup: Lookup<Node>, nodes: readonly Node[], { dead = new Set<string>() } = {}): number {
  let mostAtOnce = 0
  for (let asked = lookup.next(); asked.length > 0; asked = lookup.next()) {
    mostAtOnce = Math.max(mostAtOnce, asked.length)
    for (const { peerId } of asked) {
      if (dead.has(peerId)) lookup.failed(peerId)
      else
        lookup.answered(peerId, nodes.toSorted((a, b) => compareDistance(lookup.target, a.place, b.place)).slice(0, K))
    }
  }
  return mostAtOnce
}

describe('a lookup', () => {
  const nodes = Array.from({ length: 300 }, (_, n): Node => contact(n))
  const nearest = (target: Node['place'], among = nodes) =>
    among.toSorted((a, b) => compareDistance(target, a.place, b.place)).slice(0, K)

  it('comes to the nearest that live, by several ways, a few at a time', () => {
    const target = place('target')
    const dead = new Set(
      nearest(target)
        .slice(0, 10)
        .map(({ peerId }) => peerId),
    )
    const lookup = new Lookup(target, nodes.slice(0, 20))
    const mostAtOnce = drive(lookup, nodes, { dead })
    assert.ok(lookup.isDone)
    assert.ok(mostAtOnce <= PATHS * PARALLEL_PER_PATH)
    // Those that are told are the twenty nearest, ten of them dead: the rest come from what it began with.
    assert.deepEqual(
      lookup
        .closest()
        .slice(0, 10)
        .map(({ peerId }) => peerId),
      nearest(target)
        .slice(10)
        .map(({ peerId }) => peerId),
    )
  })

  it('does not wait for the slow, and counts what they say later', () => {
    const lookup = new Lookup(place('target'), nodes.slice(0, 3))
    const [first, ...others] = lookup.next()
    assert.ok(first !== undefined)
    for (const { peerId } of others) lookup.answered(peerId, [])
    assert.equal(lookup.isDone, false)
    lookup.slow(first.peerId)
    assert.equal(lookup.isDone, true)
    assert.equal(lookup.answered(first.peerId, nodes.slice(5, 6)), 1)
    assert.equal(lookup.isDone, false)
  })

  it('asks few of one range of addresses, however near they stand', () => {
    const crowd = nodes.map((node) => ({ ...node, range: '203.0.113' }))
    const lookup = new Lookup(place('target'), crowd)
    drive(lookup, crowd)
    assert.equal(lookup.asked, MAX_RANGE_ASKED)
    assert.ok(lookup.isDone)
  })

  it('searches beside nodes that crowd around a key, so that they hide nobody', () => {
    const key = place('key')
    const network = SimulatedNetwork.of(300, { sybils: 0, random: seededRandom(1) })
    const eclipsed = network.eclipsed(key, { attackers: 150, ranges: 150 })
    const { closest } = eclipsed.put(key)
    assert.ok(closest.length <= MAX_REGION + K)
    assert.ok(closest.filter(({ isSybil }) => !isSybil).length >= 10)
    assert.equal(eclipsed.get(key).isFound, true)
    const usual = network.put(key)
    assert.equal(usual.closest.length, K)
    assert.ok(usual.asked < 60)
  })

  it('remembers a bounded number of nodes', () => {
    const many = Array.from({ length: MAX_CANDIDATES + 50 }, (_, n): Node => contact(n))
    assert.equal(new Lookup(place('target'), many).known().length, MAX_CANDIDATES)
  })
})

describe('the record store', () => {
  const from = (n: number, range: string | null = null) => ({ peerId: `peer${n}`, range })
  const record = (signer: string, name: string, sequence = NOW_MS): DiscoveryRecord => ({
    signer: hash('sha256', signer, 'hex'),
    sequence,
    ttlS: 60,
    content: { kind: 'service', name, version: '1', health: 'healthy', capabilities: [] },
    bytes: new Uint8Array(100),
  })

  it('keeps the newest of each signer and name, until its time is over', () => {
    const store = new RecordStore(place('self'))
    const key = keyOfService('a')
    assert.equal(store.put(key, record('x', 'a'), from(1), NOW_MS), null)
    assert.equal(store.put(key, record('x', 'a'), from(1), NOW_MS), 'NZ_DISCOVERY_STALE')
    assert.equal(store.put(key, record('x', 'a', NOW_MS + 1), from(1), NOW_MS), null)
    assert.equal(store.put(key, record('y', 'a'), from(1), NOW_MS), null)
    assert.deepEqual([store.records, store.bytes, store.get(key, NOW_MS).length], [2, 200, 2])
    assert.equal(store.get(key, NOW_MS)[0]?.sequence, NOW_MS + 1)
    assert.deepEqual(store.get(key, NOW_MS + 61_000), [])
    assert.equal(store.sweep(NOW_MS + 61_000), 2)
    assert.deepEqual([store.records, store.bytes], [0, 0])
  })

  it('has a bound for a key, and takes from the range that has most', () => {
    const store = new RecordStore(place('self'))
    const key = keyOfService('a')
    for (let n = 0; n < MAX_RECORDS_PER_KEY; n++)
      assert.equal(store.put(key, record(`s${n}`, 'a', NOW_MS + n), from(n, 'flood'), NOW_MS), null)
    assert.equal(store.put(key, record('more', 'a'), from(1, 'flood'), NOW_MS), 'NZ_DISCOVERY_FULL')
    assert.equal(store.put(key, record('honest', 'a'), from(1, 'elsewhere'), NOW_MS), null)
    assert.equal(store.get(key, NOW_MS).length, MAX_RECORDS_PER_KEY)
  })

  it('has a bound for a signer, for a bringer, and in all, where the farthest go first', () => {
    const bounded = (limit: number, put: (store: RecordStore, n: number) => unknown): void => {
      const store = new RecordStore(place('self'))
      for (let n = 0; n < limit; n++) assert.equal(put(store, n), null)
      assert.equal(put(store, limit), 'NZ_DISCOVERY_FULL')
    }
    const value = (signer: string, n: number): DiscoveryRecord => {
      const content = { kind: 'value' as const, name: `v${n}`, value: new Uint8Array() }
      return { ...record(signer, ''), content }
    }
    const put = (store: RecordStore, each: DiscoveryRecord, by: number): string | null => {
      const name = each.content.kind === 'value' ? each.content.name : ''
      return store.put(keyOfValue(each.signer, name), each, from(by), NOW_MS)
    }
    bounded(MAX_RECORDS_PER_SIGNER, (store, n) => put(store, value('one', n), n))
    bounded(MAX_RECORDS_PER_PEER, (store, n) => put(store, value(`signer${n}`, n), 1))
    const self = place('self')
    const store = new RecordStore(self, { maxRecords: 8 })
    for (let n = 0; n < 200; n++) put(store, value(`signer${n}`, n), n)
    assert.equal(store.records, 8)
    const kept = Array.from({ length: 200 }, (_, n) => keyOfValue(value(`signer${n}`, n).signer, `v${n}`))
      .toSorted((a, b) => compareDistance(self, placeOf(a), placeOf(b)))
      .map((key) => store.get(key, NOW_MS).length)
    assert.deepEqual(kept.slice(0, 8), Array(8).fill(1))
  })
})
