/** Starts the daemon as a process of its own and waits until it is ready, or says why it is not. */
import { spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { deadline, makeFolder, NzError, systemClock } from '../kernel/index.ts'
import { cliErrors } from './errors.ts'
import { NODE_FLAGS } from './node-flags.ts'
import type { ChildProcess } from 'node:child_process'
import type { Readable, Writable } from 'node:stream'
import type { CliContext } from './command.ts'
import type { DaemonReport } from './daemon.ts'

/** Descriptors of the daemon beside its standard streams. */
export const READY_FD = 3
export const PASSPHRASE_FD = 4

/** A report larger than this does not come from our daemon. */
const MAX_REPORT_BYTES = 65_536

/** What Node itself writes when it cannot go on; the records of the node are in nzcore.log beside it. */
export const STDERR_FILE_NAME = 'daemon.err'

export interface SpawnDaemonInit {
  readonly context: Pick<CliContext, 'home' | 'env' | 'signal'>
  readonly launcher: string
  /** Settings such as `network.listen=…`. */
  readonly flags: readonly string[]
  /** Zeroed by the caller; travels through a pipe. */
  readonly passphrase: Uint8Array | null
  readonly waitMs: number
}

export type ReadyReport = Extract<DaemonReport, { state: 'ready' }>

/** Opened anew in a folder that is made when it is not there. @throws NZ_CLI_HOME_UNWRITABLE */
async function openLog(folder: string, file: string): Promise<number> {
  try {
    await makeFolder(folder)
    return openSync(file, 'w', 0o600)
  } catch (error) {
    const why = error instanceof Error && 'code' in error ? String(error.code) : ''
    throw cliErrors.NZ_CLI_HOME_UNWRITABLE({ why, cause: error, data: { path: folder } })
  }
}

/**
 * @throws NZ_CLI_HOME_UNWRITABLE, the daemon's own error, NZ_CLI_DAEMON_DIED with the end of what it printed, NZ_CLI_DAEMON_SLOW (it goes on
 * starting then)
 */
export async function spawnDaemon(init: SpawnDaemonInit): Promise<ReadyReport> {
  const { home, signal } = init.context
  const stderrFile = join(home.logDir, STDERR_FILE_NAME)
  const stderr = await openLog(home.logDir, stderrFile)
  const child = startProcess(init, stderr)
  closeSync(stderr)
  if (init.passphrase !== null) await writePassphrase(child, init.passphrase)
  using waiting = deadline(systemClock, init.waitMs, {
    signal,
    reason: () => cliErrors.NZ_CLI_DAEMON_SLOW({ data: { pid: child.pid ?? null, waitMs: init.waitMs } }),
  })
  try {
    const report = await reportOf(child, waiting.signal)
    if (report === null) {
      throw cliErrors.NZ_CLI_DAEMON_DIED({ why: lastLines(stderrFile), data: { stderrFile } })
    }
    if (report.state === 'failed') throw NzError.fromDocument(report.error)
    return report
  } catch (error) {
    // An interrupted start leaves nothing behind.
    if (signal.aborted) child.kill('SIGTERM')
    throw error
  } finally {
    child.stdio[READY_FD]?.destroy()
    child.unref()
  }
}

function startProcess({ context, launcher, flags, passphrase }: SpawnDaemonInit, stderr: number): ChildProcess {
  const { NZ_PASSPHRASE_FD: _, ...inherited } = context.env
  const settings = flags.flatMap((flag) => ['--set', flag])
  return spawn(process.execPath, [...NODE_FLAGS, launcher, '__daemon', ...settings], {
    cwd: '/',
    detached: true,
    windowsHide: true,
    stdio: ['ignore', stderr, stderr, 'pipe', ...(passphrase === null ? [] : ['pipe' as const])],
    env: passphrase === null ? context.env : { ...inherited, NZ_PASSPHRASE_FD: String(PASSPHRASE_FD) },
  })
}

async function writePassphrase(child: ChildProcess, passphrase: Uint8Array): Promise<void> {
  const pipe = child.stdio[PASSPHRASE_FD] as Writable
  const copy = Uint8Array.from(passphrase)
  const { promise, resolve } = Promise.withResolvers<void>()
  // A daemon that ended early closes the pipe; why it ended is reported elsewhere.
  pipe.on('error', () => resolve())
  pipe.end(copy, () => resolve())
  await promise
  copy.fill(0)
}

/** `null` when the daemon ended without a word. */
async function reportOf(child: ChildProcess, signal: AbortSignal): Promise<DaemonReport | null> {
  const pipe = child.stdio[READY_FD] as Readable
  const { promise: failed, reject } = Promise.withResolvers<never>()
  const onAbort = (): void => reject(signal.reason as Error)
  signal.addEventListener('abort', onAbort, { once: true })
  child.once('error', reject)
  try {
    return await Promise.race([readReport(pipe), failed])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}

async function readReport(pipe: Readable): Promise<DaemonReport | null> {
  let text = ''
  for await (const chunk of pipe.setEncoding('utf8') as AsyncIterable<string>) {
    text += chunk
    if (text.includes('\n') || text.length > MAX_REPORT_BYTES) break
  }
  // Written by our own daemon over a pipe that nobody else holds.
  return text === '' ? null : (JSON.parse(text) as DaemonReport)
}

function lastLines(path: string): string {
  return readFileSync(path, 'utf8').trim().split('\n').slice(-5).join('\n')
}
