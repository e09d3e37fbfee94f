/** Routing in the simulator: no loop at any instant, nothing taken twice, everybody reached after healing. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { isFull, runSeeds } from './scenarios.ts'

describe('routing in the simulator', () => {
  it('forms no loop, takes nothing twice, keeps to the TTL and reaches everybody after healing', (test) => {
    const verdicts = runSeeds('routes', { first: 1, count: isFull ? 1_000 : 2 })
    const reachedMs = verdicts.map(({ convergedAfterMs }) => convergedAfterMs ?? Infinity).toSorted((a, b) => a - b)
    test.diagnostic(`${verdicts.length} seeds; all reached after at most ${reachedMs.at(-1)} ms`)
    for (const { counts } of verdicts) assert.ok((counts['refused NZ_ROUTE_FORGED'] ?? 0) > 0)
  })
})
