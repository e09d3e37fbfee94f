/** What is found of LevelDB's own files after a crash, and which of them is gone by. */
import assert from 'node:assert/strict'
import { appendFile, copyFile, cp, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import fc from 'fast-check'
import { LevelEngine } from '../../modules/storage/level-engine.ts'
import { readManifest } from '../../modules/storage/manifest.ts'

const KEYS = 6
let root = ''
/** A database before its last start, and after it. */
let older = ''
let newer = ''
let copies = 0

before(async () => {
  root = await mkdtemp(join(tmpdir(), 'nz-manifest-'))
  older = join(root, 'older')
  newer = join(root, 'newer')
  await write(older, 0)
  await write(older, 1)
  await cp(older, newer, { recursive: true })
  await write(newer, 2)
})

after(async () => await rm(root, { recursive: true, force: true }))

async function write(dir: string, at: number): Promise<void> {
  const engine = new LevelEngine(dir)
  await engine.open({ exists: at > 0 })
  for (const n of [at * 2, at * 2 + 1])
    await engine.batch([{ type: 'put', key: Uint8Array.of(n), value: Uint8Array.of(n) }])
  await engine.close()
}

async function copyOf(dir: string): Promise<string> {
  const copy = join(root, `copy${copies++}`)
  await cp(dir, copy, { recursive: true })
  return copy
}

/** How many of the records are found. @throws what keeps the database from being opened */
async function found(dir: string): Promise<number> {
  const engine = new LevelEngine(dir)
  await engine.open({ exists: true })
  try {
    let count = 0
    for (let n = 0; n < KEYS; n++) if ((await engine.get(Uint8Array.of(n))) !== null) count += 1
    return count
  } finally {
    await engine.close()
  }
}

async function manifestOf(dir: string): Promise<string> {
  return join(dir, (await readFile(join(dir, 'CURRENT'), 'latin1')).trim())
}

it('passes over tables that a crash left half-written', async () => {
  const dir = await copyOf(newer)
  await writeFile(join(dir, '000099.ldb'), new Uint8Array(5_000))
  assert.equal(await found(dir), KEYS)
})

it('goes by the newer manifest when its name in CURRENT was lost and what the older needs is gone', async () => {
  const dir = await copyOf(newer)
  await copyFile(join(older, 'CURRENT'), join(dir, 'CURRENT'))
  assert.equal(await found(dir), KEYS)
  // The older manifest came back as well: by it, records of a log that is gone would be missing.
  const both = await copyOf(newer)
  await copyFile(join(older, 'CURRENT'), join(both, 'CURRENT'))
  await copyFile(await manifestOf(older), await manifestOf(both))
  assert.equal(await found(both), KEYS)
  const none = await copyOf(newer)
  await rm(join(none, 'CURRENT'))
  assert.equal(await found(none), KEYS)
})

it('goes by the older manifest when what the newer needs did not reach the disk', async () => {
  const dir = await copyOf(older)
  const manifest = await readFile(await manifestOf(newer))
  const name = (await manifestOf(newer)).slice(newer.length)
  await writeFile(join(dir, name), manifest)
  assert.equal(await found(dir), KEYS - 2)
})

it('tells tables that were exchanged, of another size or of the same', async () => {
  const dir = join(root, 'tables')
  for (let at = 0; at < 4; at++) await write(dir, at)
  const tables = (await readdir(dir)).filter((name) => name.endsWith('.ldb'))
  const [one = '', other = ''] = tables
  assert.notEqual(other, '')
  await copyFile(join(dir, one), join(dir, 'aside'))
  await copyFile(join(dir, other), join(dir, one))
  await copyFile(join(dir, 'aside'), join(dir, other))
  await assert.rejects(found(dir), /checksum mismatch/)
  await rm(join(dir, one))
  await assert.rejects(found(dir), /missing/)
})

it('leaves a torn last edit out', async () => {
  const manifest = await manifestOf(newer)
  const { byteLength } = await readFile(manifest)
  for (const torn of [Buffer.alloc(300), Buffer.from(`${'x'.repeat(40)}`), Buffer.from([1, 2, 3, 4, 20, 0, 1, 9])]) {
    const dir = await copyOf(newer)
    await appendFile(await manifestOf(dir), torn)
    assert.equal(await found(dir), KEYS)
  }
  assert.equal(readManifest(await readFile(manifest))?.wholeBytes, byteLength)
})

it('does not go back by an edit whose effects are there', async () => {
  const dir = await copyOf(newer)
  const manifest = await manifestOf(dir)
  const { wholeBytes = 0 } = readManifest(await readFile(manifest)) ?? {}
  await truncate(manifest, wholeBytes - 1)
  await assert.rejects(found(dir))
})

describe('a table that an edit names and that is not there', () => {
  /** A database before a table was written for its log, and its manifest with the edit that says so. */
  async function cutInEdit(): Promise<string> {
    const dir = await copyOf(newer)
    const engine = new LevelEngine(dir)
    await engine.open({ exists: true })
    await engine.batch([{ type: 'put', key: Uint8Array.of(KEYS), value: Uint8Array.of(KEYS) }])
    const cut = await copyOf(dir)
    const { wholeBytes: before = 0 } = readManifest(await readFile(await manifestOf(dir))) ?? {}
    await engine.compact()
    await engine.close()
    const edited = await readFile(await manifestOf(dir))
    let end = edited.byteLength
    // Edits are taken off until only the first is left.
    for (;;) {
      const { lastEditAt = 0 } = readManifest(edited.subarray(0, end)) ?? {}
      if (lastEditAt <= before) break
      end = lastEditAt
    }
    assert.ok(end > before)
    await writeFile(await manifestOf(cut), edited.subarray(0, end))
    const [table] = [...(readManifest(edited.subarray(0, end))?.tables.keys() ?? [])].toSorted((a, b) => b - a)
    assert.ok(!(await readdir(cut)).includes(`${String(table).padStart(6, '0')}.ldb`))
    return cut
  }

  it('is no damage when nothing was done upon that edit, the last one', async () => {
    const dir = await cutInEdit()
    assert.equal(await found(dir), KEYS)
    assert.equal(await found(dir), KEYS)
    const [kept] = [...(readManifest(await readFile(await manifestOf(dir)))?.tables.keys() ?? [])]
    assert.notEqual(kept, undefined)
  })

  it('is damage when the log that it was made of is gone', async () => {
    const dir = await cutInEdit()
    for (const name of await readdir(dir)) if (name.endsWith('.log')) await rm(join(dir, name))
    await assert.rejects(found(dir), /missing/)
  })
})

it('reads no manifest into bytes that are none', async () => {
  const bytes = await readFile(await manifestOf(newer))
  assert.ok((readManifest(bytes)?.tables.size ?? 0) > 0)
  fc.assert(
    fc.property(fc.nat(bytes.byteLength - 1), fc.nat(7), fc.nat(bytes.byteLength), (at, bit, cut) => {
      const changed = Buffer.from(bytes.subarray(0, Math.max(at + 1, cut)))
      changed[at] = (changed[at] ?? 0) ^ (1 << bit)
      const read = readManifest(changed)
      assert.ok(read === null || read.wholeBytes <= at)
    }),
  )
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (noise) => assert.equal(readManifest(noise), null)))
})
