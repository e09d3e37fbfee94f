/** Every bench at its small size, so that none rots: it runs, checks its messages and yields a figure a variant. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { tableOf } from '../../bench/scenario.ts'
import { scenarios } from '../../bench/scenarios.ts'

describe('the benches', () => {
  for (const scenario of scenarios) {
    it(`answer: ${scenario.name}`, { skip: scenario.whyNot?.() ?? false }, async () => {
      const result = await scenario.run({ size: 'small', isCompared: true, signal: AbortSignal.timeout(240_000) })
      assert.ok(result.figures.length > 0)
      assert.deepEqual(result.failures ?? [], [])
      for (const { name, median, min, max, unit } of result.figures) {
        // What is known already is found without asking anybody; a few connections may find room a process has anyway.
        const least = ['hops', 'requests', 'KB'].includes(unit) ? 0 : Number.MIN_VALUE
        assert.ok(median >= least && min <= max && Number.isFinite(median), name)
        if (name.endsWith(', found')) assert.equal(min, 100, name)
      }
      assert.equal(tableOf(result).split('\n').length, result.figures.length + 4)
    })
  }
})
