/** One namespace as a module sees it: keys and values checked, limits kept. */
import { isKey, isNamespace, MAX_VALUE_BYTES } from './record.ts'
import { requireSchema } from './migration.ts'
import { storedName } from './schema-version.ts'
import { storageErrors } from './service.ts'
import type { Clock } from '../../kernel/index.ts'
import type { PlannedOperation } from './commit-plan.ts'
import type { Migrations } from './migration.ts'
import type { IndexEntry } from './key-index.ts'
import type { EncryptedStore, StoreSnapshot } from './encrypted-store.ts'
import type {
  MigrationReport,
  Namespace,
  NamespaceSchema,
  Operation,
  PutOptions,
  RangeOptions,
  Snapshot,
  StoredRecord,
  WatchItem,
} from './service.ts'

const MAX_BATCH_OPERATIONS = 1_024
const MAX_BATCH_BYTES = 8_388_608
const MAX_RANGE = 1_000
/** Records of a range that are read at a time: so much is in memory for it. */
const FIRST_PAGE = 16
const MAX_PAGE = 128
const MAX_PAGE_BYTES = 1_048_576
/** Snapshots a store may have open: each keeps what was deleted since from being reclaimed. */
export const MAX_SNAPSHOTS = 64

export interface HandleServices {
  readonly store: EncryptedStore
  readonly migrations: Migrations
  readonly clock: Clock
  /** Snapshots that are open in the whole store. */
  readonly snapshots: Set<Snapshot>
}

export class NamespaceHandle implements Namespace {
  readonly name: string
  readonly version: number
  readonly #schema: NamespaceSchema
  /** What its records are sealed for. */
  readonly #stored: string
  readonly #store: EncryptedStore
  readonly #migrations: Migrations
  readonly #clock: Clock
  readonly #snapshots: Set<Snapshot>
  readonly #inner = new WeakMap<Snapshot, StoreSnapshot>()

  constructor({ store, clock, snapshots, migrations }: HandleServices, name: string, schema: NamespaceSchema) {
    if (!isNamespace(name)) throw new TypeError(`not a namespace: ${name}`)
    requireSchema(schema)
    this.name = name
    this.version = schema.version
    this.#schema = schema
    this.#stored = storedName(name, schema.version)
    this.#store = store
    this.#migrations = migrations
    this.#clock = clock
    this.#snapshots = snapshots
  }

  get usage(): { readonly records: number; readonly bytes: number } {
    const head = this.#store.head.namespaces.get(this.#stored)
    return { records: head?.records ?? 0, bytes: head?.bytes ?? 0 }
  }

  async migrate(options: { readonly signal: AbortSignal; readonly isDryRun?: boolean }): Promise<MigrationReport> {
    return await this.#migrations.migrate({ name: this.name, schema: this.#schema, ...options })
  }

  async get(key: string, { snapshot }: { readonly snapshot?: Snapshot } = {}): Promise<Uint8Array | null> {
    requireKey(key)
    if (snapshot === undefined) return await this.#store.read(this.#stored, key)
    const inner = this.#innerOf(snapshot)
    const entry = inner.index.get(key)
    return entry === null || this.#store.isOver(entry) ? null : await this.#proven(entry, inner)
  }

  async put(key: string, value: Uint8Array, options: PutOptions = {}): Promise<void> {
    await this.batch([{ type: 'put', key, value, ...options }])
  }

  async delete(key: string): Promise<boolean> {
    requireKey(key)
    const isOver = this.#isOver(key)
    return (await this.#store.write(this.#stored, [{ type: 'delete', key }], { bytes: 0 })) > 0 && !isOver
  }

  async batch(operations: readonly Operation[]): Promise<void> {
    if (operations.length > MAX_BATCH_OPERATIONS) {
      throw storageErrors.NZ_STORAGE_BUSY({ why: `a batch has at most ${MAX_BATCH_OPERATIONS} operations` })
    }
    let bytes = 0
    const planned = operations.map((operation): PlannedOperation => {
      requireKey(operation.key)
      if (operation.type === 'delete') return { type: 'delete', key: operation.key }
      const { key, value, ttlMs } = operation
      bytes += value.byteLength
      if (value.byteLength > MAX_VALUE_BYTES || bytes > MAX_BATCH_BYTES) {
        throw storageErrors.NZ_STORAGE_VALUE_TOO_LARGE({ data: { bytes: value.byteLength } })
      }
      // The caller may reuse its buffer before the batch is sealed.
      return { type: 'put', key, value: Uint8Array.from(value), expiresAtMs: this.#expiryOf(ttlMs) }
    })
    if (planned.length > 0) await this.#store.write(this.#stored, planned, { bytes })
  }

  async *range({ limit = MAX_RANGE, snapshot, ...range }: RangeOptions = {}): AsyncGenerator<StoredRecord> {
    if (!Number.isInteger(limit) || limit < 1 || limit > MAX_RANGE) throw new RangeError(`limit is 1 to ${MAX_RANGE}`)
    const own = snapshot === undefined ? await this.snapshot() : null
    try {
      const inner = this.#innerOf(snapshot ?? own)
      let left = limit
      for (const page of this.#pages(inner.index.entries(range), limit)) {
        this.#store.requireReadable(this.#stored)
        const values = await this.#store.readEntries(this.#stored, page, inner)
        for (const [i, entry] of page.entries()) {
          const value = values[i] ?? null
          if (value === null) throw this.#unproven()
          if (this.#store.isOver(entry)) continue
          yield { key: entry.key, value }
          if (--left === 0) return
        }
      }
    } finally {
      await own?.[Symbol.asyncDispose]()
    }
  }

  async snapshot(): Promise<Snapshot> {
    this.#store.requireLive(this.#stored)
    if (this.#snapshots.size >= MAX_SNAPSHOTS)
      throw storageErrors.NZ_STORAGE_BUSY({ why: 'too many snapshots are open' })
    const snapshot: Snapshot = {
      namespace: this.name,
      [Symbol.asyncDispose]: async () => {
        if (!this.#snapshots.delete(snapshot)) return
        const inner = this.#inner.get(snapshot)
        this.#inner.delete(snapshot)
        await inner?.engine.close()
      },
    }
    this.#snapshots.add(snapshot)
    try {
      this.#inner.set(snapshot, await this.#store.snapshot(this.#stored))
      return snapshot
    } catch (error) {
      this.#snapshots.delete(snapshot)
      throw error
    }
  }

  watch({ after, signal }: { readonly after?: number; readonly signal: AbortSignal }): AsyncIterable<WatchItem> {
    this.#store.requireLive(this.#stored)
    const latest = (): number => this.#store.head.namespaces.get(this.#stored)?.sequence ?? 0
    return this.#store.history.watch(this.#stored, { after, latest, signal })
  }

  async #proven(entry: IndexEntry, inner: StoreSnapshot): Promise<Uint8Array> {
    this.#store.requireReadable(this.#stored)
    const value = await this.#store.readEntry(this.#stored, entry, inner)
    if (value === null) throw this.#unproven()
    return value
  }

  #unproven(): Error {
    return this.#store.lockAway([this.#stored], 'a record is not the one that was acknowledged')
  }

  /** Entries that are read by one question; the first page is small, for who wants only the first record. */
  *#pages(entries: Iterable<IndexEntry>, limit: number): Generator<readonly IndexEntry[]> {
    let page: IndexEntry[] = []
    let left = limit
    let size = Math.min(left, FIRST_PAGE)
    let bytes = 0
    for (const entry of entries) {
      if (this.#store.isOver(entry)) continue
      if (page.length >= size || (page.length > 0 && bytes + entry.bytes > MAX_PAGE_BYTES)) {
        yield page
        left -= page.length
        // More are asked for when some of these are over by then.
        size = Math.min(Math.max(left, 1), MAX_PAGE)
        page = []
        bytes = 0
      }
      page.push(entry)
      bytes += entry.bytes
    }
    if (page.length > 0) yield page
  }

  #innerOf(snapshot: Snapshot | null): StoreSnapshot {
    const inner = snapshot === null ? undefined : this.#inner.get(snapshot)
    if (inner === undefined) throw new TypeError('not an open snapshot of this namespace')
    return inner
  }

  #isOver(key: string): boolean {
    const entry = this.#store.indexOf(this.#stored).get(key)
    return entry !== null && this.#store.isOver(entry)
  }

  #expiryOf(ttlMs: number | undefined): number {
    if (ttlMs === undefined) return 0
    if (!Number.isSafeInteger(ttlMs) || ttlMs < 1) throw new RangeError('ttlMs is a whole number from 1')
    return Math.ceil(this.#clock.nowMs()) + ttlMs
  }
}

function requireKey(key: string): void {
  if (!isKey(key)) throw storageErrors.NZ_STORAGE_KEY_INVALID()
}
