/** Reads everything that lies in a store and proves it: records, head, and that they belong to each other. */
import { addTerm } from './keys.ts'
import { decodeHead, EMPTY_NAMESPACE } from './head.ts'
import { decodeRecord, HEAD_PLACE, isHeadPlace, isQuarantinePlace, recordIdAt, recordPlace } from './record.ts'
import { encodeHeader, unseal } from './sealed.ts'
import type { Engine } from './engine.ts'
import type { Head, NamespaceHead } from './head.ts'
import type { IndexEntry } from './key-index.ts'
import type { StoreKeys } from './keys.ts'

export interface ScannedNamespace {
  /** By key; of two records for one key, which an honest store never has, the one of the later generation. */
  readonly entries: Map<string, IndexEntry>
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
  const namespaces = new Map<string, { entries: Map<string, IndexEntry>; found: NamespaceHead }>()
  const unreadable: Uint8Array[] = []
  const duplicates: Uint8Array[] = []
  const salts = new Map<string, Uint8Array>()
  let head: Head | null = null
  let isEmpty = true
  for await (const [place, sealed] of engine.entries()) {
    options.signal?.throwIfAborted()
    isEmpty = false
    if (isQuarantinePlace(place)) continue
    if (isHeadPlace(place)) {
      const opened = unseal(keys, 'head', sealed, HEAD_PLACE)
      head = opened === null ? null : decodeHead(opened.plaintext)
      continue
    }
    const id = recordIdAt(place)
    const opened = id === null ? null : unseal(keys, 'record', sealed, place)
    const record = opened === null ? null : decodeRecord(opened.plaintext)
    if (id === null || opened === null || record === null) {
      if (unreadable.length < MAX_UNREADABLE) unreadable.push(Uint8Array.from(place))
      continue
    }
    const { generation, counter } = opened.header
    const salt = shared(salts, opened.header.salt)
    const bytes = Buffer.byteLength(record.key, 'utf8') + record.value.byteLength
    const entry = { key: record.key, generation, salt, counter, bytes, expiresAtMs: record.expiresAtMs }
    const namespace = namespaces.get(record.namespace) ?? { entries: new Map(), found: EMPTY_NAMESPACE }
    namespaces.set(record.namespace, namespace)
    const { found, entries } = namespace
    namespace.found = {
      sequence: 0,
      records: found.records + 1,
      bytes: found.bytes + bytes,
      sum: addTerm(found.sum, keys.sumTerm(id, encodeHeader(opened.header))),
    }
    const twin = entries.get(record.key)
    if (twin === undefined) entries.set(record.key, entry)
    else {
      const older = twin.generation < generation ? twin : entry
      duplicates.push(recordPlace(keys.recordId(older.generation, record.namespace, record.key)))
      if (older === twin) entries.set(record.key, entry)
    }
  }
  return { namespaces, head, isEmpty, unreadable, duplicates, damaged: damagedOf(namespaces, head) }
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

/** One array for each salt: thousands of records share it. */
function shared(salts: Map<string, Uint8Array>, salt: Uint8Array): Uint8Array {
  const name = Buffer.from(salt).toString('latin1')
  const known = salts.get(name)
  if (known !== undefined) return known
  salts.set(name, salt)
  return salt
}
