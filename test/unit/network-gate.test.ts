import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { AcceptGate } from '../../modules/network/accept-gate.ts'
import { TokenBuckets } from '../../modules/network/token-buckets.ts'
import type { AcceptLimits, GatePass, Refusal } from '../../modules/network/accept-gate.ts'

const limits: AcceptLimits = {
  maxConnections: 6,
  maxConnectionsPerAddress: 3,
  maxSilentPerNetwork: 4,
  maxSilent: 8,
  maxGreetingPerNetwork: 3,
  maxGreeting: 5,
  handshakesPerSecondPerAddress: 10,
  handshakesPerSecondFromLoopback: 100,
}

function gateAt(overrides: Partial<AcceptLimits> = {}) {
  const time = { nowMs: 0 }
  const blocked = new Set<string>()
  const evicted: string[] = []
  const gate = new AcceptGate(
    { ...limits, ...overrides },
    { isBlocked: (ip) => blocked.has(ip), monotonicMs: () => time.nowMs },
  )
  const arrive = (ip: string): GatePass | Refusal => gate.arrive(ip, () => evicted.push(ip))
  const pass = (ip: string): GatePass => {
    const guest = arrive(ip)
    assert.ok(typeof guest !== 'string')
    return guest
  }
  return { gate, time, blocked, evicted, arrive, pass }
}

describe('the accept gate', () => {
  it('drops and counts the 11th handshake a second from one address, and lets others in', () => {
    const { gate, time, pass } = gateAt({ maxGreetingPerNetwork: 100, maxGreeting: 100, maxSilentPerNetwork: 100 })
    const results = Array.from({ length: 11 }, () => pass('192.0.2.1').greet())
    assert.deepEqual(results, [...Array<null>(10).fill(null), 'handshake-rate'])
    assert.equal(pass('192.0.2.2').greet(), null)
    assert.deepEqual(gate.refused, { 'handshake-rate': 1 })
    time.nowMs += 100
    assert.equal(pass('192.0.2.1').greet(), null)
    assert.equal(pass('192.0.2.1').greet(), 'handshake-rate')
  })

  it('takes all addresses of a /64 of IPv6 for one host, but not those of a link', () => {
    const { arrive, pass } = gateAt({ maxGreetingPerNetwork: 100, maxGreeting: 100, maxSilentPerNetwork: 100 })
    const results = Array.from({ length: 11 }, (_, at) => pass(`2001:db8:1:2::${at + 1}`).greet())
    assert.deepEqual(results.slice(-2), [null, 'handshake-rate'])
    for (let at = 1; at <= 3; at += 1) pass(`2001:db8:1:3::${at}`).open()
    assert.equal(arrive('2001:db8:1:3::4'), 'address-full')
    for (let at = 1; at <= 11; at += 1) assert.equal(pass(`fe80::${at}`).greet(), null)
  })

  it('takes no token for silent connections', () => {
    const { pass } = gateAt()
    for (let at = 0; at < 1_000; at += 1) pass('192.0.2.1')
    assert.equal(pass('192.0.2.1').greet(), null)
  })

  it('evicts the oldest silent connection of a network at its bound, of all at theirs', () => {
    const { gate, evicted, pass } = gateAt()
    for (let at = 1; at <= 5; at += 1) pass(`192.0.2.${at}`)
    assert.deepEqual(evicted, ['192.0.2.1'])
    for (let at = 1; at <= 4; at += 1) pass(`198.51.100.${at}`)
    assert.equal(gate.pending.silent, 8)
    pass('203.0.113.1')
    assert.deepEqual(evicted, ['192.0.2.1', '192.0.2.2'])
    assert.equal(gate.evicted, 2)
  })

  it('counts a /64 of IPv6 as one network, and IPv4 in IPv6 clothes as IPv4', () => {
    const { evicted, pass } = gateAt({ maxSilentPerNetwork: 1 })
    pass('2001:db8:1:2::1')
    pass('2001:db8:1:2:ffff::9')
    assert.deepEqual(evicted, ['2001:db8:1:2::1'])
    pass('2001:db8:1:3::1')
    pass('::ffff:192.0.2.1')
    pass('192.0.2.9')
    assert.deepEqual(evicted, ['2001:db8:1:2::1', '::ffff:192.0.2.1'])
  })

  it('bounds handshakes under way, and forgets those that left', () => {
    const { gate, evicted, pass } = gateAt()
    const first = pass('192.0.2.1')
    first.greet()
    for (let at = 2; at <= 3; at += 1) pass(`192.0.2.${at}`).greet()
    first.leave()
    first.leave()
    pass('192.0.2.4').greet()
    assert.deepEqual(evicted, [])
    pass('192.0.2.5').greet()
    assert.deepEqual(evicted, ['192.0.2.2'])
    assert.deepEqual(gate.pending, { silent: 0, greeting: 3 })
  })

  it('never evicts a peer that has proven its id', () => {
    const { evicted, pass } = gateAt({ maxGreetingPerNetwork: 1 })
    const peer = pass('192.0.2.1')
    peer.greet()
    peer.open()
    for (let at = 0; at < 10; at += 1) pass('192.0.2.2').greet()
    assert.ok(!evicted.includes('192.0.2.1'))
  })

  it('refuses beyond the connections of one address and of all, outgoing ones counted', () => {
    const { gate, arrive, pass } = gateAt()
    const open = (ip: string): GatePass => {
      const guest = pass(ip)
      assert.equal(guest.greet(), null)
      guest.open()
      return guest
    }
    const guests = [open('192.0.2.1'), open('192.0.2.1'), open('192.0.2.1')]
    assert.equal(arrive('192.0.2.1'), 'address-full')
    guests[0]?.leave()
    open('192.0.2.1')
    open('198.51.100.1')
    gate.changeOutgoing(1)
    gate.changeOutgoing(1)
    assert.equal(arrive('203.0.113.1'), 'full')
    gate.changeOutgoing(-1)
    assert.notEqual(arrive('203.0.113.1'), 'full')
    assert.deepEqual(gate.refused, { 'address-full': 1, full: 1 })
  })

  it('refuses blocked addresses, also those blocked while silent', () => {
    const { blocked, arrive, pass } = gateAt()
    const guest = pass('192.0.2.1')
    blocked.add('192.0.2.1')
    assert.equal(guest.greet(), 'blocked')
    assert.equal(arrive('192.0.2.1'), 'blocked')
  })
})

describe('token buckets', () => {
  it('hold a bounded number of keys', () => {
    const buckets = new TokenBuckets({ perSecond: 1, burst: 1, maxKeys: 3 })
    assert.equal(buckets.take('a', 0), true)
    assert.equal(buckets.take('a', 0), false)
    for (const key of ['b', 'c', 'd']) buckets.take(key, 0)
    assert.equal(buckets.size, 3)
    assert.equal(buckets.take('a', 0), true)
  })

  it('fill with time, not beyond the burst, and not when the clock stands', () => {
    const buckets = new TokenBuckets({ perSecond: 2, burst: 3, maxKeys: 9 })
    const taken = (nowMs: number): number => {
      let count = 0
      while (buckets.take('a', nowMs)) count += 1
      return count
    }
    assert.deepEqual([taken(0), taken(0), taken(1_000), taken(60_000), taken(59_000)], [3, 0, 2, 3, 0])
  })
})
