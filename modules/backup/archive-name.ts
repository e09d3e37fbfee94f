/** Names of archive files: whose, when, what kind, which. */
import type { ArchiveHead } from '../../protocols/backup/archive.ts'

const SUFFIX = '.age'

/** `nzcore-<end of the peer id>-20261120T145501Z-full-<begin of the id>.age` */
export function archiveName({ id, peerId, createdAtMs, parent }: ArchiveHead): string {
  const at = new Date(createdAtMs).toISOString().replaceAll(/[-:]|\.\d+/g, '')
  return `${prefixOf(peerId)}${at}-${parent === null ? 'full' : 'incr'}-${id.slice(0, 8)}${SUFFIX}`
}

export function isArchiveName(name: string): boolean {
  return name.endsWith(SUFFIX) && !name.startsWith('.')
}

/** Whether the name says that the archive is of this identity. */
export function isNamedFor(name: string, peerId: string): boolean {
  return name.startsWith(prefixOf(peerId))
}

function prefixOf(peerId: string): string {
  return `nzcore-${peerId.slice(-8)}-`
}
