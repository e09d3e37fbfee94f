/**
 * The store's share of a backup: every record of every namespace as of one moment, or what differs from an earlier
 * moment, deleted keys too. What an earlier export saw is remembered as a list of keys and digests in the store itself:
 * nothing has to be believed about what has happened since. spec/NZ-BACKUP-01.md §5.
 */
import { createHash } from 'node:crypto'
import { damagedArchive } from '../../protocols/backup/errors.ts'
import { MAX_ITEM_BYTES } from '../../protocols/backup/part.ts'
import { Baselines, isBookkeeping } from './backup-baseline.ts'
import { decodeRecord, encodeRecord, isKey } from './record.ts'
import type { Random } from '../../kernel/index.ts'
import type { BackupPart, PartExport } from '../../protocols/backup/part.ts'
import type { BaselineEntry } from './backup-baseline.ts'
import type { PlannedOperation } from './commit-plan.ts'
import type { EncryptedStore } from './encrypted-store.ts'
import type { PlainRecord } from './record.ts'

/** type u8 · length u32 */
const ENTRY_HEADER_BYTES = 5
const PUT = 1
const DELETE = 2
/** An item is closed when it has this many bytes: one record of the largest size still fits behind. */
const ITEM_FULL_BYTES = 65_536
/** Records of one namespace that are restored in one batch. */
const RESTORE_OPERATIONS = 1_024
const RESTORE_BYTES = 4_194_304

export interface StorageBackupServices {
  readonly store: EncryptedStore
  readonly random: Pick<Random, 'bytes'>
}

interface Walked {
  readonly record: PlainRecord
  readonly encoded: Uint8Array
  readonly digest: Uint8Array
}

export class StorageBackupPart implements BackupPart {
  readonly name = 'storage'
  readonly #store: EncryptedStore
  readonly #baselines: Baselines
  readonly #random: Pick<Random, 'bytes'>

  constructor({ store, random }: StorageBackupServices) {
    this.#store = store
    this.#baselines = new Baselines(store)
    this.#random = random
  }

  /** @throws NZ_STORAGE_DAMAGED, NZ_STORAGE_UNAVAILABLE: a store that is not whole is not backed up as if it were */
  async export({ since, signal }: { readonly since?: string; readonly signal: AbortSignal }): Promise<PartExport> {
    const isKnown = since !== undefined && (await this.#baselines.has(since))
    const view = await this.#store.snapshotAll()
    const mark = Buffer.from(this.#random.bytes(16)).toString('hex')
    const made: { root: string | null } = { root: null }
    let isOpen = true
    return {
      mark,
      isFull: !isKnown,
      items: packed(this.#changes(view, { mark, since: isKnown ? since : null, made, signal })),
      root: async () => {
        if (made.root === null) throw new TypeError('the root is known when every item was read')
        return await Promise.resolve(made.root)
      },
      async [Symbol.asyncDispose]() {
        if (!isOpen) return
        isOpen = false
        await view.engine.close()
      },
    }
  }

  async restore(items: AsyncIterable<Uint8Array>, { signal }: { readonly signal: AbortSignal }): Promise<void> {
    const touched = new Set<string>()
    let namespace = ''
    let operations: PlannedOperation[] = []
    let bytes = 0
    const flush = async (): Promise<void> => {
      // By stored name: an export holds one version of each namespace, the one that counted.
      if (operations.length > 0) await this.#store.write(namespace, operations, { bytes, isOwn: true })
      if (operations.length > 0) touched.add(namespace)
      operations = []
      bytes = 0
    }
    for await (const item of items) {
      signal.throwIfAborted()
      for (const { type, record } of entriesOf(item)) {
        const isFull = operations.length === RESTORE_OPERATIONS || bytes >= RESTORE_BYTES
        if (record.namespace !== namespace || isFull) await flush()
        namespace = record.namespace
        const { key, value, expiresAtMs } = record
        operations.push(type === PUT ? { type: 'put', key, value, expiresAtMs } : { type: 'delete', key })
        bytes += value.byteLength
      }
    }
    await flush()
    for (const stored of touched) {
      // Emptied by a migration between two exports: left in the head, it would be the version that counts.
      if (this.#store.head.namespaces.get(stored)?.records !== 0) continue
      await this.#store.commits.exclusive(async () => await this.#store.forget(stored))
    }
  }

  async root({ signal }: { readonly signal: AbortSignal }): Promise<string> {
    const view = await this.#store.snapshotAll()
    try {
      const root = createHash('sha256')
      for await (const { record, digest } of this.#walk(view, signal)) if (record.expiresAtMs === 0) root.update(digest)
      return root.digest('hex')
    } finally {
      await view.engine.close()
    }
  }

  /** What differs from the baseline, as entries in order; writes the next baseline on the way. */
  async *#changes(
    view: AllNamespaces,
    {
      mark,
      since,
      made,
      signal,
    }: {
      readonly mark: string
      readonly since: string | null
      readonly made: { root: string | null }
      readonly signal: AbortSignal
    },
  ): AsyncGenerator<Uint8Array> {
    await this.#baselines.prune(since)
    const root = createHash('sha256')
    const next = this.#baselines.writer(mark)
    const before = this.#baselines.read(since)
    let old = await before.next()
    try {
      for await (const { record, encoded, digest } of this.#walk(view, signal)) {
        while (old.done !== true && isBefore(old.value, record)) {
          yield deletion(old.value)
          old = await before.next()
        }
        const isSame = old.done !== true && isSameKey(old.value, record)
        if (!isSame || old.done === true || Buffer.compare(old.value.digest, digest) !== 0) yield entry(PUT, encoded)
        if (isSame) old = await before.next()
        if (record.expiresAtMs === 0) root.update(digest)
        await next.add({ namespace: record.namespace, key: record.key, digest })
      }
      for (; old.done !== true; old = await before.next()) yield deletion(old.value)
    } finally {
      await before.return(undefined)
    }
    await next.finish()
    made.root = root.digest('hex')
  }

  /** Every record, in order of namespace and key, proven. */
  async *#walk({ indexes, engine }: AllNamespaces, signal: AbortSignal): AsyncGenerator<Walked> {
    for (const namespace of [...indexes.keys()].filter((name) => !isBookkeeping(name)).toSorted(byText)) {
      const index = indexes.get(namespace)
      if (index === undefined) continue
      for (const found of index.entries()) {
        signal.throwIfAborted()
        if (this.#store.isOver(found)) continue
        const value = await this.#store.readEntry(namespace, found, { index, engine })
        if (value === null) throw this.#store.lockAway([namespace], 'a record is not the one that was acknowledged')
        const record = { namespace, key: found.key, expiresAtMs: found.expiresAtMs, value }
        const encoded = encodeRecord(record)
        yield { record, encoded, digest: createHash('sha256').update(encoded).digest() }
      }
    }
  }
}

type AllNamespaces = Awaited<ReturnType<EncryptedStore['snapshotAll']>>

/** Entries put together to items of a fair size. */
async function* packed(entries: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let held: Uint8Array[] = []
  let bytes = 0
  for await (const one of entries) {
    if (bytes + one.byteLength > MAX_ITEM_BYTES) {
      yield Buffer.concat(held)
      held = []
      bytes = 0
    }
    held.push(one)
    bytes += one.byteLength
    if (bytes < ITEM_FULL_BYTES) continue
    yield Buffer.concat(held)
    held = []
    bytes = 0
  }
  if (bytes > 0) yield Buffer.concat(held)
}

function* entriesOf(item: Uint8Array): Generator<{ readonly type: number; readonly record: PlainRecord }> {
  const view = new DataView(item.buffer, item.byteOffset, item.byteLength)
  let at = 0
  while (at < item.byteLength) {
    if (item.byteLength - at < ENTRY_HEADER_BYTES) throw damagedArchive('an entry of the store is cut off')
    const type = view.getUint8(at)
    const end = at + ENTRY_HEADER_BYTES + view.getUint32(at + 1)
    const record = end > item.byteLength ? null : decodeRecord(item.subarray(at + ENTRY_HEADER_BYTES, end))
    if (record === null || !isKey(record.key) || (type !== PUT && type !== DELETE) || isBookkeeping(record.namespace)) {
      throw damagedArchive('an entry of the store is malformed')
    }
    yield { type, record }
    at = end
  }
}

function entry(type: number, encoded: Uint8Array): Uint8Array {
  const header = Buffer.alloc(ENTRY_HEADER_BYTES)
  header.writeUInt8(type, 0)
  header.writeUInt32BE(encoded.byteLength, 1)
  return Buffer.concat([header, encoded])
}

function deletion({ namespace, key }: BaselineEntry): Uint8Array {
  return entry(DELETE, encodeRecord({ namespace, key, expiresAtMs: 0, value: new Uint8Array() }))
}

function byText(a: string, b: string): number {
  return a < b ? -1 : Number(a > b)
}

type Place = Pick<PlainRecord, 'namespace' | 'key'>

function isBefore(a: Place, b: Place): boolean {
  return a.namespace === b.namespace ? a.key < b.key : a.namespace < b.namespace
}

function isSameKey(a: Place, b: Place): boolean {
  return a.namespace === b.namespace && a.key === b.key
}
