/** Which archives may go. Pure; dates are those of UTC. spec/NZ-BACKUP-01.md §6. */
import type { BackupEntry, KeepRules } from './service.ts'

const DAY_MS = 86_400_000
/** 1970-01-01 was a Thursday; weeks begin on Monday. */
const DAYS_BEFORE_MONDAY = 3

type Dated = Pick<BackupEntry, 'id' | 'createdAtMs' | 'parent'>

/**
 * The archives that no rule keeps. What a kept archive goes on from is kept as well, and the newest always is.
 *
 * A rule counts only days (weeks, months) in which there was a backup: a node that was off for a year loses none.
 */
export function prunable<Entry extends Dated>(entries: readonly Entry[], keep: KeepRules): readonly Entry[] {
  const newestFirst = entries.toSorted((a, b) => b.createdAtMs - a.createdAtMs)
  const kept = new Set(newestFirst.slice(0, Math.max(1, keep.last)).map(({ id }) => id))
  const rules = [
    [keep.daily, dayOf],
    [keep.weekly, weekOf],
    [keep.monthly, monthOf],
  ] as const
  for (const [count, periodOf] of rules) for (const id of newestOfEach(newestFirst, periodOf, count)) kept.add(id)
  const byId = new Map(entries.map((entry) => [entry.id, entry]))
  for (const id of kept) {
    // A set that grows while it is walked: parents of parents are met as well.
    const parent = byId.get(id)?.parent ?? null
    if (parent !== null) kept.add(parent)
  }
  return entries.filter(({ id }) => !kept.has(id))
}

function newestOfEach(
  newestFirst: readonly Dated[],
  periodOf: (atMs: number) => string,
  count: number,
): readonly string[] {
  const newest = new Map<string, string>()
  for (const { id, createdAtMs } of newestFirst) {
    const period = periodOf(createdAtMs)
    if (!newest.has(period) && newest.size < count) newest.set(period, id)
  }
  return [...newest.values()]
}

function dayOf(atMs: number): string {
  return String(Math.floor(atMs / DAY_MS))
}

function weekOf(atMs: number): string {
  return String(Math.floor((atMs / DAY_MS + DAYS_BEFORE_MONDAY) / 7))
}

function monthOf(atMs: number): string {
  return new Date(atMs).toISOString().slice(0, 7)
}
