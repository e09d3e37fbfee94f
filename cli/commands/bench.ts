/** `nzcore bench`: the project's benches on this machine, between processes of this machine alone. */
import { cliErrors } from '../errors.ts'
import type { Figure, ScenarioResult } from '../../bench/scenario.ts'
import type { CommandSpec, Presenters } from '../command.ts'

export const benchPresenters: Presenters = {}

export const benchCommands: readonly CommandSpec[] = [
  {
    words: ['bench'],
    summary: 'Measure what this machine does: messages, round trips, throughput, the node, the store',
    options: [
      { flags: '--compare', summary: 'also measure stock libp2p, raw TCP and TLS 1.3, in turn with nzcore' },
      { flags: '--only <scenarios>', summary: 'such as burst, echo, daemon, store-put; separated by commas' },
      { flags: '--quick', summary: 'a few seconds in place of a minute; the figures are rough' },
    ],
    schemaNames: ['nz.bench/1'],
    async run({ output, signal }, { options }) {
      const [{ scenarios }, { thisMachine }] = await Promise.all([
        import('../../bench/scenarios.ts'),
        import('../../bench/machine.ts'),
      ])
      const only = typeof options['only'] === 'string' ? options['only'].split(',') : scenarios.map(({ name }) => name)
      const unknown = only.find((name) => !scenarios.some((scenario) => scenario.name === name))
      if (unknown !== undefined) {
        const known = scenarios.map(({ name }) => name).join(', ')
        throw cliErrors.NZ_CLI_USAGE({ why: `"${unknown}" is none of ${known}` })
      }
      const results: ScenarioResult[] = []
      for (const scenario of scenarios.filter(({ name }) => only.includes(name))) {
        const why = scenario.whyNot?.() ?? null
        if (why !== null) {
          output.note(`left out: ${scenario.name}, ${why}`)
          continue
        }
        output.progress(`measuring: ${scenario.name}`)
        const size = options['quick'] === true ? 'small' : 'full'
        results.push(await scenario.run({ size, isCompared: options['compare'] === true, signal }))
      }
      output.progress(null)
      const machine = thisMachine()
      output.answer('nz.bench/1', { machine, results }, () =>
        [
          ...results.map((result) => resultText(result)),
          `${machine.cpu}, ${machine.cores} cores, ${machine.system}, Node ${machine.node}`,
        ].join('\n'),
      )
    },
  },
]

/** `burst: nzcore 640k/s · tcp 1.2M/s (0.53×)   median of 9`: beside each alternative, what nzcore makes of it. */
function resultText({ scenario, rounds, figures, title, failures = [] }: ScenarioResult): string {
  const parts = figures.map((figure) => {
    const share = figure.ratio === null ? '' : ` (${(1 / figure.ratio).toFixed(2)}×)`
    return `${figure.name} ${amountText(figure)}${share}`
  })
  return `${scenario}: ${parts.join(' · ')}   median of ${rounds}\n    ${title}${failures.map(({ variant, why }) => `\n    ${variant}: no figure, ${why}`).join('')}`
}

function amountText({ median, unit }: Figure): string {
  const digits = median >= 100 ? 0 : median >= 10 ? 1 : 2
  if (unit !== 'messages/s') return `${median.toFixed(digits)} ${unit}`
  return median >= 1_000_000 ? `${(median / 1_000_000).toFixed(2)}M/s` : `${(median / 1_000).toFixed(0)}k/s`
}
