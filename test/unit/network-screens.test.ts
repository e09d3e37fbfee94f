/** What `nzcore reachability` and `nzcore dns resolve` print, line by line. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { networkPresenters } from '../../cli/commands/network.ts'
import { reachabilityText } from '../../cli/reachability-text.ts'

const PEER = '12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA'

describe('nzcore reachability', () => {
  const answer: Parameters<typeof reachabilityText>[0] = {
    verdict: 'punchable',
    why: 'a NAT maps the port alike for all peers; a relay brings peers together, who then connect directly',
    mapping: 'endpoint-independent',
    filtering: 'address-and-port-dependent',
    dialledBack: { reached: [], unreached: ['/ip4/45.0.0.7/tcp/4001'], helpers: 2 },
    stun: [
      {
        server: 'stun.example.org:3478',
        state: 'answered',
        address: '45.0.0.7:50001',
        mapping: 'endpoint-independent',
        filtering: 'address-dependent',
      },
      { server: '192.0.2.1:3478', state: 'silent', address: null, mapping: 'unknown', filtering: 'unknown' },
      { server: '192.0.2.2:3478', state: 'trying', address: null, mapping: 'unknown', filtering: 'unknown' },
    ],
    observed: ['/ip4/45.0.0.7/tcp/4001'],
    observers: 2,
    canPunch: true,
    addresses: ['/ip4/192.168.1.2/tcp/4001'],
    portMapping: {
      state: 'failed',
      protocol: null,
      address: null,
      why: 'the router speaks neither PCP nor NAT-PMP nor UPnP',
    },
    relays: [],
    serving: null,
    directTries: [],
  }
  it('tells mapping, filtering, what STUN shows and what the router said', () =>
    assert.deepEqual(reachabilityText(answer, 0).split('\n'), [
      '✔ peers reach this node with the help of a relay',
      'because   a NAT maps the port alike for all peers; a relay brings peers together, who then connect directly',
      'NAT       endpoint-independent mapping, address-and-port-dependent filtering; 2 peers see /ip4/45.0.0.7/tcp/4001',
      'UDP       endpoint-independent mapping, address-dependent filtering; stun.example.org:3478 sees 45.0.0.7:50001',
      'UDP       192.0.2.1:3478 does not answer',
      'UDP       192.0.2.2:3478 is asked',
      'address   /ip4/192.168.1.2/tcp/4001',
      'router    failed: the router speaks neither PCP nor NAT-PMP nor UPnP',
    ]))
  it('names the port of the router', () => {
    const why = 'the router maps the port by UPnP'
    const portMapping = { state: 'mapped', protocol: 'upnp', address: '/ip4/45.0.0.7/tcp/4001', why } as const
    const lines = reachabilityText({ ...answer, portMapping }, 0)
    assert.match(lines, /^router {4}mapped \/ip4\/45\.0\.0\.7\/tcp\/4001: the router maps the port by UPnP$/m)
  })
})

describe('nzcore dns resolve', () => {
  const resolved = {
    name: 'example.org',
    addresses: [
      { address: `/ip4/192.0.2.7/tcp/4001/p2p/${PEER}`, peerId: PEER, source: 'txt' },
      { address: '/ip4/192.0.2.8/tcp/4001', peerId: null, source: 'srv' },
    ],
    isAuthenticated: false,
    refused: 1,
  } as const
  const textOf = (answer: object): readonly string[] =>
    String((networkPresenters['dnsResolve'] as (answer: object) => string)(answer)).split('\n')
  it('lists the nodes, what DNSSEC says, what was refused, and what to do next', () => {
    const lines = textOf(resolved)
    assert.match(lines[0] ?? '', /^PEER +BY +ADDRESS$/)
    assert.match(lines[1] ?? '', /TXT +\/ip4\/192\.0\.2\.7\/tcp\/4001\/p2p\//)
    assert.match(lines[2] ?? '', /^not named +SRV +\/ip4\/192\.0\.2\.8\/tcp\/4001$/)
    assert.deepEqual(lines.slice(3), [
      'DNSSEC  does not vouch, or its word could be forged on the way',
      'refused 1 records that are no address of a node',
      `Next: nzcore connect /dnsaddr/example.org/p2p/${PEER}`,
    ])
  })
  it('says so when DNSSEC vouches, and names no peer that the record does not name', () =>
    assert.deepEqual(
      textOf({ ...resolved, addresses: resolved.addresses.slice(1), isAuthenticated: true, refused: 0 }).slice(2),
      ['DNSSEC  vouches for these records', 'Next: nzcore connect /dnsaddr/example.org/p2p/<peer id>'],
    ))
})
