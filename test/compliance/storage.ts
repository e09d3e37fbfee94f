/** What every implementation of StorageService promises. Called with a way to open the same store again and again. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { z } from 'zod'
import { SimulatedClock } from '../../kernel/index.ts'
import { collection } from '../../modules/storage/collection.ts'
import type { Clock } from '../../kernel/index.ts'
import type { Operation, StorageService, StoredRecord, WatchItem } from '../../modules/storage/service.ts'
import { storageMigrationCompliance } from './storage-migration.ts'

export interface StorageUnderTest {
  /** Opens the store; what was acknowledged before is there. */
  open(options: {
    readonly clock?: Clock
    readonly maxNamespaceRecords?: number
    readonly maxNamespaceBytes?: number
  }): Promise<StorageService & { close(): Promise<void> }>
  remove(): Promise<void>
}

const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text))
const text = (value: Uint8Array | null): string | null => (value === null ? null : Buffer.from(value).toString())

async function keysOf(records: AsyncIterable<StoredRecord>): Promise<readonly string[]> {
  const keys: string[] = []
  for await (const { key } of records) keys.push(key)
  return keys
}

export function storageCompliance(name: string, create: () => Promise<StorageUnderTest>): void {
  const using = async (work: (open: StorageUnderTest['open']) => Promise<void>): Promise<void> => {
    const under = await create()
    const opened: { close(): Promise<void> }[] = []
    try {
      await work(async (options) => {
        for (const one of opened.splice(0)) await one.close()
        const storage = await under.open(options)
        opened.push(storage)
        return storage
      })
    } finally {
      for (const one of opened) await one.close()
      await under.remove()
    }
  }

  storageMigrationCompliance(name, using)

  describe(`storage: ${name}`, () => {
    it('keeps what was put, over a restart, apart by namespace', async () => {
      await using(async (open) => {
        let storage = await open({})
        await storage.namespace('alpha').put('k', bytes('one'))
        await storage.namespace('beta/part').put('k', bytes('two'))
        await storage.namespace('alpha').put('gone', bytes('x'))
        assert.equal(await storage.namespace('alpha').delete('gone'), true)
        assert.equal(await storage.namespace('alpha').delete('gone'), false)
        storage = await open({})
        assert.equal(text(await storage.namespace('alpha').get('k')), 'one')
        assert.equal(text(await storage.namespace('beta/part').get('k')), 'two')
        assert.equal(await storage.namespace('alpha').get('gone'), null)
        assert.equal(await storage.namespace('other').get('k'), null)
        assert.deepEqual(storage.namespace('alpha').usage, { records: 1, bytes: 4 })
        assert.equal(storage.status().state, 'open')
      })
    })

    it('takes a batch whole, the last operation on a key counting, or not at all', async () => {
      await using(async (open) => {
        const store = (await open({ maxNamespaceRecords: 2 })).namespace('n')
        await store.batch([
          { type: 'put', key: 'a', value: bytes('1') },
          { type: 'put', key: 'b', value: bytes('2') },
          { type: 'delete', key: 'a' },
          { type: 'put', key: 'a', value: bytes('3') },
        ])
        assert.equal(text(await store.get('a')), '3')
        const tooMany = ['x', 'y'].map((key) => ({ type: 'put' as const, key, value: bytes('v') }))
        await assert.rejects(store.batch([{ type: 'delete', key: 'a' }, ...tooMany]), { code: 'NZ_STORAGE_QUOTA' })
        assert.deepEqual(await keysOf(store.range()), ['a', 'b'])
      })
    })

    it('reads ranges in order, by prefix, from a place, backwards and up to a limit', async () => {
      await using(async (open) => {
        const store = (await open({})).namespace('n')
        const keys = ['b/2', 'a', 'b/10', 'c', 'b/1', 'é', '\u{1F600}']
        await Promise.all(keys.map(async (key) => await store.put(key, bytes(key))))
        const sorted = keys.toSorted((a, b) => (a < b ? -1 : 1))
        assert.deepEqual(await keysOf(store.range()), sorted)
        assert.deepEqual(await keysOf(store.range({ reverse: true })), sorted.toReversed())
        assert.deepEqual(await keysOf(store.range({ prefix: 'b/' })), ['b/1', 'b/10', 'b/2'])
        assert.deepEqual(await keysOf(store.range({ prefix: 'b/', after: 'b/1' })), ['b/10', 'b/2'])
        assert.deepEqual(await keysOf(store.range({ prefix: 'b/', after: 'b/2', reverse: true })), ['b/10', 'b/1'])
        assert.deepEqual(await keysOf(store.range({ after: 'bb', limit: 1 })), ['c'])
        assert.deepEqual(await keysOf(store.range({ prefix: 'zz' })), [])
      })
    })

    it('shows a snapshot and a running range one state, whatever is written meanwhile', async () => {
      await using(async (open) => {
        const store = (await open({})).namespace('n')
        for (const key of ['a', 'b', 'c']) await store.put(key, bytes('old'))
        const seen: string[] = []
        await whileOpen(await store.snapshot(), async (snapshot) => {
          for await (const { key, value } of store.range()) {
            await store.batch([
              { type: 'put', key: 'b', value: bytes('new') },
              { type: 'delete', key: 'c' },
              { type: 'put', key: 'bb', value: bytes('new') },
            ])
            seen.push(`${key}=${text(value)}`)
          }
          assert.equal(text(await store.get('c', { snapshot })), 'old')
          assert.equal(await store.get('bb', { snapshot }), null)
          assert.deepEqual(await keysOf(store.range({ snapshot })), ['a', 'b', 'c'])
        })
        assert.deepEqual(seen, ['a=old', 'b=old', 'c=old'])
        assert.deepEqual(await keysOf(store.range()), ['a', 'b', 'bb'])
      })
    })

    it('ends records at their time and gives their room back', async () => {
      await using(async (open) => {
        const clock = new SimulatedClock()
        const store = (await open({ clock })).namespace('n')
        await store.put('short', bytes('x'), { ttlMs: 1_000 })
        await store.put('long', bytes('y'))
        await clock.advance(999)
        assert.equal(text(await store.get('short')), 'x')
        await clock.advance(1)
        assert.equal(await store.get('short'), null)
        assert.deepEqual(await keysOf(store.range()), ['long'])
        assert.equal(await store.delete('short'), false)
        assert.equal(store.usage.records, 1)
      })
    })

    it('refuses what is too much or no key, and says so', async () => {
      await using(async (open) => {
        const store = (await open({ maxNamespaceBytes: 100 })).namespace('n')
        await store.put('k', new Uint8Array(99))
        await assert.rejects(store.put('k', new Uint8Array(100)), { code: 'NZ_STORAGE_QUOTA' })
        await store.put('k', new Uint8Array(10))
        await assert.rejects(store.put('v', new Uint8Array(1_048_577)), { code: 'NZ_STORAGE_VALUE_TOO_LARGE' })
        for (const key of ['', 'x'.repeat(513), '\ud800', 'a\0b']) {
          await assert.rejects(store.put(key, bytes('v')), { code: 'NZ_STORAGE_KEY_INVALID' })
        }
        assert.equal((await store.get('k'))?.byteLength, 10)
      })
    })

    it('takes what is just at its bounds and nothing above them', async () => {
      await using(async (open) => {
        const storage = await open({ maxNamespaceRecords: 2_000 })
        const store = storage.namespace('n')
        await store.put('k'.repeat(512), new Uint8Array(1_048_576))
        const puts = (count: number, size: number): readonly Operation[] =>
          Array.from({ length: count }, (_, n) => ({ type: 'put', key: `b${n}`, value: new Uint8Array(size) }))
        await store.batch(puts(8, 1_048_576))
        await assert.rejects(store.batch(puts(9, 1_048_576)), { code: 'NZ_STORAGE_VALUE_TOO_LARGE' })
        await store.batch(puts(1_024, 1))
        await assert.rejects(store.batch(puts(1_025, 1)), { code: 'NZ_STORAGE_BUSY' })
        assert.equal(store.usage.records, 1_025)
        assert.equal((await keysOf(store.range())).length, 1_000)
        assert.equal((await keysOf(store.range({ limit: 1_000 }))).length, 1_000)
        for (const limit of [0, 1_001, 1.5]) await assert.rejects(keysOf(store.range({ limit })), RangeError)
        await assert.rejects(store.put('k', bytes('v'), { ttlMs: 0 }), RangeError)
        assert.throws(() => storage.namespace('Upper'), TypeError)
        assert.equal(storage.namespace('x'.repeat(64)).name.length, 64)
        assert.throws(() => storage.namespace('x'.repeat(65)), TypeError)
      })
    })

    it('has room for so many records, bytes and namespaces, and for changes that do not grow', async () => {
      await using(async (open) => {
        const limits = { maxNamespaceRecords: 3, maxNamespaceBytes: 40 }
        const storage = await open(limits)
        const store = storage.namespace('n0')
        for (const key of ['a', 'b', 'c']) await store.put(key, new Uint8Array(9))
        await assert.rejects(store.put('d', new Uint8Array(1)), { code: 'NZ_STORAGE_QUOTA' })
        await store.put('a', new Uint8Array(19))
        await assert.rejects(store.put('b', new Uint8Array(10)), { code: 'NZ_STORAGE_QUOTA' })
        assert.deepEqual(store.usage, { records: 3, bytes: 40 })
        await store.batch([
          { type: 'delete', key: 'c' },
          { type: 'put', key: 'd', value: new Uint8Array(9) },
        ])
        for (let n = 1; n < 64; n++) await storage.namespace(`n${n}`).put('k', bytes('v'))
        await assert.rejects(storage.namespace('n64').put('k', bytes('v')), { code: 'NZ_STORAGE_QUOTA' })
        // A limit that was lowered refuses more and lets less in.
        const tighter = (await open({ maxNamespaceRecords: 1 })).namespace('n0')
        await assert.rejects(tighter.put('e', new Uint8Array(1)), { code: 'NZ_STORAGE_QUOTA' })
        await tighter.put('a', new Uint8Array(1))
        await tighter.delete('b')
        assert.equal(tighter.usage.records, 2)
      })
    })

    it('reads a range in pages as if at once: large values, ends of lives, and a caller that stops', async () => {
      await using(async (open) => {
        const clock = new SimulatedClock()
        const store = (await open({ clock })).namespace('n')
        const key = (n: number): string => `k${String(n).padStart(3, '0')}`
        const put = (n: number): Operation => {
          const value = new Uint8Array(n % 50 === 0 ? 700_000 : 10).fill(n)
          return { type: 'put', key: key(n), value, ...(n % 7 === 0 ? { ttlMs: 1_000 } : {}) }
        }
        await store.batch(Array.from({ length: 400 }, (_, n) => put(n)))
        const seen: string[] = []
        for await (const record of store.range({ limit: 300 })) {
          assert.equal(record.value[0], Number(record.key.slice(1)) % 256)
          seen.push(record.key)
          if (seen.length === 100) await clock.advance(1_000)
        }
        const all = Array.from({ length: 400 }, (_, n) => n)
        const expected = all.filter((n) => n < 100 || n % 7 !== 0).slice(0, 300)
        assert.deepEqual(seen, expected.map(key))
        for await (const { key: first } of store.range({ reverse: true })) {
          assert.equal(first, key(398))
          break
        }
        await store.put('after', bytes('a range that was left'))
      })
    })

    it('tells changes in order, goes on from a cursor, and says when it cannot', async () => {
      await using(async (open) => {
        const first = await open({})
        const store = first.namespace('n')
        await store.put('a', bytes('1'))
        const stop = new AbortController()
        const items: WatchItem[] = []
        const watching = (async () => {
          for await (const item of store.watch({ after: 0, signal: stop.signal })) {
            items.push(item)
            if (items.length === 3) return
          }
        })()
        await store.put('b', bytes('2'))
        await store.delete('a')
        await watching
        assert.deepEqual(
          items.map(({ kind, ...rest }) => [kind, 'key' in rest ? rest.key : null]),
          [
            ['put', 'a'],
            ['put', 'b'],
            ['delete', 'a'],
          ],
        )
        const [at] = items
        const again = (await open({})).namespace('n')
        for await (const item of again.watch({ after: at?.cursor ?? 0, signal: stop.signal })) {
          assert.equal(item.kind, 'gap')
          break
        }
      })
    })

    it('seals everything under fresh keys while it is in use', async () => {
      await using(async (open) => {
        let storage = await open({})
        const store = storage.namespace('n')
        for (let i = 0; i < 200; i++) void store.put(`k${i}`, bytes(`v${i}`))
        await store.put('last', bytes('v'))
        const { signal } = new AbortController()
        const [status] = await Promise.all([
          storage.rotate({ signal }),
          store.put('k7', bytes('changed')),
          store.delete('k8'),
        ])
        assert.deepEqual([status.generation, status.toRotate], [2, 0])
        storage = await open({})
        const reopened = storage.namespace('n')
        assert.equal(text(await reopened.get('k7')), 'changed')
        assert.equal(await reopened.get('k8'), null)
        assert.equal(text(await reopened.get('k199')), 'v199')
        assert.equal(reopened.usage.records, 200)
        assert.equal((await storage.check({ signal })).isIntact, true)
      })
    })

    it('holds values of a schema', async () => {
      await using(async (open) => {
        const namespace = (await open({})).namespace('n')
        const people = collection(namespace, z.strictObject({ name: z.string() }))
        await people.put('1', { name: 'Ada' })
        assert.deepEqual(await people.get('1'), { name: 'Ada' })
        await assert.rejects(people.put('2', { nom: 'x' } as never), TypeError)
        await namespace.put('3', bytes('{}'))
        await assert.rejects(people.get('3'), { code: 'NZ_STORAGE_VALUE_INVALID' })
      })
    })
  })
}

async function whileOpen<T extends AsyncDisposable>(resource: T, work: (resource: T) => Promise<void>): Promise<void> {
  await using held = resource
  await work(held)
}
