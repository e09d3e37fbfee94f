/**
 * libp2p's datastore in the node's store: what it knows of peers, and later records and keys.
 *
 * Records of peers (`/peers/…`) are read and written at every stream and can be learnt anew: they are all in memory, and
 * what changed is written a moment later, many in one go. Every other record is durable when `put` resolves.
 */
import { BaseDatastore } from 'datastore-core/base'
import { Key } from 'interface-datastore/key'
import { NotFoundError } from '@libp2p/interface'
import { isNzError, Turns } from '../../kernel/index.ts'
import { networkErrors } from './service.ts'
import type { AbortOptions } from '@libp2p/interface'
import type { Batch, KeyQuery, Pair, Query } from 'interface-datastore'
import type { Clock, Logger, NzError, Timer } from '../../kernel/index.ts'
import type { Namespace, Operation, RangeOptions, StoredRecord } from '../storage/service.ts'

const PEERS = '/peers/'
/** Records in memory; beyond it the one written longest ago is forgotten. */
export const MAX_KEPT_RECORDS = 4_096
export const MAX_KEPT_RECORD_BYTES = 65_536
/** All of them together. */
export const MAX_KEPT_BYTES = 16_777_216
/** Until a record that is new, or gone, is written: so much is forgotten when the process is killed. */
const NEW_RECORD_DELAY_MS = 1_000
/** Until a record that changed is written: libp2p notes the time at every stream. */
const CHANGE_DELAY_MS = 60_000
const MAX_BATCH_OPERATIONS = 512
const MAX_BATCH_BYTES = 4_194_304
const PAGE = 1_000

export interface StoredDatastoreServices {
  readonly namespace: Namespace
  readonly clock: Clock
  readonly log: Logger
}

export class StoredDatastore extends BaseDatastore {
  readonly #services: StoredDatastoreServices
  /** What is kept in memory, the one written longest ago first. */
  readonly #kept = new Map<string, Uint8Array>()
  /** Keys of kept records that differ from the stored ones. */
  readonly #changed = new Set<string>()
  readonly #turns = new Turns()
  #keptBytes = 0
  #dueMs = Number.POSITIVE_INFINITY
  #timer: Timer | null = null
  #trouble: NzError | null = null
  #isClosed = false

  constructor(services: StoredDatastoreServices) {
    super()
    this.#services = services
  }

  /** Why nothing is stored: all records are in memory and gone with the process. `null` when all is well. */
  get trouble(): NzError | null {
    return this.#trouble
  }

  /** Reads the records of peers. While the store is in trouble it works in memory, and tries again every minute. */
  async open(): Promise<void> {
    const stored: [string, Uint8Array][] = []
    try {
      for await (const { key, value } of this.#stored(PEERS)) stored.push([key, value])
      this.#trouble = null
    } catch (error) {
      if (!isNzError(error)) throw error
      if (this.#trouble === null) this.#services.log.error('network.peersNotStored', { error })
      this.#trouble = error
      this.#schedule(CHANGE_DELAY_MS)
      return
    }
    const fresh = [...this.#kept]
    for (const [name] of fresh) this.#forget(name)
    for (const [name, value] of stored) this.#keep(name, value)
    this.#changed.clear()
    for (const [name, value] of fresh) this.#keep(name, value)
    if (this.#changed.size > 0) this.#schedule(NEW_RECORD_DELAY_MS)
  }

  /** Writes what has not been written. Never throws: what the disk refuses is logged. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#timer?.cancel()
    await this.#flush()
  }

  override async put(key: Key, value: Uint8Array, options?: AbortOptions): Promise<Key> {
    options?.signal?.throwIfAborted()
    const name = key.toString()
    if (this.#isKept(name)) this.#putKept(name, value)
    else await this.#services.namespace.put(name, value)
    return key
  }

  override async get(key: Key, options?: AbortOptions): Promise<Uint8Array> {
    options?.signal?.throwIfAborted()
    const name = key.toString()
    const value = this.#isKept(name) ? this.#kept.get(name) : await this.#services.namespace.get(name)
    if (value === undefined || value === null) throw new NotFoundError(`no record ${name}`)
    return Uint8Array.from(value)
  }

  override async has(key: Key, options?: AbortOptions): Promise<boolean> {
    options?.signal?.throwIfAborted()
    const name = key.toString()
    return this.#isKept(name) ? this.#kept.has(name) : (await this.#services.namespace.get(name)) !== null
  }

  override async delete(key: Key, options?: AbortOptions): Promise<void> {
    options?.signal?.throwIfAborted()
    const name = key.toString()
    if (!this.#isKept(name)) await this.#services.namespace.delete(name)
    else if (this.#forget(name)) this.#schedule(NEW_RECORD_DELAY_MS)
  }

  /** Records that are not of peers are stored 512 at a time, each time all of them or none. */
  override batch(): Batch {
    let operations: Operation[] = []
    return {
      put: (key, value) => void operations.push({ type: 'put', key: key.toString(), value }),
      delete: (key) => void operations.push({ type: 'delete', key: key.toString() }),
      commit: async (options) => {
        options?.signal?.throwIfAborted()
        const all = operations
        operations = []
        const durable = all.filter(({ key }) => !this.#isKept(key))
        for (let at = 0; at < durable.length; at += MAX_BATCH_OPERATIONS) {
          await this.#services.namespace.batch(durable.slice(at, at + MAX_BATCH_OPERATIONS))
        }
        for (const operation of all.filter(({ key }) => this.#isKept(key))) {
          if (operation.type === 'put') this.#putKept(operation.key, operation.value)
          else if (this.#forget(operation.key)) this.#schedule(NEW_RECORD_DELAY_MS)
        }
      },
    }
  }

  override async *_all({ prefix = '' }: Query, options?: AbortOptions): AsyncGenerator<Pair> {
    options?.signal?.throwIfAborted()
    for (const [name, value] of Array.from(this.#kept)) {
      if (name.startsWith(prefix)) yield { key: new Key(name), value: Uint8Array.from(value) }
    }
    if (prefix.startsWith(PEERS) || this.#trouble !== null) return
    for await (const { key, value } of this.#stored(prefix)) {
      options?.signal?.throwIfAborted()
      if (!this.#isKept(key)) yield { key: new Key(key), value }
    }
  }

  override async *_allKeys({ prefix }: KeyQuery, options?: AbortOptions): AsyncGenerator<Key> {
    for await (const { key } of this._all(prefix === undefined ? {} : { prefix }, options)) yield key
  }

  #isKept(name: string): boolean {
    return name.startsWith(PEERS) || this.#trouble !== null || this.#kept.has(name)
  }

  async *#stored(prefix: string): AsyncGenerator<StoredRecord> {
    for (let after: string | null = null; ;) {
      let last: string | null = null
      const range: RangeOptions = { prefix, limit: PAGE, ...(after === null ? {} : { after }) }
      for await (const record of this.#services.namespace.range(range)) {
        last = record.key
        yield record
      }
      if (last === null) return
      after = last
    }
  }

  #putKept(name: string, value: Uint8Array): void {
    if (value.byteLength > MAX_KEPT_RECORD_BYTES) throw tooLarge(value)
    const isNew = !this.#kept.has(name)
    this.#keep(name, Uint8Array.from(value))
    this.#schedule(isNew ? NEW_RECORD_DELAY_MS : CHANGE_DELAY_MS)
  }

  #keep(name: string, value: Uint8Array): void {
    this.#forget(name)
    this.#kept.set(name, value)
    this.#keptBytes += value.byteLength
    this.#changed.add(name)
    for (const oldest of this.#kept.keys()) {
      if (this.#kept.size <= MAX_KEPT_RECORDS && this.#keptBytes <= MAX_KEPT_BYTES) return
      this.#forget(oldest)
    }
  }

  #forget(name: string): boolean {
    const value = this.#kept.get(name)
    if (value === undefined) return false
    this.#kept.delete(name)
    this.#keptBytes -= value.byteLength
    this.#changed.add(name)
    return true
  }

  #schedule(delayMs: number): void {
    const dueMs = this.#services.clock.monotonicMs() + delayMs
    if (this.#isClosed || dueMs >= this.#dueMs) return
    this.#timer?.cancel()
    this.#dueMs = dueMs
    const run = (): void => {
      this.#dueMs = Number.POSITIVE_INFINITY
      void (this.#trouble === null ? this.#flush() : this.open()).catch((error: unknown) => {
        this.#services.log.error('network.peersNotStored', { error })
      })
    }
    this.#timer = this.#services.clock.setTimer(delayMs, run, { unref: true })
  }

  async #flush(): Promise<void> {
    await this.#turns.take(async () => {
      const names = [...this.#changed]
      try {
        while (names.length > 0 && this.#trouble === null) await this.#write(names)
      } catch (error) {
        if (!isNzError(error)) throw error
        // The store itself tells people of it; what is in memory is written by a later try.
        this.#services.log.debug('network.peersNotWritten', { error })
        this.#schedule(CHANGE_DELAY_MS)
      }
    })
  }

  /** Takes from `names` what one batch holds. */
  async #write(names: string[]): Promise<void> {
    const operations: Operation[] = []
    let bytes = 0
    while (operations.length < MAX_BATCH_OPERATIONS && bytes < MAX_BATCH_BYTES) {
      const key = names.pop()
      if (key === undefined) break
      const value = this.#kept.get(key)
      bytes += value?.byteLength ?? 0
      operations.push(value === undefined ? { type: 'delete', key } : { type: 'put', key, value })
    }
    for (const { key } of operations) this.#changed.delete(key)
    try {
      await this.#services.namespace.batch(operations)
    } catch (error) {
      for (const { key } of operations) this.#changed.add(key)
      throw error
    }
  }
}

function tooLarge(value: Uint8Array): Error {
  return networkErrors.NZ_NETWORK_LIMITED({ why: 'a record of a peer is too large', data: { bytes: value.byteLength } })
}
