/** Trust in the simulator, where the network falls in two; with everything else going wrong: fifty.ts. NZ_FULL=1: more seeds. */
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
})
