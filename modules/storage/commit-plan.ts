/**
 * One group of changes on its way to disk: sealed records, the head that speaks of them, and what memory takes over
 * once the batch is durable. A change that may not be is refused before anything of it is in the plan.
 */
import { addTerm, subtractTerm } from './keys.ts'
import { encodeHead, EMPTY_NAMESPACE, MAX_NAMESPACES } from './head.ts'
import { encodeRecord, HEAD_PLACE, recordPlace } from './record.ts'
import { encodeHeader, seal } from './sealed.ts'
import { storageErrors } from './service.ts'
import type { Change } from './change-history.ts'
import type { EngineOperation } from './engine.ts'
import type { Head, NamespaceHead } from './head.ts'
import type { IndexEntry } from './key-index.ts'
import type { StoreKeys } from './keys.ts'
import type { SealCounter } from './sealed.ts'

export type PlannedOperation =
  | { readonly type: 'put'; readonly key: string; readonly value: Uint8Array; readonly expiresAtMs: number }
  | { readonly type: 'delete'; readonly key: string; readonly onlyIf?: IndexEntry }
  /** The same record under the present keys, unless it has changed since. */
  | { readonly type: 'reseal'; readonly entry: IndexEntry; readonly value: Uint8Array }

export interface StoreLimits {
  readonly maxNamespaceRecords: number
  readonly maxNamespaceBytes: number
}

export interface PlanServices {
  readonly keys: StoreKeys
  readonly counter: SealCounter
  /** The record of a key as it is on disk. */
  readonly entryOf: (namespace: string, key: string) => IndexEntry | null
  readonly limits: StoreLimits
}

export interface EntryChange {
  readonly namespace: string
  readonly key: string
  readonly entry: IndexEntry | null
}

export class CommitPlan {
  readonly operations: EngineOperation[] = []
  readonly changes: Change[] = []
  readonly #services: PlanServices
  readonly #entries = new Map<string, Map<string, IndexEntry | null>>()
  readonly #namespaces: Map<string, NamespaceHead>
  readonly #base: Head
  #sequence: number

  constructor(services: PlanServices, base: Head) {
    this.#services = services
    this.#base = base
    this.#sequence = base.sequence
    this.#namespaces = new Map(base.namespaces)
  }

  get isEmpty(): boolean {
    return this.operations.length === 0
  }

  get head(): Head {
    return { ...this.#base, sequence: this.#sequence, namespaces: this.#namespaces }
  }

  get entryChanges(): readonly EntryChange[] {
    return [...this.#entries].flatMap(([namespace, entries]) =>
      [...entries].map(([key, entry]) => ({ namespace, key, entry })),
    )
  }

  /**
   * Takes all of the operations in, or throws and takes none; how many records it removed.
   *
   * @throws NZ_STORAGE_QUOTA
   */
  add(namespace: string, operations: readonly PlannedOperation[]): number {
    this.#requireRoom(namespace, operations)
    let removed = 0
    for (const operation of operations) if (this.#apply(namespace, operation)) removed += 1
    return removed
  }

  /** Seals the head behind the changes: the batch is complete. */
  finish(): readonly EngineOperation[] {
    return [...this.operations, sealedHead(this.#services, this.head)]
  }

  #apply(namespace: string, operation: PlannedOperation): boolean {
    const key = operation.type === 'reseal' ? operation.entry.key : operation.key
    const before = this.#entryOf(namespace, key)
    if (operation.type === 'delete') {
      if (before === null || (operation.onlyIf !== undefined && operation.onlyIf !== before)) return false
      this.#replace(namespace, before, null)
      this.#tell(namespace, 'delete', key)
      return true
    }
    if (operation.type === 'reseal') {
      if (before !== operation.entry) return false
      this.#seal(namespace, before, { key, value: operation.value, expiresAtMs: before.expiresAtMs })
      return false
    }
    this.#seal(namespace, before, operation)
    this.#tell(namespace, 'put', key)
    return false
  }

  #seal(
    namespace: string,
    before: IndexEntry | null,
    { key, value, expiresAtMs }: { readonly key: string; readonly value: Uint8Array; readonly expiresAtMs: number },
  ): void {
    const { keys, counter } = this.#services
    const header = counter.take(this.#base.generation)
    const id = keys.recordId(header.generation, namespace, key)
    const place = recordPlace(id)
    const bytes = Buffer.byteLength(key, 'utf8') + value.byteLength
    const plaintext = encodeRecord({ namespace, key, expiresAtMs, value })
    this.#replace(namespace, before, { entry: { key, ...header, bytes, expiresAtMs }, id })
    this.operations.push({ type: 'put', key: place, value: seal(keys, 'record', header, { place, plaintext }) })
  }

  #replace(
    namespace: string,
    before: IndexEntry | null,
    after: { readonly entry: IndexEntry; readonly id: Uint8Array } | null,
  ): void {
    const { keys } = this.#services
    let { sequence, records, bytes, sum, isCopy } = this.#namespaces.get(namespace) ?? EMPTY_NAMESPACE
    if (before !== null) {
      const samePlace = after?.entry.generation === before.generation ? after.id : null
      const id = samePlace ?? keys.recordId(before.generation, namespace, before.key)
      records -= 1
      bytes -= before.bytes
      sum = subtractTerm(sum, keys.sumTerm(id, encodeHeader(before)))
      if (samePlace === null) this.operations.push({ type: 'del', key: recordPlace(id) })
    }
    if (after !== null) {
      records += 1
      bytes += after.entry.bytes
      sum = addTerm(sum, keys.sumTerm(after.id, encodeHeader(after.entry)))
    }
    this.#namespaces.set(namespace, { sequence, records, bytes, sum, isCopy })
    const key = after?.entry.key ?? before?.key ?? ''
    const entries = this.#entries.get(namespace) ?? new Map<string, IndexEntry | null>()
    this.#entries.set(namespace, entries.set(key, after?.entry ?? null))
  }

  #tell(namespace: string, kind: 'put' | 'delete', key: string): void {
    const sequence = ++this.#sequence
    const head = this.#namespaces.get(namespace) ?? EMPTY_NAMESPACE
    this.#namespaces.set(namespace, { ...head, sequence })
    this.changes.push({ sequence, namespace, kind, key })
  }

  #entryOf(namespace: string, key: string): IndexEntry | null {
    const planned = this.#entries.get(namespace)?.get(key)
    return planned === undefined ? this.#services.entryOf(namespace, key) : planned
  }

  #requireRoom(namespace: string, operations: readonly PlannedOperation[]): void {
    const { maxNamespaceRecords, maxNamespaceBytes } = this.#services.limits
    const head = this.#namespaces.get(namespace)
    const sizes = new Map<string, number | null>()
    let { records, bytes } = head ?? EMPTY_NAMESPACE
    let isGrowing = false
    for (const operation of operations) {
      if (operation.type === 'reseal') continue
      const { key } = operation
      const known = sizes.get(key)
      const before = known === undefined ? (this.#entryOf(namespace, key)?.bytes ?? null) : known
      const after = operation.type === 'put' ? Buffer.byteLength(key, 'utf8') + operation.value.byteLength : null
      records += Number(after !== null) - Number(before !== null)
      bytes += (after ?? 0) - (before ?? 0)
      isGrowing ||= (after ?? 0) > (before ?? 0) || (after !== null && before === null)
      sizes.set(key, after)
    }
    // What only shrinks is always let in, also above a limit that was lowered.
    if (!isGrowing) return
    const data = { namespace, maxNamespaceRecords, maxNamespaceBytes }
    if (records > maxNamespaceRecords) throw storageErrors.NZ_STORAGE_QUOTA({ why: 'too many records', data })
    if (bytes > maxNamespaceBytes) throw storageErrors.NZ_STORAGE_QUOTA({ why: 'too many bytes', data })
    const live = [...this.#namespaces.values()].filter((one) => !one.isCopy)
    if (head === undefined && live.length >= MAX_NAMESPACES) {
      throw storageErrors.NZ_STORAGE_QUOTA({ why: 'too many namespaces', data: { maxNamespaces: MAX_NAMESPACES } })
    }
  }
}

export function sealedHead({ keys, counter }: Pick<PlanServices, 'keys' | 'counter'>, head: Head): EngineOperation {
  const header = counter.take(head.generation)
  const sealed = seal(keys, 'head', header, { place: HEAD_PLACE, plaintext: encodeHead(head) })
  return { type: 'put', key: HEAD_PLACE, value: sealed }
}
