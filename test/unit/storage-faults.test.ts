/** A disk that refuses: the store is read-only with the reason, believes no half-known record, and recovers by itself. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { SimulatedClock } from '../../kernel/index.ts'
import { MemoryEngine } from '../../modules/storage/memory-engine.ts'
import { openStore } from '../fake/storage.ts'
import type { EngineOperation, EngineSnapshot } from '../../modules/storage/engine.ts'
import type { Storage } from '../../modules/storage/storage.ts'

const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text))
const text = (value: Uint8Array | null): string | null => (value === null ? null : Buffer.from(value).toString())
const { signal } = new AbortController()

/** In LevelDB's words, and what is told of them. */
const FAULTS = [
  { words: 'IO error: 000004.log: No space left on device', told: /ENOSPC/ },
  { words: 'IO error: 000004.log: Input/output error', told: /EIO/ },
  { words: 'IO error: 000004.log: Too many open files', told: /EMFILE/ },
  { words: 'IO error: 000004.log: Read-only file system', told: /EROFS/ },
  { words: 'IO error: 000004.log: Disk quota exceeded', told: /EDQUOT/ },
  // Of Node's own calls: the folder is synced by them.
  { words: 'ENOSPC: no space left on device, fsync', told: /ENOSPC/ },
  { words: 'EIO: i/o error, fsync', told: /EIO/ },
  { words: 'EMFILE: too many open files, open', told: /EMFILE/ },
  { words: 'EROFS: read-only file system, open', told: /EROFS/ },
] as const

type Step = 'open' | 'batch' | 'sync' | 'get' | 'probe' | 'compact'

/** `sync`: the batch is on disk, and then it is said to have failed. */
class FaultyEngine extends MemoryEngine {
  readonly failing = new Set<Step>()
  words = ''

  #meet(step: Step): void {
    if (this.failing.has(step)) throw new Error('the database failed', { cause: new Error(this.words) })
  }

  override async open(): Promise<void> {
    this.#meet('open')
    await super.open()
  }

  override async batch(operations: readonly EngineOperation[]): Promise<void> {
    this.#meet('batch')
    await super.batch(operations)
    this.#meet('sync')
  }

  override async get(key: Uint8Array, snapshot?: EngineSnapshot): Promise<Uint8Array | null> {
    this.#meet('get')
    return await super.get(key, snapshot)
  }

  override async probe(): Promise<void> {
    this.#meet('probe')
    await super.probe()
  }

  override async compact(): Promise<{ readonly bytesBefore: number; readonly bytesAfter: number }> {
    this.#meet('compact')
    return await super.compact()
  }
}

async function used(): Promise<{ engine: FaultyEngine; storage: Storage; clock: SimulatedClock; told: string[] }> {
  const [engine, clock, told] = [new FaultyEngine(), new SimulatedClock(), [] as string[]]
  const storage = await openStore({ disk: { engine, files: new Map() }, clock, told })
  await storage.namespace('n').put('a', bytes('kept'))
  return { engine, storage, clock, told }
}

/** The longest wait between two tries is 30 s. */
async function recovered(storage: Storage, clock: SimulatedClock): Promise<void> {
  await clock.advance(30_000)
  for (let i = 0; i < 50 && storage.status().code !== null; i++) await clock.advance(1)
  assert.equal(storage.status().state, 'open')
}

describe('a disk that refuses', () => {
  for (const { words, told: reason } of FAULTS) {
    it(`makes the store read-only until it takes writes again: ${words}`, async () => {
      const { engine, storage, clock, told } = await used()
      const store = storage.namespace('n')
      engine.words = words
      for (const step of ['batch', 'probe'] as const) engine.failing.add(step)
      await assert.rejects(store.put('a', bytes('refused')), { code: 'NZ_STORAGE_READ_ONLY' })
      const { state, code, why } = storage.status()
      assert.deepEqual([state, code], ['readOnly', 'NZ_STORAGE_READ_ONLY'])
      assert.match(why ?? '', reason)
      assert.equal(text(await store.get('a')), 'kept')
      await assert.rejects(store.delete('a'), { code: 'NZ_STORAGE_READ_ONLY' })
      await assert.rejects(storage.rotate({ signal }), { code: 'NZ_STORAGE_READ_ONLY' })
      await assert.rejects(storage.gc({ signal }), { code: 'NZ_STORAGE_READ_ONLY' })
      await clock.advance(60_000)
      assert.equal(storage.status().state, 'readOnly')
      engine.failing.clear()
      await recovered(storage, clock)
      await store.put('a', bytes('again'))
      assert.equal(text(await store.get('a')), 'again')
      assert.deepEqual(told, ['storage.readOnly', 'storage.writable'])
      await storage.close()
    })
  }

  it('is believed nothing after a batch that came half-way: its records are neither old, new nor damaged yet', async () => {
    const { engine, storage, clock, told } = await used()
    const store = storage.namespace('n')
    await store.put('b', bytes('other'))
    engine.words = 'EIO: i/o error, fsync'
    engine.failing.add('sync')
    await assert.rejects(store.put('a', bytes('perhaps')), { code: 'NZ_STORAGE_READ_ONLY' })
    await assert.rejects(store.get('a'), { code: 'NZ_STORAGE_UNAVAILABLE' })
    await assert.rejects(
      async () => {
        for await (const _ of store.range()) continue
      },
      { code: 'NZ_STORAGE_UNAVAILABLE' },
    )
    assert.equal(text(await store.get('b')), 'other')
    engine.failing.clear()
    await recovered(storage, clock)
    assert.equal(text(await store.get('a')), 'perhaps')
    assert.deepEqual(told, ['storage.readOnly', 'storage.writable'])
    await storage.close()
  })

  it('does not damage what cannot be read for a while', async () => {
    const { engine, storage } = await used()
    const store = storage.namespace('n')
    for (const { words } of FAULTS) {
      engine.words = words
      engine.failing.add('get')
      await assert.rejects(store.get('a'), { code: 'NZ_STORAGE_UNAVAILABLE' })
      engine.failing.clear()
      assert.equal(text(await store.get('a')), 'kept')
    }
    await storage.close()
  })

  it('is tried again when it refuses to be opened', async () => {
    for (const { words } of FAULTS) {
      const { engine, storage } = await used()
      await storage.close()
      const clock = new SimulatedClock()
      const disk = { engine: new FaultyEngine(engine.records), files: new Map<string, Uint8Array>() }
      disk.engine.words = words
      disk.engine.failing.add('open')
      const again = await openStore({ disk, clock })
      assert.deepEqual([again.status().state, again.status().code], ['closed', 'NZ_STORAGE_UNAVAILABLE'])
      await assert.rejects(again.namespace('n').get('a'), { code: 'NZ_STORAGE_UNAVAILABLE' })
      await clock.advance(90_000)
      disk.engine.failing.clear()
      await recovered(again, clock)
      assert.equal(text(await again.namespace('n').get('a')), 'kept')
      await again.close()
    }
  })

  it('makes the store read-only when it fails while room is given back', async () => {
    const { engine, storage, clock } = await used()
    engine.words = 'IO error: 000009.ldb: No space left on device'
    engine.failing.add('compact')
    await assert.rejects(storage.gc({ signal }), { code: 'NZ_STORAGE_READ_ONLY' })
    assert.equal(storage.status().state, 'readOnly')
    engine.failing.clear()
    await recovered(storage, clock)
    assert.equal((await storage.gc({ signal })).removed, 0)
    await storage.close()
  })
})
