/** What others may know of `storage`: encrypted, durable records by namespace. spec/NZ-STORAGE-01.md. */
import { z } from 'zod'
import { defineErrors, defineEvents, defineService } from '../../kernel/index.ts'
import type { Health, NzError } from '../../kernel/index.ts'
import type { Collection } from './collection.ts'

export type { Collection } from './collection.ts'
import type { BackupPart } from '../../protocols/backup/part.ts'

export interface StorageService {
  /**
   * The records of one module: `name` is `module` or `module/part`, lower case. A namespace comes into being with its
   * first record, in the version of `schema`; default: version 1.
   */
  namespace(name: string, schema?: NamespaceSchema): Namespace
  /** The records of a namespace as values of `schema`. Who uses a namespace so uses all of it so. */
  collection<T>(name: string, schema: z.ZodType<T>): Collection<T>
  /** The same, kept in memory as well. A second one of the same name takes the place of the first. */
  map<T>(name: string, init: MapInit<T>): StoredMap<T>
  status(): StorageStatus
  /** Reads and proves every record on disk against what was acknowledged. Changes nothing. */
  check(options: { readonly signal: AbortSignal }): Promise<StorageCheck>
  /** Seals every record anew under fresh keys while the store is in use. Goes on after a restart by itself. */
  rotate(options: { readonly signal: AbortSignal }): Promise<StorageStatus>
  /**
   * Ends safe mode: what proves itself is kept, what does not is set aside on disk, and the namespaces are opened.
   * Records that were lost or rolled back stay so.
   */
  repair(): Promise<StorageRepair>
  /**
   * Gives room back: removes records whose time is over, has the deleted ones leave the files, and, when
   * `quarantinedForMs` is given, removes what repairs have set aside at least that long ago.
   */
  gc(options: { readonly quarantinedForMs?: number; readonly signal: AbortSignal }): Promise<StorageGc>
  /** Everything in every namespace but `backup` and `backup/…`. */
  readonly backup: BackupPart
}

/** How the records of a namespace are written, and what makes older ones so. docs/writing-a-module.md. */
export interface NamespaceSchema {
  /** From 1; raised whenever records are written so that the version before could not read them. At most 65,535. */
  readonly version: number
  /** One for each version above the oldest that is still migrated from. */
  readonly migrations?: readonly Migration[]
}

export interface Migration {
  /** From the version before to this one. */
  readonly to: number
  /**
   * The records that take the place of this one: often one, none to drop it. Their time to live stays. What it throws
   * ends the migration and leaves everything as it was.
   */
  readonly migrate: (record: StoredRecord) => readonly StoredRecord[]
}

export interface MigrationReport {
  readonly from: number
  readonly to: number
  /** Records before and after. */
  readonly read: number
  readonly written: number
}

/**
 * Every method may throw NZ_STORAGE_DAMAGED, NZ_STORAGE_UNAVAILABLE, NZ_STORAGE_NEWER when a later version wrote the
 * records, NZ_STORAGE_NOT_MIGRATED when an earlier one did; every change also NZ_STORAGE_READ_ONLY.
 */
export interface Namespace {
  readonly name: string
  /** Of its schema. */
  readonly version: number
  /**
   * Brings the records to the version of the schema; at once done when they are. They are copied, and all at once the
   * copy is what counts: a failure, an abort or a crash before that leaves the version before as it was. Meanwhile
   * records can be read through a namespace of the version before, and changes are refused with NZ_STORAGE_BUSY.
   * `isDryRun`: converts every record and changes nothing.
   *
   * @throws NZ_STORAGE_MIGRATION_FAILED, NZ_STORAGE_QUOTA when the copy has no room, NZ_STORAGE_BUSY
   */
  migrate(options: { readonly signal: AbortSignal; readonly isDryRun?: boolean }): Promise<MigrationReport>
  /** `null` when there is none or its time is over. */
  get(key: string, options?: { readonly snapshot?: Snapshot }): Promise<Uint8Array | null>
  /** Durable when it resolves. @throws NZ_STORAGE_QUOTA, NZ_STORAGE_KEY_INVALID, NZ_STORAGE_VALUE_TOO_LARGE */
  put(key: string, value: Uint8Array, options?: PutOptions): Promise<void>
  /** Durable when it resolves: whether there was such a record. */
  delete(key: string): Promise<boolean>
  /** All of it or nothing, also after a crash. At most 1,024 operations. @throws as `put` */
  batch(operations: readonly Operation[]): Promise<void>
  /** In order of key, as JavaScript compares strings; sees one state of the namespace however long it takes. */
  range(options?: RangeOptions): AsyncIterable<StoredRecord>
  /** One state of the namespace, until it is disposed of. @throws NZ_STORAGE_BUSY above 64 in a store */
  snapshot(): Promise<Snapshot>
  /**
   * Changes as they are acknowledged, in order, first those after `after`. A gap says that changes in between are no
   * longer known: read what you need anew, then go on.
   */
  watch(options: { readonly after?: number; readonly signal: AbortSignal }): AsyncIterable<WatchItem>
  /** Records and their bytes (keys and values), those whose time is over included until they are swept. */
  readonly usage: { readonly records: number; readonly bytes: number }
}

export interface MapInit<T> {
  readonly schema: z.ZodType<T>
  /** Where the records were before there was a store: imported once, then removed. */
  readonly older?: OlderFile<T>
  /** Told each time the records were read: by `load`, and when the store works again after `load` had found trouble. */
  readonly onLoaded?: () => void
}

export interface OlderFile<T> {
  /** Name of a state file in the home. */
  readonly file: string
  /** The same records with the same keys at every call. @throws what a damaged file is called */
  readonly records: (bytes: Uint8Array) => Iterable<readonly [string, T]>
}

export interface MapChange<T, R> {
  readonly put?: Iterable<readonly [string, T]>
  readonly remove?: Iterable<string>
  readonly result: R
}

/** Few records of one shape, all of them in memory. */
export interface StoredMap<T> {
  /**
   * Reads the records. What is wrong with the store is not thrown: it is `trouble`, until the store was repaired.
   *
   * @throws what `older.records` throws, NZ_HOME_UNREADABLE, NZ_HOME_MODE, NZ_HOME_TOO_LARGE
   */
  load(): Promise<void>
  /** Why nothing can be said of the records; `null` when all of them were read. */
  readonly trouble: NzError | null
  /** @throws `trouble` */
  readonly values: ReadonlyMap<string, T>
  /**
   * One change after another: `step` sees what the one before it left. Memory changes when the store has: durable when
   * it resolves. At most 512 records, so that it is all or nothing. @throws `trouble`, NZ_STORAGE_READ_ONLY, and what `step` throws
   */
  change<R>(step: (values: ReadonlyMap<string, T>) => MapChange<T, R>): Promise<R>
  /**
   * In force at once, durable when it resolves. Calls during one write share the next. What the disk refuses stays in
   * force and is written as soon as it takes changes again.
   *
   * @throws `trouble`, NZ_STORAGE_READ_ONLY
   */
  force(change: Omit<MapChange<T, unknown>, 'result'>): Promise<void>
  /** Degraded while there is trouble. `consequence` says what does not work because of it. */
  health(consequence: string): Health
}

export interface PutOptions {
  /** The record ends this many milliseconds from now; default: never. */
  readonly ttlMs?: number
}

export type Operation =
  | { readonly type: 'put'; readonly key: string; readonly value: Uint8Array; readonly ttlMs?: number }
  | { readonly type: 'delete'; readonly key: string }

export interface StoredRecord {
  readonly key: string
  readonly value: Uint8Array
}

export interface RangeOptions {
  /** Keys that begin with this. */
  readonly prefix?: string
  /** Keys after this one (before it, when `reverse`). */
  readonly after?: string
  readonly reverse?: boolean
  /** 1 to 1,000; default 1,000. */
  readonly limit?: number
  readonly snapshot?: Snapshot
}

export interface Snapshot extends AsyncDisposable {
  readonly namespace: string
}

export type WatchItem =
  | { readonly kind: 'put' | 'delete'; readonly key: string; readonly cursor: number }
  | { readonly kind: 'gap'; readonly cursor: number }

export type StorageState = 'open' | 'rotating' | 'readOnly' | 'safe' | 'closed'

export interface StorageStatus {
  /** `readOnly`: the disk refuses; `safe`: something is damaged and locked away, the rest works. */
  readonly state: StorageState
  /** Why it is not `open`. */
  readonly code: string | null
  readonly why: string | null
  readonly records: number
  readonly bytes: number
  /** How often the keys were changed, from 1. */
  readonly generation: number
  /** Records that wait for the change of keys. */
  readonly toRotate: number
  /** Number of the last acknowledged change. */
  readonly sequence: number
  /** Parts that were set aside by repairs. */
  readonly quarantined: number
  /** Number of the change by which the last repair accepted what it found, whatever became of the rest; 0: never. */
  readonly repaired: number
  readonly namespaces: readonly {
    readonly name: string
    /** Of its schema. */
    readonly version: number
    readonly records: number
    readonly bytes: number
    readonly isDamaged: boolean
  }[]
}

export interface StorageCheck {
  readonly isIntact: boolean
  readonly records: number
  /** Parts on disk that no key of this identity proves. */
  readonly unreadable: number
  readonly damaged: readonly string[]
}

export interface StorageRepair {
  readonly kept: number
  readonly setAside: number
  readonly reopened: readonly string[]
}

export interface StorageGc {
  /** Records whose time was over. */
  readonly expired: number
  /** Parts that repairs had set aside. */
  readonly removed: number
  /** Bytes of the store's files. */
  readonly bytesBefore: number
  readonly bytesAfter: number
  /** Snapshots that are open: what they can read could not leave. */
  readonly snapshots: number
}

export const StorageService = defineService<StorageService>('storage')

export const storageEvents = defineEvents('storage', {
  damaged: z.strictObject({ namespaces: z.array(z.string()), why: z.string() }),
  readOnly: z.strictObject({ why: z.string() }),
  writable: z.strictObject({}),
  rotated: z.strictObject({ generation: z.number().int() }),
})

export const storageErrors = defineErrors({
  NZ_STORAGE_DAMAGED: {
    message: 'stored records are damaged, missing or older than what was acknowledged',
    fix: [
      'nzcore storage check',
      'restore the state folder from a copy, or keep what is intact: nzcore storage repair',
    ],
    status: 500,
    exit: 'damaged',
    retryable: false,
  },
  NZ_STORAGE_READ_ONLY: {
    message: 'the disk does not take changes',
    fix: ['free disk space or correct the disk; the store tries again by itself', 'nzcore storage status'],
    status: 507,
    exit: 'failed',
    retryable: true,
  },
  NZ_STORAGE_UNAVAILABLE: {
    message: 'the store is not open',
    fix: ['nzcore storage status', 'nzcore logs'],
    status: 503,
    exit: 'failed',
    retryable: true,
  },
  NZ_STORAGE_QUOTA: {
    message: 'the store has no room for more of these records',
    fix: ['delete records', 'nzcore config set storage.maxNamespaceBytes <more>'],
    status: 507,
    exit: 'failed',
    retryable: false,
  },
  NZ_STORAGE_KEY_INVALID: {
    message: 'this cannot be the key of a record',
    fix: ['use 1 to 512 bytes of well-formed text'],
    status: 400,
    exit: 'usage',
    retryable: false,
  },
  NZ_STORAGE_VALUE_TOO_LARGE: {
    message: 'the value is too large for one record',
    fix: ['store at most 1,048,576 bytes in a record, 8,388,608 in a batch'],
    status: 413,
    exit: 'usage',
    retryable: false,
  },
  NZ_STORAGE_VALUE_INVALID: {
    message: 'a stored value is not what its collection holds',
    fix: ['nzcore logs', 'update nzcore on this machine'],
    status: 500,
    exit: 'incompatible',
    retryable: false,
  },
  NZ_STORAGE_NEWER: {
    message: 'a newer version of nzcore has written these records',
    fix: ['update nzcore on this machine', 'nzcore storage status'],
    status: 409,
    exit: 'incompatible',
    retryable: false,
  },
  NZ_STORAGE_NOT_MIGRATED: {
    message: 'these records are in the form of an older version and were not migrated yet',
    fix: ['nzcore logs', 'nzcore storage status'],
    status: 409,
    exit: 'incompatible',
    retryable: false,
  },
  NZ_STORAGE_MIGRATION_FAILED: {
    message: 'stored records could not be brought to the form of this version; they are as they were',
    fix: ['nzcore logs', 'run the version of nzcore that wrote them'],
    status: 500,
    exit: 'incompatible',
    retryable: false,
  },
  NZ_STORAGE_BUSY: {
    message: 'too much is asked of the store at once',
    fix: ['wait, then try again'],
    status: 429,
    exit: 'failed',
    retryable: true,
  },
  NZ_STORAGE_NOT_FOUND: {
    message: 'there is no such record',
    fix: ['nzcore kv list'],
    status: 404,
    exit: 'notFound',
    retryable: false,
  },
})
