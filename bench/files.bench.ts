/** One large file into the encrypted store and out of it, against a plain copy with its SHA-256: speed and memory. */
import { execFile } from 'node:child_process'
import { randomFillSync } from 'node:crypto'
import { mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { extname, join } from 'node:path'
import { promisify } from 'node:util'
import { FULL_ROUNDS, SMALL_ROUNDS, withRatios } from './scenario.ts'
import { summaryOf } from './statistics.ts'
import type { Moved } from './files-process.ts'
import type { Figure, Scenario } from './scenario.ts'

const MIB = 1_048_576
const SIZE_MIB = { small: 16, full: 1_024 } as const
const PROCESS_TIMEOUT_MS = 120_000

type Mode = 'copy' | 'put' | 'get'

export const files: Scenario = {
  name: 'files',
  async run({ size, isCompared, signal }) {
    const folder = await mkdtemp(join(tmpdir(), 'nzb-'))
    try {
      const mib = SIZE_MIB[size]
      const source = join(folder, 'source')
      await makeFile(source, mib)
      const modes: readonly Mode[] = isCompared ? ['copy', 'put', 'get'] : ['put', 'get']
      const rounds = size === 'full' ? FULL_ROUNDS : SMALL_ROUNDS
      const moved: Record<Mode, Moved[]> = { copy: [], put: [], get: [] }
      // The first round is not counted. A put comes before its get; the copy goes first and last in turn.
      for (let round = -1; round < rounds; round++) {
        // What is there already would only be proven.
        await changeFile(source, round)
        const order = round % 2 === 0 ? modes : [...modes.slice(1), ...modes.slice(0, 1)]
        for (const mode of isCompared ? order : modes) {
          signal.throwIfAborted()
          const one = await move(mode, folder, source)
          if (round >= 0) moved[mode].push(one)
        }
      }
      const rate = (mode: Mode): Omit<Figure, 'ratio'> => ({
        name: { copy: 'copy with SHA-256', put: 'nzcore put', get: 'nzcore get' }[mode],
        ...summaryOf(moved[mode].map(({ ms }) => (mib * MIB) / 1_000 / ms)),
        unit: 'MB/s',
      })
      const memory = (mode: Mode): Figure => ({
        name: `memory of ${mode}`,
        ...summaryOf(moved[mode].map(({ grownBytes }) => Math.max(grownBytes, 1) / 1_000_000)),
        unit: 'MB',
        ratio: null,
      })
      return {
        scenario: 'files',
        title: `a file of ${mib} MiB, durable at its end, and by how much the process grew`,
        rounds,
        figures: [...withRatios(modes.map(rate)), memory('put'), memory('get')],
      }
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  },
}

async function move(mode: Mode, folder: string, source: string): Promise<Moved> {
  const program = join(import.meta.dirname, `files-process${extname(import.meta.filename)}`)
  // As a daemon runs: with a small young generation.
  const args = ['--max-semi-space-size=1', program, mode, folder, source]
  const { stdout } = await promisify(execFile)(process.execPath, args, { timeout: PROCESS_TIMEOUT_MS })
  return JSON.parse(stdout) as Moved
}

async function makeFile(path: string, mib: number): Promise<void> {
  const handle = await open(path, 'wx')
  try {
    const piece = new Uint8Array(MIB)
    for (let at = 0; at < mib; at++) await handle.appendFile(randomFillSync(piece))
    await handle.sync()
  } finally {
    await handle.close()
  }
}

async function changeFile(path: string, round: number): Promise<void> {
  const handle = await open(path, 'r+')
  try {
    await handle.write(Uint8Array.of(round & 0xff, 0x5a), 0, 2, 0)
  } finally {
    await handle.close()
  }
}
