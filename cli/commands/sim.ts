/** `nzcore sim`: the protocol cores in a seeded simulation, in this process alone. ADR 0028. */
import { sleep, systemClock } from '../../kernel/index.ts'
import { cliErrors } from '../errors.ts'
import { table } from '../text.ts'
import type { Scenario, Verdict } from '../../protocols/simulation/index.ts'
import type { CliContext, CommandInput, CommandSpec, Presenters } from '../command.ts'

export const simPresenters: Presenters = {}

export const simCommands: readonly CommandSpec[] = [
  {
    words: ['sim'],
    summary: 'Run a scenario of the simulator; the same seed gives the same run',
    options: [
      { flags: '--scenario <name>', summary: 'one of nzcore sim list', default: 'fifty' },
      { flags: '--seed <n>', summary: 'a whole number; every other chance of the run follows from it', default: '1' },
      { flags: '--nodes <n>', summary: 'default: as many as the scenario has' },
      { flags: '--trace', summary: 'print every event before the verdict' },
    ],
    schemaNames: ['nz.sim/1'],
    run: runSimulation,
  },
  {
    words: ['sim', 'list'],
    summary: 'List the scenarios',
    schemaNames: ['nz.simScenarios/1'],
    async run({ output }) {
      const { scenarios } = await import('../../protocols/simulation/index.ts')
      const listed = scenarios.map(({ name, summary, nodes, minNodes }) => ({ name, summary, nodes, minNodes }))
      output.answer('nz.simScenarios/1', { scenarios: listed }, () =>
        table(
          ['SCENARIO', 'NODES', 'WHAT'],
          listed.map(({ name, nodes, summary }) => [name, String(nodes), summary]),
        ),
      )
    },
  },
]

async function runSimulation({ output, signal }: CliContext, { options }: CommandInput): Promise<'failed' | void> {
  const { MAX_NODES, scenarios, simulate } = await import('../../protocols/simulation/index.ts')
  const scenario = scenarios.find(({ name }) => name === options['scenario'])
  if (scenario === undefined) {
    const known = scenarios.map(({ name }) => name).join(', ')
    throw cliErrors.NZ_CLI_USAGE({ why: `a scenario is one of ${known}` })
  }
  const seed = wholeNumber('--seed', options['seed'], { least: 0, most: Number.MAX_SAFE_INTEGER })
  const nodes = nodesOf(scenario, options['nodes'], MAX_NODES)
  const onLine = options['trace'] === true ? { onLine: (line: string) => output.say(line) } : {}
  const steps = simulate(scenario, { seed, nodes, ...onLine })
  let step = steps.next()
  for (; step.done !== true; step = steps.next()) {
    output.progress(`simulating ${scenario.name}: ${step.value / 1_000} s`)
    // An interrupt is seen between two steps.
    await sleep(systemClock, 0, { signal })
  }
  output.progress(null)
  const verdict = step.value
  output.answer('nz.sim/1', verdict, () => verdictText(verdict))
  return verdict.isPassed ? undefined : 'failed'
}

function nodesOf({ minNodes, nodes }: Scenario, given: string | boolean | undefined, most: number): number {
  return given === undefined ? nodes : wholeNumber('--nodes', given, { least: minNodes, most })
}

function wholeNumber(
  name: string,
  text: string | boolean | undefined,
  { least, most }: { readonly least: number; readonly most: number },
): number {
  const value = typeof text === 'string' && /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN
  if (!(value >= least && value <= most)) {
    throw cliErrors.NZ_CLI_USAGE({ why: `${name} is a whole number from ${least} to ${most}` })
  }
  return value
}

function verdictText(verdict: Verdict): string {
  const { scenario, seed, nodes, liars, isPassed, violations, convergedAfterMs, simulatedMs, events, digest } = verdict
  const agreed =
    convergedAfterMs === null ? 'honest nodes never agreed' : `honest nodes agreed after ${convergedAfterMs} ms`
  return [
    `${isPassed ? '✔' : '✘'} ${scenario}, seed ${seed}: ${nodes} nodes, ${liars} of them liars, ${simulatedMs / 1_000} simulated seconds`,
    `  ${agreed} of healing`,
    ...violations.map((violation) => `  ! ${violation}`),
    ...Object.entries(verdict.counts).map(([what, count]) => `  ${count} ${what}`),
    `  trace of ${events} events, sha256 ${digest}`,
  ].join('\n')
}
