/** What every implementation of StorageService promises of records that change their form. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { SimulatedClock } from '../../kernel/index.ts'
import type { Namespace, NamespaceSchema, StorageService, StoredRecord } from '../../modules/storage/service.ts'
import type { StorageUnderTest } from './storage.ts'

type Using = (work: (open: StorageUnderTest['open']) => Promise<void>) => Promise<void>

const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text))
const { signal } = new AbortController()

/** Version 2 writes values in capitals, version 3 has a record for each word. */
const second: NamespaceSchema = {
  version: 2,
  migrations: [{ to: 2, migrate: ({ key, value }) => [{ key, value: bytes(textOf(value).toUpperCase()) }] }],
}
const third: NamespaceSchema = {
  version: 3,
  migrations: [
    ...(second.migrations ?? []),
    {
      to: 3,
      migrate: ({ key, value }) =>
        textOf(value)
          .split(' ')
          .filter((word) => word !== '')
          .map((word, n) => ({ key: `${key}/${n}`, value: bytes(word) })),
    },
  ],
}

function textOf(value: Uint8Array): string {
  return Buffer.from(value).toString()
}

async function contentOf(store: Namespace): Promise<Readonly<Record<string, string>>> {
  const content: Record<string, string> = {}
  for await (const { key, value } of store.range()) content[key] = textOf(value)
  return content
}

async function fill(storage: StorageService): Promise<void> {
  const old = storage.namespace('n')
  await old.put('a', bytes('one two'))
  await old.put('b', bytes('three'))
  await old.put('empty', bytes(''))
  await storage.namespace('other').put('a', bytes('untouched'))
}

export function storageMigrationCompliance(name: string, using: Using): void {
  describe(`migrations: ${name}`, () => {
    it('converts step by step, over a restart, and leaves other namespaces alone', async () => {
      await using(async (open) => {
        let storage = await open({})
        await fill(storage)
        storage = await open({})
        const store = storage.namespace('n', third)
        await assert.rejects(store.get('a/0'), { code: 'NZ_STORAGE_NOT_MIGRATED' })
        await assert.rejects(store.put('c', bytes('x')), { code: 'NZ_STORAGE_NOT_MIGRATED' })
        assert.deepEqual(await store.migrate({ signal }), { from: 1, to: 3, read: 3, written: 3 })
        const content = { 'a/0': 'ONE', 'a/1': 'TWO', 'b/0': 'THREE' }
        assert.deepEqual(await contentOf(store), content)
        assert.deepEqual(await store.migrate({ signal }), { from: 3, to: 3, read: 0, written: 0 })
        storage = await open({})
        assert.deepEqual(await contentOf(storage.namespace('n', third)), content)
        assert.deepEqual(await contentOf(storage.namespace('other')), { a: 'untouched' })
        assert.deepEqual(
          storage.status().namespaces.map(({ name: is, version, records }) => [is, version, records]),
          [
            ['n', 3, 3],
            ['other', 1, 1],
          ],
        )
        assert.equal((await storage.check({ signal })).isIntact, true)
      })
    })

    it('refuses who knows an older form only, to read and to write', async () => {
      await using(async (open) => {
        let storage = await open({})
        await storage.namespace('n', third).put('a/0', bytes('ONE'))
        storage = await open({})
        for (const schema of [undefined, second]) {
          const old = storage.namespace('n', schema)
          await assert.rejects(old.get('a/0'), { code: 'NZ_STORAGE_NEWER' })
          await assert.rejects(old.put('a', bytes('x')), { code: 'NZ_STORAGE_NEWER' })
          await assert.rejects(contentOf(old), { code: 'NZ_STORAGE_NEWER' })
          await assert.rejects(old.migrate({ signal }), { code: 'NZ_STORAGE_NEWER' })
          assert.throws(() => old.watch({ signal }), { code: 'NZ_STORAGE_NEWER' })
        }
        assert.deepEqual(await contentOf(storage.namespace('n', third)), { 'a/0': 'ONE' })
      })
    })

    it('tries a migration and changes nothing', async () => {
      await using(async (open) => {
        const storage = await open({})
        await fill(storage)
        const before = storage.status()
        const store = storage.namespace('n', third)
        assert.deepEqual(await store.migrate({ signal, isDryRun: true }), { from: 1, to: 3, read: 3, written: 3 })
        assert.deepEqual(storage.status(), before)
        assert.equal(textOf((await storage.namespace('n').get('a')) ?? bytes('')), 'one two')
      })
    })

    it('keeps the version before when a record cannot be converted, has no room or meets another of its key', async () => {
      const refuse = ({ key, value }: StoredRecord): readonly StoredRecord[] => {
        if (key === 'b') throw new Error('not convertible')
        return [{ key, value }]
      }
      const failing: readonly [NamespaceSchema['migrations'], string][] = [
        [[{ to: 2, migrate: refuse }], 'NZ_STORAGE_MIGRATION_FAILED'],
        [[{ to: 2, migrate: ({ value }) => [{ key: 'same', value }] }], 'NZ_STORAGE_MIGRATION_FAILED'],
        [[{ to: 2, migrate: ({ value }) => [{ key: '', value }] }], 'NZ_STORAGE_MIGRATION_FAILED'],
        [[{ to: 2, migrate: ({ key }) => [{ key, value: new Uint8Array(2_000) }] }], 'NZ_STORAGE_QUOTA'],
      ]
      await using(async (open) => {
        let storage = await open({ maxNamespaceBytes: 1_000 })
        await fill(storage)
        for (const [migrations = [], code] of failing) {
          const store = storage.namespace('n', { version: 2, migrations })
          await assert.rejects(store.migrate({ signal }), { code })
          const old = storage.namespace('n')
          assert.deepEqual(await contentOf(old), { a: 'one two', b: 'three', empty: '' })
          await old.put('c', bytes('still takes changes'))
          await old.delete('c')
          assert.deepEqual(
            storage.status().namespaces.map(({ version }) => version),
            [1, 1],
          )
        }
        storage = await open({})
        assert.equal(storage.status().state, 'open')
        assert.equal((await storage.namespace('n', second).migrate({ signal })).written, 3)
      })
    })

    it('stops when it is told to, with everything as it was', async () => {
      await using(async (open) => {
        const storage = await open({})
        await fill(storage)
        const stop = new AbortController()
        const migrate = ({ key, value }: StoredRecord): readonly StoredRecord[] => {
          stop.abort()
          return [{ key, value }]
        }
        const store = storage.namespace('n', { version: 2, migrations: [{ to: 2, migrate }] })
        await assert.rejects(store.migrate({ signal: stop.signal }), { name: 'AbortError' })
        assert.equal(Object.keys(await contentOf(storage.namespace('n'))).length, 3)
      })
    })

    it('lets old records be read and refuses changes while it copies; one migration after another', async () => {
      await using(async (open) => {
        const storage = await open({})
        await fill(storage)
        const old = storage.namespace('n')
        const both = Promise.all([
          storage.namespace('n', second).migrate({ signal }),
          storage.namespace('n', third).migrate({ signal }),
        ])
        assert.equal(textOf((await old.get('b')) ?? bytes('')), 'three')
        await assert.rejects(old.put('b', bytes('x')), { code: 'NZ_STORAGE_BUSY' })
        const reports = await both
        assert.deepEqual(
          reports.map(({ from, to }) => [from, to]),
          [
            [1, 2],
            [2, 3],
          ],
        )
        await assert.rejects(old.get('b'), { code: 'NZ_STORAGE_NEWER' })
      })
    })

    it('keeps the time to live, and leaves out what is over', async () => {
      await using(async (open) => {
        const clock = new SimulatedClock()
        const storage = await open({ clock })
        await storage.namespace('n').put('a', bytes('x'), { ttlMs: 3_000 })
        await storage.namespace('n').put('over', bytes('x'), { ttlMs: 1_000 })
        await clock.advance(1_500)
        const store = storage.namespace('n', second)
        assert.equal((await store.migrate({ signal })).written, 1)
        assert.deepEqual(await contentOf(store), { a: 'X' })
        await clock.advance(1_500)
        assert.deepEqual(await contentOf(store), {})
      })
    })
  })
}
