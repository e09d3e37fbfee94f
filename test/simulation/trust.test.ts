/** Trust in the simulator, over many seeds. NZ_FULL=1 runs the full size. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { CONVERGE_MS, runScenario } from '../../protocols/simulation/index.ts'
import { isFull, runSeeds, scenarioNamed } from './scenarios.ts'

describe('trust in the simulator', () => {
  it('gives a healed partition of 20 nodes one root', () => {
    const roots = new Set<string>()
    const onLine = (line: string): void => {
      const [, root] = / root \d+ ([0-9a-f]{64})$/.exec(line) ?? []
      if (root !== undefined) roots.add(root)
    }
    const verdict = runScenario(scenarioNamed('partition'), { seed: 1, onLine })
    assert.deepEqual(verdict.violations, [])
    assert.equal(roots.size, 1)
  })

  it('lets honest nodes agree after every partition', () => {
    const verdicts = runSeeds('partition', { first: 2, count: isFull ? 200 : 5 })
    for (const { convergedAfterMs } of verdicts) assert.ok((convergedAfterMs ?? Infinity) <= CONVERGE_MS)
  })

  it('holds on 50 nodes with everything going wrong', (test) => {
    const verdicts = runSeeds('fifty', { first: 1, count: isFull ? 1_000 : 50 })
    const agreedMs = verdicts.map(({ convergedAfterMs }) => convergedAfterMs ?? Infinity).toSorted((a, b) => a - b)
    test.diagnostic(
      `${verdicts.length} seeds; agreed after ${agreedMs[agreedMs.length >> 1]} ms, at most ${agreedMs.at(-1)} ms`,
    )
    // Something did go wrong, and liars did lie.
    for (const what of ['answered NZ_TRUST_FORGED', 'answered NZ_TRUST_GAP', 'answered NZ_TRUST_FORKED']) {
      assert.ok(verdicts.filter(({ counts }) => (counts[what] ?? 0) > 0).length > verdicts.length / 2, what)
    }
  })
})
