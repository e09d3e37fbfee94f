/** How soon the daemon is ready, what it weighs when nothing happens, and how long two commands take. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { SMALL_ROUNDS } from './scenario.ts'
import type { Figure, Scenario } from './scenario.ts'
import { summaryOf } from './statistics.ts'

/** Starts are slow and differ little. */
const ROUNDS = 7
const IDLE_MS = { small: 500, full: 5_000 } as const

interface Round {
  readonly readyMs: number
  readonly upMs: number
  readonly idleMb: number
  readonly versionMs: number
  readonly statusMs: number
}

export const daemon: Scenario = {
  name: 'daemon',
  async run({ size, signal }) {
    const base = await mkdtemp(join(tmpdir(), 'nzb-'))
    try {
      const home = join(base, 'nz')
      await mkdir(home, { mode: 0o700 })
      // Free ports of loopback, so that it runs beside a node of the operator.
      await writeFile(
        join(home, 'config.toml'),
        '[network]\nlisten = ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/tcp/0/ws"]\n',
      )
      const rounds: Round[] = []
      const count = size === 'full' ? ROUNDS : SMALL_ROUNDS
      // The first one makes the identity and is not counted.
      for (let round = -1; round < count; round++) {
        const measured = await measureOnce(home, round < 0 ? 0 : IDLE_MS[size], signal)
        if (round >= 0) rounds.push(measured)
      }
      const figure = (name: string, key: keyof Round, unit: Figure['unit']): Figure => ({
        name,
        ...summaryOf(rounds.map((round) => round[key])),
        unit,
        ratio: null,
      })
      return {
        scenario: 'daemon',
        title: `daemon from its start to ready, nzcore up as a whole, memory ${IDLE_MS[size] / 1_000} s later, nzcore version and status`,
        rounds: count,
        figures: [
          figure('ready', 'readyMs', 'ms'),
          figure('up', 'upMs', 'ms'),
          figure('idle', 'idleMb', 'MB'),
          figure('version', 'versionMs', 'ms'),
          figure('status', 'statusMs', 'ms'),
        ],
      }
    } finally {
      await rm(base, { recursive: true, force: true })
    }
  },
}

async function measureOnce(home: string, idleMs: number, signal: AbortSignal): Promise<Round> {
  const startedAt = performance.now()
  const { readyMs, pid } = JSON.parse(await nzcore(home, 'up', '--json')) as { readyMs: number; pid: number }
  const upMs = performance.now() - startedAt
  try {
    await delay(idleMs, undefined, { signal })
    const idleMb = await memoryMb(pid)
    const versionAt = performance.now()
    await nzcore(home, 'version')
    const statusAt = performance.now()
    await nzcore(home, 'status')
    return { readyMs, upMs, idleMb, versionMs: statusAt - versionAt, statusMs: performance.now() - statusAt }
  } finally {
    await nzcore(home, 'down')
  }
}

/** What the command says. @throws Error when it fails */
export async function nzcore(home: string, ...args: readonly string[]): Promise<string> {
  const child = spawn(process.execPath, [launcher(), ...args], {
    env: { ...process.env, NZ_HOME: home },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let text = ''
  child.stdout.setEncoding('utf8').on('data', (part: string) => void (text += part))
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Error(`nzcore ${args.join(' ')} exits ${String(code)}: ${text}`)
  return text
}

/** cli/nzcore.js of the package this file is in, run from bench/ or from dist/bench/. */
function launcher(): string {
  for (let folder = import.meta.dirname; folder !== dirname(folder); folder = dirname(folder)) {
    const path = join(folder, 'cli', 'nzcore.js')
    if (existsSync(path)) return path
  }
  throw new Error('cli/nzcore.js is missing')
}

/** Resident memory of a process, in MB; 0 where the system does not tell. */
async function memoryMb(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
  return (Number(/^VmRSS:\s+(\d+) kB/m.exec(text)?.[1] ?? 0) * 1_024) / 1_000_000
}
