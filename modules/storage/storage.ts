/** The store as a service, and what it does by itself: sweep what is over, recover from a full disk, go on rotating. */
import { isNzError } from '../../kernel/index.ts'
import { StorageBackupPart } from './backup-part.ts'
import { EncryptedStore } from './encrypted-store.ts'
import { z } from 'zod'
import { collection } from './collection.ts'
import { EMPTY_HEAD } from './head.ts'
import { collectGarbage } from './garbage.ts'
import { NamespaceHandle } from './namespace-handle.ts'
import { repairStore } from './repair.ts'
import { Migrations } from './migration.ts'
import { scan } from './scan.ts'
import { parseStoredName, storedName } from './schema-version.ts'
import { storageErrors, storageEvents } from './service.ts'
import { NamespaceMap } from './stored-map.ts'
import type { EventBus, Timer } from '../../kernel/index.ts'
import type { StoreLimits } from './commit-plan.ts'
import type { StoreServices } from './encrypted-store.ts'
import type { IndexEntry } from './key-index.ts'
import type { Trouble } from './trouble.ts'
import type { HomeService } from '../home/service.ts'
import type {
  Collection,
  MapInit,
  Namespace,
  NamespaceSchema,
  Snapshot,
  StorageCheck,
  StorageGc,
  StorageRepair,
  StorageService,
  StorageStatus,
  StoredMap,
} from './service.ts'

export interface StorageOptions extends StoreLimits {
  readonly sweepIntervalMs: number
  readonly witnessIntervalMs: number
}

/** Waits between tries to write again. */
const FIRST_RETRY_MS = 1_000
const LAST_RETRY_MS = 30_000
/** Records that one sweep removes from a namespace in one batch. */
const SWEEP_AT_ONCE = 512
const RESEAL_AT_ONCE = 64

const IMPORTS = 'storage/imports'
const importNote = z.strictObject({ sha256: z.string().length(64) })

export interface StorageServices extends StoreServices {
  readonly events: Pick<EventBus, 'emit'>
  /** State files of versions without a store. */
  readonly files: Pick<HomeService, 'read' | 'remove'>
}

export class Storage implements StorageService {
  readonly store: EncryptedStore
  readonly backup: StorageBackupPart
  readonly #services: StorageServices
  readonly #options: StorageOptions
  readonly #migrations: Migrations
  readonly #handles = new Map<string, NamespaceHandle>()
  /** One for each namespace that a module keeps in memory. */
  readonly #maps = new Map<string, { recover(options: { readonly wasRepaired: boolean }): Promise<void> }>()
  readonly #snapshots = new Set<Snapshot>()
  readonly #timers = new Map<string, Timer>()
  readonly #stopped = new AbortController()
  #rotation: Promise<void> | null = null
  #dropping: Promise<void> = Promise.resolve()
  #witnessed = -1

  constructor(services: StorageServices, options: StorageOptions) {
    this.#services = services
    this.#options = options
    this.store = new EncryptedStore(services, {
      ...options,
      onTrouble: (trouble, namespaces) => this.#tell(trouble, namespaces),
    })
    this.#migrations = new Migrations({ store: this.store, log: services.log })
    this.backup = new StorageBackupPart({ store: this.store, random: services.random })
  }

  async open(): Promise<void> {
    await this.store.open()
    this.#every('sweep', this.#options.sweepIntervalMs, async () => void (await this.#sweep()))
    this.#every('witness', this.#options.witnessIntervalMs, async () => await this.#witness())
    this.#goOn()
  }

  async close(): Promise<void> {
    this.#stopped.abort()
    for (const timer of this.#timers.values()) timer.cancel()
    this.#timers.clear()
    await this.#rotation?.catch(() => undefined)
    await this.#dropping
    for (const snapshot of this.#snapshots) await snapshot[Symbol.asyncDispose]()
    await this.store.close()
  }

  namespace(name: string, schema: NamespaceSchema = { version: 1 }): Namespace {
    const stored = storedName(name, schema.version)
    const known = this.#handles.get(stored)
    if (known !== undefined && schema.migrations === undefined) return known
    const { store } = this
    const services = { store, migrations: this.#migrations, clock: this.#services.clock, snapshots: this.#snapshots }
    const handle = new NamespaceHandle(services, name, schema)
    this.#handles.set(stored, handle)
    return handle
  }

  collection<T>(name: string, schema: z.ZodType<T>): Collection<T> {
    return collection(this.namespace(name), schema)
  }

  map<T>(name: string, init: MapInit<T>): StoredMap<T> {
    const { files, log } = this.#services
    const imports = this.collection(IMPORTS, importNote)
    const map = new NamespaceMap({ namespace: this.namespace(name), imports, files, log }, init)
    this.#maps.set(name, map)
    return map
  }

  status(): StorageStatus {
    const { head, damaged, trouble } = this.store
    const namespaces = [...head.namespaces]
      .filter(([stored, { records, isCopy }]) => (records > 0 && !isCopy) || damaged.has(stored))
      .map(([stored, { records, bytes }]) => ({
        ...parseStoredName(stored),
        records,
        bytes,
        isDamaged: damaged.has(stored),
      }))
      .toSorted((a, b) => (a.name < b.name ? -1 : 1))
    const sum = (of: 'records' | 'bytes'): number => namespaces.reduce((total, one) => total + one[of], 0)
    return {
      ...this.#state(trouble),
      records: sum('records'),
      bytes: sum('bytes'),
      generation: head.generation,
      toRotate: this.#toRotate(),
      sequence: head.sequence,
      quarantined: head.quarantined,
      repaired: head.repaired,
      namespaces,
    }
  }

  async check({ signal }: { readonly signal: AbortSignal }): Promise<StorageCheck> {
    const { trouble, isEngineOpen, head } = this.store
    if (!isEngineOpen && trouble?.kind === 'damaged') return { isIntact: false, records: 0, unreadable: 0, damaged: [] }
    if (!isEngineOpen) throw storageErrors.NZ_STORAGE_UNAVAILABLE({ why: trouble?.why ?? 'it is closed' })
    const found = await scan(this.#services.engine, this.#services.keys, { signal })
    const isOlder = (found.head ?? EMPTY_HEAD).sequence < head.sequence
    const fresh = found.damaged.filter((name) => !this.store.damaged.has(name))
    if (fresh.length > 0) this.store.lockAway(fresh, 'records are damaged, missing or older than they were')
    return {
      isIntact: found.damaged.length === 0 && trouble?.kind !== 'damaged' && !isOlder,
      records: [...found.namespaces.values()].reduce((total, { entries }) => total + entries.length, 0),
      unreadable: found.unreadable.length,
      damaged: found.damaged,
    }
  }

  async rotate({ signal }: { readonly signal: AbortSignal }): Promise<StorageStatus> {
    signal.throwIfAborted()
    this.store.requireWritable()
    if (this.#rotation === null && this.#toRotate() === 0) await this.store.nextGeneration()
    this.#goOnRotating()
    await this.#rotation
    return this.status()
  }

  async repair(): Promise<StorageRepair> {
    const report = await repairStore(this.store, this.#services)
    this.#services.log.warn('storage.repaired', { ...report })
    await this.#recoverMaps({ wasRepaired: true })
    return report
  }

  async gc(options: { readonly quarantinedForMs?: number; readonly signal: AbortSignal }): Promise<StorageGc> {
    const { quarantinedForMs, signal } = options
    this.store.requireWritable()
    let expired = 0
    for (let swept = -1; swept !== 0; expired += swept) {
      signal.throwIfAborted()
      swept = await this.#sweep()
    }
    const { clock } = this.#services
    // All of it is all of it, also when the clock went back since.
    const youngestMs = quarantinedForMs === 0 ? Number.POSITIVE_INFINITY : clock.nowMs() - (quarantinedForMs ?? 0)
    const quarantinedBeforeMs = quarantinedForMs === undefined ? null : youngestMs
    const collected = await collectGarbage(this.store, this.#services, { quarantinedBeforeMs, signal })
    const report = { expired, ...collected, snapshots: this.#snapshots.size }
    this.#services.log.info('storage.collected', report)
    return report
  }

  #state(trouble: Trouble | null): Pick<StorageStatus, 'state' | 'code' | 'why'> {
    if (trouble?.kind === 'damaged' || (trouble === null && this.store.damaged.size > 0)) {
      return { state: 'safe', code: 'NZ_STORAGE_DAMAGED', why: trouble?.why ?? 'records of a namespace are damaged' }
    }
    if (trouble?.kind === 'readOnly') return { state: 'readOnly', code: 'NZ_STORAGE_READ_ONLY', why: trouble.why }
    if (trouble !== null) return { state: 'closed', code: 'NZ_STORAGE_UNAVAILABLE', why: trouble.why }
    return { state: this.#rotation === null ? 'open' : 'rotating', code: null, why: null }
  }

  #tell(trouble: Trouble, namespaces: readonly string[]): void {
    const { events } = this.#services
    if (trouble.kind === 'damaged') {
      events.emit(storageEvents.damaged, { namespaces: [...namespaces], why: trouble.why })
      return
    }
    if (trouble.kind === 'readOnly') events.emit(storageEvents.readOnly, { why: trouble.why })
    this.#retryIn(FIRST_RETRY_MS)
  }

  /** Runs `work` again and again until the store is closed; what it throws is logged. */
  #every(name: string, intervalMs: number, work: () => Promise<void>): void {
    if (this.#stopped.signal.aborted) return
    const run = async (): Promise<void> => {
      try {
        if (this.store.trouble === null) await work()
      } catch (error) {
        if (!isNzError(error)) this.#services.log.error('storage.upkeepFailed', { name, error })
      }
      this.#every(name, intervalMs, work)
    }
    this.#timers.set(
      name,
      this.#services.clock.setTimer(intervalMs, () => void run(), { unref: true }),
    )
  }

  /** How many records it removed: at most a batch of each namespace. */
  async #sweep(): Promise<number> {
    let removed = 0
    for (const [namespace, index] of this.store.indexes()) {
      if (this.store.damaged.has(namespace) || this.store.head.namespaces.get(namespace)?.isCopy === true) continue
      const over: IndexEntry[] = []
      for (const entry of index.values()) {
        if (this.store.isOver(entry)) over.push(entry)
        if (over.length === SWEEP_AT_ONCE) break
      }
      const operations = over.map((entry) => ({ type: 'delete' as const, key: entry.key, onlyIf: entry }))
      if (operations.length > 0) removed += await this.store.write(namespace, operations, { bytes: 0, isOwn: true })
    }
    return removed
  }

  async #witness(): Promise<void> {
    const { sequence } = this.store.head
    if (sequence === this.#witnessed) return
    await this.store.keepWitness()
    this.#witnessed = sequence
  }

  #retryIn(delayMs: number): void {
    if (this.#stopped.signal.aborted) return
    const retry = async (): Promise<void> => {
      if (await this.#recover()) {
        await this.#recoverMaps({ wasRepaired: false })
        this.#services.events.emit(storageEvents.writable, {})
        this.#goOn()
      } else if (this.store.trouble?.kind !== 'damaged') this.#retryIn(Math.min(delayMs * 2, LAST_RETRY_MS))
    }
    this.#timers.get('retry')?.cancel()
    this.#timers.set(
      'retry',
      this.#services.clock.setTimer(delayMs, () => void retry(), { unref: true }),
    )
  }

  /** A store that met an error of the disk is opened anew, once a small file can be written. */
  async #recover(): Promise<boolean> {
    const { engine, log } = this.#services
    return await this.store.commits.exclusive(async () => {
      if (this.#stopped.signal.aborted) return false
      try {
        if (this.store.isEngineOpen) {
          await engine.probe()
          for (const snapshot of this.#snapshots) await snapshot[Symbol.asyncDispose]()
          await this.store.closeEngine()
        }
      } catch (error) {
        log.debug('storage.stillReadOnly', { error })
        return false
      }
      await this.store.open()
      return this.store.trouble === null
    })
  }

  /** What an earlier run did not finish. */
  #goOn(): void {
    if (this.store.trouble !== null) return
    if (this.#toRotate() > 0) this.#goOnRotating()
    this.#dropping = this.#migrations.dropCopies(this.#stopped.signal).catch((error: unknown) => {
      if (!this.#stopped.signal.aborted) this.#services.log.warn('storage.copyNotDropped', { error })
    })
  }

  async #recoverMaps(options: { readonly wasRepaired: boolean }): Promise<void> {
    await Promise.all([...this.#maps.values()].map(async (map) => await map.recover(options)))
  }

  #toRotate(): number {
    const { generation } = this.store.head
    let count = 0
    for (const [namespace, index] of this.store.indexes()) {
      if (this.store.damaged.has(namespace)) continue
      count += index.olderThan(generation)
    }
    return count
  }

  #goOnRotating(): void {
    this.#rotation ??= this.#reseal()
      .catch((error: unknown) => {
        this.#services.log.warn('storage.rotationPaused', { error })
        throw error
      })
      .finally(() => {
        this.#rotation = null
      })
    // Who asked for it awaits it; after a restart nobody does, and the pause is logged.
    this.#rotation.catch(() => undefined)
  }

  async #reseal(): Promise<void> {
    const { generation } = this.store.head
    for (const [namespace, index] of this.store.indexes()) {
      const old = [...index.values()].filter((entry) => entry.generation < generation)
      for (let at = 0; at < old.length; at += RESEAL_AT_ONCE) {
        this.#stopped.signal.throwIfAborted()
        if (this.store.damaged.has(namespace)) break
        await this.#resealSome(namespace, old.slice(at, at + RESEAL_AT_ONCE))
      }
    }
    this.#services.events.emit(storageEvents.rotated, { generation })
    this.#services.log.info('storage.rotated', { generation })
  }

  async #resealSome(namespace: string, entries: readonly IndexEntry[]): Promise<void> {
    const index = this.store.indexOf(namespace)
    const operations = []
    let bytes = 0
    for (const entry of entries) {
      // One that changed since is under the new keys already.
      if (index.get(entry.key) !== entry) continue
      let value = await this.store.readEntry(namespace, entry)
      if (value === null) {
        const settled = await this.store.readBetween(namespace, entry.key)
        if (settled?.entry !== entry) continue
        value = settled.value
      }
      bytes += value.byteLength
      operations.push({ type: 'reseal' as const, entry, value })
    }
    if (operations.length > 0) await this.store.write(namespace, operations, { bytes, isOwn: true })
  }
}
