/** LevelDB makes its files with the umask of the process, which an application that embeds a node has chosen. */
import assert from 'node:assert/strict'
import { chmod, mkdtemp, readdir, rm, stat, truncate } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, it } from 'node:test'
import { LevelEngine } from '../../modules/storage/level-engine.ts'

let base = ''
let umask = 0
before(async () => {
  umask = process.umask(0o022)
  base = await mkdtemp(join(tmpdir(), 'nz-modes-'))
})
after(async () => {
  process.umask(umask)
  await rm(base, { recursive: true, force: true })
})

async function openToOthers(dir: string): Promise<readonly string[]> {
  const found: string[] = []
  for (const name of await readdir(dir)) {
    // A compaction removes files meanwhile.
    const mode = (await stat(join(dir, name)).catch(() => null))?.mode ?? 0
    if ((mode & 0o077) !== 0) found.push(`${name} ${(mode & 0o777).toString(8)}`)
  }
  return found
}

const key = (n: number): Uint8Array => Uint8Array.of(1, n)

it(
  'are for the owner alone after a start, after every acknowledged batch, a compaction, a repair and the end',
  {
    skip: process.platform === 'win32',
  },
  async () => {
    const dir = join(base, 'store')
    const engine = new LevelEngine(dir)
    await engine.open({ exists: false })
    assert.deepEqual(await openToOthers(dir), [])
    const logs = new Set<string>()
    for (let n = 0; n < 20; n++) {
      await engine.batch([{ type: 'put', key: key(n), value: new Uint8Array(300_000).fill(n) }])
      const names = await readdir(dir)
      for (const name of names) if (name.endsWith('.log')) logs.add(name)
      // What a compaction behind the batch makes is met by the next one.
      const own = (await openToOthers(dir)).filter((name) => !/\.ldb /.test(name))
      assert.deepEqual(own, [], `after batch ${n}`)
    }
    assert.ok(logs.size > 1, 'LevelDB began no other log')
    await engine.compact()
    assert.deepEqual(await openToOthers(dir), [])
    await engine.close()
    assert.deepEqual(await openToOthers(dir), [])

    for (const name of await readdir(dir)) await chmod(join(dir, name), 0o644)
    await engine.open({ exists: true })
    assert.deepEqual(await openToOthers(dir), [])
    await engine.close()

    const table = (await readdir(dir)).find((name) => name.endsWith('.ldb')) ?? ''
    await truncate(join(dir, table), 100)
    await chmod(join(dir, table), 0o644)
    await engine.salvage()
    assert.deepEqual(await openToOthers(dir), [])
    assert.deepEqual(await openToOthers(`${dir}.damaged`), [])
  },
)
