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
      for (const entry of inner.index.entries(range)) {
        if (this.#store.isOver(entry)) continue
        if (left-- === 0) return
        yield { key: entry.key, value: await this.#proven(entry, inner) }
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
    if (value === null) throw this.#store.lockAway([this.#stored], 'a record is not the one that was acknowledged')
    return value
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
