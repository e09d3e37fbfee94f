/** One question a bench answers, and how the answer reads. */
import type { VariantResult } from './rounds.ts'

export interface ScenarioOptions {
  /** `small` is for the test suite: it shows that the bench works, its figures are noise. */
  readonly size: 'small' | 'full'
  /** Whether the alternatives are measured as well. */
  readonly isCompared: boolean
  readonly signal: AbortSignal
}

export interface Figure {
  /** What was measured, such as `nzcore` or `ready`. */
  readonly name: string
  readonly median: number
  readonly min: number
  readonly max: number
  readonly unit:
    | 'ms'
    | 'µs'
    | 'messages/s'
    | 'dials/s'
    | 'streams/s'
    | 'records/s'
    | 'MB/s'
    | 'MB'
    | 'entries'
    | 'requests'
    | 'hops'
    | 'connections'
    | 's'
    | '%'
    | 'KB'
    | 'KB/s'
    | 's/GB'
    | 'of its rate'
  /** This figure over the one of the first row, so that more is better for rates and less for times. */
  readonly ratio: number | null
  /** CPU time of both processes in one round, and the peak memory of the larger one, where they were measured. */
  readonly cost?: { readonly cpuMs: number; readonly peakMb: number }
}

export interface VariantFailure {
  readonly variant: string
  readonly why: string
}

export interface ScenarioResult {
  readonly scenario: string
  readonly title: string
  readonly rounds: number
  readonly figures: readonly Figure[]
  /** Bytes that a round moves, where that says something of the CPU time it takes. */
  readonly bytesPerRound?: number
  /** Variants without a figure, and why. */
  readonly failures?: readonly VariantFailure[]
}

export interface Scenario {
  readonly name: string
  /** For a full run; default: ten minutes. */
  readonly limitMs?: number
  /** Why it cannot be measured on this machine; `null` when it can. */
  whyNot?(): string | null
  run(options: ScenarioOptions): Promise<ScenarioResult>
}

export const SMALL_ROUNDS = 2
/** Fewer would make a median of luck. */
export const FULL_ROUNDS = 9

/** Rates: `perRound` of something in each round, divided by the time of the round. */
export function ratesOf(results: readonly VariantResult[], perRound: number, unit: Figure['unit']): readonly Figure[] {
  return withRatios(
    results.map(({ variant, ms, cpuMs, peakMb }) => ({
      name: variant,
      median: perRound / (ms.median / 1_000),
      min: perRound / (ms.max / 1_000),
      max: perRound / (ms.min / 1_000),
      unit,
      cost: { cpuMs, peakMb },
    })),
  )
}

/** The same of times that were taken in this process. */
export function timedRates(
  times: readonly { readonly name: string; readonly ms: VariantResult['ms'] }[],
  perRound: number,
  unit: Figure['unit'],
): readonly Figure[] {
  const rate = (ms: number): number => perRound / (ms / 1_000)
  return withRatios(
    times.map(({ name, ms }) => ({ name, median: rate(ms.median), min: rate(ms.max), max: rate(ms.min), unit })),
  )
}

export function withRatios(figures: readonly Omit<Figure, 'ratio'>[]): readonly Figure[] {
  const first = figures[0]?.median
  return figures.map((figure, i) => ({
    ...figure,
    ratio: i === 0 || first === undefined ? null : figure.median / first,
  }))
}

/** The figures as lines of a Markdown table, which is also readable on a terminal. */
export function tableOf({ title, rounds, figures, failures = [] }: ScenarioResult): string {
  const hasCost = figures.some(({ cost }) => cost !== undefined)
  const cells = figures.map(({ name, median, min, max, unit, ratio, cost }) => [
    name,
    `${digits(median)} ${unit}`,
    `${digits(min)} – ${digits(max)}`,
    ratio === null ? '' : `${ratio.toFixed(2)}×`,
    ...(hasCost
      ? [cost === undefined ? '' : `${digits(cost.cpuMs)} ms`, cost === undefined ? '' : `${digits(cost.peakMb)} MB`]
      : []),
  ])
  const head = ['', 'median', 'lowest – highest', 'to first', ...(hasCost ? ['CPU a round', 'peak memory'] : [])]
  const rows = [head, ...cells]
  const widths = head.map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)))
  const lines = rows.map((row) => `| ${row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(' | ')} |`)
  const told = failures.map(({ variant, why }) => `\n${variant}: no figure, ${why}`)
  const rule = `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`
  return [`${title} (${rounds} rounds)`, '', lines[0], rule, ...lines.slice(1), ...told].join('\n')
}

/** Three significant digits, with separators from 10,000 on. */
export function digits(value: number): string {
  if (value >= 10_000) return Number(value.toPrecision(3)).toLocaleString('en-US')
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)
}
