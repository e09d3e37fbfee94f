/** What the encrypted store does when the disk lies, refuses or is read by somebody else. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import fc from 'fast-check'
import { SimulatedClock } from '../../kernel/index.ts'
import { decodeHeader, SealCounter, MAX_COUNTER } from '../../modules/storage/sealed.ts'
import { MAX_CHANGES } from '../../modules/storage/change-history.ts'
import { MAX_SNAPSHOTS } from '../../modules/storage/namespace-handle.ts'
import { MemoryEngine } from '../../modules/storage/memory-engine.ts'
import { memoryDisk, openStore } from '../fake/storage.ts'
import type { EngineOperation } from '../../modules/storage/engine.ts'

const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text))
const text = (value: Uint8Array | null): string | null => (value === null ? null : Buffer.from(value).toString())
const { signal } = new AbortController()

/** A disk whose writes can be made to fail, before or after they took effect, and which counts them. */
class FaultyEngine extends MemoryEngine {
  fault: 'none' | 'before' | 'after' = 'none'
  batches = 0
  readonly written: Uint8Array[] = []

  override async batch(operations: readonly EngineOperation[]): Promise<void> {
    this.batches += 1
    for (const operation of operations) if (operation.type === 'put') this.written.push(operation.value)
    if (this.fault !== 'before') await super.batch(operations)
    if (this.fault !== 'none') throw new Error('IO error: No space left on device')
  }

  override async probe(): Promise<void> {
    await Promise.resolve()
    if (this.fault !== 'none') throw new Error('ENOSPC')
  }
}

async function filled(): Promise<ReturnType<typeof memoryDisk>> {
  const disk = memoryDisk()
  const storage = await openStore({ disk })
  for (const key of ['a', 'b', 'c']) await storage.namespace('one').put(key, bytes(`value ${key}`))
  await storage.namespace('two').put('a', bytes('value of two'))
  await storage.close()
  return disk
}

it('shows no name, key or value to who reads the disk', async () => {
  const disk = await filled()
  const all = Buffer.concat([...disk.engine.records].flatMap(([k, v]) => [Buffer.from(k, 'hex'), v]))
  for (const word of ['one', 'two', 'value']) assert.equal(all.includes(word), false, word)
  const other = await openStore({ disk, seed: 2 })
  assert.equal(other.status().state, 'safe')
  await assert.rejects(other.namespace('one').get('a'), { code: 'NZ_STORAGE_DAMAGED' })
  await other.close()
})

it('locks a namespace away when a record of it was changed, moved, swapped, removed or replaced by an old one', async () => {
  const clean = await filled()
  const records = [...clean.engine.records].filter(([key]) => key.startsWith('72'))
  const storage = await openStore({ disk: clean })
  for (const key of ['a', 'b', 'c']) await storage.namespace('one').put(key, bytes(`newer ${key}`))
  await storage.namespace('two').put('a', bytes('newer'))
  await storage.close()
  const now = [...clean.engine.records]
  const places = records.map(([key]) => key)
  const attacks: readonly ((disk: Map<string, Uint8Array>, i: number) => void)[] = [
    (disk, i) => disk.set(places[i] ?? '', records[i]?.[1] ?? new Uint8Array()),
    (disk, i) => disk.delete(places[i] ?? ''),
    (disk, i) => disk.set(places[i] ?? '', disk.get(places[(i + 1) % 4] ?? '') ?? new Uint8Array()),
    (disk, i) => {
      const value = Uint8Array.from(disk.get(places[i] ?? '') ?? [])
      value[value.length >> 1] = (value[value.length >> 1] ?? 0) ^ 1
      disk.set(places[i] ?? '', value)
    },
  ]
  for (const attack of attacks) {
    for (const i of [0, 1, 2, 3]) {
      const disk = { engine: new MemoryEngine(new Map(now)), files: new Map(clean.files) }
      attack(disk.engine.records, i)
      const opened = await openStore({ disk })
      const damaged = opened.status().namespaces.filter(({ isDamaged }) => isDamaged)
      assert.equal(damaged.length, 1)
      const [hurt] = damaged
      const healthy = hurt?.name === 'one' ? 'two' : 'one'
      await assert.rejects(opened.namespace(hurt?.name ?? '').get('a'), { code: 'NZ_STORAGE_DAMAGED' })
      await assert.rejects(opened.namespace(hurt?.name ?? '').put('a', bytes('x')), { code: 'NZ_STORAGE_DAMAGED' })
      assert.match(text(await opened.namespace(healthy).get('a')) ?? '', /^newer/)
      await opened.namespace(healthy).put('more', bytes('works'))
      assert.equal((await opened.check({ signal })).isIntact, false)
      await opened.repair()
      assert.equal(opened.status().state, 'open')
      assert.equal((await opened.check({ signal })).isIntact, true)
      await opened.namespace('one').put('after', bytes('repair'))
      await opened.close()
      const again = await openStore({ disk })
      assert.equal(again.status().state, 'open')
      await again.close()
    }
  }
})

it('notices a store that is older than its witness, that is gone, and a witness that was changed', async () => {
  const disk = await filled()
  const old = new Map(disk.engine.records)
  const later = await openStore({ disk })
  await later.namespace('one').put('a', bytes('later'))
  await later.close()
  const flipped = new Map(disk.files)
  const witness = Uint8Array.from(flipped.get('store-witness') ?? [])
  witness[40] = (witness[40] ?? 0) ^ 1
  flipped.set('store-witness', witness)
  const cases = [
    { engine: new MemoryEngine(old), files: disk.files },
    { engine: new MemoryEngine(), files: disk.files },
    { engine: disk.engine, files: flipped },
  ]
  for (const bad of cases) {
    const opened = await openStore({ disk: bad })
    assert.equal(opened.status().code, 'NZ_STORAGE_DAMAGED')
    await assert.rejects(opened.namespace('one').put('a', bytes('x')), { code: 'NZ_STORAGE_DAMAGED' })
    await opened.repair()
    assert.equal(opened.status().state, 'open')
    await opened.close()
  }
})

it('notices at reading what was changed behind its back', async () => {
  const disk = memoryDisk()
  const told: string[] = []
  const storage = await openStore({ disk, told })
  await storage.namespace('one').put('a', bytes('1'))
  const before = new Map(disk.engine.records)
  await storage.namespace('one').put('a', bytes('2'))
  for (const [key, value] of before) if (key.startsWith('72')) disk.engine.records.set(key, value)
  await assert.rejects(storage.namespace('one').get('a'), { code: 'NZ_STORAGE_DAMAGED' })
  assert.deepEqual(told, ['storage.damaged'])
  await storage.close()
})

it('turns read-only when the disk refuses, and writes again without a restart', async () => {
  for (const fault of ['before', 'after'] as const) {
    const clock = new SimulatedClock()
    const told: string[] = []
    const engine = new FaultyEngine()
    const storage = await openStore({ disk: { engine, files: new Map() }, clock, told })
    const store = storage.namespace('n')
    await store.put('a', bytes('kept'))
    engine.fault = fault
    await assert.rejects(store.put('b', bytes('refused')), { code: 'NZ_STORAGE_READ_ONLY' })
    assert.equal(storage.status().state, 'readOnly')
    assert.match(storage.status().why ?? '', /ENOSPC/)
    assert.equal(text(await store.get('a')), 'kept')
    await clock.advance(120_000)
    await assert.rejects(store.put('b', bytes('refused')), { code: 'NZ_STORAGE_READ_ONLY' })
    engine.fault = 'none'
    await clock.advance(31_000)
    for (let i = 0; i < 20 && storage.status().state !== 'open'; i++) await clock.advance(1)
    assert.equal(storage.status().state, 'open')
    await store.put('b', bytes('again'))
    assert.deepEqual([text(await store.get('a')), text(await store.get('b'))], ['kept', 'again'])
    assert.deepEqual(told, ['storage.readOnly', 'storage.writable'])
    await storage.close()
  }
})

it('lets writers that wait share one batch', async () => {
  const engine = new FaultyEngine()
  const storage = await openStore({ disk: { engine, files: new Map() } })
  const before = engine.batches
  await Promise.all(Array.from({ length: 500 }, async (_, i) => await storage.namespace('n').put(`k${i}`, bytes('v'))))
  assert.ok(engine.batches - before <= 3, String(engine.batches - before))
  await storage.close()
})

it('never seals twice under one nonce: over restarts, crashes, refusals, rotations and older copies of the disk', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.constantFrom('put', 'delete', 'restart', 'crash', 'refuse', 'rotate', 'copyBack'), { maxLength: 40 }),
      async (steps) => {
        const used = new Set<string>()
        let records = new Map<string, Uint8Array>()
        let files = new Map<string, Uint8Array>()
        let copy = { records: new Map(records), files: new Map(files) }
        const engines: FaultyEngine[] = []
        const open = async () => {
          const engine = new FaultyEngine(records)
          engines.push(engine)
          return { engine, storage: await openStore({ disk: { engine, files } }) }
        }
        let { engine, storage } = await open()
        for (const [i, step] of steps.entries()) {
          if (step === 'put')
            await storage
              .namespace('n')
              .put(`k${i % 5}`, bytes('v'))
              .catch(() => undefined)
          if (step === 'delete')
            await storage
              .namespace('n')
              .delete(`k${i % 5}`)
              .catch(() => undefined)
          if (step === 'rotate') await storage.rotate({ signal }).catch(() => undefined)
          if (step === 'refuse') {
            engine.fault = 'after'
            await storage
              .namespace('n')
              .put('x', bytes('v'))
              .catch(() => undefined)
            engine.fault = 'none'
          }
          if (step === 'restart') await storage.close()
          if (step === 'crash') [records, files] = [new Map(records), new Map(files)]
          if (step === 'copyBack') [records, files] = [new Map(copy.records), new Map(copy.files)]
          else copy = { records: new Map(records), files: new Map(files) }
          if (['restart', 'crash', 'copyBack'].includes(step)) ({ engine, storage } = await open())
        }
        await storage.close()
        for (const sealed of engines.flatMap(({ written }) => written)) {
          const { generation, salt, counter } = decodeHeader(sealed) ?? { generation: 0, salt: bytes(''), counter: 0 }
          const nonce = `${generation} ${Buffer.from(salt).toString('hex')} ${counter}`
          assert.equal(used.has(nonce), false)
          used.add(nonce)
        }
      },
    ),
    { numRuns: 60 },
  )
})

it('draws a new salt before a counter would wrap', () => {
  let salts = 0
  const counter = new SealCounter(() => new Uint8Array(16).fill(++salts), MAX_COUNTER - 1)
  const [last, first] = [counter.take(1), counter.take(1)]
  assert.deepEqual([last.counter, last.salt[0], first.counter, first.salt[0]], [MAX_COUNTER - 1, 1, 0, 2])
})

it('keeps its bounds on snapshots and on remembered changes', async () => {
  const storage = await openStore()
  const store = storage.namespace('n')
  const held = await Promise.all(Array.from({ length: MAX_SNAPSHOTS }, async () => await store.snapshot()))
  await assert.rejects(store.snapshot(), { code: 'NZ_STORAGE_BUSY' })
  for (const snapshot of held) await snapshot[Symbol.asyncDispose]()
  for (let i = 0; i <= MAX_CHANGES; i++) void store.put('k', bytes(String(i)))
  await store.put('k', bytes('last'))
  const kinds: string[] = []
  for await (const { kind } of store.watch({ after: 0, signal })) if (kinds.push(kind) === 2) break
  assert.deepEqual(kinds, ['gap', 'put'])
  await storage.close()
})

it('sweeps records whose time is over, and goes on rotating after a restart', async () => {
  const clock = new SimulatedClock()
  const disk = memoryDisk()
  const storage = await openStore({ disk, clock })
  for (let i = 0; i < 10; i++) await storage.namespace('n').put(`k${i}`, bytes('v'), { ttlMs: 1_000 + i })
  await storage.namespace('n').put('stays', bytes('v'))
  await clock.advance(60_000)
  await storage.store.commits.idle()
  assert.equal(storage.namespace('n').usage.records, 1)
  await storage.store.nextGeneration()
  assert.equal(storage.status().toRotate, 1)
  await storage.close()
  const again = await openStore({ disk, clock })
  await again.rotate({ signal })
  assert.deepEqual([again.status().generation, again.status().toRotate], [2, 0])
  await again.close()
})
