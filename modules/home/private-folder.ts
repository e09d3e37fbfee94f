/** The state folder: made for this user alone, or refused. */
import { lstat, readdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { makeFolder, syncAncestors } from '../../kernel/index.ts'
import { homeErrors } from './service.ts'

const GROUP_AND_OTHERS = 0o077

/**
 * Makes the folder (0700) when it is missing; its name and those of the folders above are durable when it resolves.
 *
 * @throws NZ_HOME_MODE when others may enter it, NZ_HOME_OWNER when it is not this user's, NZ_HOME_UNWRITABLE
 */
export async function makePrivateFolder(path: string): Promise<void> {
  let found
  try {
    await makeFolder(path)
    await syncAncestors(path)
    found = await stat(path)
  } catch (error) {
    throw homeErrors.NZ_HOME_UNWRITABLE({ cause: error, data: { path } })
  }
  if (process.getuid === undefined) return
  const uid = process.getuid()
  if (found.uid !== uid) throw homeErrors.NZ_HOME_OWNER({ data: { path, owner: found.uid, user: uid } })
  if ((found.mode & GROUP_AND_OTHERS) !== 0) {
    throw homeErrors.NZ_HOME_MODE({ data: { path, mode: `0${(found.mode & 0o777).toString(8)}` } })
  }
}

/** A lock being written is milliseconds old; one of this age was left by a process that died. */
const ABANDONED_AFTER_MS = 60_000

/** Removes what a process that was killed while writing left behind. Call it only while holding the profile's lock. */
export async function removeLeftovers(dir: string, nowMs: number): Promise<void> {
  for (const name of await readdir(dir)) {
    const path = join(dir, name)
    const isOurs = /^\.[a-z0-9._-]+\.[0-9a-f]{12}\.tmp$/.test(name) || /^lock(\.[0-9a-f]{16})+$/.test(name)
    // Another process may be writing its lock right now, only to be told that this profile is taken.
    const isLockInTheMaking = /^lock\.[0-9a-f.]+\.tmp$/.test(name)
    if (isOurs || (isLockInTheMaking && nowMs - (await mtimeMsOf(path)) > ABANDONED_AFTER_MS)) {
      await rm(path, { force: true })
    }
  }
}

async function mtimeMsOf(path: string): Promise<number> {
  const found = await lstat(path).catch(() => null)
  return found?.mtimeMs ?? Number.POSITIVE_INFINITY
}
