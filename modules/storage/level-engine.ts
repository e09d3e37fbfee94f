/**
 * The store on disk: LevelDB. Every batch is one synced write of its log; the folder is synced too when a name in it may
 * be new, because LevelDB starts new logs without making their names durable.
 */
import { cp, mkdir, open, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { FileHandle } from 'node:fs/promises'
import type { ClassicLevel } from 'classic-level'
import { isErrno, syncFolder, systemClock } from '../../kernel/index.ts'
import { changeTimeOf, FolderSync } from './folder-sync.ts'
import { settleManifest } from './manifest.ts'
import { closeToOthers } from './own-files.ts'
import { damagedTables } from './table-check.ts'
import type { Engine, EngineEntry, EngineOperation, EngineRange, EngineSnapshot } from './engine.ts'

type Database = ClassicLevel<Uint8Array, Uint8Array>

/** LevelDB's own caches; records are small and their index is in memory. */
const CACHE_BYTES = 1_048_576
const WRITE_BUFFER_BYTES = 2_097_152
const MAX_OPEN_FILES = 64
/** What a page holds at most; two of them are in memory while everything is read. */
const PAGE_ENTRIES = 1_024
const PAGE_BYTES = 262_144
/** What a probe writes: more than the slack of a block, less than anybody misses. */
const PROBE_BYTES = 65_536

/** Copies of a store that did not open: repairs may fail half-way, and each may be the last place of a record. */
export const MAX_ASIDES = 8

/** Before and behind every key of ours. */
const BEFORE_ALL = Uint8Array.of(0)
const AFTER_ALL = new Uint8Array(32).fill(0xff)
const DATA_FILE = /^(?:\d+\.(?:ldb|sst|log)|MANIFEST-\d+)$/

export class LevelEngine implements Engine {
  readonly #dir: string
  #open: { readonly database: Database; readonly folder: FileHandle; readonly names: FolderSync } | null = null

  constructor(dir: string) {
    this.#dir = dir
  }

  async open({ exists }: { readonly exists: boolean }): Promise<void> {
    // The addon and its memory are paid for when the store is opened, not by every command.
    const { ClassicLevel: LevelDatabase } = await import('classic-level')
    if (!exists) {
      await mkdir(this.#dir, { recursive: true, mode: 0o700 })
      await syncFolder(dirname(this.#dir))
    }
    const inUse = await settleManifest(this.#dir)
    const damaged = await damagedTables(this.#dir, inUse ?? undefined)
    if (damaged.length > 0) throw new Error(`Corruption: ${damaged.join(', ')}: checksum mismatch`)
    const database: Database = new LevelDatabase(this.#dir, {
      keyEncoding: 'view',
      valueEncoding: 'view',
      createIfMissing: !exists,
      compression: false,
      cacheSize: CACHE_BYTES,
      writeBufferSize: WRITE_BUFFER_BYTES,
      maxOpenFiles: MAX_OPEN_FILES,
    })
    const before = await changeTimeOf(this.#dir)
    await database.open()
    try {
      await closeToOthers(this.#dir)
      const folder = await open(this.#dir, 'r')
      // Opening makes files. A file system that did not note it is not asked when to sync.
      const isTimed = before !== (await changeTimeOf(this.#dir))
      const changed = async (): Promise<void> => await closeToOthers(this.#dir)
      this.#open = { database, folder, names: new FolderSync(folder, systemClock, { isTimed, changed }) }
    } catch (error) {
      await database.close()
      throw error
    }
  }

  async close(): Promise<void> {
    const opened = this.#open
    this.#open = null
    if (opened === null) return
    await Promise.all([opened.database.close(), opened.folder.close()])
    await closeToOthers(this.#dir)
  }

  async get(key: Uint8Array, snapshot?: EngineSnapshot): Promise<Uint8Array | null> {
    const { database } = this.#opened()
    const options = snapshot === undefined ? {} : { snapshot: levelSnapshots.get(snapshot) }
    return (await database.get(key, options)) ?? null
  }

  async getMany(keys: readonly Uint8Array[], snapshot?: EngineSnapshot): Promise<readonly (Uint8Array | null)[]> {
    const { database } = this.#opened()
    const options = snapshot === undefined ? {} : { snapshot: levelSnapshots.get(snapshot) }
    const found: readonly (Uint8Array | undefined)[] = await database.getMany([...keys], options)
    return found.map((value) => value ?? null)
  }

  async batch(operations: readonly EngineOperation[]): Promise<void> {
    const { database, names } = this.#opened()
    await database.batch([...operations], { sync: true })
    await names.sync()
  }

  async *pages(range?: EngineRange): AsyncGenerator<readonly EngineEntry[]> {
    const bounds = range === undefined ? {} : { gte: range.from, lt: range.before }
    const options = { ...bounds, fillCache: false, highWaterMarkBytes: PAGE_BYTES }
    const iterator = this.#opened().database.iterator(options)
    let next = iterator.nextv(PAGE_ENTRIES)
    try {
      for (;;) {
        const page = await next
        if (page.length === 0) return
        // Read while the caller is busy with the page before.
        next = iterator.nextv(PAGE_ENTRIES)
        yield page
      }
    } finally {
      await next.catch(() => undefined)
      await iterator.close()
    }
  }

  snapshot(): EngineSnapshot {
    const inner = this.#opened().database.snapshot()
    const snapshot = { close: async () => await inner.close() }
    levelSnapshots.set(snapshot, inner)
    return snapshot
  }

  async probe(): Promise<void> {
    const path = join(this.#dir, 'probe.tmp')
    try {
      await writeFile(path, new Uint8Array(PROBE_BYTES), { flush: true, mode: 0o600 })
    } finally {
      await rm(path, { force: true })
    }
  }

  async salvage(): Promise<void> {
    const { ClassicLevel: LevelDatabase } = await import('classic-level')
    await mkdir(this.#dir, { recursive: true, mode: 0o700 })
    await closeToOthers(this.#dir)
    await copyDurably(this.#dir, await this.#freeAside())
    // Tables that LevelDB must not read; they are in the copy.
    for (const name of await damagedTables(this.#dir)) await rm(join(this.#dir, name))
    await LevelDatabase.repair(this.#dir)
    await closeToOthers(this.#dir)
  }

  async discardSalvage(beforeMs: number): Promise<number> {
    let bytes = 0
    for (const { path, atMs } of await this.#asides()) {
      if (atMs > beforeMs) continue
      bytes += await bytesOf(path)
      await rm(path, { recursive: true })
    }
    if (bytes > 0) await syncFolder(dirname(this.#dir))
    return bytes
  }

  async compact(): Promise<{ readonly bytesBefore: number; readonly bytesAfter: number }> {
    const { database, folder } = this.#opened()
    const bytesBefore = await bytesOf(this.#dir)
    await database.compactRange(BEFORE_ALL, AFTER_ALL)
    // LevelDB writes what its log held as a table of its own, dead entries included, and may place it so deep that the
    // compaction passes it by. Tombstones around all keys are above it, and take it through another one.
    const around = [BEFORE_ALL, AFTER_ALL].map((key) => ({ type: 'del' as const, key }))
    await database.batch(around, { sync: true })
    await database.compactRange(BEFORE_ALL, AFTER_ALL)
    await closeToOthers(this.#dir)
    await folder.sync()
    return { bytesBefore, bytesAfter: await bytesOf(this.#dir) }
  }

  /** Where the next copy of a store that did not open goes; of the earlier ones, the oldest makes room for it. */
  async #freeAside(): Promise<string> {
    const known = await this.#asides()
    const free = asideNames(this.#dir).find((path) => !known.some((one) => one.path === path))
    if (free !== undefined) return free
    const [oldest] = known.toSorted((a, b) => a.atMs - b.atMs)
    if (oldest === undefined) throw new TypeError('there is a place for a copy')
    await rm(oldest.path, { recursive: true })
    return oldest.path
  }

  /** The copies there are. */
  async #asides(): Promise<readonly { readonly path: string; readonly atMs: number }[]> {
    const found = await Promise.all(
      asideNames(this.#dir).map(async (path) => ({ path, stats: await stat(path).catch(nothingWhenMissing) })),
    )
    return found.flatMap(({ path, stats }) => (stats === null ? [] : [{ path, atMs: stats.mtimeMs }]))
  }

  #opened(): { readonly database: Database; readonly folder: FileHandle; readonly names: FolderSync } {
    if (this.#open === null) throw new Error('the store is closed')
    return this.#open
  }
}

const levelSnapshots = new WeakMap<EngineSnapshot, ReturnType<Database['snapshot']>>()

/** Of the files in a folder that hold records; a file that goes meanwhile counts as nothing. */
async function bytesOf(dir: string): Promise<number> {
  let bytes = 0
  for (const name of await readdir(dir)) {
    if (!DATA_FILE.test(name)) continue
    const found = await stat(join(dir, name)).catch(nothingWhenMissing)
    bytes += found?.size ?? 0
  }
  return bytes
}

/** `<store>.damaged`, then `<store>.damaged-2` and so on. */
function asideNames(dir: string): readonly string[] {
  return Array.from({ length: MAX_ASIDES }, (_, at) => `${dir}.damaged${at === 0 ? '' : `-${at + 1}`}`)
}

/** On disk when it resolves: what it copies is about to be changed. */
async function copyDurably(from: string, to: string): Promise<void> {
  try {
    await cp(from, to, { recursive: true })
  } catch (error) {
    // A full disk has no room for a half copy either, and the whole one is still where it was.
    await rm(to, { recursive: true, force: true })
    throw error
  }
  for (const name of await readdir(to)) {
    const handle = await open(join(to, name), 'r')
    try {
      await handle.sync()
    } finally {
      await handle.close()
    }
  }
  await syncFolder(to)
  await syncFolder(dirname(to))
}

function nothingWhenMissing(error: unknown): null {
  if (isErrno(error, 'ENOENT')) return null
  throw error
}
