/** Which archives of a folder lead to the state a person wants back. spec/NZ-BACKUP-01.md §8. */
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { isNzError } from '../../kernel/index.ts'
import { MAX_CHAIN } from '../../protocols/backup/archive.ts'
import { isArchiveName, isNamedFor } from './archive-name.ts'
import { readArchive } from './read-archive.ts'
import { archiveErrors, backupErrors } from './service.ts'
import type { ArchiveHead } from '../../protocols/backup/archive.ts'
import type { Reader } from './read-archive.ts'
import type { ChainLink } from './service.ts'

/** Files of one folder that are looked at. */
export const MAX_FILES = 10_000

interface Found {
  readonly name: string
  readonly head: ArchiveHead
}

export interface ChainInit {
  readonly peerId: string
  readonly at?: string
  readonly signal: AbortSignal
}

/** @throws what `RestoreService.chainIn` names */
export async function chainIn(
  folder: string,
  reader: Reader,
  { peerId, at, signal }: ChainInit,
): Promise<readonly ChainLink[]> {
  const { found, unreadable } = await headsIn(folder, reader, { peerId, signal })
  const chosen = at === undefined ? newestOf(found) : theOne(found, at)
  // The unreadable one may be the newest: to go on without it is for a person to decide, by naming another.
  const first = unreadable[0]
  if (at === undefined && first !== undefined) throw first
  if (chosen === null)
    throw first ?? backupErrors.NZ_BACKUP_NO_ARCHIVE({ data: { folder, ...(at === undefined ? {} : { at }) } })
  const chain: Found[] = [chosen]
  for (let oldest = chosen; oldest.head.parent !== null; oldest = chain[0] ?? oldest) {
    chain.unshift(parentOf(oldest, found, unreadable))
    if (chain.length > MAX_CHAIN) throw backupErrors.NZ_BACKUP_CHAIN_BROKEN({ why: 'the chain is longer than any' })
  }
  return chain.map(({ name, head: { id, createdAtMs, parent } }) => ({
    path: join(folder, name),
    id,
    createdAtMs,
    parent,
  }))
}

function parentOf({ name, head: { parent } }: Found, found: readonly Found[], unreadable: readonly Error[]): Found {
  const candidates = found.filter(({ head }) => head.id === parent?.id)
  const one = candidates[0]
  if (one !== undefined) return one
  const damaged = unreadable[0]
  const why = `${name} goes on from the archive ${parent?.id.slice(0, 8) ?? ''}, which is not in the folder`
  throw backupErrors.NZ_BACKUP_CHAIN_BROKEN({
    why: damaged === undefined ? why : `${why}; a file of it is damaged`,
    ...(damaged === undefined ? {} : { cause: damaged }),
    data: { file: name, missing: parent?.id ?? '' },
  })
}

/** Never one that another goes on from: the clock may have been set back between the two. */
function newestOf(found: readonly Found[]): Found | null {
  const parents = new Set(found.map(({ head }) => head.parent?.id))
  const ends = found.filter(({ head }) => !parents.has(head.id))
  const later = (a: Found, b: Found): Found => {
    const isLater = b.head.createdAtMs - a.head.createdAtMs || b.head.depth - a.head.depth
    return isLater > 0 ? b : a
  }
  return ends.length === 0 ? null : ends.reduce(later)
}

function theOne(found: readonly Found[], at: string): Found | null {
  const matching = found.filter(({ name, head }) => name === at || (at.length >= 4 && head.id.startsWith(at)))
  const ids = new Set(matching.map(({ head }) => head.id))
  return ids.size === 1 ? (matching[0] ?? null) : null
}

/** The heads of all archives of this identity; those that cannot be read, as what they failed with. */
async function headsIn(
  folder: string,
  reader: Reader,
  { peerId, signal }: Pick<ChainInit, 'peerId' | 'signal'>,
): Promise<{ readonly found: readonly Found[]; readonly unreadable: readonly Error[] }> {
  const found: Found[] = []
  const unreadable: Error[] = []
  const foreign: Error[] = []
  for (const name of await namesIn(folder)) {
    signal.throwIfAborted()
    try {
      const head = await headOf(join(folder, name), reader, signal)
      if (head !== null && head.peerId === peerId) found.push({ name, head })
    } catch (error) {
      if (!isNzError(error)) throw error
      const isForOthers = error.code === 'NZ_BACKUP_NOT_OURS'
      if (isForOthers && !isNamedFor(name, peerId)) foreign.push(error)
      else unreadable.push(isForOthers ? damagedHead(name, error) : error)
    }
  }
  const onlyForeign = foreign[0]
  if (found.length === 0 && unreadable.length === 0 && onlyForeign !== undefined) throw onlyForeign
  return { found, unreadable }
}

/** An archive that by its name is of this identity, and that its key does not open. */
function damagedHead(file: string, cause: Error): Error {
  const why = `${file}: it is named as one of this identity, and its recovery key does not open it`
  return archiveErrors.NZ_BACKUP_ARCHIVE_DAMAGED({ why, cause, data: { file } })
}

async function headOf(path: string, reader: Reader, signal: AbortSignal): Promise<ArchiveHead | null> {
  for await (const event of readArchive(path, reader, { signal })) return event.kind === 'head' ? event.head : null
  return null
}

async function namesIn(folder: string): Promise<readonly string[]> {
  let names
  try {
    const entries = await readdir(folder, { withFileTypes: true })
    names = entries.filter((entry) => entry.isFile() || entry.isSymbolicLink()).map(({ name }) => name)
  } catch (error) {
    throw backupErrors.NZ_BACKUP_NO_ARCHIVE({ why: 'the folder cannot be read', cause: error, data: { folder } })
  }
  const archives = names.filter(isArchiveName).toSorted()
  if (archives.length <= MAX_FILES) return archives
  throw backupErrors.NZ_BACKUP_NO_ARCHIVE({ why: `the folder has more than ${MAX_FILES} archives`, data: { folder } })
}
