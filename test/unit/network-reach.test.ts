/** What observers say of a NAT, the verdict made of it, places at relays, and dials from the listening port. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { mostReachableFirst, relayOf } from '../../modules/network/address.ts'
import { MAX_OBSERVERS, ObservedAddresses } from '../../modules/network/reach/observed-addresses.ts'
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
