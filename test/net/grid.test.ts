/** Every pair of NAT kinds is connected, and directly wherever TCP can be. NZ_FULL=1 runs all 16 pairs. */
import assert from 'node:assert/strict'
import { before, describe, it } from 'node:test'
import { ECHOED, gridText, isRelayOnly, QUICK_MS, runGrid } from './grid.ts'
import { whyNoLab } from './system.ts'
import type { Cell, Side } from './grid.ts'

const why = whyNoLab()
if (why !== null) process.stdout.write(`the NAT grid is skipped: ${why}\n`)

const kinds: readonly Side[] = ['none', 'full-cone', 'port-restricted', 'symmetric']
const all = kinds.flatMap((from) => kinds.map((to) => [from, to] as const))
const few: ReadonlyArray<readonly [Side, Side]> = [
  ['none', 'port-restricted'],
  ['port-restricted', 'port-restricted'],
  ['full-cone', 'symmetric'],
  ['symmetric', 'symmetric'],
]

describe('the grid of NAT kinds', why === null ? {} : { skip: `no test network: ${why}` }, () => {
  let cells: readonly Cell[] = []
  const isFull = process.env['NZ_FULL'] === '1'
  const pairs = isFull ? all : few

  before(async () => {
    cells = await runGrid(pairs)
    process.stdout.write(gridText(cells))
  })

  it('connects every pair, and bytes go both ways', () => {
    assert.deepEqual(
      cells.map(({ from, to, echoed }) => [from, to, echoed]),
      pairs.map(([from, to]) => [from, to, ECHOED]),
    )
  })

  it('connects within 2 s, by a relay where there is no other way', () => {
    for (const { from, to, connectedInMs, pausedMs, timedOut } of cells) {
      // What the node waits for by its own rules, on however slow a machine: the next address is begun with before the
      // last one has failed, and few are begun with before one that leads there.
      assert.deepEqual(timedOut, [], `${from} ${to}`)
      assert.ok(pausedMs <= QUICK_MS / 2, `${from} ${to}: ${pausedMs} ms of pauses`)
      if (isFull) assert.ok(connectedInMs <= QUICK_MS, `${from} ${to}: ${connectedInMs} ms, twice`)
    }
  })

  it('connects directly all that TCP can connect directly', () => {
    const relayed = cells.filter(({ from, to, path }) => path === 'relay' && !isRelayOnly(from, to))
    assert.deepEqual(
      relayed.map(({ from, to, attempts }) => ({ from, to, attempts })),
      [],
    )
  })
})
