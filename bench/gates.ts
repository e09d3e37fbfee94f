/** What the project asks of its speed, and one table of all figures with what is met. Ratios are those of one run. */
import { digits } from './scenario.ts'
import type { Figure, ScenarioResult } from './scenario.ts'

interface Bound {
  /** Whose figure ours is divided by; `null`: an amount of the unit itself. */
  readonly of: string | null
  readonly atLeast?: number
  readonly atMost?: number
}

interface Row {
  readonly what: string
  readonly scenario: string
  /** The variant of ours. */
  readonly ours: string
  /** CPU seconds a gigabyte in place of the figure. */
  readonly isCpu?: boolean
  readonly gate?: Bound
  readonly goal?: Bound
}

const STOCK = 'libp2p'
const ROWS: readonly Row[] = [
  {
    what: 'burst, one send a message',
    scenario: 'burst',
    ours: 'native-streams',
    gate: { of: STOCK, atLeast: 15 },
    goal: { of: STOCK, atLeast: 25 },
  },
  {
    what: 'burst, TypeScript',
    scenario: 'burst',
    ours: 'typescript-streams',
    gate: { of: STOCK, atLeast: 4 },
    goal: { of: STOCK, atLeast: 10 },
  },
  { what: 'burst, a node', scenario: 'burst', ours: 'nzcore' },
  {
    what: 'bulk',
    scenario: 'throughput',
    ours: 'native-streams',
    gate: { of: STOCK, atLeast: 3 },
    goal: { of: 'tls', atLeast: 1.1 },
  },
  { what: 'bulk, TypeScript', scenario: 'throughput', ours: 'typescript-streams' },
  { what: 'bulk, a node', scenario: 'throughput', ours: 'nzcore' },
  {
    what: 'CPU seconds a GB',
    scenario: 'throughput',
    ours: 'native-streams',
    isCpu: true,
    gate: { of: STOCK, atMost: 0.3 },
    goal: { of: 'tls', atMost: 1 },
  },
  {
    what: 'echo of 64 bytes',
    scenario: 'echo',
    ours: 'native-streams',
    gate: { of: STOCK, atMost: 0.7 },
    goal: { of: 'tcp', atMost: 1 },
  },
  { what: 'echo, TypeScript', scenario: 'echo', ours: 'typescript-streams' },
  {
    what: 'mesh of 50 nodes',
    scenario: 'mesh',
    ours: 'native-streams',
    gate: { of: STOCK, atLeast: 8 },
    goal: { of: 'tls-batched', atLeast: 1 },
  },
  { what: 'mesh, TypeScript', scenario: 'mesh', ours: 'typescript-streams' },
  {
    what: 'dial and handshake',
    scenario: 'dial',
    ours: 'native-streams',
    gate: { of: STOCK, atLeast: 1.5 },
    goal: { of: STOCK, atLeast: 4 },
  },
  { what: 'dial, a node', scenario: 'dial', ours: 'nzcore' },
  { what: 'streams on one connection', scenario: 'streams', ours: 'native-streams' },
  {
    what: 'memory, idle connection',
    scenario: 'idle-memory',
    ours: 'native-streams',
    gate: { of: STOCK, atMost: 0.6 },
    goal: { of: null, atMost: 21 },
  },
  { what: 'beside a slow reader', scenario: 'slow-reader', ours: 'native-streams', gate: { of: null, atLeast: 0.8 } },
  { what: 'beside an attacker', scenario: 'attack', ours: 'native-streams', gate: { of: null, atLeast: 0.8 } },
]

/** The columns beside ours, each the first of these variants that was measured. */
const BESIDE = [
  ['stock', [STOCK]],
  ['node:tls 1.3', ['tls-mutual', 'tls-batched', 'tls']],
  ['node:net', ['tcp']],
] as const

/** All results as one Markdown table: what is asked of us first, then every other figure. */
export function gateTable(results: readonly ScenarioResult[]): string {
  const lines = ROWS.flatMap((row) => {
    const result = results.find(({ scenario }) => scenario === row.scenario)
    return result === undefined ? [] : lineOf(row, result)
  })
  const gated = new Set(ROWS.map(({ scenario }) => scenario))
  for (const { scenario, figures } of results.filter(({ scenario: name }) => !gated.has(name)))
    for (const figure of figures)
      lines.push([`${scenario}: ${figure.name}`, textOf(figure), ...Array<string>(8).fill('')])
  const head = ['', 'nzcore', ...BESIDE.map(([name]) => name), 'to stock', 'gate', 'met', 'goal', 'reached']
  const rows = [head, ...lines]
  const widths = head.map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)))
  const [first, ...others] = rows.map((row) => `| ${row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(' | ')} |`)
  const rule = `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`
  return [first, rule, ...others].join('\n')
}

function lineOf(row: Row, result: ScenarioResult): string[][] {
  const figureOf = (name: string): Figure | undefined => {
    const figure = result.figures.find((each) => each.name === name)
    return figure === undefined || row.isCpu !== true ? figure : cpuOf(figure, result)
  }
  const ours = figureOf(row.ours)
  if (ours === undefined) return []
  const beside = BESIDE.map(([, names]) => names.map(figureOf).find((figure) => figure !== undefined))
  const [stock] = beside
  return [
    [
      row.what,
      textOf(ours),
      ...beside.map((figure) => (figure === undefined ? '' : textOf(figure))),
      stock === undefined ? '' : `${digits(ours.median / stock.median)}×`,
      ...[row.gate, row.goal].flatMap((bound) => [boundText(bound, ours.unit), verdict(bound, ours, figureOf)]),
    ],
  ]
}

function verdict(bound: Bound | undefined, ours: Figure, figureOf: (name: string) => Figure | undefined): string {
  if (bound === undefined) return ''
  const base = bound.of === null ? 1 : figureOf(bound.of)?.median
  if (base === undefined) return ''
  const ratio = ours.median / base
  return ratio >= (bound.atLeast ?? 0) && ratio <= (bound.atMost ?? Infinity) ? 'yes' : 'no'
}

function boundText(bound: Bound | undefined, unit: string): string {
  if (bound === undefined) return ''
  const sign = bound.atLeast === undefined ? '≤' : '≥'
  const amount = bound.atLeast ?? bound.atMost ?? 0
  return bound.of === null
    ? `${sign} ${amount} ${unit}`
    : `${sign} ${amount}× ${bound.of === STOCK ? 'stock' : bound.of}`
}

function cpuOf(figure: Figure, { bytesPerRound }: ScenarioResult): Figure | undefined {
  if (figure.cost === undefined || bytesPerRound === undefined) return undefined
  const median = figure.cost.cpuMs / 1_000 / (bytesPerRound / 1_000_000_000)
  return { ...figure, median, unit: 's/GB' }
}

function textOf({ median, unit }: Figure): string {
  return `${digits(median)} ${unit}`
}
