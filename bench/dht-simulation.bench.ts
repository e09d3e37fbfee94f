/** The lookup core of discovery among many simulated nodes: what is found among the dead, Sybils and around an eclipsed key. */
import { seededRandom } from '../kernel/index.ts'
import { placeNamed, SimulatedNetwork } from './dht-network.ts'
import { summaryOf } from './statistics.ts'
import type { SimulatedLookup } from './dht-network.ts'
import type { Figure, Scenario } from './scenario.ts'

const SIZES = {
  small: { nodes: [200], lookups: 10, rounds: 2 },
  full: { nodes: [1_000, 10_000], lookups: 100, rounds: 7 },
} as const

interface Setting {
  readonly name: string
  readonly sybils?: number
  /** Killed after the records were stored. */
  readonly dead?: number
  readonly eclipse?: { readonly attackers: number; readonly ranges: number }
}

const SETTINGS: readonly Setting[] = [
  { name: 'all honest' },
  { name: '30 % dead', dead: 0.3 },
  { name: '20 % Sybils', sybils: 0.2 },
  { name: '50 % Sybils', sybils: 0.5 },
  { name: 'key eclipsed by 60 in 60 ranges', eclipse: { attackers: 60, ranges: 60 } },
  { name: 'key eclipsed by 200 in 16 ranges', eclipse: { attackers: 200, ranges: 16 } },
  { name: 'key eclipsed by 200 in 200 ranges', eclipse: { attackers: 200, ranges: 200 } },
]

export const dhtSimulation: Scenario = {
  name: 'dht-simulation',
  limitMs: 1_800_000,
  async run({ size, signal }) {
    const { nodes, lookups, rounds } = SIZES[size]
    const figures: Figure[] = []
    for (const count of nodes) {
      for (const setting of SETTINGS) {
        signal.throwIfAborted()
        figures.push(...figuresOf(count, setting, { lookups, rounds }))
        await new Promise((resolve) => setImmediate(resolve))
      }
    }
    return { scenario: 'dht-simulation', title: `${lookups} lookups a round among simulated nodes`, rounds, figures }
  },
}

function figuresOf(
  count: number,
  setting: Setting,
  { lookups, rounds }: { readonly lookups: number; readonly rounds: number },
): readonly Figure[] {
  const all: SimulatedLookup[] = []
  const found: number[] = []
  for (let round = 0; round < rounds; round++) {
    const looked = roundOf(count, setting, { lookups, seed: round + 1 })
    all.push(...looked)
    found.push(shareOf(looked))
  }
  const name = `${count.toLocaleString('en-US')} nodes, ${setting.name}`
  return [
    { name: `${name}: found`, ...summaryOf(found), unit: '%', ratio: null },
    { name: `${name}: found, of all`, ...summaryOf([shareOf(all)]), unit: '%', ratio: null },
    { name: `${name}: hops`, ...summaryOf(all.map(({ hops }) => hops)), unit: 'hops', ratio: null },
    { name: `${name}: requests`, ...summaryOf(all.map(({ asked }) => asked)), unit: 'requests', ratio: null },
  ]
}

function shareOf(looked: readonly SimulatedLookup[]): number {
  return (100 * looked.filter(({ isFound }) => isFound).length) / looked.length
}

function roundOf(
  count: number,
  { sybils = 0, dead = 0, eclipse }: Setting,
  { lookups, seed }: { readonly lookups: number; readonly seed: number },
): readonly SimulatedLookup[] {
  const network = SimulatedNetwork.of(count, { sybils, random: seededRandom(seed) })
  if (eclipse !== undefined) {
    // The attackers are there before the record is, which is the harder case; each key has its own.
    return Array.from({ length: Math.ceil(lookups / 10) }, (_, at) => {
      const key = placeNamed(`key ${seed} ${at}`)
      const eclipsed = network.eclipsed(key, eclipse)
      eclipsed.put(key)
      return eclipsed.get(key)
    })
  }
  const keys = Array.from({ length: lookups }, (_, at) => placeNamed(`key ${seed} ${at}`))
  for (const key of keys) network.put(key)
  network.kill(dead)
  return keys.map((key) => network.get(key))
}
