/** The store's share of a backup: one moment, what changed since, and back into an empty store. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { SimulatedClock } from '../../kernel/index.ts'
import { MAX_ITEM_BYTES } from '../../protocols/backup/part.ts'
import { memoryDisk, openStore } from '../fake/storage.ts'
import type { StoredRecord } from '../../modules/storage/service.ts'
import type { Storage } from '../../modules/storage/storage.ts'

const { signal } = new AbortController()

interface Taken {
  readonly mark: string
  readonly isFull: boolean
  readonly items: readonly Uint8Array[]
  readonly root: string
}

async function taken(storage: Storage, since?: string): Promise<Taken> {
  await using opened = await storage.backup.export({ signal, ...(since === undefined ? {} : { since }) })
  const items: Uint8Array[] = []
  for await (const item of opened.items) items.push(item)
  return { mark: opened.mark, isFull: opened.isFull, items, root: await opened.root() }
}

async function* each(items: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* items
  await Promise.resolve()
}

async function contents(storage: Storage, namespaces: readonly string[]): Promise<Record<string, string>> {
  const found: Record<string, string> = {}
  for (const name of namespaces) {
    for await (const { key, value } of storage.namespace(name).range())
      found[`${name} ${key}`] = Buffer.from(value).toString('hex')
  }
  return found
}

describe("the store's share of a backup", () => {
  it('carries changes and deletions since an earlier export, and its root is that of what was restored', async () => {
    const [source, target] = [await openStore(), await openStore({ seed: 2, disk: memoryDisk() })]
    const [kv, trust] = [source.namespace('kv'), source.namespace('trust/edges')]
    for (let i = 0; i < 200; i++) await kv.put(`key-${i}`, Buffer.from(`value ${i}`))
    await trust.put('ü → 漢', Buffer.from('edge'))
    const full = await taken(source)
    await kv.put('key-7', Buffer.from('changed'))
    await kv.delete('key-8')
    await source.namespace('late').put('a', Buffer.alloc(1_048_576, 7))
    await trust.delete('ü → 漢')
    const changes = await taken(source, full.mark)
    const none = await taken(source, changes.mark)
    assert.deepEqual([full.isFull, changes.isFull, none.isFull], [true, false, false])
    assert.equal(none.items.length, 0)
    assert.equal(none.root, changes.root)
    for (const item of changes.items) assert.ok(item.byteLength <= MAX_ITEM_BYTES)
    await target.backup.restore(each(full.items), { signal })
    assert.equal(await target.backup.root({ signal }), full.root)
    await target.backup.restore(each(changes.items), { signal })
    assert.equal(await target.backup.root({ signal }), changes.root)
    const names = ['kv', 'trust/edges', 'late']
    assert.deepEqual(await contents(target, names), await contents(source, names))
    await Promise.all([source.close(), target.close()])
  })

  it('is of one moment, whatever is written while it is read', async () => {
    const source = await openStore()
    for (const name of ['a', 'b']) await source.namespace(name).put('key', Buffer.from('before'))
    await using opened = await source.backup.export({ signal })
    for (const name of ['a', 'b']) await source.namespace(name).put('key', Buffer.from('after'))
    await source.rotate({ signal })
    const target = await openStore({ seed: 9 })
    await target.backup.restore(opened.items, { signal })
    assert.equal(await target.backup.root({ signal }), await opened.root())
    assert.deepEqual(Buffer.from((await target.namespace('b').get('key')) ?? []).toString(), 'before')
    await Promise.all([source.close(), target.close()])
  })

  it('gives everything for a mark that it does not know, and forgets the oldest marks but not the one in use', async () => {
    const source = await openStore()
    await source.namespace('kv').put('key', Buffer.from('value'))
    const marks: string[] = []
    for (let i = 0; i < 6; i++) marks.push((await taken(source, marks[0])).mark)
    assert.equal((await taken(source, marks[0])).isFull, false)
    assert.equal((await taken(source, marks.at(-1))).isFull, false)
    assert.equal((await taken(source, marks[1])).isFull, true)
    assert.equal((await taken(source, 'ff'.repeat(16))).isFull, true)
    await using broken = await source.backup.export({ signal })
    await assert.rejects(async () => await broken.root(), TypeError)
    assert.equal((await taken(source, broken.mark)).isFull, true)
    await source.close()
  })

  it('leaves out of the root what ends by itself, and restores its end', async () => {
    const clock = new SimulatedClock()
    const [source, target] = [await openStore({ clock }), await openStore({ clock, seed: 3 })]
    await source.namespace('kv').put('stays', Buffer.from('1'))
    const { root } = await taken(source)
    await source.namespace('kv').put('ends', Buffer.from('2'), { ttlMs: 1_000 })
    const both = await taken(source)
    assert.equal(both.root, root)
    await target.backup.restore(each(both.items), { signal })
    assert.notEqual(await target.namespace('kv').get('ends'), null)
    await clock.advance(1_001)
    assert.equal(await target.namespace('kv').get('ends'), null)
    assert.equal(await target.backup.root({ signal }), root)
    await Promise.all([source.close(), target.close()])
  })

  it('restores a namespace in the version it was in, also when it was migrated between two exports', async () => {
    const [source, target] = [await openStore(), await openStore({ seed: 5 })]
    for (let i = 0; i < 3; i++) await source.namespace('kv').put(`key-${i}`, Uint8Array.of(i))
    const full = await taken(source)
    const schema = {
      version: 2,
      migrations: [
        {
          to: 2,
          migrate: ({ key, value }: StoredRecord) => [{ key: `new ${key}`, value: Uint8Array.of(9, ...value) }],
        },
      ],
    }
    await source.namespace('kv', schema).migrate({ signal })
    const changes = await taken(source, full.mark)
    for (const { items } of [full, changes]) await target.backup.restore(each(items), { signal })
    assert.equal(await target.backup.root({ signal }), changes.root)
    const migrated = target.namespace('kv', schema)
    assert.deepEqual(await migrated.migrate({ signal }), { from: 2, to: 2, read: 0, written: 0 })
    assert.deepEqual(Uint8Array.from((await migrated.get('new key-2')) ?? []), Uint8Array.of(9, 2))
    await Promise.all([source.close(), target.close()])
  })

  it('refuses items it did not make', async () => {
    const target = await openStore()
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 80 }), async (item) => {
        await assert.rejects(target.backup.restore(each([item]), { signal }), { code: 'NZ_BACKUP_ARCHIVE_DAMAGED' })
      }),
      { numRuns: 300 },
    )
    await target.close()
  })

  it('gives back any contents over any chain of exports', async () => {
    const change = fc.record({ key: fc.constantFrom('a', 'b', 'c', 'd'), value: fc.option(fc.nat(9)) })
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(change, { maxLength: 5 }), { minLength: 1, maxLength: 4 }), async (rounds) => {
        const [source, target] = [await openStore(), await openStore({ seed: 4 })]
        let mark: string | undefined
        for (const round of rounds) {
          for (const { key, value } of round) {
            if (value === null) await source.namespace('kv').delete(key)
            else await source.namespace('kv').put(key, Uint8Array.of(value))
          }
          const one = await taken(source, mark)
          mark = one.mark
          await target.backup.restore(each(one.items), { signal })
          assert.equal(await target.backup.root({ signal }), one.root)
        }
        assert.deepEqual(await contents(target, ['kv']), await contents(source, ['kv']))
        await Promise.all([source.close(), target.close()])
      }),
      { numRuns: 40 },
    )
  })
})
