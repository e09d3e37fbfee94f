/** Trust and routing at the full size of 50 nodes. Two files share the seeds, so that two cores share the work. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { CONVERGE_MS } from '../../protocols/simulation/index.ts'
import { isFull, runSeeds } from './scenarios.ts'
import type { Verdict } from '../../protocols/simulation/index.ts'

/** Seeds of each of the two files. */
export const SEEDS = isFull ? 500 : 25
/** A test of so many ends within its time on a machine that has much else to do. */
const SEEDS_PER_TEST = 5
/** What shows that liars lied, and were seen to lie: in more than half of the runs. */
const LIES = [
  'answered NZ_TRUST_FORGED',
  'answered NZ_TRUST_FORKED',
  'answered NZ_TRUST_GAP',
  'refused NZ_ROUTE_FORGED',
  'refused NZ_ROUTE_REPLAYED',
]

export function fiftyNodes(first: number): void {
  describe(`50 nodes, 10 of them liars, everything going wrong, from seed ${first}:`, () => {
    const verdicts: Verdict[] = []
    for (let seed = first; seed < first + SEEDS; seed += SEEDS_PER_TEST) {
      it(`honest ones agree and reach each other soon after healing (${seed} to ${seed + SEEDS_PER_TEST - 1})`, () => {
        verdicts.push(...runSeeds('fifty', { first: seed, count: SEEDS_PER_TEST }))
      })
    }

    it('went wrong indeed', (test) => {
      assert.equal(verdicts.length, SEEDS)
      const agreedMs = verdicts.map(({ convergedAfterMs }) => convergedAfterMs ?? Infinity).toSorted((a, b) => a - b)
      test.diagnostic(`${SEEDS} runs; agreed after ${agreedMs[SEEDS >> 1]} ms, at most ${agreedMs.at(-1)} ms`)
      assert.ok((agreedMs.at(-1) ?? Infinity) <= CONVERGE_MS)
      for (const what of LIES)
        assert.ok(verdicts.filter(({ counts }) => (counts[what] ?? 0) > 0).length > SEEDS / 2, what)
      for (const { nodes } of verdicts) assert.equal(nodes, 50)
    })
  })
}
