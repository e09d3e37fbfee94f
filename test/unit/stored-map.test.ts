import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { z } from 'zod'
import { SimulatedClock } from '../../kernel/index.ts'
import { memoryHome } from '../fake/home.ts'
import { damage, diskOf, openStore } from '../fake/storage.ts'
import type { Clock } from '../../kernel/index.ts'
import type { MapInit } from '../../modules/storage/service.ts'
import type { Storage } from '../../modules/storage/storage.ts'

const schema = z.strictObject({ n: z.int() })
type Value = z.infer<typeof schema>

/** Lines `key n`, as a version without a store might have kept them. */
const older: NonNullable<MapInit<Value>['older']> = {
  file: 'old.txt',
  records: (bytes) =>
    Buffer.from(bytes)
      .toString()
      .split('\n')
      .map((line): [string, Value] => {
        const [key = '', n = ''] = line.split(' ')
        if (!/^\d+$/.test(n)) throw new Error('damaged')
        return [key, { n: Number(n) }]
      }),
}

function disk(files = new Map<string, Uint8Array>()) {
  const open = async (clock: Clock = new SimulatedClock()): Promise<Storage> =>
    await openStore({ disk: diskOf(files), home: memoryHome(files), clock })
  return { files, engine: diskOf(files).engine, open }
}

async function mapOf(storage: Storage, init: Partial<MapInit<Value>> = {}) {
  const map = storage.map('test', { schema, ...init })
  await map.load()
  return map
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

describe('a stored map', () => {
  it('keeps its values over restarts and makes one change after another', async () => {
    const { open } = disk()
    const map = await mapOf(await open())
    const raise = async (): Promise<number> =>
      await map.change((values) => {
        const n = (values.get('a')?.n ?? 0) + 1
        return { put: [['a', { n }]], remove: ['b'], result: n }
      })
    assert.deepEqual(await Promise.all([raise(), raise(), raise()]), [1, 2, 3])
    assert.deepEqual([...(await mapOf(await open())).values], [['a', { n: 3 }]])
  })

  it('goes on after a step that throws, and never stores what does not fit its schema', async () => {
    const { open } = disk()
    const map = await mapOf(await open())
    const refused = map.change(() => {
      throw new Error('no')
    })
    const wrong = map.change(() => ({ put: [['a', { n: 0.5 }]], result: null }))
    const after = map.change(() => ({ put: [['b', { n: 1 }]], result: null }))
    await assert.rejects(refused, /no/)
    await assert.rejects(wrong, TypeError)
    await after
    assert.deepEqual([...map.values.keys()], ['b'])
  })

  it('changes nothing in memory when the disk refuses a change', async () => {
    const { open, engine } = disk()
    const map = await mapOf(await open())
    engine.isFull = true
    const change = map.change(() => ({ put: [['a', { n: 1 }]], result: null }))
    await assert.rejects(change, { code: 'NZ_STORAGE_READ_ONLY' })
    assert.equal(map.values.size, 0)
  })

  it('writes forced changes that a full disk refused as soon as it takes them again', async () => {
    const { open, engine } = disk()
    const clock = new SimulatedClock()
    const map = await mapOf(await open(clock))
    await map.force({
      put: [
        ['gone', { n: 0 }],
        ['same', { n: 7 }],
      ],
    })
    engine.isFull = true
    await assert.rejects(map.force({ put: [['a', { n: 1 }]], remove: ['gone'] }), { code: 'NZ_STORAGE_READ_ONLY' })
    await assert.rejects(map.force({ put: [['a', { n: 2 }]] }), { code: 'NZ_STORAGE_READ_ONLY' })
    assert.deepEqual([...map.values.keys()], ['same', 'a'])
    engine.isFull = false
    await clock.advance(1_000)
    const again = await mapOf(await open())
    assert.deepEqual(
      [...again.values],
      [
        ['a', { n: 2 }],
        ['same', { n: 7 }],
      ],
    )
  })

  it('shares one write between forced changes that come during another', async () => {
    const { open, engine } = disk()
    const map = await mapOf(await open())
    let batches = 0
    const batch = engine.batch.bind(engine)
    engine.batch = async (operations) => {
      batches += 1
      await batch(operations)
    }
    await Promise.all(Array.from({ length: 100 }, async (_, n) => await map.force({ put: [[`k${n}`, { n }]] })))
    assert.ok(batches <= 2, `${batches} writes`)
    assert.equal((await mapOf(await open())).values.size, 100)
  })
})

describe('an older file', () => {
  it('is imported and removed, whatever the moment at which the process was killed', async () => {
    const text = Array.from({ length: 600 }, (_, n) => `k${n} ${n}`).join('\n')
    for (let kept = 0; ; kept++) {
      const { files, engine, open } = disk(new Map([['old.txt', bytes(text)]]))
      await (await open()).close()
      // Killed: of all that follows, only so many writes and removals come about.
      let left = kept
      const batch = engine.batch.bind(engine)
      const killed = async (): Promise<never> => await new Promise(() => undefined)
      engine.batch = async (operations) => await (left-- > 0 ? batch(operations) : killed())
      const dying = await openStore({ disk: { engine, files }, home: { ...memoryHome(files), remove: killed } })
      void dying.map('test', { schema, older }).load()
      await new Promise(setImmediate)
      engine.batch = batch
      const isWhole = left > 0
      const map = await mapOf(await open(), { older })
      assert.equal(map.values.size, 600, `after ${kept} writes`)
      assert.equal(files.has('old.txt'), false)
      await map.change(() => ({ remove: ['k7'], result: null }))
      assert.equal((await mapOf(await open(), { older })).values.has('k7'), false)
      if (isWhole) return
    }
  })

  it('that is damaged is an error and stays; one that came back is imported again', async () => {
    const { files, open } = disk(new Map([['old.txt', bytes('a x')]]))
    await assert.rejects(mapOf(await open(), { older }), /damaged/)
    assert.ok(files.has('old.txt'))
    files.set('old.txt', bytes('a 1'))
    assert.deepEqual([...(await mapOf(await open(), { older })).values], [['a', { n: 1 }]])
    files.set('old.txt', bytes('b 2'))
    assert.deepEqual([...(await mapOf(await open(), { older })).values.keys()], ['a', 'b'])
  })

  it('that cannot be removed is not imported a second time', async () => {
    const files = new Map([['old.txt', bytes('a 1\nb 2')]])
    const home = { ...memoryHome(files), remove: async () => await Promise.reject(new Error('read-only')) }
    const map = await mapOf(await openStore({ disk: diskOf(files), home }), { older })
    await map.change(() => ({ remove: ['a'], result: null }))
    assert.deepEqual([...(await mapOf(await openStore({ disk: diskOf(files), home }), { older })).values.keys()], ['b'])
  })
})

describe('a damaged namespace', () => {
  it('is trouble, not an empty map, until it was repaired', async () => {
    const place = disk()
    const first = await mapOf(await place.open())
    await first.change(() => ({
      put: [
        ['a', { n: 1 }],
        ['b', { n: 2 }],
      ],
      result: null,
    }))
    damage(diskOf(place.files))
    const storage = await place.open()
    let loaded = 0
    const map = await mapOf(storage, { onLoaded: () => void (loaded += 1) })
    assert.throws(() => map.values, { code: 'NZ_STORAGE_DAMAGED' })
    await assert.rejects(map.force({ remove: ['a'] }), { code: 'NZ_STORAGE_DAMAGED' })
    const health = map.health('nothing works')
    assert.equal(health.state, 'degraded')
    assert.match('why' in health ? health.why : '', /nothing works$/)
    await storage.repair()
    assert.equal(map.values.size, 1)
    assert.deepEqual([loaded, map.health('').state], [1, 'healthy'])
  })

  it('that was whole when it was read gets back from memory what a repair could not keep', async () => {
    const place = disk()
    const storage = await place.open()
    const map = await mapOf(storage)
    await map.change(() => ({
      put: [
        ['a', { n: 1 }],
        ['b', { n: 2 }],
      ],
      result: null,
    }))
    damage(diskOf(place.files))
    assert.equal((await storage.check({ signal: new AbortController().signal })).isIntact, false)
    await storage.repair()
    assert.deepEqual([...(await mapOf(await place.open())).values.keys()], ['a', 'b'])
  })
})
