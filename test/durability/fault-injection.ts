/** Calls of a running process that are made to fail, for some files alone. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'

const ATTACH_TIMEOUT_MS = 20_000
/** Files that LevelDB may make while calls fail. */
const FILES_TO_COME = 40

export interface InjectionInit {
  readonly pid: number
  /** Names of system calls with commas between. */
  readonly calls: string
  readonly error: string
  /** The call of each thread that is the first to fail; all that follow do, too. */
  readonly first: number
  /** The folder of the store. */
  readonly store: string
}

export interface Injection {
  end(): Promise<void>
}

/** Resolves when the process is under strace. Calls for the store's files and their folder fail until `end`. */
export async function inject({ pid, calls, error, first, store }: InjectionInit): Promise<Injection> {
  const paths = pathsOf(store).flatMap((path) => ['-P', path])
  const tampering = calls.split(',').flatMap((call) => ['-e', `inject=${call}:error=${error}:when=${first}+`])
  const args = ['-f', '-o', '/dev/null', '-e', `trace=${calls}`, ...tampering, ...paths, '-p', String(pid)]
  const child = spawn('strace', args, { stdio: ['ignore', 'ignore', 'pipe'] })
  const ended = once(child, 'close')
  let said = ''
  const attached = new Promise<void>((resolve, reject) => {
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said += text
      if (/attached/.test(said)) resolve()
    })
    ended.then(() => reject(new Error(`strace ended: ${said}`)), reject)
    AbortSignal.timeout(ATTACH_TIMEOUT_MS).addEventListener('abort', () => reject(new Error(`no strace: ${said}`)))
  })
  await attached
  return {
    async end() {
      child.kill('SIGINT')
      await ended
    },
  }
}

function pathsOf(store: string): readonly string[] {
  const names = readdirSync(store)
  const numbers = names.map((name) => Number(/\d+/.exec(name)?.[0] ?? 0))
  const last = numbers.reduce((a, b) => Math.max(a, b), 0)
  const toCome = Array.from({ length: FILES_TO_COME }, (_, n) => String(last + 1 + n).padStart(6, '0'))
  const made = toCome.flatMap((number) => [`${number}.log`, `${number}.ldb`, `MANIFEST-${number}`, `${number}.dbtmp`])
  const present = names.filter((name) => name !== 'LOG' && name !== 'LOCK')
  return [store, join(store, 'probe.tmp'), ...[...present, ...made].map((name) => join(store, name))]
}
