/** Figures of a bench for a person: what was measured, the figure of nzcore, and how it compares with each alternative. */
import { table } from './text.ts'
import type { Figure, ScenarioResult } from '../bench/scenario.ts'

/** Units of which less is better, and what less is then called. */
const LESS_IS_BETTER: Readonly<Partial<Record<Figure['unit'], string>>> = {
  ms: 'as fast',
  µs: 'as fast',
  s: 'as fast',
  MB: 'as small',
  KB: 'as small',
  's/GB': 'as cheap',
}

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
