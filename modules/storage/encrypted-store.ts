/**
 * The records of a profile: read by an index in memory, changed by groups that are sealed, synced and then told.
 * spec/NZ-STORAGE-01.md.
 */
import { GroupCommit } from '../../kernel/index.ts'
import { ChangeHistory } from './change-history.ts'
import { CommitPlan, sealedHead } from './commit-plan.ts'
import { EMPTY_HEAD } from './head.ts'
import { KeyIndex } from './key-index.ts'
import { RecordReader } from './record-reader.ts'
import { scan } from './scan.ts'
import { SealCounter } from './sealed.ts'
import { requireLive } from './schema-version.ts'
import { storageErrors } from './service.ts'
import { reasonOf, troubleOf, wholeDamage } from './trouble.ts'
import type { Clock, Logger, Random } from '../../kernel/index.ts'
import type { PlannedOperation, StoreLimits } from './commit-plan.ts'
import type { Engine, EngineOperation, EngineSnapshot } from './engine.ts'
import type { Head } from './head.ts'
import type { FrozenIndex, IndexEntry } from './key-index.ts'
import type { StoreKeys } from './keys.ts'
import type { Scan } from './scan.ts'
import type { Trouble } from './trouble.ts'
import type { WitnessFile } from './witness-file.ts'

export interface StoreServices {
  readonly engine: Engine
  readonly keys: StoreKeys
  readonly witness: WitnessFile
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
}

interface Write {
  readonly namespace: string
  readonly operations: readonly PlannedOperation[]
  readonly bytes: number
  /** By the store itself: also in a copy, and in a namespace that is held. */
  readonly isOwn: boolean
  readonly resolve: (removed: number) => void
  readonly reject: (error: Error) => void
}

export interface StoreSnapshot {
  readonly index: FrozenIndex
  readonly engine: EngineSnapshot
}

const GROUPS = {
  maxGroupChanges: 1_024,
  maxGroupBytes: 8_388_608,
  maxWaiting: 8_192,
  maxWaitingBytes: 134_217_728,
  onFull: (): Error => storageErrors.NZ_STORAGE_BUSY({ why: 'too many changes wait' }),
} as const

export class EncryptedStore {
  readonly history = new ChangeHistory()
  readonly commits: GroupCommit<Write>
  readonly #services: StoreServices
  readonly #limits: StoreLimits
  readonly #counter: SealCounter
  readonly #reader: RecordReader
  readonly #indexes = new Map<string, KeyIndex>()
  readonly #damaged = new Set<string>()
  /** Namespaces that take no changes while they are migrated. */
  readonly #held = new Set<string>()
  readonly #onTrouble: (trouble: Trouble, namespaces: readonly string[]) => void
  #head: Head = EMPTY_HEAD
  #trouble: Trouble | null = { kind: 'closed', why: 'it was not opened yet' }
  #isEngineOpen = false

  constructor(
    services: StoreServices,
    {
      onTrouble,
      ...limits
    }: StoreLimits & { readonly onTrouble: (trouble: Trouble, namespaces: readonly string[]) => void },
  ) {
    this.#services = services
    this.#limits = limits
    this.#onTrouble = onTrouble
    this.#counter = new SealCounter(() => services.random.bytes(16))
    this.#reader = new RecordReader(services)
    this.commits = new GroupCommit(async (group) => await this.#commit(group), GROUPS)
  }

  get head(): Head {
    return this.#head
  }

  get trouble(): Trouble | null {
    return this.#trouble
  }

  get damaged(): ReadonlySet<string> {
    return this.#damaged
  }

  /** Opens, reads and proves everything. Never throws: what is wrong is `trouble`. */
  async open(): Promise<void> {
    try {
      const known = await this.#services.witness.read()
      await this.#services.engine.open({ exists: known !== 'none' })
      this.#isEngineOpen = true
      await this.#load(await scan(this.#services.engine, this.#services.keys))
    } catch (error) {
      this.#trouble = troubleOf(error)
      this.#services.log.error('storage.notOpened', { error })
      this.#onTrouble(this.#trouble, [])
    }
  }

  /** Waits for what was submitted, then writes the witness. Idempotent. */
  async close(): Promise<void> {
    if (this.#trouble?.kind === 'closed') return
    const isSound = this.#trouble === null
    this.#trouble = { kind: 'closed', why: 'the node stops' }
    await this.commits.idle()
    if (isSound) await this.keepWitness()
    await this.closeEngine()
  }

  async closeEngine(): Promise<void> {
    if (this.#isEngineOpen) await this.#services.engine.close()
    this.#isEngineOpen = false
  }

  async openEngine(): Promise<void> {
    await this.#services.engine.open({ exists: true })
    this.#isEngineOpen = true
  }

  get isEngineOpen(): boolean {
    return this.#isEngineOpen
  }

  /** Notes outside of the store how far it has come. */
  async keepWitness(): Promise<void> {
    try {
      await this.#services.witness.write(this.#head, this.#counter)
    } catch (error) {
      this.#services.log.warn('storage.witnessNotWritten', { error })
    }
  }

  /** @throws NZ_STORAGE_DAMAGED, NZ_STORAGE_UNAVAILABLE */
  requireReadable(namespace: string): void {
    const trouble = this.#trouble
    if (trouble?.kind === 'damaged') throw storageErrors.NZ_STORAGE_DAMAGED({ why: trouble.why })
    if (trouble !== null && trouble.kind !== 'readOnly') {
      throw storageErrors.NZ_STORAGE_UNAVAILABLE({ why: trouble.why })
    }
    if (this.#damaged.has(namespace)) throw storageErrors.NZ_STORAGE_DAMAGED({ data: { namespace } })
  }

  /** @throws NZ_STORAGE_DAMAGED, NZ_STORAGE_UNAVAILABLE, NZ_STORAGE_READ_ONLY for the store as a whole */
  requireWritable(): void {
    this.requireReadable('')
    if (this.#trouble !== null) throw storageErrors.NZ_STORAGE_READ_ONLY({ why: this.#trouble.why })
  }

  /**
   * As `requireReadable`, and that this version of the namespace is the one that counts.
   *
   * @throws NZ_STORAGE_NEWER, NZ_STORAGE_NOT_MIGRATED
   */
  requireLive(namespace: string): void {
    this.requireReadable(namespace)
    requireLive(this.#head, namespace)
  }

  indexOf(namespace: string): KeyIndex {
    return this.#indexes.get(namespace) ?? EMPTY_INDEX
  }

  indexes(): ReadonlyMap<string, KeyIndex> {
    return this.#indexes
  }

  /** Durable when it resolves; how many records it removed. */
  async write(
    namespace: string,
    operations: readonly PlannedOperation[],
    { bytes, isOwn = false }: { readonly bytes: number; readonly isOwn?: boolean },
  ): Promise<number> {
    this.requireReadable(namespace)
    this.#requireWritable({ namespace, isOwn })
    const { promise, resolve, reject } = Promise.withResolvers<number>()
    this.commits.submit({ namespace, operations, bytes, isOwn, resolve, reject })
    return await promise
  }

  /** Refuses changes of a namespace, those that wait already too, until the given function is called. */
  hold(namespace: string): () => void {
    this.#held.add(namespace)
    return () => void this.#held.delete(namespace)
  }

  /** The value of a record, proven; `null` when there is none or its time is over. */
  async read(namespace: string, key: string): Promise<Uint8Array | null> {
    this.requireLive(namespace)
    const entry = this.indexOf(namespace).get(key)
    if (entry === null || this.isOver(entry)) return null
    const value = await this.readEntry(namespace, entry)
    if (value !== null) return value
    const settled = await this.readBetween(namespace, key)
    return settled === null || this.isOver(settled.entry) ? null : settled.value
  }

  /**
   * A record, read between two groups: a batch may be durable and not yet told, and then memory and disk differ for a
   * moment, so that what does not prove itself outside of here is not damaged yet. `null` when there is none.
   *
   * @throws NZ_STORAGE_DAMAGED
   */
  async readBetween(namespace: string, key: string): Promise<{ entry: IndexEntry; value: Uint8Array } | null> {
    return await this.commits.exclusive(async () => {
      this.requireReadable(namespace)
      const entry = this.indexOf(namespace).get(key)
      if (entry === null) return null
      const value = await this.readEntry(namespace, entry)
      if (value === null) throw this.lockAway([namespace], 'a record is not the one that was acknowledged')
      return { entry, value }
    })
  }

  /** `null` when what lies on disk is not this very record. */
  async readEntry(namespace: string, entry: IndexEntry, snapshot?: StoreSnapshot): Promise<Uint8Array | null> {
    const [value] = await this.readEntries(namespace, [entry], snapshot)
    return value ?? null
  }

  /** As `readEntry`, for many at the cost of one question to the disk. */
  async readEntries(
    namespace: string,
    entries: readonly IndexEntry[],
    snapshot?: StoreSnapshot,
  ): Promise<readonly (Uint8Array | null)[]> {
    return await this.#reader.values(namespace, entries, snapshot?.engine)
  }

  async snapshot(namespace: string): Promise<StoreSnapshot> {
    return await this.commits.exclusive(async () => {
      this.requireReadable(namespace)
      const index = this.indexOf(namespace).frozen()
      return await Promise.resolve({ index, engine: this.#services.engine.snapshot() })
    })
  }

  /** One state of all namespaces that count, by stored name; the caller closes it. @throws NZ_STORAGE_DAMAGED when one is locked away */
  async snapshotAll(): Promise<{
    readonly indexes: ReadonlyMap<string, FrozenIndex>
    readonly engine: EngineSnapshot
  }> {
    return await this.commits.exclusive(async () => {
      for (const namespace of ['', ...this.#damaged]) this.requireReadable(namespace)
      const live = [...this.#indexes].filter(([name]) => this.#head.namespaces.get(name)?.isCopy !== true)
      const indexes = new Map(live.map(([name, index]) => [name, index.frozen()]))
      return await Promise.resolve({ indexes, engine: this.#services.engine.snapshot() })
    })
  }

  isOver({ expiresAtMs }: IndexEntry): boolean {
    return expiresAtMs !== 0 && expiresAtMs <= this.#services.clock.nowMs()
  }

  /** Takes namespaces out of use and says so; the error for who met it. */
  lockAway(namespaces: readonly string[], why: string): Error {
    // A batch that was refused may be on disk all the same: memory and disk are compared when it is opened anew.
    if (this.#trouble?.kind === 'readOnly') return storageErrors.NZ_STORAGE_UNAVAILABLE({ why: this.#trouble.why })
    const fresh = namespaces.filter((name) => !this.#damaged.has(name))
    for (const name of fresh) this.#damaged.add(name)
    if (fresh.length > 0) {
      this.#services.log.error('storage.damaged', { namespaces: fresh, why })
      this.#onTrouble({ kind: 'damaged', why }, fresh)
    }
    return storageErrors.NZ_STORAGE_DAMAGED({ why, data: { namespaces: [...namespaces] } })
  }

  /** Starts the next generation of keys; what is written from now on is sealed under it. */
  async nextGeneration(): Promise<void> {
    await this.commits.exclusive(async () => {
      await this.putHead({ ...this.#head, generation: this.#head.generation + 1 })
    })
    await this.keepWitness()
  }

  /** Ends a namespace that has no records any more. Only between two groups. */
  async forget(namespace: string): Promise<void> {
    const namespaces = new Map(this.#head.namespaces)
    namespaces.delete(namespace)
    await this.putHead({ ...this.#head, namespaces })
    this.#indexes.delete(namespace)
  }

  /** Only between two groups. */
  async putHead(head: Head, operations: readonly EngineOperation[] = []): Promise<void> {
    const { keys, engine } = this.#services
    try {
      await engine.batch([...operations, sealedHead({ keys, counter: this.#counter }, head)])
    } catch (error) {
      throw this.refuse(error)
    }
    this.#head = head
  }

  /** Takes over what a scan found. Only at open, or between two groups. */
  async reload(): Promise<void> {
    await this.#load(await scan(this.#services.engine, this.#services.keys))
  }

  async #load(found: Scan): Promise<void> {
    const known = await this.#services.witness.read()
    this.#indexes.clear()
    this.#damaged.clear()
    this.#trouble = null
    const why = wholeDamage(found, known)
    if (why !== null) {
      this.#trouble = { kind: 'damaged', why }
      this.#services.log.error('storage.damaged', { why })
      this.#onTrouble(this.#trouble, [])
      return
    }
    if (found.head === null) {
      await this.putHead(EMPTY_HEAD)
      await this.keepWitness()
    } else {
      this.#head = found.head
      if (known === 'none') await this.keepWitness()
    }
    for (const [name, { entries }] of found.namespaces) {
      if (found.damaged.includes(name)) continue
      const index = new KeyIndex()
      index.load(entries)
      this.#indexes.set(name, index)
    }
    this.history.startAt(this.#head.sequence)
    if (found.damaged.length > 0) this.lockAway(found.damaged, 'records are damaged, missing or older than they were')
  }

  async #commit(group: readonly Write[]): Promise<void> {
    const { keys, engine } = this.#services
    const entryOf = (namespace: string, key: string): IndexEntry | null => this.indexOf(namespace).get(key)
    const plan = new CommitPlan({ keys, counter: this.#counter, entryOf, limits: this.#limits }, this.#head)
    const accepted: { readonly write: Write; readonly removed: number }[] = []
    for (const write of group) {
      try {
        this.#requireWritable(write)
        accepted.push({ write, removed: plan.add(write.namespace, write.operations) })
      } catch (error) {
        write.reject(error as Error)
      }
    }
    try {
      if (!plan.isEmpty) await engine.batch(plan.finish())
    } catch (error) {
      const refusal = this.refuse(error)
      for (const { write } of accepted) write.reject(refusal)
      return
    }
    this.#head = plan.head
    for (const { namespace, key, entry } of plan.entryChanges) {
      let index = this.#indexes.get(namespace)
      if (index === undefined) this.#indexes.set(namespace, (index = new KeyIndex()))
      if (entry === null) index.delete(key)
      else index.set(entry)
    }
    if (plan.changes.length > 0) this.history.add(plan.changes)
    for (const { write, removed } of accepted) write.resolve(removed)
  }

  #requireWritable({ namespace, isOwn }: Pick<Write, 'namespace' | 'isOwn'>): void {
    // What was submitted before the store was closed is still written.
    if (this.#trouble?.kind !== 'closed') this.requireReadable(namespace)
    if (this.#trouble?.kind === 'readOnly') throw storageErrors.NZ_STORAGE_READ_ONLY({ why: this.#trouble.why })
    if (isOwn) return
    requireLive(this.#head, namespace)
    if (this.#held.has(namespace)) throw storageErrors.NZ_STORAGE_BUSY({ why: `${namespace} is being migrated` })
  }

  /** The disk refused: no more changes until it takes them again. */
  refuse(error: unknown): Error {
    const why = reasonOf(error)
    if (this.#trouble === null) {
      this.#trouble = { kind: 'readOnly', why }
      this.#services.log.error('storage.readOnly', { error })
      this.#onTrouble(this.#trouble, [])
    }
    return storageErrors.NZ_STORAGE_READ_ONLY({ why, cause: error })
  }
}

const EMPTY_INDEX = new KeyIndex()
