/**
 * How versions of one document hang together: heads are versions without children, a fork is a version with more than
 * one, or a document with more than one beginning. The same set of versions gives the same heads and forks in whatever
 * order it arrives, because a version is taken when its parents are there. spec/NZ-DOCUMENTS-01.md §3.
 */
import type { VersionKind } from './version.ts'

export interface HeadVersion {
  readonly id: string
  readonly kind: VersionKind
  readonly time: number
  readonly atMs: number
  readonly author: string
  readonly size: number
}

export interface Lineage {
  /** In order of id. */
  readonly heads: readonly HeadVersion[]
  /** Versions without parents, in order of id. */
  readonly roots: readonly string[]
  readonly versions: number
  /** Versions that have more than one child; a second root counts as one. */
  readonly forks: number
}

export const NO_LINEAGE: Lineage = { heads: [], roots: [], versions: 0, forks: 0 }

/** A version whose child is added, with the children that it has so far. */
export interface Parent {
  readonly id: string
  readonly time: number
  readonly children: readonly string[]
}

export interface Fork {
  /** `null`: the document has two beginnings. */
  readonly parent: string | null
  readonly children: readonly string[]
}

/** What a lineage is with one more version, which it does not have yet. `forks` are those that this version made or joined. */
export function extended(
  lineage: Lineage,
  version: HeadVersion,
  parents: readonly Parent[],
): { readonly lineage: Lineage; readonly forks: readonly Fork[] } {
  const parentIds = new Set(parents.map(({ id }) => id))
  const heads = [...lineage.heads.filter(({ id }) => !parentIds.has(id)), version]
  const roots = parents.length === 0 ? [...lineage.roots, version.id].toSorted() : lineage.roots
  const touched: readonly Fork[] = [
    ...parents.map(({ id, children }) => ({ parent: id, children: [...children, version.id].toSorted() })),
    ...(parents.length === 0 ? [{ parent: null, children: roots }] : []),
  ]
  const forks = touched.filter(({ children }) => children.length > 1)
  return {
    lineage: {
      heads: heads.toSorted((a, b) => (a.id < b.id ? -1 : 1)),
      roots,
      versions: lineage.versions + 1,
      // One that had more children before was counted then.
      forks: lineage.forks + forks.filter(({ children }) => children.length === 2).length,
    },
    forks,
  }
}

/** The logical time of a version behind `parents`. */
export function nextTime(parents: readonly Pick<Parent, 'time'>[]): number {
  return parents.reduce((latest, { time }) => Math.max(latest, time), 0) + 1
}
