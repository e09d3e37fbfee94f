/** What observers say of a NAT, the verdict made of it, places at relays, and dials from the listening port. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { mostReachableFirst, relayOf } from '../../modules/network/address.ts'
import { MAX_OBSERVERS, ObservedAddresses } from '../../modules/network/reach/observed-addresses.ts'
import { isPublic } from '../../modules/network/public-hosts.ts'
import { judge } from '../../modules/network/reach/verdict.ts'

const seen = (...said: ReadonlyArray<readonly [string, string]>): ObservedAddresses => {
  const observed = new ObservedAddresses()
  for (const [at, [observer, address]] of said.entries()) observed.note(`peer${at}`, observer, address)
  return observed
}
const [one, two] = ['/ip4/45.0.0.1/tcp/4001/p2p/x', '/ip4/45.0.1.1/tcp/4001']

describe('what observers say', () => {
  const mine = '/ip4/46.0.0.7/tcp/4001'
  it('the same from two places: the mapping does not depend on the endpoint', () => {
    const observed = seen([one, mine], [two, mine])
    assert.equal(observed.mapping([]), 'endpoint-independent')
    assert.deepEqual(observed.addresses(), [mine])
  })
  it('different things: it does', () =>
    assert.equal(seen([one, mine], [two, '/ip4/46.0.0.7/tcp/999']).mapping([]), 'endpoint-dependent'))
  it('an address of this machine: there is no NAT', () => assert.equal(seen([one, mine]).mapping(['46.0.0.7']), 'none'))
  it('one peer alone, or two behind one address, tell too little', () => {
    assert.equal(seen([one, mine]).mapping([]), 'unknown')
    assert.equal(seen([one, mine], [one, mine]).mapping([]), 'unknown')
  })
  it('observers on private networks, and addresses that are none of TCP, do not count', () => {
    assert.equal(seen(['/ip4/10.0.0.1/tcp/1', mine], [two, mine]).mapping([]), 'unknown')
    assert.equal(seen([one, '/dns4/example.org/tcp/1'], [two, '/ip4/46.0.0.7/udp/1']).observers, 0)
  })
  it('is kept of the last MAX_OBSERVERS', () => {
    const observed = new ObservedAddresses()
    for (let at = 0; at <= MAX_OBSERVERS; at += 1) observed.note(`p${at}`, one, `/ip4/46.0.0.7/tcp/${at + 1}`)
    assert.equal(observed.observers, MAX_OBSERVERS)
    assert.ok(!observed.addresses().includes('/ip4/46.0.0.7/tcp/1'))
  })
})

describe('the verdict on how this node is reached', () => {
  const facts = {
    mapping: 'unknown',
    isOffline: false,
    cameIn: false,
    isReached: false,
    isShut: false,
    hasPublicAddress: false,
    isPortMapped: false,
    isServedByRelay: false,
    canPunch: true,
  } as const
  for (const [given, verdict] of [
    [{ isOffline: true, cameIn: true, mapping: 'none' }, 'unreachable'],
    [{ cameIn: true, mapping: 'endpoint-dependent' }, 'direct'],
    [{ mapping: 'none' }, 'direct'],
    [{ mapping: 'none', isShut: true }, 'unreachable'],
    [{ mapping: 'none', isShut: true, isServedByRelay: true }, 'punchable'],
    [{ mapping: 'endpoint-dependent', isPortMapped: true, isShut: true }, 'unreachable'],
    [{ hasPublicAddress: true, isReached: true }, 'direct'],
    [{ hasPublicAddress: true, isShut: true }, 'unreachable'],
    [{ mapping: 'endpoint-independent', isReached: true, isServedByRelay: true }, 'punchable'],
    [{ mapping: 'endpoint-dependent', isPortMapped: true }, 'direct'],
    [{}, 'unknown'],
    [{ hasPublicAddress: true }, 'unknown'],
    [{ mapping: 'endpoint-independent' }, 'unreachable'],
    [{ mapping: 'endpoint-independent', isServedByRelay: true }, 'punchable'],
    [{ mapping: 'endpoint-independent', isServedByRelay: true, canPunch: false }, 'relayed'],
    [{ mapping: 'endpoint-dependent', isServedByRelay: true }, 'relayed'],
    [{ mapping: 'endpoint-dependent' }, 'unreachable'],
    [{ isServedByRelay: true }, 'punchable'],
  ] as const)
    it(`${JSON.stringify(given)}: ${verdict}`, () => assert.equal(judge({ ...facts, ...given }).verdict, verdict))
})

describe('an address is public', () => {
  // First and last of each range, and the neighbours that are outside it.
  for (const [range, inside, outside] of [
    ['0.0.0.0/8', ['0.0.0.0', '0.255.255.255'], ['1.0.0.0']],
    ['10.0.0.0/8', ['10.0.0.0', '10.255.255.255'], ['9.255.255.255', '11.0.0.0']],
    ['100.64.0.0/10', ['100.64.0.0', '100.127.255.255'], ['100.63.255.255', '100.128.0.0']],
    ['127.0.0.0/8', ['127.0.0.1', '127.255.255.255'], ['126.255.255.255', '128.0.0.0']],
    ['169.254.0.0/16', ['169.254.0.0', '169.254.255.255'], ['169.253.255.255', '169.255.0.0']],
    ['172.16.0.0/12', ['172.16.0.0', '172.31.255.255'], ['172.15.255.255', '172.32.0.0']],
    ['192.0.0.0/24', ['192.0.0.0', '192.0.0.255'], ['191.255.255.255', '192.0.1.0']],
    ['192.0.2.0/24', ['192.0.2.0', '192.0.2.255'], ['192.0.1.255', '192.0.3.0']],
    ['192.88.99.0/24', ['192.88.99.0', '192.88.99.255'], ['192.88.98.255', '192.88.100.0']],
    ['192.168.0.0/16', ['192.168.0.0', '192.168.255.255'], ['192.167.255.255', '192.169.0.0']],
    ['198.18.0.0/15', ['198.18.0.0', '198.19.255.255'], ['198.17.255.255', '198.20.0.0']],
    ['198.51.100.0/24', ['198.51.100.0', '198.51.100.255'], ['198.51.99.255', '198.51.101.0']],
    ['203.0.113.0/24', ['203.0.113.0', '203.0.113.255'], ['203.0.112.255', '203.0.114.0']],
    ['224.0.0.0/3', ['224.0.0.0', '239.255.255.255', '240.0.0.0', '255.255.255.255'], ['223.255.255.255']],
    [
      'beside 2000::/3',
      ['::', '::1', '::ffff:8.8.8.8', '64:ff9b::1', '1fff::', 'fd00::1', 'fe80::1', 'ff02::1'],
      ['2000::'],
    ],
    ['2001::/23', ['2001::', '2001:1ff:ffff::1'], ['2001:200::', '2000:ffff::1']],
    ['2001:db8::/32', ['2001:db8::', '2001:db8:0:1:ffff::1', '2001:DB8:ffff::'], ['2001:db7:ffff::', '2001:db9::']],
    ['2002::/16', ['2002::', '2002:ffff::1'], ['2003::']],
    ['3fff::/20', ['3fff::', '3fff:fff::1'], ['3fff:1000::', '3ffe::1']],
    ['names', ['', 'example.org', '1.2.3', '1.2.3.4.5', '2001::g'], ['2a0e:1::7']],
  ] as const)
    it(`outside ${range}`, () => {
      for (const host of inside) assert.equal(isPublic(host), false, host)
      for (const host of outside) assert.equal(isPublic(host), true, host)
    })
})

describe('addresses at relays', () => {
  const relayed = '/ip4/45.0.0.1/tcp/4001/p2p/12D3KooWRrrr/p2p-circuit/p2p/12D3KooWPppp'
  it('name their relay', () => {
    assert.equal(relayOf(relayed), '12D3KooWRrrr')
    assert.equal(relayOf('/ip4/45.0.0.1/tcp/4001/p2p/12D3KooWRrrr'), null)
  })
  it('are tried after all others', () => {
    const direct = ['/ip4/127.0.0.1/tcp/1', '/ip4/10.0.0.1/tcp/1/ws', '/ip4/46.0.0.1/tcp/1']
    assert.deepEqual(mostReachableFirst([relayed, ...direct]).at(-1), relayed)
  })
})
