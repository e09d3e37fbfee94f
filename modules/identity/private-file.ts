/** Secret files: owned by this user, readable by nobody else, no links, written whole or not at all. */
import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { link, lstat, open, rename, rm } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { Stats } from 'node:fs'
import { isErrno, makeFolder, syncAncestors, syncFolder } from '../../kernel/index.ts'
import { identityErrors } from './service.ts'

/** No secret file of an identity comes near this. */
export const MAX_PRIVATE_FILE_BYTES = 8_192

const GROUP_AND_OTHERS = 0o077

/**
 * The bytes of a secret file; `null` when there is none. The caller zeroes them when they are secret.
 *
 * @throws NZ_IDENTITY_FILE_UNSAFE when file or folder belongs to another user, may be read by others or is a link
 */
export async function readPrivateFile(path: string): Promise<Uint8Array | null> {
  if (!(await isFolderSafe(dirname(path)))) return null
  let handle
  try {
    handle = await open(path, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0))
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return null
    if (isErrno(error, 'ELOOP')) throw unsafe(path, 'it is a symbolic link')
    throw identityErrors.NZ_IDENTITY_FILE_FAILED({ cause: error, data: { path } })
  }
  try {
    const stats = await handle.stat()
    if (!stats.isFile()) throw unsafe(path, 'it is no regular file')
    requireOwn(path, stats)
    if (stats.size > MAX_PRIVATE_FILE_BYTES) {
      throw identityErrors.NZ_IDENTITY_DAMAGED({ why: 'it is larger than it may be', data: { path } })
    }
    const bytes = new Uint8Array(stats.size)
    let length = 0
    while (length < bytes.byteLength) {
      const { bytesRead } = await handle.read(bytes, length, bytes.byteLength - length, length)
      if (bytesRead === 0) break
      length += bytesRead
    }
    return bytes.subarray(0, length)
  } finally {
    await handle.close()
  }
}

/** Writes a new secret file, durable when it resolves; `false` when there is one already. */
export async function createPrivateFile(path: string, bytes: Uint8Array): Promise<boolean> {
  return await written(path, bytes, async (aside) => {
    try {
      await link(aside, path)
    } catch (error) {
      if (isErrno(error, 'EEXIST')) return false
      // File systems without hard links: the holder of the profile's lock is the only writer.
      if (!isErrno(error, 'EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS')) throw error
      if (await exists(path)) return false
      await rename(aside, path)
      return true
    }
    await rm(aside)
    return true
  })
}

/** Replaces a secret file whole, or creates it; durable when it resolves. After a crash it holds the old or the new. */
export async function replacePrivateFile(path: string, bytes: Uint8Array): Promise<void> {
  await written(path, bytes, async (aside) => {
    await rename(aside, path)
    return true
  })
}

/** Durable when it resolves; no error when there is no such file. */
export async function removePrivateFile(path: string): Promise<void> {
  try {
    await rm(path, { force: true })
    await syncFolder(dirname(path))
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw identityErrors.NZ_IDENTITY_FILE_FAILED({ cause: error, data: { path } })
  }
}

async function written(path: string, bytes: Uint8Array, place: (aside: string) => Promise<boolean>): Promise<boolean> {
  const folder = dirname(path)
  const aside = join(folder, `.${basename(path)}.${randomBytes(6).toString('hex')}.tmp`)
  try {
    await makeFolder(folder)
    await isFolderSafe(folder)
    await syncAncestors(folder)
    const handle = await open(aside, 'wx', 0o600)
    try {
      await handle.writeFile(bytes)
      await handle.sync()
    } finally {
      await handle.close()
    }
    const isPlaced = await place(aside)
    if (!isPlaced) await rm(aside)
    await syncFolder(folder)
    return isPlaced
  } catch (error) {
    await rm(aside, { force: true })
    if (isErrno(error, 'NZ_IDENTITY_FILE_UNSAFE')) throw error
    throw identityErrors.NZ_IDENTITY_FILE_FAILED({ cause: error, data: { path } })
  }
}

/** `false` when there is no such folder. */
async function isFolderSafe(folder: string): Promise<boolean> {
  let stats
  try {
    stats = await lstat(folder)
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false
    throw identityErrors.NZ_IDENTITY_FILE_FAILED({ cause: error, data: { path: folder } })
  }
  if (stats.isSymbolicLink()) throw unsafe(folder, 'it is a symbolic link')
  if (!stats.isDirectory()) throw unsafe(folder, 'it is no folder')
  requireOwn(folder, stats)
  return true
}

function requireOwn(path: string, { uid, mode }: Stats): void {
  const user = process.geteuid?.()
  // Windows keeps owner and access in lists that Node does not show; the user's profile folder is private there.
  if (user === undefined) return
  if (uid !== user) throw unsafe(path, `it belongs to user ${uid}, and this process runs as user ${user}`)
  if ((mode & GROUP_AND_OTHERS) !== 0) {
    throw unsafe(path, `its mode ${(mode & 0o777).toString(8).padStart(4, '0')} lets others in`)
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path)
    return true
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false
    throw error
  }
}

function unsafe(path: string, why: string): Error {
  return identityErrors.NZ_IDENTITY_FILE_UNSAFE({ why, data: { path } })
}
