/** `nzcore bench`: the project's benches on this machine, between processes of this machine alone. */
import { cliErrors } from '../errors.ts'
import { table } from '../text.ts'
import type { Figure, ScenarioResult } from '../../bench/scenario.ts'
import type { CommandSpec, Presenters } from '../command.ts'

/** What somebody who says nothing else is told, in the order it is measured: minutes; all together take hours. */
const ASKED_FIRST = ['burst', 'echo', 'throughput', 'dial', 'streams', 'daemon', 'store-put']
const ALL = 'all'

/** Units of which less is better, and what less is then called. */
const LESS_IS_BETTER: Readonly<Partial<Record<Figure['unit'], string>>> = {
  ms: 'as fast',
  µs: 'as fast',
  s: 'as fast',
  MB: 'as small',
  KB: 'as small',
  's/GB': 'as cheap',
}

export const benchPresenters: Presenters = {}

export const benchCommands: readonly CommandSpec[] = [
  {
    words: ['bench'],
    summary: 'Measure what this machine does: messages, round trips, throughput, the node, the store',
    options: [
      { flags: '--compare', summary: 'also measure stock libp2p, raw TCP and TLS 1.3, in turn with nzcore' },
      {
        flags: '--only <scenarios>',
        summary: 'others than the usual ones, such as mesh,send, or all; separated by commas',
      },
      { flags: '--quick', summary: 'seconds in place of minutes; the figures are rough' },
    ],
    schemaNames: ['nz.bench/1'],
    async run({ output, signal }, { options }) {
      const [{ scenarios }, { thisMachine }] = await Promise.all([
        import('../../bench/scenarios.ts'),
        import('../../bench/machine.ts'),
      ])
      const names = scenarios.map(({ name }) => name)
      const asked = typeof options['only'] === 'string' ? options['only'].split(',') : ASKED_FIRST
      const only = asked.includes(ALL) ? names : asked
      const unknown = only.find((name) => !names.includes(name))
      if (unknown !== undefined) {
        throw cliErrors.NZ_CLI_USAGE({ why: `"${unknown}" is none of ${names.join(', ')}, ${ALL}` })
      }
      const results: ScenarioResult[] = []
      for (const [i, scenario] of scenarios.filter(({ name }) => only.includes(name)).entries()) {
        const why = scenario.whyNot?.() ?? null
        if (why !== null) {
          output.note(`left out: ${scenario.name}, ${why}`)
          continue
        }
        output.progress(`measuring: ${scenario.name}, ${i + 1} of ${only.length}`)
        const size = options['quick'] === true ? 'small' : 'full'
        results.push(await scenario.run({ size, isCompared: options['compare'] === true, signal }))
      }
      output.progress(null)
      const machine = thisMachine()
      output.answer('nz.bench/1', { machine, results }, () =>
        [
          ...results.map((result) => benchText(result)),
          `${machine.cpu}, ${machine.cores} cores, ${machine.system}, Node ${machine.node}, load ${machine.load}`,
        ].join('\n\n'),
      )
    },
  },
]

/** A scenario: its title, then a line for each variant. */
export function benchText({ scenario, title, rounds, figures, failures = [] }: ScenarioResult): string {
  const first = figures[0]?.name ?? ''
  const isCompared = figures.some(({ ratio }) => ratio !== null)
  const heads = ['', 'MEDIAN', 'LOWEST – HIGHEST', ...(isCompared ? [`${first} IS`.toUpperCase()] : [])]
  const rows = figures.map((figure) => [
    figure.name,
    amountText(figure.median, figure.unit),
    `${amountText(figure.min, figure.unit)} – ${amountText(figure.max, figure.unit)}`,
    ...(isCompared ? [comparison(figure)] : []),
  ])
  const failed = failures.map(({ variant, why }) => `${variant}: no figure, ${why}`)
  return [`${scenario}: ${title}; ${rounds} rounds`, table(heads, rows), ...failed].join('\n')
}

/** What the first one is beside this one. */
function comparison({ ratio, unit }: Figure): string {
  if (ratio === null) return ''
  const less = LESS_IS_BETTER[unit]
  const times = less === undefined ? 1 / ratio : ratio
  return `${digits(times)}× ${less ?? 'as fast'}`
}

function amountText(amount: number, unit: Figure['unit']): string {
  if (unit !== 'messages/s' || amount < 1_000) return `${digits(amount)} ${unit}`
  return amount >= 1_000_000 ? `${(amount / 1_000_000).toFixed(2)}M/s` : `${(amount / 1_000).toFixed(0)}k/s`
}

function digits(amount: number): string {
  return amount.toFixed(amount >= 100 ? 0 : amount >= 10 ? 1 : 2)
}
