/** The process and the machine it runs on: Node, clock, file descriptors, asynchronous input and output. */
import { readdir, readFile, stat } from 'node:fs/promises'
import { join, sep } from 'node:path'
import { isErrno } from '../../kernel/index.ts'
import { fail, ok, warn } from './subject.ts'
import type { Check } from './subject.ts'

const OLDEST_NODE = [22, 18] as const
/** Nothing of nzcore is older, and no machine with a working clock is this far ahead. */
const EARLIEST_MS = Date.UTC(2026, 0, 1)
const LATEST_MS = Date.UTC(2100, 0, 1)
/** Clocks are corrected by seconds all the time. */
const CLOCK_SLACK_MS = 60_000
/** Two for each of a few hundred connections, and room. */
const ENOUGH_DESCRIPTORS = 1_024
/** Of those that may be open: the next connections may find none. */
const NEARLY_ALL_SHARE = 0.8

export const checkNode: Check = async () => {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  const isOld = major < OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor < OLDEST_NODE[1])
  const what = `Node ${process.versions.node}, ${isBundled() ? 'installed with nzcore' : 'of this machine'}`
  return [
    isOld
      ? fail('runtime.node', `${what}, is older than ${OLDEST_NODE.join('.')}`, 'install Node 24')
      : ok('runtime.node', what),
  ]
}

/** Whether this is the Node that was installed beside this nzcore, and not one that some other folder holds. */
function isBundled(): boolean {
  const [owner, rest] = process.execPath.split(`${sep}node_modules${sep}node-`)
  return rest !== undefined && import.meta.dirname.startsWith(`${owner}${sep}`)
}

export const checkClock: Check = async ({ clock, home }) => {
  const nowMs = clock.nowMs()
  if (nowMs < EARLIEST_MS || nowMs > LATEST_MS) {
    return [fail('runtime.clock', `the clock says ${new Date(nowMs).toISOString()}`, 'set the clock: timedatectl')]
  }
  const newestMs = await newestFileMs(home.stateDir)
  if (newestMs !== null && newestMs > nowMs + CLOCK_SLACK_MS) {
    const minutes = Math.round((newestMs - nowMs) / 60_000)
    return [
      warn(
        'runtime.clock',
        `the clock went back: a state file is ${minutes} min ahead of it`,
        'set the clock: timedatectl',
      ),
    ]
  }
  return [ok('runtime.clock', `the clock says ${new Date(nowMs).toISOString()}`)]
}

export const checkDescriptors: Check = async ({ node }) => {
  let limits
  try {
    limits = await readFile('/proc/self/limits', 'utf8')
  } catch {
    return [ok('runtime.descriptors', 'this system does not tell the limit of open files')]
  }
  const soft = /^Max open files\s+(\d+)/m.exec(limits)?.[1]
  if (soft === undefined) return [ok('runtime.descriptors', 'any number of files and sockets may be open')]
  const may = Number(soft)
  const open = node === null ? 0 : (await readdir('/proc/self/fd')).length
  const what = `${may} files and sockets may be open${node === null ? '' : `, ${open} are`}`
  const isShort = may < ENOUGH_DESCRIPTORS || open > may * NEARLY_ALL_SHARE
  const more = Math.max(ENOUGH_DESCRIPTORS, may * 2)
  return [
    isShort
      ? warn('runtime.descriptors', what, `ulimit -n ${more}`, 'LimitNOFILE= in the unit of systemd')
      : ok('runtime.descriptors', what),
  ]
}

/** Information only: the native stack does without it, and containers commonly refuse it. */
export const checkIoUring: Check = async () => {
  try {
    const disabled = (await readFile('/proc/sys/kernel/io_uring_disabled', 'utf8')).trim()
    const words = { '0': 'is available', '1': 'is for privileged processes only', '2': 'is switched off' }[disabled]
    return [
      ok(
        'runtime.ioUring',
        `io_uring ${words ?? `is in state ${disabled}`}${disabled === '0' ? '' : '; the native stack uses epoll then'}`,
      ),
    ]
  } catch (error) {
    if (!isErrno(error, 'ENOENT', 'EACCES')) throw error
    return [
      ok(
        'runtime.ioUring',
        'this system does not tell whether it has io_uring; the native stack uses epoll where it has none',
      ),
    ]
  }
}

async function newestFileMs(dir: string): Promise<number | null> {
  let newest: number | null = null
  try {
    for (const name of await readdir(dir)) {
      const { mtimeMs } = await stat(join(dir, name))
      newest = Math.max(newest ?? mtimeMs, mtimeMs)
    }
  } catch (error) {
    // The folder is not there yet, not ours, or a file of it has just gone.
    if (!isErrno(error, 'ENOENT', 'EACCES', 'ENOTDIR')) throw error
  }
  return newest
}
