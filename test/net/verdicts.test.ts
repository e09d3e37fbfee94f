/**
 * `nzcore why` on both sides of every pair of NAT kinds, and `nzcore doctor` behind each, say what the topology makes
 * true. NZ_FULL=1 asks for all 16 pairs.
 */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { LabDaemon } from './daemon.ts'
import { isRelayOnly, openGrid } from './grid.ts'
import { until } from './peer.ts'
import { whyNoLab } from './system.ts'
import type { Diagnosis, Why } from './daemon.ts'
import type { Side } from './grid.ts'
import type { Lab } from './lab.ts'

const why = whyNoLab()
if (why !== null) process.stdout.write(`the verdicts over the grid are skipped: ${why}\n`)

const kinds: readonly Side[] = ['none', 'full-cone', 'port-restricted', 'symmetric']
const all = kinds.flatMap((from) => kinds.map((to) => [from, to] as const))
const few: ReadonlyArray<readonly [Side, Side]> = [
  ['none', 'port-restricted'],
  ['port-restricted', 'port-restricted'],
  ['port-restricted', 'symmetric'],
  ['full-cone', 'symmetric'],
  ['symmetric', 'symmetric'],
]
const pairs = process.env['NZ_FULL'] === '1' ? all : few

interface Expected {
  readonly paths: ReadonlyArray<Why['verdict']['path']>
  readonly code: string | null
  readonly says: RegExp
}

/** What is true of a pair, by the definitions of the kinds (topology.ts) and who dialled, seen from either side. */
function truthOf(here: Side, there: Side, { from, to }: { readonly from: Side; readonly to: Side }): Expected {
  if (here === 'symmetric' && there === 'symmetric')
    return { paths: ['relay'], code: 'NZ_NAT_BOTH_SYMMETRIC', says: /because both NATs change the port/ }
  if (isRelayOnly(here, there)) {
    const says = here === 'symmetric' ? /because the NAT here changes/ : /because its NAT changes/
    return { paths: ['relay'], code: 'NZ_NAT_SYMMETRIC_AND_CLOSED', says }
  }
  const direct = /^connected direct by tcp/
  // Who was dialled through the relay dials back; that comes in where everybody is let in.
  if (from === 'none' || from === 'full-cone' || to === 'none') return { paths: ['direct'], code: null, says: direct }
  // Both dial at once; where everybody is let in, the other's dial may come first.
  if (to === 'full-cone') return { paths: ['direct', 'punched'], code: null, says: direct }
  return { paths: ['punched'], code: null, says: /both have dialled at once, through their NATs$/ }
}

const REACHED: Readonly<Record<Side, RegExp>> = {
  none: /^peers reach this node directly: /,
  // Until somebody has tried it, nobody knows that the NAT lets all in.
  'full-cone': /^peers reach this node (?:directly|with the help of a relay): /,
  'address-restricted': /^peers reach this node with the help of a relay: /,
  'port-restricted': /^peers reach this node with the help of a relay: a NAT maps the port alike/,
  symmetric: /^peers reach this node through relays: a NAT maps the port anew for each peer/,
}

interface Asked {
  readonly from: Side
  readonly to: Side
  readonly left: Why
  readonly right: Why
  readonly text: string
}

describe('verdicts over the grid of NAT kinds', why === null ? {} : { skip: `no test network: ${why}` }, () => {
  let lab: Lab
  const nodes = new Map<string, LabDaemon>()
  const asked: Asked[] = []
  const node = (name: string): LabDaemon => nodes.get(name) ?? assert.fail(name)

  before(async () => {
    lab = await openGrid(pairs)
    const use = await startRelays()
    await Promise.all(
      [...new Set(pairs.flatMap(([from, to]) => [`l-${from}`, `r-${to}`]))].map(
        async (name) => await startBehind(name, use),
      ),
    )
    asked.push(...(await Promise.all(pairs.map(async ([from, to]) => await ask(from, to)))))
    process.stdout.write(table(asked))
  })
  after(async () => {
    for (const each of nodes.values()) await each[Symbol.asyncDispose]()
    await lab?.[Symbol.asyncDispose]()
  })

  async function startRelays(): Promise<readonly string[]> {
    const names = ['relay-1', 'relay-2']
    const relays = await Promise.all(
      names.map(async (name) => await LabDaemon.start(lab, name, { network: ['relay.serve = true'] })),
    )
    for (const relay of relays) nodes.set(relay.name, relay)
    return relays.map(({ name, peerId }) => `/ip4/${lab.address(name)}/tcp/4001/p2p/${peerId}`)
  }

  async function startBehind(name: string, use: readonly string[]): Promise<void> {
    const daemon = await LabDaemon.start(lab, name, { network: [`relay.use = ${JSON.stringify(use)}`] })
    nodes.set(name, daemon)
    await until(
      async () => await daemon.reachability(),
      ({ relays, observers }) => relays.every(({ state }) => state === 'reserved') && observers === use.length,
    )
  }

  /** Connects, waits until nothing is under way any more, then lets both sides say how it is. */
  async function ask(from: Side, to: Side): Promise<Asked> {
    const [left, right] = [node(`l-${from}`), node(`r-${to}`)]
    assert.ok(
      await left.connect(right.peerId, (await right.reachability()).addresses),
      `${from} to ${to} did not connect`,
    )
    const isPlanned = async (here: LabDaemon, there: LabDaemon): Promise<boolean> =>
      (await here.reachability()).directTries.some((each) => each.peerId === there.peerId && each.nextTryAtMs !== null)
    await until(
      async () => ({
        paths: (await left.client.peersShow({ peer: right.peerId })).peer.paths.map(({ transport }) => transport),
        isPlanned: (await isPlanned(left, right)) || (await isPlanned(right, left)),
      }),
      (now) => now.paths[0] === 'tcp' || now.isPlanned,
    )
    const [said, there, text] = await Promise.all([left.why(right), right.why(left), left.text('why', right.peerId)])
    return { from, to, left: said, right: there, text }
  }

  it('why: how and why so, on both sides of every pair', () => {
    for (const { from, to, left, right } of asked)
      for (const [{ verdict, attempts }, here, there] of [
        [left, from, to],
        [right, to, from],
      ] as const) {
        const { paths, code, says } = truthOf(here, there, { from, to })
        const told = `${here} to ${there}: ${JSON.stringify({ verdict, attempts }, null, 1)}`
        assert.deepEqual([verdict.state, verdict.code], ['connected', code], told)
        assert.ok(paths.includes(verdict.path), told)
        assert.match(verdict.says, says, told)
        // One next step, exactly when something is in the way; and when it is tried again.
        assert.deepEqual([verdict.next === null, verdict.nextTryAtMs === null], [code === null, code === null], told)
      }
  })

  it('why: every attempt of a pair that is relayed, with stage, duration and code', () => {
    for (const { from, to, left, right } of asked.filter(({ from: a, to: b }) => isRelayOnly(a, b))) {
      assert.ok(
        [...left.attempts, ...right.attempts].some(({ isPunch }) => isPunch),
        `${from} ${to}: no punch is told`,
      )
      for (const { code, stage, says } of [...left.attempts, ...right.attempts].filter((each) => each.isPunch))
        assert.deepEqual([code !== null, stage, says], [true, 'connect', 'nothing came through'], `${from} ${to}`)
    }
  })

  it('why: for people, with the time of the next direct try', () => {
    for (const { from, to, text } of asked) {
      const isTriedAgain = /^Why: .*; next direct try (?:\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d$/m.test(text)
      assert.equal(isTriedAgain, isRelayOnly(from, to), text)
      assert.match(text, /^CONNECTED {2}nz1/)
    }
  })

  it('doctor: how peers reach each node', async () => {
    const told = await Promise.all(
      [...nodes].map(async ([name, each]): Promise<readonly [string, Diagnosis]> => [name, await each.doctor()]),
    )
    for (const [name, { findings, state, isNodeRunning }] of told) {
      const kind = name.startsWith('relay-') ? 'none' : (name.slice(2) as Side)
      const reached = findings.find(({ check }) => check === 'network.reachability')
      assert.match(reached?.what ?? '', REACHED[kind], name)
      assert.deepEqual([reached?.state, state === 'fail', isNodeRunning], ['ok', false, true], name)
      assert.ok(!findings.some(({ check }) => check === 'network.relays'), name)
    }
  })
})

const isFull = process.env['NZ_FULL'] === '1'

describe('verdicts with one relay', why !== null || !isFull ? { skip: why ?? 'NZ_FULL=1 asks for it' } : {}, () => {
  it('why: what no second relay has told of a NAT is not claimed to be known', { timeout: 180_000 }, async () => {
    await using lab = await openGrid([['port-restricted', 'symmetric']])
    await using relay = await LabDaemon.start(lab, 'relay-1', { network: ['relay.serve = true'] })
    const use = JSON.stringify([`/ip4/${lab.address('relay-1')}/tcp/4001/p2p/${relay.peerId}`])
    await using left = await LabDaemon.start(lab, 'l-port-restricted', { network: [`relay.use = ${use}`] })
    await using right = await LabDaemon.start(lab, 'r-symmetric', { network: [`relay.use = ${use}`] })
    for (const each of [left, right])
      await until(
        async () => await each.reachability(),
        ({ relays, observers }) => relays[0]?.state === 'reserved' && observers === 1,
      )
    assert.ok(await left.connect(right.peerId, (await right.reachability()).addresses))
    const { verdict } = await until(
      async () => await left.why(right),
      ({ verdict: { nextTryAtMs } }) => nextTryAtMs !== null,
    )
    assert.deepEqual([verdict.path, verdict.code], ['relay', 'NZ_NAT_UNKNOWN'])
    assert.match(verdict.next ?? '', /^name a second relay/)
    assert.match(
      await left.text('reachability'),
      /^✔ peers reach this node with the help of a relay\nbecause .*a second one would tell/,
    )
  })
})

function table(asked: readonly Asked[]): string {
  const row = (cells: readonly string[]): string => cells.map((cell) => cell.padEnd(18)).join(' ')
  return [
    row(['from', 'to', 'path', 'why']),
    ...asked.map(({ from, to, left: { verdict } }) => row([from, to, verdict.path ?? '-', verdict.code ?? '-'])),
    '',
  ].join('\n')
}
