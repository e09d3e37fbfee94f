/** Trust, and routing beside it, in the simulator, over many seeds. NZ_FULL=1 runs the full size. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { CONVERGE_MS, runScenario } from '../../protocols/simulation/index.ts'
import { isFull, runSeeds, scenarioNamed } from './scenarios.ts'

/** Of the many seeds in the normal run; the scenario itself has 50. */
const SMALL_NODES = 20

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

  it('holds with everything going wrong, and so does routing', (test) => {
    // A node costs more than it looks: fifty seeds of 50 nodes take four minutes.
    const small = runSeeds('fifty', { first: 1, count: isFull ? 1_000 : 50, nodes: SMALL_NODES })
    const whole = runSeeds('fifty', { first: 1, count: isFull ? 1_000 : 2 })
    const verdicts = [...small, ...whole]
    const agreedMs = verdicts.map(({ convergedAfterMs }) => convergedAfterMs ?? Infinity).toSorted((a, b) => a - b)
    test.diagnostic(
      `${verdicts.length} runs; agreed after ${agreedMs[agreedMs.length >> 1]} ms, at most ${agreedMs.at(-1)} ms`,
    )
    // Something did go wrong, and liars did lie.
    const lies = [
      'answered NZ_TRUST_FORGED',
      'answered NZ_TRUST_GAP',
      'refused NZ_ROUTE_FORGED',
      'refused NZ_ROUTE_REPLAYED',
    ]
    for (const what of lies)
      assert.ok(verdicts.filter(({ counts }) => (counts[what] ?? 0) > 0).length > verdicts.length / 2, what)
    for (const { counts } of whole) assert.ok((counts['answered NZ_TRUST_FORKED'] ?? 0) > 0)
  })
})
