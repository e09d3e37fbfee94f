/** Files of a used store that were changed, cut or exchanged: told or harmless, never a wrong value; nothing readable. */
import assert from 'node:assert/strict'
import { cp, mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, it } from 'node:test'
import { seededRandom } from '../../kernel/index.ts'
import { StateFiles } from '../../modules/home/state-files.ts'
import { openDiskStore } from '../fake/disk-store.ts'

const TIMES = process.env['NZ_FULL'] === '1' ? 1_000 : 60
const RECORDS = 900
let root = ''
let used = ''
let older = ''

const valueOf = (i: number, version: number): string => `quokka ${i} ${version} ${'zz'.repeat(1_000 + i)}`

before(async () => {
  root = await mkdtemp(join(tmpdir(), 'nz-damage-'))
  used = join(root, 'used')
  older = join(root, 'older')
  await mkdir(used)
  for (const version of [1, 2]) {
    const storage = await openDiskStore(used, new StateFiles(used))
    const store = storage.namespace('marsupials')
    await Promise.all(
      Array.from({ length: RECORDS }, async (_, i) => {
        await store.put(`wombat/${i}`, Uint8Array.from(Buffer.from(valueOf(i, version))))
      }),
    )
    await storage.close()
    if (version === 1) await cp(used, older, { recursive: true })
  }
})

after(async () => await rm(root, { recursive: true, force: true }))

async function filesOf(dir: string): Promise<readonly string[]> {
  const found = await readdir(dir, { recursive: true, withFileTypes: true })
  return found
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name).slice(dir.length + 1))
}

it('says nothing in any file', async () => {
  for (const dir of [used, older]) {
    for (const file of await filesOf(dir)) {
      const bytes = await readFile(join(dir, file))
      for (const word of ['quokka', 'marsupials', 'wombat', 'zzzz']) assert.equal(bytes.includes(word), false, file)
    }
  }
})

it(`gives no wrong value and starts, ${TIMES} times`, { timeout: 3_600_000 }, async () => {
  const seed = Number(process.env['NZ_SEED'] ?? Math.floor(Math.random() * 2 ** 31))
  const random = seededRandom(seed)
  const below = (n: number): number => Math.floor(random.unit() * n)
  const outcomes = new Map<string, number>()
  const names = (await filesOf(used)).filter((name) => !/(?:LOCK|LOG|LOG\.old)$/.test(name))
  const olderNames = await filesOf(older)
  for (let time = 0; time < TIMES; time++) {
    const dir = join(root, 'hurt')
    await rm(dir, { recursive: true, force: true })
    await cp(used, dir, { recursive: true })
    const name = names[below(names.length)] ?? ''
    const bytes = await readFile(join(dir, name))
    const how = (['flip', 'cut', 'zero', 'remove', 'older'] as const)[below(5)]
    const at = below(bytes.length)
    if (how === 'flip') bytes[at] = (bytes[at] ?? 0) ^ (1 << below(8))
    if (how === 'zero') bytes.fill(0, at, Math.min(bytes.length, at + 512))
    if (how === 'flip' || how === 'zero') await writeFile(join(dir, name), bytes)
    if (how === 'cut') await truncate(join(dir, name), at)
    if (how === 'remove') await rm(join(dir, name))
    if (how === 'older' && olderNames.includes(name)) await cp(join(older, name), join(dir, name))
    const where = `${how} ${name} at ${at}, seed ${seed}, time ${time}`
    if (process.env['NZ_TRACE'] === '1') process.stderr.write(`${where}\n`)
    const storage = await openDiskStore(dir, new StateFiles(dir))
    let outcome = storage.status().code ?? 'harmless'
    for (let i = 0; i < RECORDS; i += 1 + below(40)) {
      try {
        const value = await storage.namespace('marsupials').get(`wombat/${i}`)
        assert.equal(
          Buffer.from(value ?? [])
            .toString()
            .slice(0, 20),
          valueOf(i, 2).slice(0, 20),
          where,
        )
      } catch (error) {
        const code = error instanceof Error && 'code' in error ? String(error.code) : String(error)
        assert.match(code, /^NZ_STORAGE_(?:DAMAGED|UNAVAILABLE)$/, where)
        outcome = code
      }
    }
    if (outcome === 'NZ_STORAGE_DAMAGED') {
      await storage.repair()
      assert.equal(storage.status().state, 'open', where)
      await storage.namespace('marsupials').put('after', new Uint8Array(1))
    }
    await storage.close()
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
  }
  assert.ok((outcomes.get('NZ_STORAGE_DAMAGED') ?? 0) > TIMES / 10, JSON.stringify([...outcomes]))
})
