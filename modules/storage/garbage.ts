/** Gives room back: what repairs have set aside long ago, and deleted records that LevelDB still has in its files. */
import { isQuarantinePlace, quarantinedAtMs } from './record.ts'
import type { EncryptedStore, StoreServices } from './encrypted-store.ts'
import type { EngineOperation } from './engine.ts'

/** Parts that are removed by one batch. */
const REMOVED_AT_ONCE = 256

export interface GarbageReport {
  /** Parts that were set aside by repairs and are gone now. */
  readonly removed: number
  /** Bytes of the store's files. */
  readonly bytesBefore: number
  readonly bytesAfter: number
}

/**
 * `quarantinedBeforeMs`: parts that were set aside until then are removed too; `null`: none.
 *
 * @throws NZ_STORAGE_DAMAGED, NZ_STORAGE_UNAVAILABLE, NZ_STORAGE_READ_ONLY
 */
export async function collectGarbage(
  store: EncryptedStore,
  { engine }: StoreServices,
  { quarantinedBeforeMs, signal }: { readonly quarantinedBeforeMs: number | null; readonly signal: AbortSignal },
): Promise<GarbageReport> {
  store.requireWritable()
  const removed = quarantinedBeforeMs === null ? 0 : await removeQuarantined(store, engine, quarantinedBeforeMs, signal)
  signal.throwIfAborted()
  const salvaged = quarantinedBeforeMs === null ? 0 : await engine.discardSalvage(quarantinedBeforeMs)
  try {
    const { bytesBefore, bytesAfter } = await engine.compact()
    return { removed, bytesBefore: bytesBefore + salvaged, bytesAfter }
  } catch (error) {
    throw store.refuse(error)
  }
}

async function removeQuarantined(
  store: EncryptedStore,
  engine: StoreServices['engine'],
  beforeMs: number,
  signal: AbortSignal,
): Promise<number> {
  const places: Uint8Array[] = []
  for await (const page of engine.pages({ from: Uint8Array.of(0x71), before: Uint8Array.of(0x72) })) {
    signal.throwIfAborted()
    for (const [place, value] of page) {
      if (isQuarantinePlace(place) && quarantinedAtMs(value) <= beforeMs) places.push(Uint8Array.from(place))
    }
  }
  for (let at = 0; at < places.length; at += REMOVED_AT_ONCE) {
    signal.throwIfAborted()
    const some = places.slice(at, at + REMOVED_AT_ONCE)
    const operations = some.map((key): EngineOperation => ({ type: 'del', key }))
    await store.commits.exclusive(async () => {
      const { head } = store
      await store.putHead({ ...head, quarantined: Math.max(0, head.quarantined - some.length) }, operations)
    })
  }
  return places.length
}
