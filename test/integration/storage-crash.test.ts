/** Processes that are killed while they write: what they had acknowledged is there, and the store opens. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { it } from 'node:test'
import { StateFiles } from '../../modules/home/state-files.ts'
import { openDiskStore } from '../fake/disk-store.ts'

const KILLS = process.env['NZ_FULL'] === '1' ? 1_000 : 20
const writer = join(import.meta.dirname, '..', 'fake', 'storage-writer.ts')

/** The lines a writer printed before it was killed, `afterMs` after its store was open. */
async function killedWriter(dir: string, round: number, afterMs: number): Promise<readonly string[]> {
  const child = spawn(process.execPath, [writer, dir, String(round)], { stdio: ['ignore', 'pipe', 'inherit'] })
  let printed = ''
  child.stdout.setEncoding('utf8')
  child.stdout.on('data', (some: string) => {
    if (printed === '') setTimeout(() => child.kill('SIGKILL'), afterMs)
    printed += some
  })
  await new Promise((resolve) => child.once('close', resolve))
  // The last line may have been cut.
  return printed.split('\n').slice(0, -1)
}

it(`loses nothing acknowledged in ${KILLS} kills`, { timeout: 3_600_000 }, async () => {
  const dir = await mkdtemp(join(tmpdir(), 'nz-crash-'))
  try {
    const acknowledged = new Map<string, number>()
    for (let round = 1; round <= KILLS; round++) {
      const [opened, ...lines] = await killedWriter(dir, round, Math.floor(Math.random() * 150))
      assert.match(opened ?? '', /^open (?:open|rotating)$/)
      for (const line of lines) {
        const [key = '', at, n] = line.split(' ')
        acknowledged.set(key, Number(at) * 1e9 + Number(n))
      }
      const storage = await openDiskStore(dir, new StateFiles(dir))
      assert.match(storage.status().state, /^(?:open|rotating)$/)
      for (const [key, order] of acknowledged) {
        const value = Buffer.from((await storage.namespace('crash').get(key)) ?? []).toString()
        const [is = 'nothing', at, n] = value.split(' ')
        assert.equal(is, key, `${key} lost in round ${round}`)
        assert.ok(Number(at) * 1e9 + Number(n) >= order, `${key} is older than acknowledged in round ${round}`)
      }
      await storage.close()
    }
    assert.ok(acknowledged.size > 100)
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
})
