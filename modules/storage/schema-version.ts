/**
 * Which version of its schema a namespace is in. Records of version 1 are sealed for the namespace's own name, those of
 * a later one for `name@version`: two versions lie side by side while a migration copies. spec/NZ-STORAGE-01.md §9.
 */
import { storageErrors } from './service.ts'
import type { Head } from './head.ts'

export const MAX_VERSION = 65_535

/** The name a namespace's records of this version are sealed for. */
export function storedName(name: string, version: number): string {
  return version === 1 ? name : `${name}@${version}`
}

export function parseStoredName(stored: string): { readonly name: string; readonly version: number } {
  const [name = '', version] = stored.split('@')
  return { name, version: version === undefined ? 1 : Number(version) }
}

/** The version whose records count; `null` for a namespace that has none yet. */
export function liveVersion(head: Head, name: string): number | null {
  for (const [stored, { isCopy }] of head.namespaces) {
    const parsed = parseStoredName(stored)
    if (!isCopy && parsed.name === name) return parsed.version
  }
  return null
}

/** @throws NZ_STORAGE_NEWER, NZ_STORAGE_NOT_MIGRATED when another version of the namespace's records counts */
export function requireLive(head: Head, stored: string): void {
  if (head.namespaces.get(stored)?.isCopy === false) return
  const { name, version } = parseStoredName(stored)
  const live = liveVersion(head, name)
  if (live === null || live === version) return
  const data = { namespace: name, version: live, expected: version }
  throw live > version ? storageErrors.NZ_STORAGE_NEWER({ data }) : storageErrors.NZ_STORAGE_NOT_MIGRATED({ data })
}
