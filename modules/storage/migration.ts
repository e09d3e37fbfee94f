/**
 * Brings a namespace to a later version of its schema: its records are copied and converted beside the old ones, then
 * one write of the head says which of both count. spec/NZ-STORAGE-01.md §9.
 */
import { isNzError } from '../../kernel/index.ts'
import { EMPTY_NAMESPACE, MAX_NAMESPACES } from './head.ts'
import { isKey, MAX_VALUE_BYTES } from './record.ts'
import { liveVersion, MAX_VERSION, storedName } from './schema-version.ts'
import { storageErrors } from './service.ts'
import type { Logger } from '../../kernel/index.ts'
import type { PlannedOperation } from './commit-plan.ts'
import type { EncryptedStore, StoreSnapshot } from './encrypted-store.ts'
import type { Migration, MigrationReport, NamespaceSchema, StoredRecord } from './service.ts'

/** What one batch of a copy, or of its removal, takes at most. */
const COPIED_AT_ONCE = 512
const COPIED_BYTES_AT_ONCE = 4_194_304

interface Job {
  readonly name: string
  readonly schema: NamespaceSchema
  readonly signal: AbortSignal
  readonly isDryRun?: boolean
}

/** @throws TypeError for a schema that nobody can migrate to */
export function requireSchema({ version, migrations = [] }: NamespaceSchema): void {
  if (!Number.isInteger(version) || version < 1 || version > MAX_VERSION) throw new TypeError('not a version')
  const steps = migrations.map(({ to }) => to)
  const first = version - steps.length + 1
  if (steps.some((to, at) => to !== first + at) || first < 2 - Number(steps.length === 0)) {
    throw new TypeError(`the migrations of a schema lead to its version ${version}, one by one and in order`)
  }
}

/** The migrations of a store, one after another: also what crashed ones left is removed before the next. */
export class Migrations {
  readonly #store: EncryptedStore
  readonly #log: Logger
  #last: Promise<unknown> = Promise.resolve()

  constructor({ store, log }: { readonly store: EncryptedStore; readonly log: Logger }) {
    this.#store = store
    this.#log = log
  }

  /** @throws as Namespace.migrate */
  async migrate(job: Job): Promise<MigrationReport> {
    return await this.#inTurn(async () => {
      this.#store.requireReadable(storedName(job.name, job.schema.version))
      const { version } = job.schema
      const from = liveVersion(this.#store.head, job.name)
      if (from === null || from === version) return { from: version, to: version, read: 0, written: 0 }
      if (from > version) {
        throw storageErrors.NZ_STORAGE_NEWER({ data: { namespace: job.name, version: from, expected: version } })
      }
      const report = await this.#copy(job, from)
      if (job.isDryRun !== true) this.#log.info('storage.migrated', { namespace: job.name, ...report })
      return report
    })
  }

  /** Removes records that count no more, or that a migration did not finish. What fails is done at the next start. */
  async dropCopies(signal: AbortSignal): Promise<void> {
    await this.#inTurn(async () => {
      const copies = [...this.#store.head.namespaces].filter(([, { isCopy }]) => isCopy)
      for (const [stored] of copies) {
        if (!this.#store.damaged.has(stored)) await this.#drop(stored, signal)
      }
    })
  }

  async #copy(job: Job, from: number): Promise<MigrationReport> {
    const { name, schema, signal, isDryRun = false } = job
    const source = storedName(name, from)
    const target = storedName(name, schema.version)
    const store = this.#store
    const convert = conversion(name, schema, from)
    store.requireReadable(source)
    const release = isDryRun ? () => undefined : store.hold(source)
    try {
      if (store.head.namespaces.has(target)) await this.#drop(target, signal)
      const snapshot = await store.snapshot(source)
      try {
        const sink = isDryRun ? new DryRun() : new Copy(store, target)
        if (!isDryRun) await this.#begin(target)
        const counts = await copyAll({ store, source, snapshot, convert, sink, signal })
        if (!isDryRun) await this.#switch(source, target)
        return { from, to: schema.version, ...counts }
      } finally {
        await snapshot.engine.close()
      }
    } catch (error) {
      if (isDryRun || signal.aborted || isNzError(error)) throw error
      throw storageErrors.NZ_STORAGE_MIGRATION_FAILED({ cause: error, data: { namespace: name } })
    } finally {
      release()
      // Whichever of the two does not count: the old records after success, the copy after a failure.
      if (!isDryRun) await this.#dropLater([source, target])
    }
  }

  async #begin(target: string): Promise<void> {
    await this.#store.commits.exclusive(async () => {
      const { head } = this.#store
      const copies = [...head.namespaces.values()].filter(({ isCopy }) => isCopy)
      if (copies.length >= MAX_NAMESPACES) throw storageErrors.NZ_STORAGE_BUSY({ why: 'too many copies wait' })
      const namespaces = new Map(head.namespaces).set(target, { ...EMPTY_NAMESPACE, isCopy: true })
      await this.#store.putHead({ ...head, namespaces })
    })
  }

  /** The one write that counts: before it the old records are the namespace, after it the new ones. */
  async #switch(source: string, target: string): Promise<void> {
    await this.#store.commits.exclusive(async () => {
      const { head } = this.#store
      const namespaces = new Map(head.namespaces)
      for (const [stored, isCopy] of [
        [source, true],
        [target, false],
      ] as const) {
        namespaces.set(stored, { ...(head.namespaces.get(stored) ?? EMPTY_NAMESPACE), isCopy })
      }
      await this.#store.putHead({ ...head, sequence: head.sequence + 1, namespaces })
    })
    await this.#store.keepWitness()
  }

  async #dropLater(names: readonly string[]): Promise<void> {
    try {
      for (const stored of names) {
        if (this.#store.head.namespaces.get(stored)?.isCopy === true) await this.#drop(stored)
      }
    } catch (error) {
      this.#log.warn('storage.copyNotDropped', { error })
    }
  }

  async #drop(stored: string, signal?: AbortSignal): Promise<void> {
    const store = this.#store
    const entries = [...store.indexOf(stored).values()]
    for (let at = 0; at < entries.length; at += COPIED_AT_ONCE) {
      signal?.throwIfAborted()
      const some = entries.slice(at, at + COPIED_AT_ONCE)
      const operations = some.map((entry) => ({ type: 'delete' as const, key: entry.key, onlyIf: entry }))
      await store.write(stored, operations, { bytes: 0, isOwn: true })
    }
    await store.commits.exclusive(async () => await store.forget(stored))
  }

  async #inTurn<T>(task: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(task, task)
    this.#last = mine.catch(() => undefined)
    return await mine
  }
}

type Conversion = (record: StoredRecord) => readonly StoredRecord[]

function conversion(namespace: string, { version, migrations = [] }: NamespaceSchema, from: number): Conversion {
  const steps = migrations.filter(({ to }) => to > from)
  if (steps.length !== version - from) {
    const why = `nothing leads from version ${from} to ${version}`
    throw storageErrors.NZ_STORAGE_MIGRATION_FAILED({ why, data: { namespace } })
  }
  const step = (records: readonly StoredRecord[], { to, migrate }: Migration): readonly StoredRecord[] =>
    records.flatMap((record) => {
      try {
        return migrate(record)
      } catch (error) {
        const data = { namespace, to, key: record.key }
        throw storageErrors.NZ_STORAGE_MIGRATION_FAILED({ why: 'a record could not be converted', cause: error, data })
      }
    })
  return (record) => {
    let records: readonly StoredRecord[] = [record]
    for (const migration of steps) records = step(records, migration)
    for (const { key, value } of records) {
      if (isKey(key) && value.byteLength <= MAX_VALUE_BYTES) continue
      const data = { namespace, key: record.key }
      throw storageErrors.NZ_STORAGE_MIGRATION_FAILED({ why: 'a converted record has no valid key or size', data })
    }
    return records
  }
}

async function copyAll(init: {
  readonly store: EncryptedStore
  readonly source: string
  readonly snapshot: StoreSnapshot
  readonly convert: Conversion
  readonly sink: Copy | DryRun
  readonly signal: AbortSignal
}): Promise<{ readonly read: number; readonly written: number }> {
  const { store, source, snapshot, convert, sink, signal } = init
  let read = 0
  for (const entry of snapshot.index.entries()) {
    signal.throwIfAborted()
    if (store.isOver(entry)) continue
    const value = await store.readEntry(source, entry, snapshot)
    if (value === null) throw store.lockAway([source], 'a record is not the one that was acknowledged')
    read += 1
    for (const record of convert({ key: entry.key, value })) await sink.add(record, entry.expiresAtMs)
  }
  await sink.flush()
  return { read, written: sink.written }
}

/** Says what a copy would meet, and keeps the keys alone. */
class DryRun {
  readonly #keys = new Set<string>()

  get written(): number {
    return this.#keys.size
  }

  async add({ key }: StoredRecord): Promise<void> {
    await Promise.resolve()
    if (this.#keys.has(key)) throw twin(key)
    this.#keys.add(key)
  }

  async flush(): Promise<void> {
    await Promise.resolve()
  }
}

/** Converted records on their way to the copy. */
class Copy {
  written = 0
  readonly #store: EncryptedStore
  readonly #target: string
  readonly #waiting = new Map<string, PlannedOperation>()
  #bytes = 0

  constructor(store: EncryptedStore, target: string) {
    this.#store = store
    this.#target = target
  }

  async add({ key, value }: StoredRecord, expiresAtMs: number): Promise<void> {
    if (this.#waiting.has(key) || this.#store.indexOf(this.#target).get(key) !== null) throw twin(key)
    this.#waiting.set(key, { type: 'put', key, value: Uint8Array.from(value), expiresAtMs })
    this.#bytes += value.byteLength
    if (this.#waiting.size >= COPIED_AT_ONCE || this.#bytes >= COPIED_BYTES_AT_ONCE) await this.flush()
  }

  async flush(): Promise<void> {
    if (this.#waiting.size === 0) return
    await this.#store.write(this.#target, [...this.#waiting.values()], { bytes: this.#bytes, isOwn: true })
    this.written += this.#waiting.size
    this.#waiting.clear()
    this.#bytes = 0
  }
}

function twin(key: string): Error {
  return storageErrors.NZ_STORAGE_MIGRATION_FAILED({ why: 'two records would have one key', data: { key } })
}
