/** What `nzcore route` and `nzcore trace` show, letter by letter, over a client made up by the test. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { runCli } from '../fake/cli.ts'

const ids = ['12D3KooWAnnAnnAnnAnnAnnAnn', '12D3KooWBobBobBobBobBobBob', '12D3KooWCidCidCidCidCidCid'] as const
const [bob, cid] = [
  { peerId: ids[1], name: 'bob' },
  { peerId: ids[2], name: 'ci\u{1b}d' },
]
const stranger = { peerId: ids[0], name: null }

const way = (nextHop: object, metric: number, isSelected: boolean, isFeasible: boolean): object => ({
  nextHop,
  metric,
  ageMs: 4_000,
  isSelected,
  isFeasible,
})

async function shown(argv: readonly string[], client: object): Promise<{ code: number; text: string }> {
  const { code, stdout } = await runCli(argv, { client })
  return { code, text: stdout }
}

describe('route', () => {
  it('shows every way to every peer, the one in use first', async () => {
    const routes = [
      { destination: bob, ways: [way(bob, 257, true, true)] },
      {
        destination: cid,
        ways: [way(bob, 514, true, true), way(stranger, 900, false, true), way(cid, 99, false, false)],
      },
    ]
    const { code, text } = await shown(['route'], { routeList: async () => await Promise.resolve({ routes }) })
    assert.equal(code, 0)
    assert.equal(text, ROUTES)
  })

  it('says what to do when there is none', async () => {
    const { text } = await shown(['route'], { routeList: async () => await Promise.resolve({ routes: [] }) })
    assert.equal(text, 'no route is known\nNext: connect to a node, and trust it: nzcore trust set <peer> medium\n')
  })

  it('status shows neighbours, what is passed on, and what was refused', async () => {
    const routing = {
      neighbours: [
        { peer: bob, isOpen: true, rttMs: 12.34, delivery: { in: 1, out: 0.9375 } },
        { peer: cid, isOpen: false, rttMs: null, delivery: null },
      ],
      relayedPaths: 3,
      streams: 2,
      dropped: 1,
      refused: { NZ_ROUTE_FORGED: 7 },
    }
    const { text } = await shown(['route', 'status'], { routeStatus: async () => await Promise.resolve({ routing }) })
    assert.equal(text, STATUS)
    const alone = { ...routing, neighbours: [], refused: {} }
    const quiet = await shown(['route', 'status'], {
      routeStatus: async () => await Promise.resolve({ routing: alone }),
    })
    assert.equal(
      quiet.text,
      '3 paths passed on for others · 2 streams over routes · 1 message dropped\nno neighbour routes with this node\n',
    )
  })
})

describe('trace', () => {
  const hop = (peer: object, isSetupSigned: boolean, isAnswerSigned: boolean): object => ({
    peer,
    rttMs: 1.5,
    isSetupSigned,
    isAnswerSigned,
  })
  const trace = (hops: readonly object[], isVerified: boolean): object => ({
    routeTrace: async () =>
      await Promise.resolve({ trace: { peer: cid, hops, rttMs: isVerified ? 3 : null, isVerified, evidence: null } }),
  })

  it('shows each node with its delay', async () => {
    const { code, text } = await shown(['trace', 'cid'], trace([hop(bob, true, true), hop(cid, true, true)], true))
    assert.equal(code, 0)
    assert.equal(text, TRACE)
  })

  it('--verify shows each node with its signatures, and fails as refused by trust when one is wrong', async () => {
    const hops = [hop(bob, true, false), hop(stranger, false, true), hop(stranger, false, false), hop(cid, true, true)]
    const { code, text } = await shown(['trace', 'cid', '--verify'], trace(hops, false))
    assert.equal(code, 7)
    assert.equal(text, UNVERIFIED)
  })

  it('takes 0 to 16 hops and nothing else', async () => {
    const asked: unknown[] = []
    const client = {
      routeTrace: async (params: unknown) => {
        asked.push(params)
        return await Promise.resolve({
          trace: { peer: cid, hops: [hop(cid, true, true)], rttMs: null, isVerified: true, evidence: null },
        })
      },
    }
    for (const bound of ['0', '16']) assert.equal((await shown(['trace', 'cid', '--max-hops', bound], client)).code, 0)
    for (const wrong of ['17', '-1', '1.5', 'x'])
      assert.equal((await shown(['trace', 'cid', '--max-hops', wrong], client)).code, 2)
    assert.deepEqual(asked, [
      { peer: 'cid', maxHops: 0 },
      { peer: 'cid', maxHops: 16 },
    ])
  })
})

const ROUTES = [
  'TO         THROUGH        METRIC  AGE',
  'bob        direct         257     4s   in use',
  'ci\\u{1b}d  bob            514     4s   in use',
  '           12D3KooW…nAnn  900     4s   ready',
  '           direct         99      4s   not without a loop',
  '',
].join('\n')
const STATUS = [
  '3 paths passed on for others · 2 streams over routes · 1 message dropped',
  '! 7 messages refused: NZ_ROUTE_FORGED',
  'NEIGHBOUR  LINK      RTT    HEARD HERE/THERE',
  'bob        open      12 ms  100 %/94 %',
  'ci\\u{1b}d  agreeing  -      -',
  '',
].join('\n')
const TRACE = [
  'HOP  NAME       PEER ID                     RTT',
  '1    bob        12D3KooWBobBobBobBobBobBob  +1.5 ms',
  '2    ci\\u{1b}d  12D3KooWCidCidCidCidCidCid  +1.5 ms',
  '✔ ci\\u{1b}d is reached through 1 node in 3 ms',
  '',
].join('\n')
const UNVERIFIED = [
  'HOP  NAME           PEER ID                     RTT      SIGNATURES',
  '1    bob            12D3KooWBobBobBobBobBobBob  +1.5 ms  ✖ not on the way back',
  '2    12D3KooW…nAnn  12D3KooWAnnAnnAnnAnnAnnAnn  +1.5 ms  ✖ not on the way there',
  '3    12D3KooW…nAnn  12D3KooWAnnAnnAnnAnnAnnAnn  +1.5 ms  ✖ neither there nor back',
  '4    ci\\u{1b}d      12D3KooWCidCidCidCidCidCid  +1.5 ms  ✔ there and back',
  '✖ the way to ci\\u{1b}d is not the one its nodes have signed',
  '',
].join('\n')
