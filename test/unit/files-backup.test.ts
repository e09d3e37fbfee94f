/** Stored files in a backup: increments, damage, and archives that are not what they say. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { SimulatedClock, systemRandom } from '../../kernel/index.ts'
import { MemoryFolder } from '../../modules/files/memory-folder.ts'
import { contentOf, itemsOf, restore } from '../compliance/files.ts'
import { openFiles, put, read, withContent } from '../fake/files.ts'
import { memoryHome } from '../fake/home.ts'

const CHUNK = 65_536
const SEALED = CHUNK + 16
const { signal } = new AbortController()

describe('a backup', () => {
  it('restores into an empty home, increment by increment, with the same root', async () => {
    const home = memoryHome()
    await using source = await openFiles({ home })
    await put(source.files, 'a', contentOf(20 * CHUNK))
    const full = await itemsOf(source.files, undefined)
    await put(source.files, 'b', contentOf(10, 2))
    await source.files.remove('a')
    await put(source.files, 'c', contentOf(CHUNK, 3))
    const added = await itemsOf(source.files, full.mark)
    assert.equal(added.isFull, false)

    // The records travel with the store.
    const records = new Map<string, Uint8Array>()
    for await (const { key, value } of source.storage.namespace('files').range()) records.set(key, value)
    await using target = await openFiles()
    for (const [key, value] of records) await target.storage.namespace('files').put(key, value)
    await restore(target.files, full.items)
    assert.notEqual(await target.files.backup.root({ signal }), added.root)
    await restore(target.files, added.items)
    assert.equal(await target.files.backup.root({ signal }), added.root)
    assert.deepEqual(await read(target.files, 'b'), contentOf(10, 2))
    assert.deepEqual(await read(target.files, 'c'), contentOf(CHUNK, 3))
    await target.files.collect({ signal })
    assert.equal((await target.init.folder.names()).length, 2)
  })

  it('leaves out what is damaged, and its root says so', async () => {
    const { files, sealed } = await withContent(40 * CHUNK)
    const { root } = await itemsOf(files, undefined)
    await put(files, 'g', contentOf(5, 9))
    sealed[40 + 30 * SEALED] = 1 ^ (sealed[40 + 30 * SEALED] ?? 0)
    const damaged = await itemsOf(files, undefined)
    assert.notEqual(damaged.root, root)
    await using target = await openFiles()
    await restore(target.files, damaged.items)
    assert.equal((await target.init.folder.names()).length, 1)
  })

  it('of another identity, or altered, is refused and leaves nothing', async () => {
    const { files } = await withContent(20 * CHUNK)
    const { items } = await itemsOf(files, undefined)
    await using foreign = await openFiles({ seed: 3 })
    await assert.rejects(restore(foreign.files, items), { code: 'NZ_FILES_BACKUP_INVALID' })
    for (let round = 0; round < 50; round++) {
      const changed = items.map((item) => Uint8Array.from(item))
      const item = changed[round % changed.length] ?? new Uint8Array(1)
      const at = Buffer.from(systemRandom.bytes(4)).readUInt32BE() % item.length
      item[at] = (item[at] ?? 0) ^ (1 << (round % 8))
      const folder = new MemoryFolder(new SimulatedClock())
      await using target = await openFiles({ folder })
      await assert.rejects(restore(target.files, changed), { code: 'NZ_FILES_BACKUP_INVALID' })
      assert.equal(folder.drafts, 0)
    }
  })

  it('keeps eight marks', async () => {
    const { files } = await withContent(5)
    const first = await itemsOf(files, undefined)
    let last = first
    for (let i = 0; i < 7; i++) last = await itemsOf(files, last.mark)
    assert.equal((await itemsOf(files, first.mark)).isFull, false)
    await itemsOf(files, last.mark)
    assert.equal((await itemsOf(files, first.mark)).isFull, true)
  })
})
