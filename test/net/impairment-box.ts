/** The impairment box: a small program (impairment.cc) built once for each process that needs it. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { run } from './system.ts'
import type { Impairment } from './topology.ts'

let built: string | null = null

/** Path of the program. @throws what the compiler says */
export function impairmentBox(): string {
  if (built !== null) return built
  const folder = mkdtempSync(join(tmpdir(), 'nzlab-box-'))
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }))
  const program = join(folder, 'impairment')
  const source = join(import.meta.dirname, 'impairment.cc')
  run('g++', ['-std=c++20', '-O2', '-fno-exceptions', '-Wall', '-Wextra', '-Werror', '-o', program, source])
  built = program
  return program
}

export function impairmentArguments({
  delayMs = 0,
  jitterMs = 0,
  lossPercent = 0,
  lossBurst = 1,
  reorderPercent = 0,
  duplicatePercent = 0,
  kbitPerSecond = 0,
  seed = 1,
}: Impairment): readonly string[] {
  const values = {
    seed,
    delayUs: delayMs * 1_000,
    jitterUs: jitterMs * 1_000,
    lossPpm: lossPercent * 10_000,
    lossBurst: lossBurst * 1_000,
    reorderPpm: reorderPercent * 10_000,
    duplicatePpm: duplicatePercent * 10_000,
    bitsPerSecond: kbitPerSecond * 1_000,
  }
  return Object.entries(values).map(([name, value]) => `${name}=${Math.round(value)}`)
}
