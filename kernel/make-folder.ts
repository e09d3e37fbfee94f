/** Folders of a user, with those above. */
import { mkdir, stat } from 'node:fs/promises'
import { dirname } from 'node:path'

const OWNER_ONLY = 0o700

/**
 * Makes the folder and those above it that are not there, for their owner alone; one that is there stays as it is.
 * Where a system says that a folder it has is not there (below `/proc`), Node's own recursion never ends.
 * @throws Error the system's, such as EACCES, ENOENT, or EEXIST and ENOTDIR where something else has the name
 */
export async function makeFolder(path: string): Promise<void> {
  const above = dirname(path)
  if (above !== path && !(await isFolder(above))) await makeFolder(above)
  try {
    await mkdir(path, { mode: OWNER_ONLY })
  } catch (error) {
    // Also when another process was first.
    if (!(await isFolder(path))) throw error
  }
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory()
  } catch {
    return false
  }
}
