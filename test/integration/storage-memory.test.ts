/** What a store keeps in memory follows its records, not its history. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { it } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { LevelEngine } from '../../modules/storage/level-engine.ts'
import { openStore } from '../fake/storage.ts'
import type { Namespace } from '../../modules/storage/service.ts'

const RECORDS = 3_000
const ROUNDS = process.env['NZ_FULL'] === '1' ? 200 : 10
/** Of a history of tens of thousands of changes; one round alone writes 1.5 MB. */
const MAX_GROWTH_BYTES = 1_000_000

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

function memoryBytes(): number {
  for (let i = 0; i < 4; i++) collectGarbage()
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}

const keyOf = (n: number): string => `record/${String(n).padStart(6, '0')}`

/** Every record replaced, a tenth deleted and made again, others come and go under names of their own, all of it read. */
async function live(store: Namespace, round: number): Promise<void> {
  const value = new Uint8Array(500).fill(round)
  for (let n = 0; n < RECORDS; n += 1_000) {
    const keys = Array.from({ length: 1_000 }, (_, i) => keyOf(n + i))
    await store.batch(keys.map((key) => ({ type: 'put', key, value })))
    await store.batch(keys.slice(0, 100).map((key) => ({ type: 'delete', key })))
    await store.batch(keys.slice(0, 100).map((key) => ({ type: 'put', key, value })))
    await store.batch(keys.slice(0, 100).map((key) => ({ type: 'put', key: `${round}/${key}`, value })))
    for await (const record of store.range({ prefix: 'record/', after: keyOf(n) }))
      assert.equal(record.value.length, 500)
    await store.batch(keys.slice(0, 100).map((key) => ({ type: 'delete', key: `${round}/${key}` })))
  }
}

it(`is flat over ${ROUNDS} rounds of changes`, { timeout: 600_000 }, async () => {
  const dir = await mkdtemp(join(tmpdir(), 'nz-memory-'))
  try {
    const storage = await openStore({ disk: { engine: new LevelEngine(join(dir, 'store')), files: new Map() } })
    const store = storage.namespace('n')
    for (let round = 0; round < 5; round++) await live(store, round)
    const before = memoryBytes()
    for (let round = 5; round < 5 + ROUNDS; round++) await live(store, round)
    const growth = memoryBytes() - before
    assert.equal(store.usage.records, RECORDS)
    assert.ok(growth < MAX_GROWTH_BYTES, `${growth} bytes more after ${ROUNDS} rounds`)
    await storage.close()
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
})

it('is about two hundred bytes a record', { timeout: 600_000 }, async () => {
  const dir = await mkdtemp(join(tmpdir(), 'nz-memory-'))
  try {
    const engine = new LevelEngine(join(dir, 'store'))
    const files = new Map<string, Uint8Array>()
    const filled = await openStore({ disk: { engine, files }, maxNamespaceRecords: 20_000 })
    for (let n = 0; n < 20_000; n += 1_000) {
      const value = new Uint8Array(100)
      const puts = Array.from({ length: 1_000 }, (_, i) => ({ type: 'put' as const, key: keyOf(n + i), value }))
      await filled.namespace('n').batch(puts)
    }
    await filled.close()
    const empty = await openStore({})
    const before = memoryBytes()
    const storage = await openStore({ disk: { engine, files }, maxNamespaceRecords: 20_000 })
    const each = (memoryBytes() - before) / 20_000
    assert.equal(storage.status().records, 20_000)
    assert.ok(each < 200, `${each.toFixed(0)} bytes a record`)
    await storage.close()
    await empty.close()
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
})
