/** The way out of safe mode: what proves itself stays, the rest is moved aside inside the store. */
import { EMPTY_HEAD, EMPTY_NAMESPACE } from './head.ts'
import { addTerm } from './keys.ts'
import { encodeQuarantined, quarantinePlace, recordPlace } from './record.ts'
import { scan } from './scan.ts'
import { parseStoredName } from './schema-version.ts'
import { encodeHeader } from './sealed.ts'
import { storageErrors } from './service.ts'
import type { EncryptedStore, StoreServices } from './encrypted-store.ts'
import type { Head, NamespaceHead } from './head.ts'
import type { Scan, ScannedNamespace } from './scan.ts'
import type { StorageRepair } from './service.ts'

/** Parts that are moved aside by one batch. */
const MOVED_AT_ONCE = 64

/**
 * A crash half-way leaves a store that is as damaged as before.
 *
 * @throws NZ_STORAGE_READ_ONLY, NZ_STORAGE_UNAVAILABLE
 */
export async function repairStore(store: EncryptedStore, services: StoreServices): Promise<StorageRepair> {
  return await store.commits.exclusive(async () => {
    const kind = store.trouble?.kind
    if (kind !== undefined && kind !== 'damaged') {
      throw storageErrors.NZ_STORAGE_UNAVAILABLE({ why: store.trouble?.why ?? '' })
    }
    let found = await openSomehow(store, services)
    const before = new Set(store.damaged)
    let setAside = 0
    const damaged = [...found.damaged]
    for (;;) {
      const places = [...found.unreadable, ...found.duplicates, ...otherVersions(found, services)]
      if (places.length === 0) break
      setAside += await moveAside(services, places)
      found = await scan(services.engine, services.keys)
    }
    await store.putHead(await acceptedHead(found, setAside, services))
    await store.keepWitness()
    await store.reload()
    const kept = [...found.namespaces.values()].reduce((total, { entries }) => total + entries.length, 0)
    return { kept, setAside, reopened: [...new Set([...before, ...damaged])].toSorted() }
  })
}

async function openSomehow(store: EncryptedStore, { engine, keys }: StoreServices): Promise<Scan> {
  try {
    if (!store.isEngineOpen) await store.openEngine()
    return await scan(engine, keys)
  } catch {
    // It is why we are here; salvage says what it cannot do.
    await store.closeEngine()
    await engine.salvage()
    await store.openEngine()
    return await scan(engine, keys)
  }
}

async function moveAside({ engine, clock }: StoreServices, places: readonly Uint8Array[]): Promise<number> {
  for (let at = 0; at < places.length; at += MOVED_AT_ONCE) {
    const some = places.slice(at, at + MOVED_AT_ONCE)
    const moved = await Promise.all(
      some.map(async (place) => {
        const value = (await engine.get(place)) ?? new Uint8Array()
        return [
          { type: 'put' as const, key: quarantinePlace(place), value: encodeQuarantined(clock.nowMs(), value) },
          { type: 'del' as const, key: place },
        ]
      }),
    )
    await engine.batch(moved.flat())
  }
  return places.length
}

/**
 * Without a head nobody knows which version of a namespace counted: the one with the most records stays, the later one
 * of two that are alike. Places of the records of the others.
 */
function otherVersions({ head, namespaces }: Scan, { keys }: StoreServices): readonly Uint8Array[] {
  if (head !== null) return []
  const kept = new Map<string, string>()
  const rank = (stored: string): number =>
    (namespaces.get(stored)?.entries.length ?? 0) + parseStoredName(stored).version / 2 ** 17
  for (const stored of namespaces.keys()) {
    const { name } = parseStoredName(stored)
    const other = kept.get(name)
    if (other === undefined || rank(other) < rank(stored)) kept.set(name, stored)
  }
  return [...namespaces]
    .filter(([stored]) => kept.get(parseStoredName(stored).name) !== stored)
    .flatMap(([stored, { entries }]) =>
      entries.map(({ generation, key }) => recordPlace(keys.recordId(generation, stored, key))),
    )
}

/** A head over what was found, later than all that may be remembered of the store. */
async function acceptedHead(found: Scan, setAside: number, { witness, keys }: StoreServices): Promise<Head> {
  const noted = await witness.read()
  const last = typeof noted === 'string' ? EMPTY_HEAD : noted
  const known = found.head ?? EMPTY_HEAD
  const generations = [...found.namespaces.values()].flatMap(({ entries }) =>
    entries.map(({ generation }) => generation),
  )
  const sequence = Math.max(known.sequence, last.sequence) + 1
  const headOf = (name: string, { entries }: ScannedNamespace): NamespaceHead => {
    const isCopy = known.namespaces.get(name)?.isCopy ?? false
    let accepted: NamespaceHead = { ...EMPTY_NAMESPACE, sequence, isCopy }
    for (const entry of entries) {
      const id = keys.recordId(entry.generation, name, entry.key)
      accepted = {
        ...accepted,
        records: accepted.records + 1,
        bytes: accepted.bytes + entry.bytes,
        sum: addTerm(accepted.sum, keys.sumTerm(id, encodeHeader(entry))),
      }
    }
    return accepted
  }
  return {
    sequence,
    generation: generations.reduce((a, b) => Math.max(a, b), Math.max(known.generation, last.generation)),
    quarantined: known.quarantined + setAside,
    repaired: sequence,
    namespaces: new Map([...found.namespaces].map(([name, one]) => [name, headOf(name, one)])),
  }
}
