/** `nzcore why`: one verdict from what was tried, for success as well, and how the command prints it. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { discoveryPresenters } from '../../cli/commands/discovery.ts'
import { explainPath } from '../../modules/ipc/handlers/path-verdict.ts'
import { errorCatalogue } from '../../cli/error-catalogue.ts'
import type { PathFacts } from '../../modules/ipc/handlers/path-verdict.ts'
import type { DialAttempt, Peer } from '../../modules/network/service.ts'

const PEER_ID = '12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5'
const attempt = (code: string | null, address = '/ip4/192.0.2.77/tcp/4001'): DialAttempt => ({
  atMs: 0,
  address,
  transport: address.endsWith('/p2p-circuit') ? 'relay' : address.endsWith('/ws') ? 'websocket' : 'tcp',
  stage: code === null ? 'open' : 'connect',
  durationMs: code === 'NZ_NETWORK_TIMEOUT' ? 4_000 : 31,
  code,
  isPunch: false,
})
const facts = (changes: Partial<PathFacts> = {}): PathFacts => ({
  peerId: PEER_ID,
  peer: null,
  attempts: [],
  lookup: null,
  isBlocked: false,
  isLookupOn: true,
  isOffline: false,
  isElsewhere: () => false,
  relayed: { own: { mapping: 'none', canPunch: true }, theirs: null, directTries: null, nowMs: 0 },
  ...changes,
})
const connected: Peer = {
  peerId: PEER_ID,
  state: 'connected',
  rttMs: 3.21,
  connectedAtMs: 0,
  agent: null,
  isKept: true,
  paths: [
    {
      address: '/ip4/192.0.2.77/tcp/4001',
      transport: 'tcp',
      via: null,
      direction: 'outbound',
      backend: 'io_uring',
      openedAtMs: 0,
      streams: 1,
      txBytes: 0,
      rxBytes: 0,
      muxer: null,
      limit: null,
    },
  ],
}

const CIRCUIT = `/ip4/192.0.2.9/tcp/4001/p2p/${PEER_ID}/p2p-circuit`
const [path] = connected.paths
const relayed: Peer = {
  ...connected,
  paths: path === undefined ? [] : [{ ...path, transport: 'relay', address: CIRCUIT, backend: 'typescript' }],
}
const symmetric = {
  own: { mapping: 'endpoint-dependent', canPunch: true },
  theirs: { mapping: 'endpoint-dependent', canPunch: true, tries: 2, nextTryInMs: 240_000 },
  directTries: null,
} as const

describe('the verdict on a path', () => {
  const decided: ReadonlyArray<readonly [string, Partial<PathFacts>, string | null, RegExp | null]> = [
    [
      'a refusal over silence',
      { attempts: [attempt('NZ_NETWORK_TIMEOUT', '/ip4/192.0.2.77/tcp/4002/ws'), attempt('NZ_NETWORK_REFUSED')] },
      'NZ_NETWORK_REFUSED',
      /nzcore up/,
    ],
    ['silence', { attempts: [attempt('NZ_NETWORK_TIMEOUT')] }, 'NZ_NETWORK_TIMEOUT', /router/],
    [
      'another peer over a refusal',
      { attempts: [attempt('NZ_NETWORK_WRONG_PEER'), attempt('NZ_NETWORK_REFUSED', '/ip4/192.0.2.77/tcp/4002/ws')] },
      'NZ_NETWORK_WRONG_PEER',
      /invite/,
    ],
    [
      'the newest of each address',
      { attempts: [attempt('NZ_NETWORK_REFUSED'), attempt('NZ_NETWORK_TIMEOUT')] },
      'NZ_NETWORK_TIMEOUT',
      /router/,
    ],
    [
      'no network here over what it makes of a dial',
      { isOffline: true, attempts: [attempt('NZ_NETWORK_HOST_UNREACHABLE')] },
      'NZ_NETWORK_OFFLINE',
      /connect this machine/,
    ],
    [
      'what answers, though the network has gone since',
      { isOffline: true, attempts: [attempt('NZ_NETWORK_WRONG_PEER')] },
      'NZ_NETWORK_WRONG_PEER',
      /invite/,
    ],
    [
      'a private network alone',
      { isElsewhere: () => true, attempts: [attempt('NZ_NETWORK_TIMEOUT')] },
      'NZ_NAT_NO_RELAY',
      /relay\.use/,
    ],
    [
      'the public address over a stranger at a private one',
      {
        isElsewhere: (address) => address.includes('/10.'),
        attempts: [attempt('NZ_NETWORK_TIMEOUT'), attempt('NZ_NETWORK_WRONG_PEER', '/ip4/10.0.0.7/tcp/4001')],
      },
      'NZ_NETWORK_TIMEOUT',
      /router/,
    ],
    [
      'why it is relayed',
      {
        peer: relayed,
        attempts: [attempt(null, CIRCUIT)],
        relayed: { ...symmetric, nowMs: 0 },
      },
      'NZ_NAT_BOTH_SYMMETRIC',
      /forward/,
    ],
    ['no way', { attempts: [attempt('NZ_NETWORK_NO_ROUTE')] }, 'NZ_NETWORK_NO_ROUTE', /doctor/],
    [
      'a handshake that failed',
      { attempts: [attempt('NZ_NETWORK_HANDSHAKE_FAILED')] },
      'NZ_NETWORK_HANDSHAKE_FAILED',
      /blocked/,
    ],
    [
      'the cluster secret',
      { attempts: [attempt('NZ_NETWORK_PNET_MISMATCH')] },
      'NZ_NETWORK_PNET_MISMATCH',
      /clusterSecretFile/,
    ],
    [
      'the own block before all',
      { isBlocked: true, attempts: [attempt('NZ_NETWORK_REFUSED')] },
      'NZ_NETWORK_BLOCKED',
      /unblock 12D3/,
    ],
    ['that nobody knows it', { lookup: { asked: 7, addresses: null } }, 'NZ_DISCOVERY_NOT_FOUND', /invite/],
    ['that nothing was tried', {}, 'NZ_NETWORK_NOT_CONNECTED', /connect 12D3/],
    ['a connection', { peer: connected, attempts: [attempt(null)] }, null, null],
  ]
  for (const [name, given, code, next] of decided) {
    it(`is ${name}`, async () => {
      const { verdict } = explainPath(facts(given))
      assert.equal(verdict.code, code)
      if (next === null) assert.equal(verdict.next, null)
      else assert.match(verdict.next ?? '', next)
      if (code !== null) assert.ok((await errorCatalogue()).has(code))
    })
  }

  it('looks at what was tried since the last success, and says what led to the present one', () => {
    const attempts = [attempt(null), attempt('NZ_NETWORK_TIMEOUT'), attempt(null), attempt('NZ_NETWORK_REFUSED')]
    assert.deepEqual(
      explainPath(facts({ attempts })).attempts.map(({ code }) => code),
      ['NZ_NETWORK_REFUSED'],
    )
    assert.deepEqual(
      explainPath(facts({ attempts: attempts.slice(0, 3), peer: connected })).attempts.map(({ code }) => code),
      ['NZ_NETWORK_TIMEOUT', null],
    )
  })
})

describe('nzcore why', () => {
  const print = (given: Partial<PathFacts>, name: string | null, lookup: object | null = null): string => {
    const { verdict, attempts } = explainPath(facts(given))
    const peer = { ...(given.peer ?? { state: 'disconnected' }), peerId: PEER_ID, id: null, name }
    const present = discoveryPresenters['peersWhy'] as (answer: object) => string
    return present({ peer, verdict, attempts, lookup })
  }

  it('prints each attempt, the verdict and one next step', () => {
    const attempts = [attempt('NZ_NETWORK_REFUSED'), attempt('NZ_NETWORK_TIMEOUT', '/ip4/192.0.2.77/tcp/4002/ws')]
    const lookup = { atMs: 0, durationMs: 120, asked: 9, hops: 2, addresses: null }
    assert.equal(
      print({ attempts, lookup: { asked: 9, addresses: null } }, 'rack7', lookup),
      `NOT CONNECTED  rack7 · 2 attempts · NZ_NETWORK_REFUSED
 BY         ADDRESS                      CAME TO  TOOK    RESULT
 tcp        /ip4/192.0.2.77/tcp/4001     connect  31 ms   host up, nothing listening
 websocket  /ip4/192.0.2.77/tcp/4002/ws  connect  4.00 s  no packet back
 search among other nodes: 9 asked, nobody knew it, 120 ms
Why: its machine is up, and no node listens at the address; 9 other nodes know no other address
Do: nzcore up (on its machine)`,
    )
  })

  it('explains success as well', () => {
    assert.equal(
      print({ peer: connected, attempts: [attempt(null)] }, 'desk'),
      `CONNECTED  desk · 1 attempt
 BY   ADDRESS                   CAME TO  TOOK   RESULT
 tcp  /ip4/192.0.2.77/tcp/4001  open     31 ms  connected
Why: connected direct by tcp, moved by io_uring, 3.2 ms there and back; this node has dialled it`,
    )
  })

  it('explains why a connection is relayed, and when it is tried directly', () => {
    const nowMs = new Date(2026, 10, 20, 13, 58).getTime()
    const punch: DialAttempt = { ...attempt('NZ_NETWORK_TIMEOUT', '/ip4/192.0.2.77/tcp/4003'), isPunch: true }
    const attempts = [attempt(null, CIRCUIT), punch]
    const text = print({ peer: relayed, attempts, relayed: { ...symmetric, nowMs } }, 'rack7')
    assert.equal(
      text.replace(/(next direct try )(?:\d{4}-\d\d-\d\d )?/, '$1'),
      `CONNECTED  rack7 · 2 attempts · NZ_NAT_BOTH_SYMMETRIC
 BY     ADDRESS                                                                                       CAME TO  TOOK    RESULT
 relay  ${CIRCUIT}  open     31 ms   connected
 punch  /ip4/192.0.2.77/tcp/4003                                                                      connect  4.00 s  nothing came through
Why: connected by a relay because both NATs change the port for each destination; moved by typescript, 3.2 ms there and back; next direct try 14:02:00
Do: forward the TCP port on one of the two routers, or: nzcore config set network.portMapping true`,
    )
  })

  it('tells a pierced connection from one that was simply dialled, on both sides', () => {
    const opened: DialAttempt = { ...attempt(null), isPunch: true }
    const crossed: DialAttempt = { ...attempt('NZ_NETWORK_TIMEOUT'), isPunch: true }
    const inbound = { ...connected, paths: path === undefined ? [] : [{ ...path, direction: 'inbound' as const }] }
    const pathOf = (given: Partial<PathFacts>) => explainPath(facts(given)).verdict.path
    assert.deepEqual(
      [
        pathOf({ peer: connected, attempts: [attempt(null)] }),
        pathOf({ peer: connected, attempts: [opened] }),
        pathOf({ peer: inbound, attempts: [crossed] }),
        pathOf({ peer: inbound, attempts: [] }),
      ],
      ['direct', 'punched', 'punched', 'direct'],
    )
  })

  it('prints nothing of a peer unescaped', () => {
    assert.ok(!print({}, 'x\u001b[31m').includes('\u001b'))
    assert.ok(!print({ attempts: [attempt('NZ_NETWORK_REFUSED', '/ip4/\u001b[31m')] }, 'x').includes('\u001b'))
  })
})
