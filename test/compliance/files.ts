/** What every implementation of FilesService promises. Called with a way to open the same files again and again. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, it } from 'node:test'
import { seededRandom } from '../../kernel/index.ts'
import { MAX_ITEM_BYTES } from '../../protocols/backup/part.ts'
import type { FileReading, FilesService, Verified } from '../../modules/files/service.ts'

export interface FilesUnderTest {
  /** Opens the files; what was acknowledged before is there. */
  open(options: { readonly maxFiles?: number; readonly maxBytes?: number }): Promise<FilesService & AsyncDisposable>
  remove(): Promise<void>
}

const CHUNK = 65_536
const { signal } = new AbortController()

export function contentOf(length: number, seed = 7): Uint8Array {
  const block = seededRandom(seed).bytes(Math.min(length, 4_093))
  const content = new Uint8Array(length)
  for (let at = 0; at < length; at += block.length) content.set(block.subarray(0, length - at), at)
  return content
}

export async function* inPieces(content: Uint8Array, piece = 10_007): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < content.length; at += piece) yield content.subarray(at, at + piece)
}

export const sha256 = (content: Uint8Array): string => createHash('sha256').update(content).digest('hex')

export async function bytesOf(reading: FileReading): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  for await (const bytes of reading) parts.push(bytes)
  return new Uint8Array(Buffer.concat(parts))
}

export async function verdictsOf(files: FilesService): Promise<readonly Verified[]> {
  const found: Verified[] = []
  for await (const verified of files.verify({ signal })) found.push(verified)
  return found
}

export function filesCompliance(title: string, create: () => Promise<FilesUnderTest>): void {
  const using = async (work: (open: FilesUnderTest['open']) => Promise<void>): Promise<void> => {
    const under = await create()
    const opened: AsyncDisposable[] = []
    const close = async (): Promise<void> => {
      for (const one of opened.splice(0)) await one[Symbol.asyncDispose]()
    }
    try {
      await work(async (options) => {
        await close()
        const files = await under.open(options)
        opened.push(files)
        return files
      })
    } finally {
      await close()
      await under.remove()
    }
  }
  const put = async (files: FilesService, name: string, content: Uint8Array, replaces = false) =>
    await files.put(name, inPieces(content), { signal, replaces })
  const read = async (files: FilesService, name: string): Promise<Uint8Array> =>
    await bytesOf(await files.read(name, { signal }))

  describe(`files: ${title}`, () => {
    it('gives back what was put, of any size, over a restart', async () => {
      await using(async (open) => {
        let files = await open({})
        const sizes = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 20 * CHUNK + 5]
        for (const size of sizes) {
          const kept = await files.put(`size/${size}`, inPieces(contentOf(size)), { signal, mime: 'text/plain' })
          const { createdAtMs, modifiedAtMs, ...rest } = kept
          assert.ok(createdAtMs > 0 && createdAtMs === modifiedAtMs)
          const contentId = sha256(contentOf(size))
          assert.deepEqual(rest, { name: `size/${size}`, contentId, size, mime: 'text/plain' })
        }
        files = await open({})
        for (const size of sizes) assert.deepEqual(await read(files, `size/${size}`), contentOf(size))
        assert.equal((await files.list({ limit: 1_000 })).length, sizes.length)
        await assert.rejects(read(files, 'other'), { code: 'NZ_FILES_NOT_FOUND' })
        assert.deepEqual(await read(files, `sha256:${sha256(contentOf(CHUNK))}`), contentOf(CHUNK))
      })
    })

    it('reads ranges', async () => {
      await using(async (open) => {
        const files = await open({})
        const content = contentOf(3 * CHUNK + 100)
        await put(files, 'f', content)
        const size = content.length
        const part = async (range: Parameters<FilesService['read']>[1]['range']) =>
          await bytesOf(await files.read('f', { range, signal }))
        for (const [from, to] of [
          [0, 1],
          [0, size],
          [CHUNK - 1, CHUNK + 1],
          [CHUNK, 2 * CHUNK],
          [size - 1, size],
          [size, size],
          [5, 5],
        ] as const) {
          assert.deepEqual(await part({ from, to }), content.slice(from, to), `${from}-${to}`)
        }
        assert.deepEqual(await part({ from: 70_000 }), content.slice(70_000))
        assert.deepEqual(await part({ from: 10, to: size + 99 }), content.slice(10))
        assert.deepEqual(await part({ last: 70_000 }), content.slice(-70_000))
        assert.deepEqual(await part({ last: size + 1 }), content)
        for (const range of [{ from: size + 1 }, { from: 2, to: 1 }, { from: -1 }, { last: -1 }, { from: 0.5 }]) {
          await assert.rejects(files.read('f', { range, signal }), { code: 'NZ_FILES_RANGE' })
        }
      })
    })

    it('stores a content once, and lets it go with its last name', async () => {
      await using(async (open) => {
        const files = await open({})
        const [one, two] = [contentOf(100_000, 1), contentOf(100_000, 2)]
        await put(files, 'a', one)
        await put(files, 'b', one)
        await put(files, 'c', two)
        const { contents, storedBytes, files: names } = await files.status()
        assert.deepEqual([names, contents, storedBytes], [3, 2, 2 * (40 + 2 * 65_552)])
        assert.equal((await files.info('a')).names, 2)
        await files.remove('a')
        assert.deepEqual(await read(files, 'b'), one)
        await put(files, 'c', one, true)
        assert.deepEqual((await files.status()).contents, 1)
        assert.deepEqual(await read(files, 'c'), one)
        await files.remove('b')
        await files.remove('c')
        assert.deepEqual(
          { ...(await files.status()), maxFiles: 0, maxBytes: 0 },
          { files: 0, contents: 0, storedBytes: 0, maxFiles: 0, maxBytes: 0, damaged: 0 },
        )
        await assert.rejects(files.remove('c'), { code: 'NZ_FILES_NOT_FOUND' })
      })
    })

    it('replaces a file only when it is told to, and keeps the time it was made', async () => {
      await using(async (open) => {
        const files = await open({})
        const first = await put(files, 'f', contentOf(10, 1))
        await assert.rejects(put(files, 'f', contentOf(10, 2)), { code: 'NZ_FILES_EXISTS' })
        const second = await put(files, 'f', contentOf(10, 2), true)
        assert.equal(second.createdAtMs, first.createdAtMs)
        assert.deepEqual(await read(files, 'f'), contentOf(10, 2))
        await put(files, 'f', contentOf(10, 2), true)
        assert.equal((await files.info('f')).names, 1)
        assert.equal((await files.status()).contents, 1)
      })
    })

    it('takes names in form C that are no dangerous paths, and nothing else', async () => {
      await using(async (open) => {
        const files = await open({})
        const kept = await put(files, 'Cafe\u0301/menu.txt', contentOf(1))
        assert.equal(kept.name, 'Café/menu.txt')
        assert.deepEqual(await read(files, 'Cafe\u0301/menu.txt'), contentOf(1))
        await put(files, 'x'.repeat(500), contentOf(2))
        const unfit = ['', '/a', 'a/', 'a//b', '.', '..', '../a', 'a/../b', 'a/.', 'a\\b', 'a\nb', '\0', '\u202eb']
        for (const name of [...unfit, '\ud800', 'x'.repeat(501), 'é'.repeat(251), `sha256:${'0'.repeat(64)}`]) {
          await assert.rejects(put(files, name, contentOf(1)), { code: 'NZ_FILES_NAME_INVALID' }, JSON.stringify(name))
        }
        for (const mime of ['', 'text', 'a/b\nc', 'x'.repeat(256)]) {
          const options = { signal, mime }
          await assert.rejects(files.put('m', inPieces(contentOf(1)), options), { code: 'NZ_FILES_MIME_INVALID' })
        }
        assert.equal((await files.list({ limit: 10 })).length, 2)
      })
    })

    it('lists in order of name, by prefix and from a place', async () => {
      await using(async (open) => {
        const files = await open({})
        for (const name of ['b/2', 'a', 'b/10', 'c', 'b/1']) await put(files, name, contentOf(5))
        const names = async (options: { prefix?: string; after?: string; limit?: number }) =>
          (await files.list({ limit: 10, ...options })).map(({ name }) => name)
        assert.deepEqual(await names({}), ['a', 'b/1', 'b/10', 'b/2', 'c'])
        assert.deepEqual(await names({ prefix: 'b/' }), ['b/1', 'b/10', 'b/2'])
        assert.deepEqual(await names({ prefix: 'b/', after: 'b/1', limit: 1 }), ['b/10'])
      })
    })

    it('keeps to its bounds of names and bytes, and leaves nothing of what is too much', async () => {
      await using(async (open) => {
        const chunk = 40 + 65_552
        const files = await open({ maxFiles: 3, maxBytes: 3 * chunk })
        await put(files, 'a', contentOf(10, 1))
        await put(files, 'b', contentOf(10, 2))
        await assert.rejects(put(files, 'big', contentOf(CHUNK + 1, 3)), { code: 'NZ_FILES_QUOTA' })
        await put(files, 'c', contentOf(CHUNK, 3))
        await assert.rejects(put(files, 'd', contentOf(1, 1)), { code: 'NZ_FILES_QUOTA' })
        await files.remove('c')
        await put(files, 'd', contentOf(10, 1))
        assert.equal((await files.status()).storedBytes, 2 * chunk)
      })
    })

    it('leaves nothing when the source fails or the caller gives up', async () => {
      await using(async (open) => {
        const files = await open({})
        const broken = async function* (): AsyncGenerator<Uint8Array> {
          yield contentOf(200_000)
          throw new Error('unplugged')
        }
        await assert.rejects(files.put('f', broken(), { signal }), /unplugged/)
        const stop = new AbortController()
        let isTold = false
        const endless = async function* (): AsyncGenerator<Uint8Array> {
          try {
            for (;;) {
              yield contentOf(200_000)
              stop.abort(new Error('enough'))
            }
          } finally {
            isTold = true
          }
        }
        await assert.rejects(files.put('f', endless(), { signal: stop.signal }), /enough/)
        const silent = {
          [Symbol.asyncIterator]: () => ({ next: async () => await new Promise<never>(() => undefined) }),
        }
        const waiting = new AbortController()
        const put = files.put('f', silent, { signal: waiting.signal })
        setImmediate(() => waiting.abort(new Error('too late')))
        await assert.rejects(put, /too late/)
        assert.ok(isTold)
        await assert.rejects(read(files, 'f'), { code: 'NZ_FILES_NOT_FOUND' })
        const collected = await files.collect({ signal })
        assert.deepEqual(collected, { contents: 0, contentIds: [], diskFiles: 0 })
      })
    })

    it('reads to the end what is removed meanwhile, and proves all that is there', async () => {
      await using(async (open) => {
        const files = await open({})
        const content = contentOf(40 * CHUNK)
        await put(files, 'f', content)
        await put(files, 'g', contentOf(5))
        const reading = await files.read('f', { signal })
        await files.remove('f')
        await files.collect({ signal })
        assert.deepEqual(await bytesOf(reading), content)
        assert.deepEqual(
          (await verdictsOf(files)).map(({ name, isIntact }) => [name, isIntact]),
          [['g', true]],
        )
        const stopped = AbortSignal.abort(new Error('no'))
        await assert.rejects(files.read('g', { signal: stopped }), /no/)
      })
    })

    it('serves many at once and refuses more than its bound', async () => {
      await using(async (open) => {
        const files = await open({})
        await Promise.all(
          Array.from({ length: 16 }, async (_, i) => await put(files, `f${i}`, contentOf(70_000, i % 5))),
        )
        assert.equal((await files.status()).files, 16)
        assert.ok((await verdictsOf(files)).every(({ isIntact }) => isIntact))
        const readings: FileReading[] = []
        for (let i = 0; i < 128; i++) readings.push(await files.read('f1', { signal }))
        await assert.rejects(files.read('f1', { signal }), { code: 'NZ_FILES_BUSY' })
        for (const reading of readings) await reading[Symbol.asyncDispose]()
        assert.equal((await read(files, 'f1')).length, 70_000)
        const held = Promise.withResolvers<void>()
        const slow = async function* (): AsyncGenerator<Uint8Array> {
          yield contentOf(1)
          await held.promise
        }
        const puts = Array.from({ length: 16 }, async (_, i) => await files.put(`s${i}`, slow(), { signal }))
        await new Promise((done) => setImmediate(done))
        await assert.rejects(files.put('more', slow(), { signal }), { code: 'NZ_FILES_BUSY' })
        held.resolve()
        await Promise.all(puts)
      })
    })

    it('tells changes in order', async () => {
      await using(async (open) => {
        const files = await open({})
        const stop = new AbortController()
        const seen: unknown[] = []
        const watching = (async () => {
          for await (const change of files.watch({ after: 0, signal: stop.signal })) {
            seen.push(change.kind === 'gap' ? 'gap' : [change.kind, change.name])
            if (seen.length === 3) return
          }
        })()
        await put(files, 'a', contentOf(3))
        await put(files, 'b', contentOf(3))
        await files.remove('a')
        await watching
        assert.deepEqual(seen, [
          ['put', 'a'],
          ['put', 'b'],
          ['delete', 'a'],
        ])
      })
    })

    it('hands everything to a backup, then what was added, and takes it back', async () => {
      await using(async (open) => {
        const files = await open({})
        await put(files, 'a', contentOf(20 * CHUNK))
        const full = await itemsOf(files, undefined)
        assert.equal(full.isFull, true)
        await put(files, 'b', contentOf(10, 2))
        const added = await itemsOf(files, full.mark)
        assert.equal(added.isFull, false)
        assert.ok(added.bytes < 2 * CHUNK && full.bytes > 20 * CHUNK)
        assert.equal((await itemsOf(files, added.mark)).bytes < 100, true)
        assert.equal((await itemsOf(files, 'unknown')).isFull, true)
        await assert.rejects(restore(files, full.items.slice(0, -1)), { code: 'NZ_FILES_BACKUP_INVALID' })
        await restore(files, full.items)
        await restore(files, added.items)
        assert.equal((await itemsOf(files, added.mark)).isFull, true)
        assert.ok((await verdictsOf(files)).every(({ isIntact }) => isIntact))
      })
    })
  })
}

export async function itemsOf(files: FilesService, since: string | undefined) {
  await using opened = await files.backup.export({ signal, ...(since === undefined ? {} : { since }) })
  const items: Uint8Array[] = []
  for await (const item of opened.items) {
    assert.ok(item.byteLength > 0 && item.byteLength <= MAX_ITEM_BYTES)
    items.push(item)
  }
  const bytes = items.reduce((sum, { byteLength }) => sum + byteLength, 0)
  return { mark: opened.mark, isFull: opened.isFull, items, bytes, root: await opened.root() }
}

export async function restore(files: FilesService, items: readonly Uint8Array[]): Promise<void> {
  const all = async function* (): AsyncGenerator<Uint8Array> {
    yield* items
  }
  await files.backup.restore(all(), { signal })
}
