/** Reads everything that lies in a store and proves it: records, head, and that they belong to each other. */
import { addTerm, bufferOf } from './keys.ts'
import { decodeHead, EMPTY_NAMESPACE } from './head.ts'
import {
  decodeRecord,
  HEAD_PLACE,
  isHeadPlace,
  isQuarantinePlace,
  RECORD_FIXED_BYTES,
  recordIdAt,
  recordPlace,
} from './record.ts'
import { HEADER_BYTES, unseal } from './sealed.ts'
import type { Engine } from './engine.ts'
import type { Head, NamespaceHead } from './head.ts'
import type { IndexEntry } from './key-index.ts'
import type { StoreKeys } from './keys.ts'

export interface ScannedNamespace {
  /** In order of key; of two records for one key, which an honest store never has, the one of the later generation. */
  readonly entries: readonly IndexEntry[]
  /** What was found, to be compared with the head. */
  readonly found: NamespaceHead
}

export interface Scan {
  readonly namespaces: ReadonlyMap<string, ScannedNamespace>
  /** `null` when the store has none or none that proves itself. */
  readonly head: Head | null
  /** Whether something lies in the store at all. */
  readonly isEmpty: boolean
  /** Places of what proves nothing. */
  readonly unreadable: readonly Uint8Array[]
  /** Places of records whose key another record has, which an honest store never has. */
  readonly duplicates: readonly Uint8Array[]
  /** Namespaces that are not what the head says. */
  readonly damaged: readonly string[]
}

/** Places of unreadable parts that are remembered one by one; more are counted by a repair in rounds. */
export const MAX_UNREADABLE = 65_536

export async function scan(
  engine: Engine,
  keys: StoreKeys,
  options: { readonly signal?: AbortSignal } = {},
): Promise<Scan> {
  const reading = new Reading(keys)
  for await (const page of engine.pages()) {
    options.signal?.throwIfAborted()
    for (const [place, sealed] of page) reading.take(place, sealed)
  }
  return reading.finish()
}

class Reading {
  readonly #keys: StoreKeys
  readonly #namespaces = new Map<string, { readonly entries: IndexEntry[]; bytes: number; sum: bigint }>()
  readonly #unreadable: Uint8Array[] = []
  readonly #salts = new Map<string, Uint8Array>()
  #head: Head | null = null
  #isEmpty = true

  constructor(keys: StoreKeys) {
    this.#keys = keys
  }

  take(place: Uint8Array, sealed: Uint8Array): void {
    this.#isEmpty = false
    if (isQuarantinePlace(place)) return
    if (isHeadPlace(place)) {
      const opened = unseal(this.#keys, 'head', sealed, HEAD_PLACE)
      this.#head = opened === null ? null : decodeHead(opened.plaintext)
      return
    }
    const id = recordIdAt(place)
    const opened = id === null ? null : unseal(this.#keys, 'record', sealed, place)
    const record = opened === null ? null : decodeRecord(opened.plaintext)
    if (id === null || opened === null || record === null) {
      if (this.#unreadable.length < MAX_UNREADABLE) this.#unreadable.push(Uint8Array.from(place))
      return
    }
    const { generation, counter } = opened.header
    const salt = this.#shared(opened.header.salt)
    // What is no key: lengths and the time.
    const bytes = opened.plaintext.byteLength - RECORD_FIXED_BYTES - record.namespace.length
    let namespace = this.#namespaces.get(record.namespace)
    if (namespace === undefined) {
      namespace = { entries: [], bytes: 0, sum: 0n }
      this.#namespaces.set(record.namespace, namespace)
    }
    namespace.entries.push({ key: record.key, generation, salt, counter, bytes, expiresAtMs: record.expiresAtMs })
    namespace.bytes += bytes
    namespace.sum = addTerm(namespace.sum, this.#keys.sumTerm(id, sealed.subarray(0, HEADER_BYTES)))
  }

  finish(): Scan {
    const namespaces = new Map<string, ScannedNamespace>()
    const duplicates: Uint8Array[] = []
    for (const [name, { entries, bytes, sum }] of this.#namespaces) {
      const found = { ...EMPTY_NAMESPACE, records: entries.length, bytes, sum }
      const inOrder = (a: IndexEntry, b: IndexEntry): number =>
        a.key < b.key ? -1 : a.key > b.key ? 1 : b.generation - a.generation
      const isTwin = (entry: IndexEntry, at: number, all: readonly IndexEntry[]): boolean =>
        all[at - 1]?.key === entry.key
      entries.sort(inOrder)
      const twins = entries.filter(isTwin)
      for (const { generation, key } of twins) duplicates.push(recordPlace(this.#keys.recordId(generation, name, key)))
      const single = twins.length === 0 ? entries : entries.filter((...one) => !isTwin(...one))
      namespaces.set(name, { entries: single, found })
    }
    return {
      namespaces,
      head: this.#head,
      isEmpty: this.#isEmpty,
      unreadable: this.#unreadable,
      duplicates,
      damaged: damagedOf(namespaces, this.#head),
    }
  }

  /** One array for each salt: thousands of records share it. */
  #shared(salt: Uint8Array): Uint8Array {
    const name = bufferOf(salt).toString('latin1')
    const known = this.#salts.get(name)
    if (known !== undefined) return known
    // A copy: what was read would be kept whole for it.
    const own = Uint8Array.from(salt)
    this.#salts.set(name, own)
    return own
  }
}

function damagedOf(found: ReadonlyMap<string, ScannedNamespace>, head: Head | null): readonly string[] {
  const names = new Set([...found.keys(), ...(head?.namespaces.keys() ?? [])])
  return [...names]
    .filter((name) => {
      const is = found.get(name)?.found ?? EMPTY_NAMESPACE
      const should = head?.namespaces.get(name) ?? EMPTY_NAMESPACE
      return is.sum !== should.sum || is.records !== should.records || is.bytes !== should.bytes
    })
    .toSorted()
}
