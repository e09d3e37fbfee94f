/** LevelDB makes files with the umask of the process, which is not ours to change in an application's process. */
import { chmod, lstat, readdir } from 'node:fs/promises'
import { join } from 'node:path'

const MODE_BITS = 0o777
const OTHERS_BITS = 0o077

/**
 * Takes what group and others may do from everything in `dir`. Never throws: a folder that nobody else enters protects
 * it as well, and a file system without modes refuses.
 */
export async function closeToOthers(dir: string): Promise<void> {
  if (process.platform === 'win32') return
  const names = await readdir(dir, { recursive: true }).catch(() => [])
  await Promise.all(names.map(async (name) => await closeOne(join(dir, name)).catch(() => undefined)))
}

/** What is removed meanwhile needs no mode. */
async function closeOne(path: string): Promise<void> {
  const found = await lstat(path)
  if (found.isSymbolicLink() || (found.mode & OTHERS_BITS) === 0) return
  await chmod(path, found.mode & MODE_BITS & ~OTHERS_BITS)
}
