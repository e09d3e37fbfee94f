/** The lock of a profile between real processes, some of them killed. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { describe, it } from 'node:test'

const lockModule = resolve(import.meta.dirname, '../../modules/home/profile-lock.ts')

/** Waits for a byte on stdin, tries the lock, says what became of it, and stays alive while it holds it. */
const script = `
  const { lockProfile } = await import(${JSON.stringify(lockModule)})
  process.stdout.write('ready\\n')
  process.stdin.once('data', async () => {
    try {
      await lockProfile(process.argv[1])
      process.stdout.write('won\\n')
    } catch (error) {
      process.stdout.write(error.code + ' ' + error.data.pid + '\\n', () => process.exit(0))
    }
  })`

interface Starter {
  readonly child: ChildProcess
  says(): Promise<string>
}

function startStarter(path: string): Starter {
  const child = spawn(process.execPath, ['--input-type=module', '-e', script, path], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const lines: string[] = []
  let wake = (): void => {}
  let rest = ''
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    const parts = (rest + text).split('\n')
    rest = parts.pop() ?? ''
    lines.push(...parts)
    wake()
  })
  return {
    child,
    async says() {
      while (lines.length === 0) await new Promise<void>((done) => (wake = done))
      return lines.shift() ?? ''
    },
  }
}

async function race(path: string, count: number): Promise<{ winner: ChildProcess; losers: readonly string[] }> {
  const starters = Array.from({ length: count }, () => startStarter(path))
  for (const starter of starters) assert.equal(await starter.says(), 'ready')
  for (const { child } of starters) child.stdin?.write('go')
  const said = await Promise.all(starters.map(async (starter) => await starter.says()))
  const winners = starters.filter((_, i) => said[i] === 'won')
  assert.equal(winners.length, 1, said.join('; '))
  const winner = winners[0]?.child
  assert.ok(winner !== undefined)
  return { winner, losers: said.filter((line) => line !== 'won') }
}

async function kill(child: ChildProcess): Promise<void> {
  child.kill('SIGKILL')
  await once(child, 'exit')
}

describe('the lock of a profile, between processes', () => {
  it('has one winner at first and after each kill -9 of the winner', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'nz-lock-'))
    try {
      for (let round = 0; round < 3; round++) {
        const { winner, losers } = await race(join(dir, 'lock'), 6)
        for (const line of losers) assert.match(line, /^NZ_HOME_LOCKED \d+$/)
        await kill(winner)
      }
    } finally {
      await rm(dir, { recursive: true })
    }
  })
})
