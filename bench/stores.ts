/** The store and plain LevelDB behind one interface, with the same durability: every write and its folder are synced. */
import { mkdir, mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FileHandle } from 'node:fs/promises'
import { ClassicLevel } from 'classic-level'
import { systemClock, systemRandom } from '../kernel/index.ts'
import { StateFiles } from '../modules/home/state-files.ts'
import { StoreKeys } from '../modules/storage/keys.ts'
import { LevelEngine } from '../modules/storage/level-engine.ts'
import { Storage } from '../modules/storage/storage.ts'
import { WitnessFile } from '../modules/storage/witness-file.ts'
import type { Logger } from '../kernel/index.ts'

export interface BenchStore {
  open(): Promise<void>
  close(): Promise<void>
  /** Durable when it resolves. */
  put(key: string, value: Uint8Array): Promise<void>
  /** Durable when it resolves. */
  putAll(records: readonly (readonly [key: string, value: Uint8Array])[]): Promise<void>
  get(key: string): Promise<Uint8Array | null>
  /** How many records there were, up to `limit`, after `after`; their values are read. */
  range(after: string, limit: number): Promise<number>
  /** Reads everything there is; the store has done so when it is open. */
  readAll(): Promise<number>
}

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} }

export class EncryptedBenchStore implements BenchStore {
  readonly #dir: string
  #storage: Storage | null = null

  constructor(dir: string) {
    this.#dir = dir
  }

  async open(): Promise<void> {
    await mkdir(this.#dir, { recursive: true, mode: 0o700 })
    const keys = new StoreKeys(new Uint8Array(32).fill(1))
    const files = new StateFiles(this.#dir)
    const storage = new Storage(
      {
        engine: new LevelEngine(join(this.#dir, 'store')),
        keys,
        witness: new WitnessFile(files, keys),
        clock: systemClock,
        random: systemRandom,
        log: silent,
        events: { emit() {} },
        files,
      },
      { maxNamespaceRecords: 1e6, maxNamespaceBytes: 2 ** 34, sweepIntervalMs: 60_000, witnessIntervalMs: 5_000 },
    )
    await storage.open()
    const { state, why } = storage.status()
    if (state !== 'open') throw new Error(`the store is ${state}: ${why}`)
    this.#storage = storage
  }

  async close(): Promise<void> {
    await this.#storage?.close()
  }

  async put(key: string, value: Uint8Array): Promise<void> {
    await this.#records.put(key, value)
  }

  async putAll(records: readonly (readonly [string, Uint8Array])[]): Promise<void> {
    await this.#records.batch(records.map(([key, value]) => ({ type: 'put', key, value })))
  }

  async get(key: string): Promise<Uint8Array | null> {
    return await this.#records.get(key)
  }

  async range(after: string, limit: number): Promise<number> {
    let count = 0
    for await (const { value } of this.#records.range({ after, limit })) count += Number(value.byteLength > 0)
    return count
  }

  async readAll(): Promise<number> {
    return await Promise.resolve(this.#records.usage.records)
  }

  /** Of the store as it is open now. */
  namespace(name: string): ReturnType<Storage['namespace']> {
    if (this.#storage === null) throw new Error('the store is not open')
    return this.#storage.namespace(name)
  }

  get #records(): ReturnType<Storage['namespace']> {
    return this.namespace('bench')
  }
}

export class PlainBenchStore implements BenchStore {
  readonly #dir: string
  #open: { readonly database: ClassicLevel<string, Uint8Array>; readonly folder: FileHandle } | null = null

  constructor(dir: string) {
    this.#dir = dir
  }

  async open(): Promise<void> {
    const database = new ClassicLevel<string, Uint8Array>(this.#dir, {
      valueEncoding: 'view',
      compression: false,
      cacheSize: 1_048_576,
      writeBufferSize: 2_097_152,
      maxOpenFiles: 64,
    })
    await database.open()
    this.#open = { database, folder: await open(this.#dir, 'r') }
  }

  async close(): Promise<void> {
    await this.#open?.database.close()
    await this.#open?.folder.close()
    this.#open = null
  }

  async put(key: string, value: Uint8Array): Promise<void> {
    const { database, folder } = this.#opened
    await database.put(key, value, { sync: true })
    await folder.sync()
  }

  async putAll(records: readonly (readonly [string, Uint8Array])[]): Promise<void> {
    const { database, folder } = this.#opened
    await database.batch(
      records.map(([key, value]) => ({ type: 'put', key, value })),
      { sync: true },
    )
    await folder.sync()
  }

  async get(key: string): Promise<Uint8Array | null> {
    return (await this.#opened.database.get(key)) ?? null
  }

  async range(after: string, limit: number): Promise<number> {
    let count = 0
    for await (const [, value] of this.#opened.database.iterator({ gt: after, limit }))
      count += Number(value.length > 0)
    return count
  }

  async readAll(): Promise<number> {
    const iterator = this.#opened.database.iterator({ fillCache: false, highWaterMarkBytes: 262_144 })
    let count = 0
    for (;;) {
      const page = await iterator.nextv(1_024)
      if (page.length === 0) break
      count += page.length
    }
    await iterator.close()
    return count
  }

  get #opened(): { readonly database: ClassicLevel<string, Uint8Array>; readonly folder: FileHandle } {
    if (this.#open === null) throw new Error('the database is not open')
    return this.#open
  }
}

/** Gives `work` folders that are removed after it. */
export async function withStores<T>(
  work: (store: (kind: 'encrypted' | 'plain') => Promise<BenchStore>) => Promise<T>,
): Promise<T> {
  const base = await mkdtemp(join(tmpdir(), 'nz-bench-'))
  const opened: BenchStore[] = []
  try {
    return await work(async (kind) => {
      const dir = join(base, String(opened.length))
      const store = kind === 'encrypted' ? new EncryptedBenchStore(dir) : new PlainBenchStore(dir)
      opened.push(store)
      await store.open()
      return store
    })
  } finally {
    await Promise.all(opened.map(async (store) => await store.close()))
    await rm(base, { recursive: true, force: true })
  }
}
