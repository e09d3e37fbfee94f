/** Removal of contents that no name has, and of files that no record knows. NZ-FILES-01 §6. */
import { storedBytesOf } from './sealed-content.ts'
import type { ContentStore } from './content-store.ts'
import type { ContentRecord } from './records.ts'
import type { Collected } from './service.ts'

const MAX_LISTED = 100
/** Changes of one batch of the store. */
const CHANGES_AT_ONCE = 500

/**
 * Counts the names of every content anew; contents without one go, and so does what no record knows. Nothing is put or
 * removed meanwhile; drafts have names of their own and are not touched. While a backup is read, no file is removed.
 */
export async function collectContents(
  store: ContentStore,
  options: { readonly isDryRun: boolean; readonly includesDamaged: boolean; readonly signal: AbortSignal },
): Promise<Collected> {
  const { isDryRun, includesDamaged, signal } = options
  const { folder, storeState } = store.services
  return await store.inTurn(async () => {
    const { unnamed, live } = await count(store, { isDryRun, signal })
    let diskFiles = 0
    if (!store.isHeld) {
      for (const name of await store.onDisk(async () => await folder.names())) {
        // A record that was refused may name it all the same.
        const isInDoubt = store.released.has(name) && storeState() === 'unsettled'
        if (live.has(name) || isInDoubt) continue
        diskFiles += 1
        if (isDryRun) continue
        await store.onDisk(async () => await folder.remove(name))
        store.released.delete(name)
      }
    }
    if (includesDamaged) diskFiles += await store.onDisk(async () => await folder.removeSetAside({ isDryRun }))
    return { contents: unnamed.length, contentIds: unnamed.slice(0, MAX_LISTED), diskFiles }
  })
}

/** Removes files that no record knows and that are older than `keepUnknownMs`: crashes leave them. How many. */
export async function collectAbandoned(
  store: ContentStore,
  { keepUnknownMs }: { readonly keepUnknownMs: number },
): Promise<number> {
  const { folder, records, clock } = store.services
  return await store.inTurn(async () => {
    if (store.isHeld) return 0
    const names = await store.onDisk(async () => await folder.names())
    if (names.length === (await records.sums()).contents + store.released.size) return 0
    const live = new Set(store.released.keys())
    for await (const [contentId, record] of records.contents()) live.add(store.diskName({ contentId, record }))
    let removed = 0
    for (const name of names) {
      if (live.has(name)) continue
      const writtenAtMs = await store.onDisk(async () => await folder.writtenAtMs(name))
      if (writtenAtMs === null || clock.nowMs() - writtenAtMs < keepUnknownMs) continue
      await store.onDisk(async () => await folder.remove(name))
      removed += 1
    }
    return removed
  })
}

/** What the contents count of their names is right again after a repair, which may have lost some of both. */
export async function recountAfterRepair(store: ContentStore): Promise<void> {
  const { records, repaired } = store.services
  if ((await records.sums()).recounted === repaired()) return
  await count(store, { isDryRun: false, keepsUnnamed: true })
}

/** Makes the records agree with the names there are. */
async function count(
  store: ContentStore,
  {
    isDryRun,
    keepsUnnamed = false,
    signal,
  }: { readonly isDryRun: boolean; readonly keepsUnnamed?: boolean; readonly signal?: AbortSignal },
): Promise<{ readonly unnamed: readonly string[]; readonly live: ReadonlySet<string> }> {
  const { records, repaired } = store.services
  const recounted = repaired()
  const namesOf = new Map<string, number>()
  let names = 0
  for await (const [, { contentId }] of records.names()) {
    signal?.throwIfAborted()
    names += 1
    namesOf.set(contentId, (namesOf.get(contentId) ?? 0) + 1)
  }
  const before = await records.sums()
  const sums = { names, counted: 0, contents: 0, storedBytes: 0, sequence: before.sequence, recounted }
  const changes: [string, ContentRecord | null][] = []
  const unnamed: string[] = []
  const live = new Set<string>()
  for await (const [contentId, record] of records.contents()) {
    signal?.throwIfAborted()
    sums.sequence = Math.max(sums.sequence, record.sequence)
    const found = namesOf.get(contentId) ?? 0
    if (found === 0 && !keepsUnnamed) {
      unnamed.push(contentId)
      changes.push([contentId, null])
      continue
    }
    if (found !== record.names) changes.push([contentId, { ...record, names: found }])
    sums.counted += found
    live.add(store.diskName({ contentId, record }))
    sums.contents += 1
    sums.storedBytes += storedBytesOf(record.size)
  }
  if (isDryRun) return { unnamed, live }
  for (const contentId of unnamed) store.damaged.delete(contentId)
  for (let at = 0; at < changes.length; at += CHANGES_AT_ONCE) {
    await records.change({ contents: changes.slice(at, at + CHANGES_AT_ONCE), sums: before })
  }
  if (JSON.stringify(sums) !== JSON.stringify(before)) await records.change({ sums })
  return { unnamed, live }
}
