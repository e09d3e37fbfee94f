/** A distributed table of real nodes beside stock kad-dht: how long, how many requests, how much CPU, and what is found. */
import { setTimeout as pause } from 'node:timers/promises'
import { seededRandom } from '../kernel/index.ts'
import { dhtVariants } from './dht-nodes.ts'
import { Fleet } from './dht-fleet.ts'
import { digits } from './scenario.ts'
import { summaryOf } from './statistics.ts'
import type { Random } from '../kernel/index.ts'
import type { Timed } from './dht-process.ts'
import type { NodeAt } from './dht-fleet.ts'
import type { Figure, Scenario, VariantFailure } from './scenario.ts'

const SIZES = {
  small: { nodes: 10, processes: 2, lookups: 5, rounds: 2, killed: 0 },
  full: { nodes: 128, processes: 16, lookups: 15, rounds: 7, killed: 5 },
} as const
/** Entries that every table is to have, or all there are. */
const FULL_TABLE = 100
/** For all tables to be full, or to be without the killed. */
const FILLING_MS = 300_000
/** A table that has not changed for this long will not soon: ours looks every minute, stock ones look every five. */
const UNCHANGED_MS = { nzcore: 90_000, 'kad-dht': 30_000 } as const
const REST_MS = 10_000
/** Less says nothing of what rest takes; a variant that is measured alone has none. */
const LEAST_REST_MS = 500

/** Rounds of one variant, and what it took while the other had its turn. */
interface Rounds {
  readonly rounds: Round[]
  readonly rests: number[]
  ended: { readonly atMs: number; readonly cpuMs: number } | null
}

interface Round {
  readonly looked: readonly Timed[]
  readonly ms: number
  readonly cpuMs: number
}

interface Measured {
  readonly rounds: number
  readonly lookups: number
  readonly signal: AbortSignal
}

export const dht: Scenario = {
  name: 'dht',
  limitMs: 5_400_000,
  async run({ size, isCompared, signal }) {
    const { nodes, processes, lookups, rounds, killed } = sizeOf(size)
    await using stack = new AsyncDisposableStack()
    // Stock nodes that join while other tests use the machine may take longer than a test has.
    const isAlone = !isCompared || size === 'small' || process.env['NZ_DHT_ALONE'] === '1'
    const variants = isAlone ? dhtVariants.slice(0, 1) : dhtVariants
    const fleets: Fleet[] = []
    const failures: VariantFailure[] = []
    const figures = new Told(size)
    for (const variant of variants) {
      const fleet = stack.use(new Fleet(variant))
      try {
        const startedMs = performance.now()
        await fleet.start({ processes, nodes })
        // Whoever joins last must not be measured while it joins, nor stand in the way of the next.
        await settled(fleet, (sizes) => sizes.every((each) => each >= Math.min(FULL_TABLE, nodes - 1)), signal)
        figures.push(figureOf(`${variant}: all joined after`, [(performance.now() - startedMs) / 1_000], 's'))
        fleets.push(fleet)
      } catch (error) {
        signal.throwIfAborted()
        failures.push({ variant, why: `it did not start: ${String(error)}` })
        await fleet[Symbol.asyncDispose]()
      }
    }
    for (const fleet of fleets) figures.push(...(await stateOf(fleet, nodes, size, signal)))
    const random = seededRandom(1)
    const measured = { rounds, lookups, signal }
    const find = async (fleet: Fleet): Promise<Timed> => {
      const [from, to] = pairOf(fleet.nodes(), random)
      return await fleet.find(from, to.peerId)
    }
    figures.push(...(await measure(fleets, 'find peer', measured, find)))
    let puts = 0
    figures.push(
      ...(await measure(fleets, 'put', measured, async (fleet) => {
        puts += 1
        return await fleet.put(pairOf(fleet.nodes(), random)[0], `n${puts}`, 'x'.repeat(100))
      })),
    )
    const kept = await keepValues(fleets, lookups, random)
    const get = async (fleet: Fleet): Promise<Timed> => {
      const values = kept.get(fleet) ?? []
      const value = values[Math.floor(random.unit() * values.length)]
      if (value === undefined) throw new Error('nothing was put')
      return await fleet.get(pairOf(fleet.nodes(), random)[0], value.owner, value.name, value.name)
    }
    figures.push(...(await measure(fleets, 'get', measured, get)))
    if (killed > 0) {
      for (const fleet of fleets) fleet.kill(killed)
      figures.push(
        ...(await measure(fleets, `${killed} of ${processes} processes killed: find peer`, measured, find)),
        ...(await measure(fleets, 'killed: get', measured, get)),
        ...(await recovered(fleets, signal)),
      )
    }
    const title = `${nodes} nodes in ${processes} processes, ${lookups} lookups a round, one after the other; CPU of all nodes`
    return { scenario: 'dht', title, rounds, figures: figures.all, failures }
  },
}

/** Figures of a run that takes long, each told as soon as it is there. */
class Told {
  readonly all: Figure[] = []
  readonly #size: keyof typeof SIZES

  constructor(size: keyof typeof SIZES) {
    this.#size = size
  }

  push(...figures: readonly Figure[]): void {
    this.all.push(...figures)
    if (this.#size === 'full')
      for (const { name, median, min, max, unit } of figures)
        process.stderr.write(`  ${name}: ${digits(median)} ${unit} (${digits(min)} – ${digits(max)})\n`)
  }
}

/** `NZ_DHT_NODES`: another number of nodes for a full run; `NZ_DHT_ALONE=1`: without stock nodes beside them. */
function sizeOf(size: keyof typeof SIZES): Readonly<Record<keyof (typeof SIZES)['full'], number>> {
  const asked = Number(process.env['NZ_DHT_NODES'] ?? Number.NaN)
  return size === 'full' && Number.isInteger(asked) ? { ...SIZES.full, nodes: asked } : SIZES[size]
}

/** Waits until the tables are as they should be, or have not changed for long. @returns their sizes */
async function settled(
  fleet: Fleet,
  isDone: (sizes: readonly number[]) => boolean,
  signal: AbortSignal,
): Promise<readonly number[]> {
  const startedMs = performance.now()
  let last = ''
  let changedMs = startedMs
  for (;;) {
    const sizes = await fleet.tables()
    const nowMs = performance.now()
    if (sizes.join() !== last) changedMs = nowMs
    last = sizes.join()
    if (isDone(sizes) || nowMs - startedMs > FILLING_MS || nowMs - changedMs > UNCHANGED_MS[fleet.variant]) return sizes
    await pause(500, undefined, { signal })
  }
}

/** Tables, connections and memory of each node, and what all of them cost while nobody asks. */
async function stateOf(
  fleet: Fleet,
  nodes: number,
  size: keyof typeof SIZES,
  signal: AbortSignal,
): Promise<readonly Figure[]> {
  const { variant } = fleet
  const before = await fleet.usage()
  const restMs = size === 'full' ? REST_MS : 100
  await pause(restMs, undefined, { signal })
  const { cpuMs, peakMb, connections } = await fleet.usage()
  return [
    figureOf(`${variant}: table`, await fleet.tables(), 'entries'),
    figureOf(`${variant}: connections of a node`, connections, 'connections'),
    figureOf(`${variant}: memory, a node's share of its process`, [peakMb / nodes], 'MB'),
    figureOf(`${variant}: CPU of all in a second of rest`, [((cpuMs - before.cpuMs) * 1_000) / restMs], 'ms'),
  ]
}

/** How long after the lookups behind the kill the tables have everybody who lives and nobody else. */
async function recovered(fleets: readonly Fleet[], signal: AbortSignal): Promise<readonly Figure[]> {
  const figures = fleets.map(async (fleet) => {
    const living = fleet.nodes().length
    const startedMs = performance.now()
    const sizes = await settled(fleet, (tables) => tables.every((each) => each === living - 1), signal)
    const seconds = (performance.now() - startedMs) / 1_000
    return [
      figureOf(`${fleet.variant}: killed: table, ${living} live`, sizes, 'entries'),
      figureOf(`${fleet.variant}: killed: tables at rest after`, [seconds], 's'),
    ]
  })
  return (await Promise.all(figures)).flat()
}

/** Rounds of the variants in turn; while one looks, the other rests. */
async function measure(
  fleets: readonly Fleet[],
  name: string,
  { rounds, lookups, signal }: Measured,
  look: (fleet: Fleet) => Promise<Timed>,
): Promise<readonly Figure[]> {
  const byFleet = new Map<Fleet, Rounds>(fleets.map((fleet) => [fleet, { rounds: [], rests: [], ended: null }]))
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < fleets.length; turn++) {
      signal.throwIfAborted()
      const fleet = fleets[(turn + round) % fleets.length]
      const measured = fleet === undefined ? undefined : byFleet.get(fleet)
      if (fleet === undefined || measured === undefined) continue
      const { cpuMs: before } = await fleet.usage()
      const startedMs = performance.now()
      const restMs = measured.ended === null ? 0 : startedMs - measured.ended.atMs
      if (measured.ended !== null && restMs >= LEAST_REST_MS)
        measured.rests.push((before - measured.ended.cpuMs) / restMs)
      const looked: Timed[] = []
      for (let each = 0; each < lookups; each++) looked.push(await look(fleet))
      const ms = performance.now() - startedMs
      const { cpuMs } = await fleet.usage()
      measured.rounds.push({ looked, ms, cpuMs: cpuMs - before })
      measured.ended = { atMs: performance.now(), cpuMs }
    }
  }
  const [first = [], ...others] = [...byFleet].map(([{ variant }, measured]) =>
    figuresOf(variant, name, measured, lookups),
  )
  return [first, ...others.map((figures) => figures.map((figure, at) => withRatio(figure, first[at])))].flat()
}

function figuresOf(variant: string, name: string, { rounds, rests }: Rounds, lookups: number): readonly Figure[] {
  const all = rounds.flatMap(({ looked }) => looked)
  const hops = all.flatMap(({ hops: each }) => (each === null ? [] : [each]))
  const rest = rests.length === 0 ? null : summaryOf(rests).median
  const found = rounds.map(({ looked }) => (100 * looked.filter(({ isFound }) => isFound).length) / looked.length)
  const figure = (what: string, values: readonly number[], unit: Figure['unit']): Figure =>
    figureOf(`${variant}: ${name}${what}`, values, unit)
  const cpu = (restShare: number): number[] => rounds.map(({ cpuMs, ms }) => (cpuMs - ms * restShare) / lookups)
  return [
    figure(
      '',
      all.map(({ ms }) => ms),
      'ms',
    ),
    figure(', CPU', cpu(0), 'ms'),
    ...(rest === null ? [] : [figure(', CPU above rest', cpu(rest), 'ms')]),
    figure(
      ', requests',
      all.map(({ asked }) => asked),
      'requests',
    ),
    figure(', found', found, '%'),
    ...(hops.length === 0 ? [] : [figure(', hops', hops, 'hops')]),
  ]
}

/** Over the same figure of the first variant. */
function withRatio(figure: Figure, first: Figure | undefined): Figure {
  const isRatio = first !== undefined && first.median > 0 && figure.unit === 'ms'
  return isRatio ? { ...figure, ratio: figure.median / first.median } : figure
}

interface KeptValue {
  readonly owner: NodeAt
  readonly name: string
}

/** Values whose owners live in the first process, which is not killed. */
async function keepValues(
  fleets: readonly Fleet[],
  count: number,
  random: Random,
): Promise<ReadonlyMap<Fleet, readonly KeptValue[]>> {
  const kept = new Map<Fleet, KeptValue[]>()
  for (const fleet of fleets) {
    const owners = fleet.nodes().filter(({ member }) => member === 0)
    const values: KeptValue[] = []
    for (let at = 0; at < count; at++) {
      const owner = owners[Math.floor(random.unit() * owners.length)]
      if (owner === undefined) throw new Error('there is no node')
      const name = `kept${at}`
      if ((await fleet.put(owner, name, name)).isFound) values.push({ owner, name })
    }
    kept.set(fleet, values)
  }
  return kept
}

function pairOf(nodes: readonly NodeAt[], random: Random): readonly [NodeAt, NodeAt] {
  const from = nodes[Math.floor(random.unit() * nodes.length)]
  const others = nodes.filter((node) => node !== from)
  const to = others[Math.floor(random.unit() * others.length)]
  if (from === undefined || to === undefined) throw new Error('there are too few nodes')
  return [from, to]
}

function figureOf(name: string, values: readonly number[], unit: Figure['unit']): Figure {
  return { name, ...summaryOf(values), unit, ratio: null }
}
