/** Room that is given back: deleted records are in no file any more, and what repairs set aside goes when asked. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { it } from 'node:test'
import { SimulatedClock } from '../../kernel/index.ts'
import { LevelEngine, MAX_ASIDES } from '../../modules/storage/level-engine.ts'
import { memoryDisk, openStore } from '../fake/storage.ts'
import type { EngineOperation } from '../../modules/storage/engine.ts'

const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text))
const { signal } = new AbortController()

/** Remembers what was written, sealed as it was. */
class RememberingEngine extends LevelEngine {
  readonly written: Uint8Array[] = []

  override async batch(operations: readonly EngineOperation[]): Promise<void> {
    for (const operation of operations) if (operation.type === 'put') this.written.push(operation.value)
    await super.batch(operations)
  }
}

async function filesOf(dir: string): Promise<Buffer> {
  const names = await readdir(dir)
  return Buffer.concat(await Promise.all(names.map(async (name) => await readFile(join(dir, name)))))
}

/** How many of them can be found, by the first of their bytes that are sealed. */
function countIn(files: Buffer, sealed: readonly Uint8Array[]): number {
  return sealed.filter((one) => files.includes(Buffer.from(one.subarray(5, 69)))).length
}

it('leaves no deleted, replaced or expired record in any file, while the store is in use', async () => {
  const base = await mkdtemp(join(tmpdir(), 'nz-gc-'))
  try {
    const clock = new SimulatedClock()
    const dir = join(base, 'store')
    const engine = new RememberingEngine(dir)
    const storage = await openStore({ disk: { engine, files: new Map() }, clock, sweepIntervalMs: 86_400_000 })
    const store = storage.namespace('n')
    const value = new Uint8Array(1_000).fill(7)
    await store.batch(Array.from({ length: 600 }, (_, n) => ({ type: 'put', key: `gone${n}`, value })))
    await store.batch(Array.from({ length: 600 }, (_, n) => ({ type: 'put', key: `over${n}`, value, ttlMs: 1_000 })))
    await store.put('replaced', bytes('old'))
    const dead = engine.written.filter(({ byteLength }) => byteLength > 300 || byteLength < 100)
    for (let n = 0; n < 600; n++) void store.delete(`gone${n}`)
    await store.put('replaced', bytes('new'))
    await clock.advance(1_000)
    // LevelDB's log cuts some of them in two.
    assert.ok(countIn(await filesOf(dir), dead) > 1_000)

    const writing = store.put('meanwhile', bytes('written'))
    const report = await storage.gc({ signal })
    await writing
    assert.equal(report.expired, 600)
    assert.ok(report.bytesAfter < report.bytesBefore / 10, JSON.stringify(report))
    assert.equal(countIn(await filesOf(dir), dead), 0)
    assert.equal(Buffer.from((await store.get('replaced')) ?? []).toString(), 'new')
    assert.equal((await storage.check({ signal })).isIntact, true)
    await storage.close()
  } finally {
    await rm(base, { recursive: true, force: true })
  }
})

it('says that an open snapshot keeps what it can read', async () => {
  const base = await mkdtemp(join(tmpdir(), 'nz-gc-'))
  try {
    const dir = join(base, 'store')
    const storage = await openStore({ disk: { engine: new LevelEngine(dir), files: new Map() } })
    const store = storage.namespace('n')
    await store.put('a', bytes('old'))
    const snapshot = await store.snapshot()
    await store.put('a', bytes('new'))
    assert.equal((await storage.gc({ signal })).snapshots, 1)
    assert.equal(Buffer.from((await store.get('a', { snapshot })) ?? []).toString(), 'old')
    await snapshot[Symbol.asyncDispose]()
    assert.equal((await storage.gc({ signal })).snapshots, 0)
    await storage.close()
  } finally {
    await rm(base, { recursive: true, force: true })
  }
})

it('removes what repairs have set aside, from the given age on', async () => {
  const clock = new SimulatedClock()
  const disk = memoryDisk()
  const storage = await openStore({ disk, clock })
  await storage.namespace('n').put('kept', bytes('v'))
  const hurt = async (letter: number): Promise<void> => {
    disk.engine.records.set(`72${letter.toString(16).repeat(16)}`, bytes('proves nothing'))
    await storage.repair()
  }
  await hurt(0xaa)
  await clock.advance(10_000)
  await hurt(0xbb)
  const gc = async (quarantinedForMs?: number): Promise<number> =>
    (await storage.gc({ signal, ...(quarantinedForMs === undefined ? {} : { quarantinedForMs }) })).removed
  assert.deepEqual([await gc(), await gc(10_001), storage.status().quarantined], [0, 0, 2])
  assert.deepEqual([await gc(10_000), storage.status().quarantined], [1, 1])
  assert.deepEqual([await gc(0), storage.status().quarantined], [1, 0])
  assert.equal((await storage.check({ signal })).isIntact, true)
  await storage.close()
  const again = await openStore({ disk })
  assert.deepEqual([again.status().state, again.status().records], ['open', 1])
  await again.close()
})

it('removes the copy of a store that did not open once it is old enough', async () => {
  const base = await mkdtemp(join(tmpdir(), 'nz-gc-'))
  try {
    const aside = join(base, 'store.damaged')
    await mkdir(aside)
    await writeFile(join(aside, '000005.ldb'), new Uint8Array(1_000_000))
    const storage = await openStore({ disk: { engine: new LevelEngine(join(base, 'store')), files: new Map() } })
    await storage.gc({ signal, quarantinedForMs: 3_600_000 })
    assert.equal((await readdir(base)).includes('store.damaged'), true)
    const { bytesBefore, bytesAfter } = await storage.gc({ signal, quarantinedForMs: 0 })
    assert.equal((await readdir(base)).includes('store.damaged'), false)
    assert.ok(bytesBefore - bytesAfter > 900_000)
    await storage.close()
  } finally {
    await rm(base, { recursive: true, force: true })
  }
})

it('keeps every copy of a store that did not open, up to a bound, also when one repair follows another', async () => {
  const base = await mkdtemp(join(tmpdir(), 'nz-gc-'))
  try {
    const engine = new LevelEngine(join(base, 'store'))
    const copies = async () => (await readdir(base)).filter((name) => name.startsWith('store.damaged')).toSorted()
    await engine.open({ exists: false })
    await engine.batch([{ type: 'put', key: bytes('a'), value: bytes('first') }])
    await engine.close()
    const before = await readdir(join(base, 'store'))
    for (let at = 1; at <= MAX_ASIDES; at++) {
      await engine.salvage()
      assert.equal((await copies()).length, at)
    }
    for (const name of before) assert.ok(existsSync(join(base, 'store.damaged', name)), name)
    await engine.salvage()
    assert.equal((await copies()).length, MAX_ASIDES)
    assert.ok((await engine.discardSalvage(Number.POSITIVE_INFINITY)) > 0)
    assert.deepEqual(await copies(), [])
    await engine.open({ exists: true })
    assert.deepEqual(Buffer.from((await engine.get(bytes('a'))) ?? []), Buffer.from('first'))
    await engine.close()
  } finally {
    await rm(base, { recursive: true, force: true })
  }
})
