/**
 * A home made from words and archives: beside the place where it will lie, proven there, then moved into place whole.
 * What is not proven never lies where a node would start on it. spec/NZ-BACKUP-01.md §8.
 */
import { copyFile, lstat, mkdir, open, readdir, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { isErrno, makeFolder, syncFolder } from '../../kernel/index.ts'
import { RESTORED_FILE } from '../home/service.ts'
import { backupErrors } from './service.ts'
import type { Home } from '../../protocols/ipc/home.ts'
import type { PartRoot, RestoreReport, RestoreService } from './service.ts'

/** What restoring needs of the rest of nzcore. */
export interface RestoreComposition {
  /** Makes the identity of the words that of this home. */
  recover(home: Home): Promise<void>
  /** Binds that identity to the place where it lies now. */
  adopt(home: Home): Promise<void>
  /** A node on this home that reaches nobody and is reached by nobody. Its disposal stops it. */
  start(home: Home): Promise<{ readonly restore: RestoreService } & AsyncDisposable>
  /**
   * Starts all that a node of this home would run, on a network that reaches nobody, asks every module how it is, and
   * stops it.
   *
   * @returns those that are not well because of what the home holds
   * @throws when anything does not start
   */
  tryWhole(home: Home, options: { readonly signal: AbortSignal }): Promise<readonly UnwellModule[]>
  /** The process that runs this home; `null` when there is none. */
  runningPid(home: Home): Promise<number | null>
}

export interface UnwellModule {
  readonly module: string
  readonly code: string
  readonly why: string
}

export interface RestoreHomeInit {
  readonly home: Home
  /** Holds the archives. */
  readonly folder: string
  /** Name or begin of the id of the archive to go back to; default: the newest. */
  readonly at?: string
  readonly composition: RestoreComposition
  readonly signal: AbortSignal
}

export interface HomeReport extends RestoreReport {
  /** Where the home that was in the way lies now; `null` when there was none. */
  readonly setAside: string | null
  /** A configuration that was there stays; the one of the backup then lies here, else `null`. */
  readonly configBeside: string | null
}

/**
 * Makes `home` anew. What lies there is refused, or set aside when `isForced`; never removed.
 *
 * @throws NZ_BACKUP_HOME_IN_USE, NZ_BACKUP_ROOT_WRONG, NZ_BACKUP_BUSY, and what `RestoreService` names. Nothing has
 *   changed then
 */
export async function restoreHome({
  isForced,
  nowMs,
  ...init
}: RestoreHomeInit & { readonly isForced: boolean; readonly nowMs: number }): Promise<HomeReport> {
  const { home, composition } = init
  const occupied = await occupiedIn(home)
  if (occupied.length > 0) await requireMayMove(init, { isForced, occupied })
  const staging = `${home.stateDir}.restoring`
  return await inFolder(staging, init, async () => {
    const staged = homeIn(staging, home)
    const report = await restored(staged, init)
    await writeFile(join(staged.stateDir, RESTORED_FILE), '', { mode: 0o600, flush: true })
    const setAside = occupied.length > 0 ? await asideOf(home, nowMs) : null
    // The key first: without its state it makes every start refuse, and nothing is created in its place.
    if (await exists(staged.keyFile)) await moveFile(staged.keyFile, home.keyFile)
    await rename(staged.stateDir, home.stateDir)
    await syncFolder(dirname(home.stateDir))
    await composition.adopt(home)
    return { ...report, setAside, configBeside: await placeConfig(staged, home) }
  })
}

/**
 * Restores into a home that is thrown away, compares, and starts a node on it.
 *
 * @throws as `restoreHome`, NZ_BACKUP_NODE_UNWELL
 */
export async function verifyBackup(init: RestoreHomeInit): Promise<RestoreReport> {
  const folder = `${init.home.stateDir}.verifying`
  return await inFolder(folder, init, async () => {
    const home = homeIn(folder, init.home)
    const report = await restored(home, init)
    // After the comparison: what runs may change what it finds, such as invites whose time is over.
    const unwell = await init.composition.tryWhole(home, { signal: init.signal })
    if (unwell.length > 0) {
      const why = unwell.map((one) => `${one.module}: ${one.why} (${one.code})`).join('; ')
      throw backupErrors.NZ_BACKUP_NODE_UNWELL({
        why,
        data: { modules: unwell.map(({ module, code }) => ({ module, code })) },
      })
    }
    return report
  })
}

async function restored(staged: Home, { folder, at, composition, signal }: RestoreHomeInit): Promise<RestoreReport> {
  await mkdir(staged.stateDir, { mode: 0o700 })
  await composition.recover(staged)
  const report = await within(composition, staged, async (restore) => {
    const chain = await restore.chainIn(folder, { signal, ...(at === undefined ? {} : { at }) })
    return await restore.restore(chain, { signal })
  })
  // Another start, from the disk alone: what is compared is what a node will find.
  const roots = await within(composition, staged, async (restore) => await restore.roots({ signal }))
  const wrong = report.roots.filter(({ name, root }) => rootOf(roots, name) !== root).map(({ name }) => name)
  if (wrong.length > 0) throw backupErrors.NZ_BACKUP_ROOT_WRONG({ why: wrong.join(', '), data: { parts: wrong } })
  return report
}

async function within<T>(
  composition: RestoreComposition,
  home: Home,
  work: (restore: RestoreService) => Promise<T>,
): Promise<T> {
  await using node = await composition.start(home)
  return await work(node.restore)
}

function rootOf(roots: readonly PartRoot[], name: string): string | undefined {
  return roots.find((one) => one.name === name)?.root
}

/** Runs `work` with a new private folder, which is removed afterwards, whatever happens. */
async function inFolder<T>(folder: string, { home, composition }: RestoreHomeInit, work: () => Promise<T>): Promise<T> {
  const pid = await composition.runningPid(homeIn(folder, home))
  if (pid !== null) throw backupErrors.NZ_BACKUP_BUSY({ why: `process ${pid} restores or verifies this profile` })
  // Left by one that was killed.
  await rm(folder, { recursive: true, force: true })
  await makeFolder(dirname(folder))
  await mkdir(folder, { mode: 0o700 })
  try {
    return await work()
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** A home of which everything lies below `folder`. */
function homeIn(folder: string, { profile }: Home): Home {
  const stateDir = join(folder, 'state')
  return {
    profile,
    configFile: join(folder, 'config', 'config.toml'),
    stateDir,
    keyFile: join(folder, 'keys', `${profile}.key`),
    logDir: join(stateDir, 'log'),
    socketPath: join(folder, 'api.sock'),
  }
}

/** What of a home would be in the way. */
async function occupiedIn({ stateDir, keyFile }: Home): Promise<readonly string[]> {
  const names = await namesIn(stateDir)
  const occupied = names.length === 0 ? [] : [stateDir]
  return (await exists(keyFile)) ? [...occupied, keyFile] : occupied
}

async function requireMayMove(
  { home, composition }: RestoreHomeInit,
  { isForced, occupied }: { readonly isForced: boolean; readonly occupied: readonly string[] },
): Promise<void> {
  const pid = await composition.runningPid(home)
  const data = { paths: [...occupied] }
  if (pid !== null) throw backupErrors.NZ_BACKUP_HOME_IN_USE({ why: `process ${pid} runs it`, data: { ...data, pid } })
  if (!isForced) throw backupErrors.NZ_BACKUP_HOME_IN_USE({ why: occupied.join(', '), data })
}

/** Moves state and key file away, each beside its place. */
async function asideOf({ stateDir, keyFile }: Home, nowMs: number): Promise<string> {
  const suffix = `.before-restore-${new Date(nowMs).toISOString().replaceAll(/[-:]|\.\d+/g, '')}`
  if (await exists(stateDir)) await rename(stateDir, `${stateDir}${suffix}`)
  if (await exists(keyFile)) await rename(keyFile, `${keyFile}${suffix}`)
  return `${stateDir}${suffix}`
}

/** Puts configuration files where there are none; else beside the state. */
async function placeConfig(staged: Home, home: Home): Promise<string | null> {
  const beside = join(home.stateDir, 'restored-config')
  let isBeside = false
  for (const [from, to] of [
    [staged.configFile, home.configFile],
    [profileFileOf(staged), profileFileOf(home)],
  ] as const) {
    if (!(await exists(from)) || (await isSameFile(from, to))) continue
    const isFree = !(await exists(to))
    isBeside ||= !isFree
    await moveFile(from, isFree ? to : join(beside, to === home.configFile ? 'config.toml' : `${home.profile}.toml`))
  }
  return isBeside ? beside : null
}

function profileFileOf({ configFile, profile }: Home): string {
  return join(dirname(configFile), 'profiles', `${profile}.toml`)
}

async function isSameFile(a: string, b: string): Promise<boolean> {
  if (!(await exists(b))) return false
  const [one, other] = await Promise.all([open(a, 'r'), open(b, 'r')])
  try {
    return Buffer.compare(await one.readFile(), await other.readFile()) === 0
  } finally {
    await one.close()
    await other.close()
  }
}

/** Durable when it resolves; also to another file system. */
async function moveFile(from: string, to: string): Promise<void> {
  await makeFolder(dirname(to))
  try {
    await rename(from, to)
  } catch (error) {
    if (!isErrno(error, 'EXDEV')) throw error
    await copyFile(from, to)
    const handle = await open(to, 'r+')
    try {
      await handle.chmod(0o600)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rm(from)
  }
  await syncFolder(dirname(to))
}

async function exists(path: string): Promise<boolean> {
  return await lstat(path).then(
    () => true,
    () => false,
  )
}

async function namesIn(folder: string): Promise<readonly string[]> {
  try {
    return await readdir(folder)
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return []
    throw error
  }
}
