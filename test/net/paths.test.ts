/**
 * Which way is taken to a peer that has several, over real cables: the first that leads there, whatever became of the
 * others; and the one that carries, once the one in use is silent.
 */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { Lab } from './lab.ts'
import { LabPeer, until } from './peer.ts'
import { whyNoLab } from './system.ts'

const why = whyNoLab()
if (why !== null) process.stdout.write(`the choice of paths is skipped: ${why}\n`)

const LISTEN = ['/ip4/0.0.0.0/tcp/4001', '/ip6/::/tcp/4001', '/ip4/0.0.0.0/tcp/4002/ws']
/** Of the pings that tell a silent connection, and of the time in which both ways are seen side by side. */
const PING_EVERY_MS = 6_000
const PING_TIMEOUT_MS = 2_000
/** One for each case: what one leaves in the node does not lead the next. */
const FAR = ['first', 'second', 'third']

describe('the way to a peer that has several', why === null ? {} : { skip: `no test network: ${why}` }, () => {
  let lab: Lab
  let near: LabPeer
  const far: LabPeer[] = []

  before(async () => {
    lab = await Lab.open({
      segments: { wire: { subnet: '45.0.0.0/24', subnet6: '2a0e:1::/64' } },
      hosts: Object.fromEntries(['near', ...FAR].map((name) => [name, { on: 'wire' }])),
    })
    const config = { listen: LISTEN, keepAliveIntervalMs: PING_EVERY_MS, keepAliveTimeoutMs: PING_TIMEOUT_MS }
    const started = await Promise.all(['near', ...FAR].map(async (name) => await LabPeer.start(lab, name, config)))
    near = started[0] ?? assert.fail()
    far.push(...started.slice(1))
  })
  after(async () => await lab?.[Symbol.asyncDispose]())

  /** TCP over these vanishes at port 4001 of the machine; nothing else does. */
  const drop = (machine: string, ...families: ReadonlyArray<'ipv4' | 'ipv6'>): void => {
    const nft = (rule: string): string => lab.run(machine, 'nft', rule)
    nft('add table inet walls')
    nft('add chain inet walls in { type filter hook input priority 0 ; }')
    nft('flush chain inet walls in')
    for (const family of families) nft(`add rule inet walls in meta nfproto ${family} tcp dport 4001 drop`)
  }

  async function connectPast(at: number, ...dead: ReadonlyArray<'ipv4' | 'ipv6'>): Promise<LabPeer> {
    const peer = far[at] ?? assert.fail(String(at))
    drop(FAR[at] ?? '', ...dead)
    await near.connect(peer, await peer.addresses())
    return peer
  }

  for (const [at, dead, taken] of [
    [0, ['ipv4'], /^\/ip6\/.*\/tcp\/4001\/p2p\//],
    [1, ['ipv4', 'ipv6'], /^\/ip4\/.*\/tcp\/4002\/ws\/p2p\//],
  ] as const)
    it(`is another family or transport where TCP is dead over ${dead.join(' and ')}`, async () => {
      const peer = await connectPast(at, ...dead)
      const attempts = await near.attempts(peer)
      assert.match(attempts.find(({ code }) => code === null)?.address ?? '', taken)
      // The dead addresses were begun with first, and nobody waited until their time was over.
      assert.deepEqual(
        attempts.filter(({ code }) => code !== null),
        [],
      )
      assert.equal(await near.echo(peer, 10_000), 10_000)
    })

  it('is the one that answers, beside an older one that is silent', { timeout: 300_000 }, async () => {
    const peer = await connectPast(2, 'ipv4')
    const families = async (): Promise<readonly string[]> =>
      ((await near.peer(peer))?.paths ?? []).map(({ address }) => address.split('/')[1] ?? '')
    assert.equal((await families())[0], 'ip6')
    await near.keep(peer)
    // Whatever port it is of, and whoever has dialled: no other way over IPv6 takes its place.
    lab.run('third', 'nft', 'add rule inet walls in meta nfproto ipv6 meta l4proto tcp drop')
    lab.run('third', 'nft', 'insert rule inet walls in meta nfproto ipv4 accept')
    const beside = await until(families, ([used]) => used === 'ip4')
    assert.ok(beside.includes('ip6'), 'the older connection is there still, behind the one that answers')
    assert.equal(await near.echo(peer, 10_000), 10_000)
    // A connection whose answers were slow, as on a busy machine, is given up later: after twelve pings at most.
    await until(families, (left) => left.length > 0 && !left.includes('ip6'), 150_000)
  })
})
