/** Names in a folder are durable only when the folder itself was synced. */
import { open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { isErrno } from './system-errors.ts'

/** Makes what was created, renamed and removed in the folder survive a power cut; nothing to do on Windows. */
export async function syncFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Folders above a new one that may be new as well. */
const SYNCED_ANCESTORS = 4

/**
 * Makes the names durable by which the folder `path` is found, its own and those of the folders above: a file is lost
 * with the folder it is in. Also those a process made that was killed before it could do so.
 */
export async function syncAncestors(path: string): Promise<void> {
  let folder = path
  for (let level = 0; level < SYNCED_ANCESTORS; level++) {
    folder = dirname(folder)
    try {
      await syncFolder(folder)
    } catch (error) {
      // One that this user may not read was not made by us.
      if (isErrno(error, 'EACCES', 'EPERM')) return
      throw error
    }
  }
}
