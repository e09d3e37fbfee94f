/** Stored files when something is wrong: damage, crashes, full disks, and what is removed when. */
import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { SimulatedClock } from '../../kernel/index.ts'
import { DiskFolder } from '../../modules/files/disk-folder.ts'
import { LINGER_MS } from '../../modules/files/content-store.ts'
import { MemoryFolder } from '../../modules/files/memory-folder.ts'
import { NO_SUMS } from '../../modules/files/records.ts'
import { StoreKeys } from '../../modules/storage/keys.ts'
import { recordPlace } from '../../modules/storage/record.ts'
import { storageErrors } from '../../modules/storage/service.ts'
import { bytesOf, contentOf, sha256, verdictsOf } from '../compliance/files.ts'
import { openFiles, put, read, withContent } from '../fake/files.ts'
import { memoryDisk, openStore } from '../fake/storage.ts'
import type { StoreState } from '../../modules/files/content-store.ts'
import type { Files } from '../../modules/files/files.ts'
import type { Storage } from '../../modules/storage/storage.ts'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void
const CHUNK = 65_536
const SEALED = CHUNK + 16
const { signal } = new AbortController()

describe('a damaged content', () => {
  it('gives the bytes before the damage and then an error, and is set aside', async () => {
    const { files, folder, told, sealed } = await withContent(20 * CHUNK)
    sealed[40 + 15 * SEALED + 7] = 1 ^ (sealed[40 + 15 * SEALED + 7] ?? 0)
    const content = contentOf(20 * CHUNK)
    assert.deepEqual(
      await bytesOf(await files.read('f', { range: { from: 5, to: 15 * CHUNK }, signal })),
      content.slice(5, 15 * CHUNK),
    )
    const reading = await files.read('f', { signal })
    let given = 0
    const all = async (): Promise<void> => {
      for await (const bytes of reading) {
        assert.deepEqual(Uint8Array.from(bytes), content.slice(given, given + bytes.length))
        given += bytes.length
      }
    }
    await assert.rejects(all(), { code: 'NZ_FILES_DAMAGED', exit: 'damaged' })
    assert.equal(given, 15 * CHUNK)
    assert.deepEqual([folder.files.size, folder.setAsideFiles.size, told], [0, 1, ['files.damaged']])
    await assert.rejects(read(files, 'f'), { code: 'NZ_FILES_DAMAGED' })
    assert.equal((await files.info('f')).isDamaged, true)
    assert.equal((await files.status()).damaged, 1)
    assert.equal((await verdictsOf(files))[0]?.isIntact, false)
    assert.deepEqual(told, ['files.damaged'])
    assert.equal((await files.collect({ signal, includesDamaged: true })).diskFiles, 1)
    assert.equal(folder.setAsideFiles.size, 0)
  })

  it('is found whichever way the file was changed', async () => {
    const ways: Record<string, (sealed: Uint8Array) => Uint8Array | null> = {
      'it is gone': () => null,
      'it is empty': () => new Uint8Array(),
      'it is cut between chunks': (sealed) => sealed.slice(0, -SEALED),
      'it is cut inside a chunk': (sealed) => sealed.slice(0, -1),
      'it goes on': (sealed) => new Uint8Array(Buffer.concat([sealed, sealed.slice(-SEALED)])),
      'two chunks changed places': (sealed) => {
        const [a, b] = [sealed.slice(40, 40 + SEALED), sealed.slice(40 + SEALED, 40 + 2 * SEALED)]
        return new Uint8Array(Buffer.concat([sealed.slice(0, 40), b, a, sealed.slice(40 + 2 * SEALED)]))
      },
      'its last chunk stands elsewhere': (sealed) => {
        const last = sealed.slice(-SEALED)
        return new Uint8Array(Buffer.concat([sealed.slice(0, 40), last, sealed.slice(40 + SEALED)]))
      },
    }
    for (const [way, change] of Object.entries(ways)) {
      const { files, folder, diskName, sealed } = await withContent(3 * CHUNK)
      const changed = change(sealed)
      if (changed === null) folder.files.delete(diskName)
      else folder.files.set(diskName, changed)
      await assert.rejects(read(files, 'f'), { code: 'NZ_FILES_DAMAGED' }, way)
      const verdicts = await verdictsOf(files)
      assert.deepEqual([verdicts.length, verdicts[0]?.isIntact], [1, false], way)
    }
  })

  it('is found when files were exchanged or an older one came back', async () => {
    const { files, folder, diskName, sealed } = await withContent(CHUNK)
    await put(files, 'g', contentOf(CHUNK, 2))
    const [other = ''] = [...folder.files.keys()].filter((name) => name !== diskName)
    const second = folder.files.get(other) ?? new Uint8Array()
    folder.files.set(diskName, second)
    folder.files.set(other, sealed)
    assert.deepEqual(
      (await verdictsOf(files)).map(({ isIntact }) => isIntact),
      [false, false],
    )
    const again = await withContent(CHUNK)
    await again.files.remove('f')
    await again.clock.advance(LINGER_MS)
    await put(again.files, 'f', contentOf(CHUNK))
    const [now = ''] = again.folder.files.keys()
    assert.notEqual(now, again.diskName)
    again.folder.files.set(now, again.sealed)
    await assert.rejects(read(again.files, 'f'), { code: 'NZ_FILES_DAMAGED' })
  })

  it('is whole again for all names when it is put anew, also if nobody had noticed', async () => {
    for (const isNoticed of [true, false]) {
      const { files, folder, diskName, sealed } = await withContent(3 * CHUNK)
      await put(files, 'copy', contentOf(3 * CHUNK))
      assert.equal(folder.files.size, 1)
      sealed[40 + 2 * SEALED] = 1 ^ (sealed[40 + 2 * SEALED] ?? 0)
      if (isNoticed) await assert.rejects(read(files, 'copy'), { code: 'NZ_FILES_DAMAGED' })
      await put(files, 'again', contentOf(3 * CHUNK))
      for (const name of ['f', 'copy', 'again']) assert.deepEqual(await read(files, name), contentOf(3 * CHUNK))
      assert.deepEqual([folder.files.has(diskName), folder.setAsideFiles.size], [false, 1])
      assert.deepEqual(
        { ...(await files.status()), maxFiles: 0, maxBytes: 0 },
        {
          files: 3,
          contents: 1,
          storedBytes: 40 + 3 * SEALED,
          maxFiles: 0,
          maxBytes: 0,
          damaged: 0,
        },
      )
    }
  })

  it('does not open for another identity', async () => {
    const { folder, init } = await withContent(10)
    await using foreign = await openFiles({ folder, seed: 2 })
    const content = { contentId: sha256(contentOf(10)), record: await init.records.content(sha256(contentOf(10))) }
    assert.ok(content.record !== null)
    const sums = { ...NO_SUMS, names: 1, counted: 1, contents: 1, storedBytes: 40 + SEALED, sequence: 1 }
    await foreign.init.records.change({ contents: [[content.contentId, content.record]], sums })
    await assert.rejects(read(foreign.files, `sha256:${content.contentId}`), { code: 'NZ_FILES_DAMAGED' })
  })
})

describe('a disk that refuses', () => {
  const failing = (code: string, when: 'append' | 'finish' | 'publish' | 'draft') => {
    const folder = new MemoryFolder(new SimulatedClock())
    let isFailing = true
    const fail = (): void => {
      if (isFailing) throw Object.assign(new Error(code), { code })
    }
    const draft = folder.draft.bind(folder)
    folder.draft = async () => {
      if (when === 'draft') fail()
      const made = await draft()
      return {
        append: async (bytes) => {
          if (when === 'append') fail()
          await made.append(bytes)
        },
        finish: async () => {
          if (when === 'finish') fail()
          await made.finish()
        },
        publish: async (name) => {
          if (when === 'publish') fail()
          await made.publish(name)
        },
        discard: async () => await made.discard(),
      }
    }
    return { folder, heal: () => void (isFailing = false) }
  }

  for (const when of ['draft', 'append', 'finish', 'publish'] as const) {
    it(`ends a put with a code and leaves nothing: ${when}`, async () => {
      for (const [errno, code] of [
        ['ENOSPC', 'NZ_FILES_NO_SPACE'],
        ['EIO', 'NZ_FILES_DISK_FAILED'],
        ['EMFILE', 'NZ_FILES_DISK_FAILED'],
        ['EROFS', 'NZ_FILES_DISK_FAILED'],
      ] as const) {
        const { folder, heal } = failing(errno, when)
        await using opened = await openFiles({ folder })
        await assert.rejects(put(opened.files, 'f', contentOf(40 * CHUNK)), { code })
        assert.deepEqual([folder.files.size, folder.drafts, (await opened.files.status()).files], [0, 0, 0])
        heal()
        await put(opened.files, 'f', contentOf(40 * CHUNK))
        assert.equal((await read(opened.files, 'f')).length, 40 * CHUNK)
      }
    })
  }

  it('that takes no records leaves nothing once it is known whether they are there', async () => {
    for (const isWritten of [false, true]) {
      const clock = new SimulatedClock()
      const folder = new MemoryFolder(clock)
      let storeState: StoreState = 'whole'
      await using opened = await openFiles({ folder, clock, storeState: () => storeState })
      await put(opened.files, 'f', contentOf(10, 1))
      const { records } = opened.init
      const change = records.change.bind(records)
      records.change = async (...args) => {
        if (isWritten) await change(...args)
        throw storageErrors.NZ_STORAGE_READ_ONLY()
      }
      await assert.rejects(put(opened.files, 'f', contentOf(10, 2), true), { code: 'NZ_STORAGE_READ_ONLY' })
      records.change = change
      storeState = 'unsettled'
      if (!isWritten) await opened.files.collect({ signal })
      await clock.advance(5 * LINGER_MS)
      assert.equal(folder.files.size, 2, 'the store has not said yet')
      storeState = 'repaired'
      await clock.advance(2 * LINGER_MS)
      assert.deepEqual(await read(opened.files, 'f'), contentOf(10, isWritten ? 2 : 1))
      await opened.files.collect({ signal })
      assert.equal(folder.files.size, 1)
    }
  })

  it('that cannot be read is no damage', async () => {
    const { files, folder } = await withContent(10)
    const files0 = folder.files
    folder.read = async () => await Promise.reject(Object.assign(new Error('EIO'), { code: 'EIO' }))
    await assert.rejects(read(files, 'f'), { code: 'NZ_FILES_DISK_FAILED', retryable: true })
    assert.equal(files0.size, 1)
  })
})

describe('what is removed', () => {
  it('a content stays for a while after its last name, and while a backup is read', async () => {
    const { files, folder, clock } = await withContent(10)
    await files.remove('f')
    await clock.advance(LINGER_MS - 1)
    assert.equal(folder.files.size, 1)
    await clock.advance(1)
    assert.equal(folder.files.size, 0)

    await put(files, 'g', contentOf(20))
    await files.remove('g')
    const opened = await files.backup.export({ signal })
    await clock.advance(10 * LINGER_MS)
    await files.collect({ signal })
    assert.equal(folder.files.size, 1)
    let bytes = 0
    for await (const item of opened.items) bytes += item.byteLength
    assert.ok(bytes > CHUNK, 'what a record of the store may still name is in the backup')
    await opened[Symbol.asyncDispose]()
    await opened[Symbol.asyncDispose]()
    await clock.advance(LINGER_MS)
    assert.equal(folder.files.size, 0)
  })

  it('files that no record knows go after their time, and only while the store is whole', async () => {
    const clock = new SimulatedClock()
    const folder = new MemoryFolder(clock)
    let storeState: StoreState = 'repaired'
    await using opened = await openFiles({ folder, clock, storeState: () => storeState, keepUnknownMs: 1_000 })
    await put(opened.files, 'f', contentOf(10))
    const draft = await folder.draft()
    await draft.publish('0'.repeat(64))
    await clock.advance(2_000)
    await opened.files.upkeep()
    assert.equal(folder.files.size, 2)
    storeState = 'whole'
    await draft.publish('1'.repeat(64))
    await opened.files.upkeep()
    assert.deepEqual(
      [...folder.files.keys()].filter((name) => /^[01]+$/.test(name)),
      ['1'.repeat(64)],
    )
    assert.equal((await opened.files.collect({ signal, isDryRun: true })).diskFiles, 1)
    assert.equal(folder.files.size, 2)
    assert.equal((await opened.files.collect({ signal })).diskFiles, 1)
    assert.deepEqual(await read(opened.files, 'f'), contentOf(10))
  })

  it('a content that a repair has lost and that is put again stays as long as any of its names', async () => {
    for (const again of ['f', 'h']) {
      let repaired = 0
      await using opened = await openFiles({ repaired: () => repaired })
      const { files, storage, init } = opened
      for (const name of ['f', 'g']) await put(files, name, contentOf(10))
      await storage.namespace('files').delete(`content/${sha256(contentOf(10))}`)
      repaired = 7
      await put(files, again, contentOf(10), true)
      assert.equal((await files.info('g')).names, again === 'f' ? 2 : 3)
      await files.remove(again)
      assert.deepEqual(await read(files, 'g'), contentOf(10))
      const { names, counted, contents } = await init.records.sums()
      assert.deepEqual([names, counted, contents], again === 'f' ? [1, 1, 1] : [2, 2, 1])
    }
  })

  it('also when what the repair has set aside was removed before, and after another start', async () => {
    const disk = memoryDisk()
    const folder = new MemoryFolder(new SimulatedClock())
    const content = `content/${sha256(contentOf(10))}`
    const open = async (work: (files: Files, storage: Storage) => Promise<void>): Promise<void> => {
      const storage = await openStore({ disk })
      try {
        await using opened = await openFiles({ folder, storage, repaired: () => storage.status().repaired })
        await work(opened.files, storage)
      } finally {
        await storage.close()
      }
    }
    await open(async (files, storage) => {
      for (const name of ['f', 'g', 'h']) await put(files, name, contentOf(10))
      const keys = new StoreKeys(new Uint8Array(32).fill(1))
      const place = Buffer.from(recordPlace(keys.recordId(1, 'files', content))).toString('hex')
      assert.ok(disk.engine.records.has(place))
      disk.engine.records.set(place, Buffer.from('proves nothing'))
      await storage.repair()
      await storage.gc({ signal, quarantinedForMs: 0 })
      assert.deepEqual([storage.status().quarantined, storage.status().state], [0, 'open'])
    })
    await open(async (files) => {
      await put(files, 'i', contentOf(10))
      assert.equal((await files.info('g')).names, 4)
      await files.remove('i')
    })
    await open(async (files) => {
      for (const name of ['f', 'g']) await files.remove(name)
      assert.deepEqual(await read(files, 'h'), contentOf(10))
      assert.equal((await files.info('h')).names, 1)
    })
  })

  it('contents whose name a repair has lost are listed, readable, and removed on demand alone', async () => {
    const { files, folder, init, storage } = await withContent(10)
    const contentId = sha256(contentOf(10))
    await storage.namespace('files').delete('name/f')
    assert.deepEqual(await files.collect({ signal, isDryRun: true }), {
      contents: 1,
      contentIds: [contentId],
      diskFiles: 1,
    })
    assert.deepEqual(await read(files, `sha256:${contentId}`), contentOf(10))
    await files.collect({ signal })
    assert.deepEqual([folder.files.size, (await init.records.sums()).contents], [0, 0])
  })
})

describe('on a disk', () => {
  it('everything is private, and what a crash has left is removed at the start', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'nz-files-'))
    try {
      const path = join(dir, 'files')
      const disk = memoryDisk()
      await using first = await openFiles({ folder: new DiskFolder(path), disk })
      await put(first.files, 'f', contentOf(CHUNK))
      const [name = ''] = await readdir(path)
      assert.match(name, /^[0-9a-f]{64}$/)
      assert.equal((await stat(path)).mode & 0o777, 0o700)
      assert.equal((await stat(join(path, name))).mode & 0o777, 0o600)
      await first[Symbol.asyncDispose]()
      await writeFile(join(path, '.0123456789abcdef.tmp'), 'half a file')
      await using second = await openFiles({ folder: new DiskFolder(path), disk })
      assert.deepEqual(await readdir(path), [name])
      assert.deepEqual(await read(second.files, 'f'), contentOf(CHUNK))
    } finally {
      await rm(dir, { recursive: true, force: true })
    }
  })

  it('says nothing of what is kept', async () => {
    const { folder } = await withContent(3 * CHUNK)
    const text = Buffer.concat([...folder.files].flatMap(([name, sealed]) => [Buffer.from(name), sealed]))
    const content = Buffer.from(contentOf(3 * CHUNK))
    for (let at = 0; at < content.length; at += 997) assert.ok(!text.includes(content.subarray(at, at + 16)))
    assert.ok(!text.includes(sha256(content)) && !text.includes(Buffer.from(sha256(content), 'hex')))
  })
})

describe('memory', () => {
  it('of what has passed is kept by nobody', async () => {
    const folder = new MemoryFolder(new SimulatedClock())
    const draft = folder.draft.bind(folder)
    folder.draft = async () => ({ ...(await draft()), append: async () => undefined, publish: async () => undefined })
    await using opened = await openFiles({ folder })
    const collected = new Set<number>()
    const registry = new FinalizationRegistry((n: number) => void collected.add(n))
    const pieces = async function* (): AsyncGenerator<Uint8Array> {
      for (let n = 0; n < 400; n++) {
        const piece = new Uint8Array(100_000)
        registry.register(piece, n)
        yield piece
        if (n % 20 === 19) await new Promise((done) => setImmediate(done))
      }
      collectGarbage()
      for (let tries = 0; collected.size < 300 && tries < 100; tries++) {
        await new Promise((done) => setTimeout(done, 5))
        collectGarbage()
      }
    }
    await opened.files.put('f', pieces(), { signal })
    assert.ok(collected.size >= 300, `${collected.size} of 400 pieces were let go before the end`)
  })
})
