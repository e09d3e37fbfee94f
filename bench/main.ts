/**
 * `npm run bench`: every scenario with its alternatives, one table of all; at full size it is kept in bench/results/, with
 * the rounds behind it.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { basename, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { gateTable } from './gates.ts'
import { thisMachine } from './machine.ts'
import { tableOf } from './scenario.ts'
import type { ScenarioResult } from './scenario.ts'
import { scenarios } from './scenarios.ts'

const { values } = parseArgs({
  options: {
    small: { type: 'boolean', default: false },
    /** Names of scenarios, separated by commas. */
    only: { type: 'string' },
    /** Prints a table for each scenario as well. */
    details: { type: 'boolean', default: false },
    /** Prints, and writes no file. */
    'dry-run': { type: 'boolean', default: false },
  },
})

const only = values.only?.split(',')
const machine = thisMachine()
const results: ScenarioResult[] = []
for (const scenario of scenarios.filter(({ name }) => only === undefined || only.includes(name))) {
  const size = values.small ? 'small' : 'full'
  const why = scenario.whyNot?.() ?? null
  process.stderr.write(
    `${why === null ? 'measuring' : 'left out'}: ${scenario.name}${why === null ? '' : `, ${why}`}\n`,
  )
  if (why !== null) continue
  const result = await scenario.run({
    size,
    isCompared: true,
    signal: AbortSignal.timeout(scenario.limitMs ?? 600_000),
  })
  results.push(result)
  if (values.details) process.stdout.write(`${tableOf(result)}\n\n`)
}
if (results.length === 0) throw new Error(`no such scenario: ${values.only}`)
const where = `${machine.cpu}, ${machine.cores} cores, ${machine.system}, Node ${machine.node}, load ${machine.load}, commit ${machine.commit}`
const table = gateTable(results)
const failed = results.flatMap(({ scenario, failures = [] }) =>
  failures.map(({ variant, why }) => `${scenario}, ${variant}: no figure, ${why}\n`),
)
process.stdout.write(`${table}\n\n${failed.join('')}${where}\n`)

if (!values.small && !values['dry-run']) {
  // The sources' folder also when the built program runs.
  const here = resolve(import.meta.dirname)
  const root = basename(resolve(here, '..')) === 'dist' ? resolve(here, '../..') : resolve(here, '..')
  const folder = join(root, 'bench', 'results')
  mkdirSync(folder, { recursive: true })
  const takenAt = new Date().toISOString()
  const name = `${takenAt.slice(0, 10)}-${(machine.commit ?? 'unknown').replace('+', '')}`
  writeFileSync(join(folder, `${name}.json`), `${JSON.stringify({ takenAt, machine, results }, null, 2)}\n`)
  const text = [`# ${takenAt.slice(0, 10)}`, where, table, ...results.map((result) => tableOf(result))].join('\n\n')
  writeFileSync(join(folder, `${name}.md`), `${text}\n`)
}
