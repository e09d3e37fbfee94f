/** Runs of the simulator as tests make them: by name, many seeds, the failing one named with the command that repeats it. */
import assert from 'node:assert/strict'
import { runScenario, scenarios } from '../../protocols/simulation/index.ts'
import type { Cores, Scenario, Verdict } from '../../protocols/simulation/index.ts'

export const isFull = process.env['NZ_FULL'] === '1'

export function scenarioNamed(name: string): Scenario {
  return scenarios.find((scenario) => scenario.name === name) ?? assert.fail(`no scenario ${name}`)
}

/** Runs one seed after another and fails with all that did not pass. */
export function runSeeds(
  name: string,
  { first, count, nodes }: { readonly first: number; readonly count: number; readonly nodes?: number },
): readonly Verdict[] {
  const scenario = scenarioNamed(name)
  const size = nodes === undefined ? {} : { nodes }
  const verdicts = Array.from({ length: count }, (_, at) => runScenario(scenario, { seed: first + at, ...size }))
  const failed = verdicts
    .filter(({ isPassed }) => !isPassed)
    .map(
      ({ seed, violations, nodes: of }) =>
        `nzcore sim --scenario ${name} --nodes ${of} --seed ${seed}: ${violations.join('; ')}`,
    )
  assert.deepEqual(failed, [])
  return verdicts
}

/** Enough for every kind of liar, at a third of the cost. */
const PLANTED_NODES = 30

/** The verdict on the first of a few seeds that catches a planted bug. */
export function caughtBy(name: string, cores: Cores, wanted: RegExp, nodes = PLANTED_NODES): Verdict {
  const scenario = scenarioNamed(name)
  for (let seed = 1; seed <= 5; seed++) {
    const verdict = runScenario(scenario, { seed, cores, nodes })
    if (verdict.violations.some((violation) => wanted.test(violation))) return verdict
  }
  return assert.fail(`no seed caught it by ${wanted}`)
}
