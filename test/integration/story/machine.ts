/** A machine of the story: its own NZ_HOME, and the built nzcore command in real processes. */
import { spawn } from 'node:child_process'
import type { ChildProcessByStdio } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { Readable } from 'node:stream'
import { nativeVariable } from '../../fake/native-asked.ts'

const launcher = resolve(import.meta.dirname, '../../../cli/nzcore.js')
const COMMAND_TIMEOUT_MS = 60_000
const SAMPLE_INTERVAL_MS = 50

export interface Outcome {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface Running {
  readonly child: ChildProcessByStdio<null, Readable, Readable>
  readonly outcome: Promise<Outcome>
}

export class Machine {
  readonly folder: string
  readonly env: Readonly<Record<string, string>>

  /** The command and the first words before `nzcore`. */
  readonly #launch: readonly [string, ...string[]]

  private constructor(folder: string, launch: readonly [string, ...string[]]) {
    this.folder = folder
    this.#launch = launch
    this.env = {
      PATH: process.env['PATH'] ?? '',
      HOME: folder,
      NZ_HOME: join(folder, 'nz'),
      NO_COLOR: '1',
      ...nativeVariable(),
    }
  }

  /** `config` is the TOML file of the machine; in a network namespace its commands and its daemon run in there. */
  static async create(
    folder: string,
    config: string,
    { namespace }: { readonly namespace?: string } = {},
  ): Promise<Machine> {
    const inside = namespace === undefined ? [] : ['ip', 'netns', 'exec', namespace]
    const [command, ...words] = [...inside, process.execPath, launcher]
    const machine = new Machine(folder, [command, ...words])
    await mkdir(machine.home, { recursive: true, mode: 0o700 })
    await writeFile(join(machine.home, 'config.toml'), config, { mode: 0o600 })
    return machine
  }

  get home(): string {
    return this.env['NZ_HOME'] ?? ''
  }

  start(...args: readonly string[]): Running {
    const [command, ...words] = this.#launch
    const child = spawn(command, [...words, ...args], {
      cwd: this.folder,
      env: this.env,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const texts = { stdout: '', stderr: '' }
    child.stdout.setEncoding('utf8').on('data', (text: string) => void (texts.stdout += text))
    child.stderr.setEncoding('utf8').on('data', (text: string) => void (texts.stderr += text))
    const outcome = once(child, 'close').then(([code]) => ({ code: code as number | null, ...texts }))
    return { child, outcome }
  }

  async run(...args: readonly string[]): Promise<Outcome> {
    const { child, outcome } = this.start(...args)
    const timer = setTimeout(() => child.kill('SIGKILL'), COMMAND_TIMEOUT_MS)
    try {
      return await outcome
    } finally {
      clearTimeout(timer)
    }
  }

  /** The last document that the command prints with `--json`. @throws Error when it does not exit with 0 */
  async json(...args: readonly string[]): Promise<Record<string, unknown>> {
    const done = await this.run(...args, '--json')
    if (done.code !== 0) throw new Error(`nzcore ${args.join(' ')}: exit ${done.code}\n${done.stdout}${done.stderr}`)
    return lastDocument(done.stdout)
  }

  async pid(): Promise<number> {
    return Number((await this.json('status'))['pid'])
  }

  /** As a crash would: no chance to clean up. Resolves when the process is gone. */
  async kill(): Promise<void> {
    const pid = await this.pid()
    process.kill(pid, 'SIGKILL')
    while (await isAlive(pid)) await new Promise((done) => setTimeout(done, 10))
  }
}

export function lastDocument(stdout: string): Record<string, unknown> {
  const line = stdout.trim().split('\n').at(-1) ?? ''
  return JSON.parse(line) as Record<string, unknown>
}

async function isAlive(pid: number): Promise<boolean> {
  try {
    return !/^\d+ \(.*\) [ZX]/.test(await readFile(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}

/** Highest resident memory of a process while `work` runs, in bytes. */
export async function peakMemory<T>(pid: number, work: Promise<T>): Promise<{ result: T; peakBytes: number }> {
  let peakBytes = 0
  const sample = async (): Promise<void> => {
    const text = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
    peakBytes = Math.max(peakBytes, Number(/^VmRSS:\s+(\d+) kB/m.exec(text)?.[1] ?? 0) * 1_024)
  }
  await sample()
  const timer = setInterval(() => void sample(), SAMPLE_INTERVAL_MS)
  try {
    const result = await work
    await sample()
    return { result, peakBytes }
  } finally {
    clearInterval(timer)
  }
}
