/** The encrypted store against plain LevelDB with the same durability: what encryption and proofs cost. */
import { SETTLED_AFTER_MS } from '../modules/storage/folder-sync.ts'
import { measureInTurn } from './interleaved.ts'
import { FULL_ROUNDS, SMALL_ROUNDS, withRatios } from './scenario.ts'
import { withStores } from './stores.ts'
import type { VariantTimes } from './interleaved.ts'
import type { Figure, Scenario, ScenarioOptions, ScenarioResult } from './scenario.ts'
import type { BenchStore } from './stores.ts'

const VALUE_BYTES = 1_024
const WRITERS = 32
/** Records in a store that is read from. */
const STORED = { small: 2_000, full: 20_000 } as const
const value = new Uint8Array(VALUE_BYTES).fill(0x61)

export const storePut: Scenario = {
  name: 'store-put',
  run: async (options) => {
    const count = options.size === 'full' ? 200 : 10
    return await compared(options, {
      name: 'store-put',
      title: `${count} records of 1 KiB, each durable before the next, in a store that has been open for a while`,
      perRound: count,
      unit: 'records/s',
      // As in a node that runs: its folder is not synced again while no name in it is new.
      fill: async (store) => {
        const endMs = performance.now() + (options.size === 'full' ? SETTLED_AFTER_MS + 500 : 0)
        for (let n = 0; n === 0 || performance.now() < endMs; n++) await store.put(`before/${n % 100}`, value)
      },
      round: async (store, round) => {
        for (let n = 0; n < count; n++) await store.put(`put/${round}/${n}`, value)
        await requireValue(store, `put/${round}/${count - 1}`)
      },
    })
  },
}

export const storeGet: Scenario = {
  name: 'store-get',
  run: async (options) => {
    const stored = STORED[options.size]
    const count = options.size === 'full' ? 5_000 : 100
    return await compared(options, {
      name: 'store-get',
      title: `${count} records of ${stored}, one after another, in no order`,
      perRound: count,
      unit: 'records/s',
      fill: async (store) => await fill(store, stored),
      round: async (store, round) => {
        for (let n = 0; n < count; n++) await requireValue(store, keyOf(((n + round + 1) * 7_919) % stored))
      },
    })
  },
}

export const storeRange: Scenario = {
  name: 'store-range',
  run: async (options) => {
    const stored = STORED[options.size]
    const count = options.size === 'full' ? 100 : 5
    return await compared(options, {
      name: 'store-range',
      title: `${count} ranges of 100 records in a store of ${stored}`,
      perRound: count * 100,
      unit: 'records/s',
      fill: async (store) => await fill(store, stored),
      round: async (store, round) => {
        for (let n = 0; n < count; n++) {
          const found = await store.range(keyOf(((n + round + 1) * 7_919) % (stored - 200)), 100)
          if (found !== 100) throw new Error(`a range gave ${found} records`)
        }
      },
    })
  },
}

export const storeWriters: Scenario = {
  name: 'store-writers',
  async run({ size, isCompared, signal }) {
    const count = size === 'full' ? 960 : 64
    const rounds = size === 'full' ? FULL_ROUNDS : SMALL_ROUNDS
    const together = async (store: BenchStore, round: number): Promise<void> => {
      const writers = Array.from({ length: WRITERS }, async (_, writer) => {
        for (let n = writer; n < count; n += WRITERS) await store.put(`${round}/${n}`, value)
      })
      await Promise.all(writers)
      await requireValue(store, `${round}/${count - 1}`)
    }
    const oneByOne = async (store: BenchStore, round: number): Promise<void> => {
      for (let n = 0; n < count; n++) await store.put(`${round}/${n}`, value)
    }
    return await withStores(async (open) => {
      const encrypted = await open('encrypted')
      const alone = await open('encrypted')
      const plain = await open('plain')
      const variants = [
        { name: 'nzcore', run: async (round: number) => await together(encrypted, round) },
        { name: 'one fsync a record', run: async (round: number) => await oneByOne(alone, round) },
        { name: 'level', run: async (round: number) => await together(plain, round) },
      ]
      const times = await measureInTurn(isCompared ? variants : variants.slice(0, 1), { rounds, signal })
      const title = `${count} records of 1 KiB by ${WRITERS} writers at a time, each waiting for its own to be durable`
      return { scenario: 'store-writers', title, rounds, figures: rates(times, count, 'records/s') }
    })
  },
}

export const storeOpen: Scenario = {
  name: 'store-open',
  async run({ size, isCompared, signal }) {
    const count = size === 'full' ? 100_000 : 2_000
    const rounds = size === 'full' ? FULL_ROUNDS : SMALL_ROUNDS
    return await withStores(async (open) => {
      const stores = [await open('encrypted'), await open('plain')].slice(0, isCompared ? 2 : 1)
      for (const store of stores) await fill(store, count, 200)
      const variants = stores.map((store, i) => ({
        name: i === 0 ? 'nzcore' : 'level',
        run: async () => {
          await store.close()
          await store.open()
          const found = await store.readAll()
          if (found !== count) throw new Error(`there are ${found} records`)
        },
      }))
      const times = await measureInTurn(variants, { rounds, signal })
      const title = `close, open and read ${count.toLocaleString('en-US')} records of 200 bytes; nzcore proves every one`
      const figures = times.map(({ name, ms }): Omit<Figure, 'ratio'> => ({ name, ...ms, unit: 'ms' }))
      return { scenario: 'store-open', title, rounds, figures: withRatios(figures) }
    })
  },
}

interface Comparison {
  readonly name: string
  readonly title: string
  readonly perRound: number
  readonly unit: Figure['unit']
  readonly fill?: (store: BenchStore) => Promise<void>
  readonly round: (store: BenchStore, round: number) => Promise<void>
}

async function compared(
  { size, isCompared, signal }: ScenarioOptions,
  { name, title, perRound, unit, fill: prepare, round: work }: Comparison,
): Promise<ScenarioResult> {
  const rounds = size === 'full' ? FULL_ROUNDS : SMALL_ROUNDS
  return await withStores(async (open) => {
    const stores = [await open('encrypted'), await open('plain')].slice(0, isCompared ? 2 : 1)
    for (const store of stores) await prepare?.(store)
    const variants = stores.map((store, i) => ({
      name: i === 0 ? 'nzcore' : 'level',
      run: async (round: number) => await work(store, round),
    }))
    const times = await measureInTurn(variants, { rounds, signal })
    return { scenario: name, title, rounds, figures: rates(times, perRound, unit) }
  })
}

function rates(times: readonly VariantTimes[], perRound: number, unit: Figure['unit']): readonly Figure[] {
  const rate = (ms: number): number => perRound / (ms / 1_000)
  return withRatios(
    times.map(({ name, ms }) => ({ name, median: rate(ms.median), min: rate(ms.max), max: rate(ms.min), unit })),
  )
}

function keyOf(n: number): string {
  return `key/${String(n).padStart(7, '0')}`
}

async function fill(store: BenchStore, count: number, bytes = VALUE_BYTES): Promise<void> {
  const part = value.subarray(0, bytes)
  for (let n = 0; n < count; n += 1_000) {
    const length = Math.min(1_000, count - n)
    await store.putAll(Array.from({ length }, (_, i) => [keyOf(n + i), part]))
  }
}

async function requireValue(store: BenchStore, key: string): Promise<void> {
  const found = await store.get(key)
  if (found?.byteLength !== VALUE_BYTES || found[0] !== value[0]) throw new Error(`${key} is not what was put`)
}
