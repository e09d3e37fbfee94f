/** Processes that are killed while they put and remove files: what was acknowledged is there, whole, and nothing else. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { it } from 'node:test'
import { StateFiles } from '../../modules/home/state-files.ts'
import { sha256, verdictsOf } from '../compliance/files.ts'
import { crashChanges, openDiskFiles } from '../fake/disk-files.ts'

const KILLS = process.env['NZ_FULL'] === '1' ? 300 : 12
const WRITERS = 4
const program = join(import.meta.dirname, '..', 'fake', 'files-writer.ts')

/** How many changes each writer had acknowledged when it was killed, `afterMs` after it was ready. */
async function killedWriter(dir: string, round: number, afterMs: number): Promise<readonly number[]> {
  const child = spawn(process.execPath, [program, dir, String(round)], { stdio: ['ignore', 'pipe', 'inherit'] })
  let printed = ''
  child.stdout.setEncoding('utf8')
  child.stdout.on('data', (some: string) => {
    if (printed === '') setTimeout(() => child.kill('SIGKILL'), afterMs)
    printed += some
  })
  await new Promise((resolve) => child.once('close', resolve))
  // The last line may have been cut.
  const [opened, ...lines] = printed.split('\n').slice(0, -1)
  assert.equal(opened, 'open')
  return Array.from({ length: WRITERS }, (_, writer) => lines.filter((line) => line === String(writer)).length)
}

it(`loses nothing acknowledged and leaves nothing behind in ${KILLS} kills`, { timeout: 3_600_000 }, async () => {
  const dir = await mkdtemp(join(tmpdir(), 'nz-crash-'))
  const { signal } = new AbortController()
  try {
    /** What each name may hold: content ids, or `null` for none. */
    const held = new Map<string, ReadonlySet<string | null>>()
    let acknowledged = 0
    for (let round = 1; round <= KILLS; round++) {
      const made = await killedWriter(dir, round, Math.floor(Math.random() * 400))
      for (const [writer, count] of made.entries()) {
        acknowledged += count
        const changes = crashChanges(round, writer)
        for (let i = 0; i <= count; i++) {
          const change = changes.next().value
          const id = change.content === null ? null : sha256(change.content)
          // The one after the last acknowledged may have been made, or not.
          const before = i === count ? (held.get(change.name) ?? [null]) : []
          held.set(change.name, new Set([...before, id]))
        }
      }
      await using opened = await openDiskFiles(dir, new StateFiles(dir))
      const { files } = opened
      assert.deepEqual(
        (await readdir(join(dir, 'files'))).filter((name) => !/^[0-9a-f]{64}$/.test(name)),
        [],
      )
      const found = new Map((await files.list({ limit: 1_000 })).map((file) => [file.name, file.contentId]))
      for (const [name, may] of held) {
        const id = found.get(name) ?? null
        assert.ok(may.has(id), `${name} in round ${round}: ${id} is none of ${[...may].join(', ')}`)
        held.set(name, new Set([id]))
      }
      assert.deepEqual(
        (await verdictsOf(files)).filter(({ isIntact }) => !isIntact),
        [],
        `round ${round}`,
      )
      const { contents } = await files.status()
      assert.deepEqual(await files.collect({ signal, isDryRun: true }).then((it) => it.contents), 0)
      await files.collect({ signal })
      assert.deepEqual([new Set(found.values()).size, (await readdir(join(dir, 'files'))).length], [contents, contents])
    }
    assert.ok(acknowledged > KILLS, `${acknowledged} changes`)
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
})
