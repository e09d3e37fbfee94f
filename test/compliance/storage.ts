/** What every implementation of StorageService promises. Called with a way to open the same store again and again. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { z } from 'zod'
import { SimulatedClock } from '../../kernel/index.ts'
import { collection } from '../../modules/storage/collection.ts'
import type { Clock } from '../../kernel/index.ts'
import type { StorageService, StoredRecord, WatchItem } from '../../modules/storage/service.ts'
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
