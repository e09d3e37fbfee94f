/**
 * One process a profile: a lock file that names its owner, taken over when that process runs no more.
 *
 * A lock appears whole, by link(2). A stale lock is replaced only by the holder of the claim to it, a file named after
 * the stale lock's nonce, which is itself such a lock: however many processes start at once, one wins, and one that
 * dies half-way through a takeover leaves a stale claim that is taken over in the same way.
 */
import { randomBytes } from 'node:crypto'
import { link, open, readFile, rename, rm } from 'node:fs/promises'
import { z } from 'zod'
import { isErrno } from '../../kernel/index.ts'
import { isRunning, ProcessIdentity, thisProcess } from './process-identity.ts'
import { homeErrors } from './service.ts'

const Holder = ProcessIdentity.extend({ nonce: z.string().regex(/^[0-9a-f]{16}$/) })
type Holder = z.infer<typeof Holder>

/** Takeovers that died half-way, one after the other, before we give up. */
const MAX_CLAIM_DEPTH = 8
/** Locks that came and went while we looked, before we give up. */
const MAX_ATTEMPTS = 16
const MAX_LOCK_FILE_BYTES = 1_024

export interface ProfileLock {
  /** Idempotent. Never removes a lock that is not ours. */
  release(): Promise<void>
}

/** @throws NZ_HOME_LOCKED with `data.pid`, NZ_HOME_UNWRITABLE, NZ_HOME_UNREADABLE for a lock file that is damaged */
export async function lockProfile(path: string): Promise<ProfileLock> {
  const mine: Holder = { ...(await thisProcess()), nonce: randomBytes(8).toString('hex') }
  await take(path, mine, 0)
  return {
    async release() {
      if ((await holderOf(path))?.nonce === mine.nonce) await rm(path, { force: true })
    },
  }
}

/** The process that holds the lock and runs; `null` when there is none. @throws NZ_HOME_UNREADABLE */
export async function runningHolder(path: string): Promise<ProcessIdentity | null> {
  const holder = await holderOf(path)
  return holder !== null && (await isRunning(holder)) ? holder : null
}

async function take(path: string, mine: Holder, depth: number): Promise<void> {
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    if (await create(path, mine)) return
    const holder = await holderOf(path)
    if (holder === null) continue
    if ((await isRunning(holder)) || depth === MAX_CLAIM_DEPTH) throw locked(path, holder)
    if (await takeOver(path, holder, mine, depth)) return
  }
  throw homeErrors.NZ_HOME_LOCKED({ why: 'the lock changes hands too fast', data: { path, pid: null } })
}

/** Replaces the lock of `stale`; `false` when another process was first. */
async function takeOver(path: string, stale: Holder, mine: Holder, depth: number): Promise<boolean> {
  const claim = `${path}.${stale.nonce}`
  await take(claim, mine, depth + 1)
  try {
    // Only the holder of the claim replaces this lock, and its owner is gone: what is read here stays true.
    if ((await holderOf(path))?.nonce !== stale.nonce) return false
    await place(path, mine, rename)
    return true
  } finally {
    await rm(claim, { force: true })
  }
}

/** `false` when a lock exists. */
async function create(path: string, mine: Holder): Promise<boolean> {
  try {
    await place(path, mine, link)
    return true
  } catch (error) {
    if (isErrno(error, 'EEXIST')) return false
    throw homeErrors.NZ_HOME_UNWRITABLE({ cause: error, data: { path } })
  }
}

async function place(path: string, mine: Holder, put: (from: string, to: string) => Promise<void>): Promise<void> {
  const aside = `${path}.${randomBytes(8).toString('hex')}.tmp`
  try {
    const handle = await open(aside, 'wx', 0o600)
    try {
      await handle.writeFile(JSON.stringify(mine))
      // A lock that a power cut left empty could not say whose it was.
      await handle.sync()
    } finally {
      await handle.close()
    }
    await put(aside, path)
  } finally {
    await rm(aside, { force: true })
  }
}

/** `null` when nobody holds the lock. */
async function holderOf(path: string): Promise<Holder | null> {
  let bytes
  try {
    bytes = await readFile(path)
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return null
    throw homeErrors.NZ_HOME_UNREADABLE({ cause: error, data: { path } })
  }
  const fail = (cause?: unknown): Error =>
    homeErrors.NZ_HOME_UNREADABLE({
      ...(cause === undefined ? {} : { cause }),
      why: 'the lock file does not name its owner; remove it when no node runs this profile',
      data: { path },
    })
  if (bytes.byteLength > MAX_LOCK_FILE_BYTES) throw fail()
  try {
    return Holder.parse(JSON.parse(bytes.toString('utf8')))
  } catch (error) {
    throw fail(error)
  }
}

function locked(path: string, { pid }: Holder): Error {
  return homeErrors.NZ_HOME_LOCKED({ why: `process ${pid} holds it`, data: { path, pid } })
}
