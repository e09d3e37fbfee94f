/** Files of the person who types: read in pieces, and written so that a half one never has the name that was asked for. */
import { createReadStream } from 'node:fs'
import { link, open, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { isErrno, isNzError, syncFolder, systemRandom } from '../kernel/index.ts'
import { cliErrors } from './errors.ts'

const READ_BYTES = 262_144

/** What the file holds. @throws NZ_CLI_FILE_UNREADABLE */
export async function* readLocalFile(path: string): AsyncGenerator<Uint8Array> {
  try {
    for await (const bytes of createReadStream(path, { highWaterMark: READ_BYTES })) yield bytes as Uint8Array
  } catch (cause) {
    throw cliErrors.NZ_CLI_FILE_UNREADABLE({ cause, why: reasonOf(cause), data: { path } })
  }
}

/** Bytes of the file; `null` when that is not known before the end. @throws NZ_CLI_FILE_UNREADABLE */
export async function sizeOfLocalFile(path: string): Promise<number | null> {
  try {
    const found = await stat(path)
    if (found.isDirectory()) throw Object.assign(new Error('a folder'), { code: 'EISDIR' })
    return found.isFile() ? found.size : null
  } catch (cause) {
    throw cliErrors.NZ_CLI_FILE_UNREADABLE({ cause, why: reasonOf(cause), data: { path } })
  }
}

export interface LocalTarget {
  write(bytes: Uint8Array): Promise<void>
  /** Gives the file its name; durable when it resolves. @throws NZ_CLI_FILE_EXISTS, NZ_CLI_FILE_UNWRITABLE */
  publish(): Promise<void>
  /** Removes what was written, unless it was published. */
  discard(): Promise<void>
}

/**
 * A hidden file (0600) beside `path` that becomes it in the end.
 *
 * @throws NZ_CLI_FILE_EXISTS unless `replaces`, NZ_CLI_FILE_UNWRITABLE
 */
export async function openLocalTarget(
  path: string,
  { replaces }: { readonly replaces: boolean },
): Promise<LocalTarget> {
  const onDisk = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await work()
    } catch (cause) {
      if (isNzError(cause)) throw cause
      if (isErrno(cause, 'EEXIST')) throw cliErrors.NZ_CLI_FILE_EXISTS({ data: { path } })
      throw cliErrors.NZ_CLI_FILE_UNWRITABLE({ cause, why: reasonOf(cause), data: { path } })
    }
  }
  const found = await kindOf(path)
  if (found !== null && !replaces) throw cliErrors.NZ_CLI_FILE_EXISTS({ data: { path } })
  if (found === 'other') throw cliErrors.NZ_CLI_FILE_UNWRITABLE({ why: 'it is no regular file', data: { path } })
  const aside = join(
    dirname(path),
    `.${basename(path).slice(0, 100)}.${Buffer.from(systemRandom.bytes(6)).toString('hex')}.part`,
  )
  const handle = await onDisk(async () => await open(aside, 'wx', 0o600))
  return {
    write: async (bytes) => await onDisk(async () => await handle.appendFile(bytes)),
    publish: async () =>
      await onDisk(async () => {
        await handle.sync()
        if (replaces) await rename(aside, path)
        else await nameNew(aside, path)
        await syncFolder(dirname(path))
      }),
    async discard() {
      await handle.close()
      await rm(aside, { force: true })
    },
  }
}

/** Gives the file a name that is free. */
async function nameNew(aside: string, path: string): Promise<void> {
  try {
    // A hard link cannot replace a file that came meanwhile.
    await link(aside, path)
  } catch (error) {
    // File systems of memory sticks have none.
    if (!isErrno(error, 'EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS')) throw error
    if ((await kindOf(path)) !== null) throw cliErrors.NZ_CLI_FILE_EXISTS({ data: { path } })
    await rename(aside, path)
  }
}

/** A device or a folder is never replaced; `null` when there is nothing. */
async function kindOf(path: string): Promise<'file' | 'other' | null> {
  const found = await stat(path).catch((error: unknown) => {
    if (error instanceof Error) return null
    throw error
  })
  // What else is wrong shows when the file is made.
  if (found === null) return null
  return found.isFile() ? 'file' : 'other'
}

function reasonOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error)
}
