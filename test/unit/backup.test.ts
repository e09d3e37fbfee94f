/** Backups: what is kept, when they are made, and where they go. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import fc from 'fast-check'
import { isNzError, SimulatedClock, systemClock, systemRandom } from '../../kernel/index.ts'
import { Backups } from '../../modules/backup/backups.ts'
import { Catalogue, MAX_REMEMBERED } from '../../modules/backup/catalogue.ts'
import { backupConfig } from '../../modules/backup/config.ts'
import { FolderTarget } from '../../modules/backup/folder-target.ts'
import { recoveryKeyOf } from '../../modules/backup/recovery-key.ts'
import { Restore } from '../../modules/backup/restore.ts'
import { prunable } from '../../modules/backup/retention.ts'
import { Scheduler } from '../../modules/backup/scheduler.ts'
import { ArchiveDecoder, ArchiveEncoder, MAX_PARTS } from '../../protocols/backup/archive.ts'
import { MAX_ITEM_BYTES } from '../../protocols/backup/part.ts'
import { x25519KeyPairFromSeed } from '../../protocols/noise/x25519.ts'
import { fakeIdentity } from '../fake/identity.ts'
import { openStore } from '../fake/storage.ts'
import type { Clock, Logger } from '../../kernel/index.ts'
import type { ArchiveEvent } from '../../protocols/backup/archive.ts'
import type { BackupPart } from '../../protocols/backup/part.ts'

const { signal } = new AbortController()
const DAY_MS = 86_400_000
const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} }
const recovery = x25519KeyPairFromSeed(new Uint8Array(32).fill(3)).publicKey

let dir = ''
before(async () => void (dir = await mkdtemp(join(tmpdir(), 'nz-backup-'))))
after(async () => await rm(dir, { recursive: true, force: true }))

describe('the rules of what is kept', () => {
  const entry = (id: string, day: number, parent: string | null = null) => ({ id, createdAtMs: day * DAY_MS, parent })
  const leaving = (entries: readonly ReturnType<typeof entry>[], keep: object): string =>
    prunable(entries, { last: 1, daily: 0, weekly: 0, monthly: 0, ...keep })
      .map(({ id }) => id)
      .join(' ')

  it('keep the newest ones, and the newest of each day, week and month that had one', () => {
    const days = [0, 1, 2, 3, 4, 10, 11, 40, 41, 42].map((day) => entry(`d${day}`, day))
    assert.equal(leaving(days, { last: 3 }), 'd0 d1 d2 d3 d4 d10 d11')
    assert.equal(leaving(days, { daily: 5 }), 'd0 d1 d2 d3 d4')
    // 1970-01-01 was a Thursday: days 4 to 10 are one week, day 11 begins another.
    assert.equal(leaving(days, { weekly: 4 }), 'd0 d1 d2 d4 d40 d41')
    assert.equal(leaving(days, { monthly: 2 }), 'd0 d1 d2 d3 d4 d10 d40 d41')
    const twice = [entry('morning', 5), { ...entry('evening', 5), createdAtMs: 5 * DAY_MS + 1 }]
    assert.equal(leaving(twice, { daily: 9 }), 'morning')
  })

  it('keep what a kept archive goes on from, whatever its age', () => {
    const chain = [entry('full', 0), entry('a', 1, 'full'), entry('b', 2, 'a'), entry('other', 1)]
    assert.equal(leaving(chain, {}), 'other')
  })

  it('never remove the newest, nor a parent of what stays', () => {
    const keep = fc.record({ last: fc.nat(3), daily: fc.nat(3), weekly: fc.nat(3), monthly: fc.nat(3) })
    fc.assert(
      fc.property(fc.array(fc.nat(200), { minLength: 1, maxLength: 30 }), keep, (days, rules) => {
        const all = days
          .toSorted((a, b) => a - b)
          .map((day, at) => entry(`${at}`, day, at % 4 === 0 ? null : `${at - 1}`))
        const gone = new Set(prunable(all, rules).map(({ id }) => id))
        assert.ok(!gone.has(`${all.length - 1}`) || all.at(-1)?.createdAtMs === all.at(-2)?.createdAtMs)
        for (const { id, parent } of all) if (!gone.has(id) && parent !== null) assert.ok(!gone.has(parent))
      }),
    )
  })
})

describe('an archive', () => {
  const sign = (manifest: Uint8Array): Uint8Array => createHash('sha512').update(manifest).digest()
  const verify = (manifest: Uint8Array, signature: Uint8Array): boolean =>
    Buffer.compare(sign(manifest), signature) === 0
  const head = { id: 'ab'.repeat(16), peerId: 'peer', createdAtMs: 5, parent: null, depth: 0 }

  function encoded(parts: Readonly<Record<string, readonly Uint8Array[]>>): Buffer {
    const encoder = new ArchiveEncoder()
    const frames = [encoder.head(head)]
    const entries = Object.entries(parts).map(([name, items]) => {
      frames.push(encoder.part({ name, isFull: true }), ...items.map((item) => encoder.item(item)))
      const bytes = items.reduce((total, { byteLength }) => total + byteLength, 0)
      return { name, isFull: true, items: items.length, bytes, root: 'root' }
    })
    return Buffer.concat([...frames, encoder.end(entries, sign)])
  }

  function decoded(bytes: Uint8Array, pieceBytes = bytes.byteLength): ArchiveEvent[] {
    const decoder = new ArchiveDecoder(verify)
    const events: ArchiveEvent[] = []
    for (let at = 0; at < bytes.byteLength; at += pieceBytes)
      events.push(...decoder.push(bytes.subarray(at, at + pieceBytes)))
    decoder.finish()
    return events
  }

  it('gives back head, items and manifest, in pieces of any size', () => {
    const items = [Buffer.from('one'), Buffer.alloc(70_000, 1)]
    const archive = encoded({ storage: items, files: [], config: [Buffer.from('x')] })
    for (const pieceBytes of [1, 7, 4_096, archive.byteLength]) {
      const events = decoded(archive, pieceBytes)
      assert.deepEqual(
        events.map(({ kind }) => kind),
        ['head', 'part', 'item', 'item', 'part', 'part', 'item', 'manifest'],
      )
      const [first] = events
      assert.deepEqual(first?.kind === 'head' ? first.head : null, head)
    }
  })

  it('bounds items and parts', () => {
    assert.equal(decoded(encoded({ a: [Buffer.alloc(MAX_ITEM_BYTES)] })).length, 4)
    assert.throws(() => new ArchiveEncoder().item(Buffer.alloc(MAX_ITEM_BYTES + 1)), RangeError)
    assert.throws(() => new ArchiveEncoder().item(new Uint8Array()), RangeError)
    const parts = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, at) => [`p${at}`, []]))
    assert.equal(decoded(encoded(parts(MAX_PARTS))).length, MAX_PARTS + 2)
    assert.throws(() => encoded(parts(MAX_PARTS + 1)))
  })

  it('is believed only when every byte of it is as it was signed', () => {
    const archive = encoded({ storage: [Buffer.from('one'), Buffer.from('two')], config: [Buffer.from('x')] })
    fc.assert(
      fc.property(fc.nat(archive.byteLength - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const changed = Uint8Array.from(archive)
        changed[at] = (changed[at] ?? 0) ^ change
        for (const bytes of [changed, archive.subarray(0, at), Buffer.concat([archive, archive.subarray(at)])]) {
          try {
            decoded(bytes)
            assert.fail('it was believed')
          } catch (error) {
            assert.ok(isNzError(error), String(error))
          }
        }
      }),
      { numRuns: 300 },
    )
  })

  it('of a later version says so', () => {
    const archive = encoded({})
    archive[14] = 0x32
    assert.throws(() => decoded(archive), { code: 'NZ_BACKUP_VERSION_UNKNOWN' })
  })
})

describe('a folder', () => {
  it('has an archive whole or not at all, and nothing of a run that was killed', async () => {
    const folder = join(dir, 'folder')
    const target = new FolderTarget(folder)
    await target.write('nzcore-x-full-1.age', async (write) => await write(Buffer.from('archive')))
    await assert.rejects(
      target.write('nzcore-x-full-2.age', async (write) => {
        await write(Buffer.from('half'))
        throw new Error('the part failed')
      }),
      /the part failed/,
    )
    await writeFile(join(folder, '.nzcore-x-full-3.age.0123456789ab.tmp'), 'left')
    await writeFile(join(folder, '.nzcore-notes'), 'not ours')
    await target.write('nzcore-x-full-4.age', async (write) => await write(Buffer.from('archive')))
    assert.deepEqual((await readdir(folder)).toSorted(), [
      '.nzcore-notes',
      'nzcore-x-full-1.age',
      'nzcore-x-full-4.age',
    ])
    await target.remove(['nzcore-x-full-1.age', 'nzcore-gone.age'])
    assert.deepEqual([await target.has('nzcore-x-full-1.age'), await target.has('nzcore-x-full-4.age')], [false, true])
  })

  it('that cannot be written is told', async () => {
    await writeFile(join(dir, 'file'), '')
    const write = new FolderTarget(join(dir, 'file', 'below')).write('a.age', async () => await Promise.resolve())
    await assert.rejects(write, { code: 'NZ_BACKUP_TARGET_FAILED' })
  })
})

async function backupsOf(init: {
  readonly clock: Clock
  readonly config: object
  readonly parts?: readonly BackupPart[]
  readonly recovery?: Uint8Array
}) {
  const storage = await openStore({ clock: init.clock })
  const told: string[] = []
  const services = {
    identity: fakeIdentity(1),
    parts: init.parts ?? [storage.backup],
    catalogue: new Catalogue(storage.namespace('backup')),
    clock: init.clock,
    random: systemRandom,
    events: { emit: (token: { readonly name: string }) => void told.push(token.name) },
    log: silent,
    env: {},
  }
  const backups = new Backups(services, backupConfig.parse(init.config), init.recovery ?? recovery)
  return { backups, storage, told, catalogue: services.catalogue }
}

/** Real disks take real time; the simulated clock does not wait for them. */
async function until(fact: () => boolean | Promise<boolean>): Promise<void> {
  const limit = AbortSignal.timeout(120_000)
  while (!(await fact())) {
    limit.throwIfAborted()
    await new Promise((resolve) => setImmediate(resolve))
  }
}

describe('backups', () => {
  it('are made when they are due, go on from each other, begin anew after enough of them, and old ones go', async () => {
    const clock = new SimulatedClock({ startMs: 1_000 * DAY_MS })
    const folder = join(dir, 'scheduled')
    const config = {
      folder,
      intervalMs: DAY_MS,
      maxIncrementals: 2,
      keepLast: 2,
      keepDaily: 0,
      keepWeekly: 0,
      keepMonthly: 0,
    }
    const { backups, storage, told } = await backupsOf({ clock, config })
    const scheduler = new Scheduler({ backups, clock, log: silent })
    scheduler.start()
    for (let day = 0; day < 5; day++) {
      await storage.namespace('kv').put(`day-${day}`, Uint8Array.of(day))
      await until(async () => {
        await clock.advance(600_000)
        return told.filter((name) => name === 'backup.created').length > day
      })
    }
    await until(async () => (await backups.list()).length === 2)
    await scheduler.stop()
    const list = await backups.list()
    // The fourth is full again: the three before it are no longer needed.
    assert.deepEqual(
      list.map(({ kind }) => kind),
      ['full', 'incremental'],
    )
    assert.ok((list[1]?.createdAtMs ?? 0) - (list[0]?.createdAtMs ?? 0) >= DAY_MS)
    for (const { name } of list) assert.ok(existsSync(join(folder, name)))
    assert.equal((await readdir(folder)).length, list.length)
    await storage.close()
  })

  it('are tried again when they fail, tell why, and the node knows that they are overdue', async () => {
    const clock = new SimulatedClock({ startMs: 1_000 * DAY_MS })
    await writeFile(join(dir, 'no-folder'), '')
    const { backups, storage, told } = await backupsOf({
      clock,
      config: { folder: join(dir, 'no-folder'), intervalMs: DAY_MS },
    })
    const scheduler = new Scheduler({ backups, clock, log: silent })
    scheduler.start()
    await clock.advance(0)
    await until(() => told.length === 1)
    assert.equal((await backups.schedule()).lastFailure?.code, 'NZ_BACKUP_TARGET_FAILED')
    assert.equal(await scheduler.isOverdue(), true)
    await until(async () => {
      await clock.advance(60_000)
      return told.length === 2
    })
    assert.deepEqual(told, ['backup.failed', 'backup.failed'])
    await scheduler.stop()
    await storage.close()
  })

  it('refuse a second one beside the first, both targets, and none', async () => {
    const { backups, storage } = await backupsOf({ clock: systemClock, config: { folder: join(dir, 'two') } })
    const first = backups.create({ signal })
    await assert.rejects(backups.create({ signal }), { code: 'NZ_BACKUP_BUSY' })
    assert.equal((await first).kind, 'full')
    assert.equal((await backups.create({ signal })).kind, 'incremental')
    assert.equal((await backups.create({ signal, isFull: true })).kind, 'full')
    backups.reload(backupConfig.parse({}))
    await assert.rejects(backups.create({ signal }), { code: 'NZ_BACKUP_NO_TARGET' })
    backups.reload(backupConfig.parse({ folder: join(dir, 'two'), command: ['cat'] }))
    await assert.rejects(backups.create({ signal }), { code: 'NZ_BACKUP_NO_TARGET' })
    backups.reload(backupConfig.parse({ folder: join(dir, 'elsewhere') }))
    assert.equal((await backups.create({ signal })).kind, 'full', 'its parent is not in this folder')
    await storage.close()
  })

  it('lead to the newest one also when the clock was set back in between', async () => {
    const clock = { ...systemClock, nowMs: () => nowMs }
    let nowMs = 2_000 * DAY_MS
    const folder = join(dir, 'set-back')
    const identity = fakeIdentity(1)
    const key = recoveryKeyOf(identity).publicKey
    const { backups, storage } = await backupsOf({ clock, config: { folder }, recovery: key })
    await backups.create({ signal })
    nowMs = 1_000 * DAY_MS
    const { id, parent } = await backups.create({ signal })
    assert.notEqual(parent, null)
    const restore = new Restore({ identity, parts: [] })
    const chain = await restore.chainIn(folder, { signal })
    assert.deepEqual([chain.length, chain.at(-1)?.id], [2, id])
    await storage.close()

    // What is no file is no archive; opening a pipe that nobody writes would wait for ever.
    if (process.platform === 'win32') return
    spawnSync('mkfifo', [join(folder, 'pipe.age')])
    assert.equal((await restore.chainIn(folder, { signal })).length, 2)
    await symlink(join(folder, 'pipe.age'), join(folder, 'link.age'))
    await assert.rejects(restore.chainIn(folder, { signal }), { code: 'NZ_BACKUP_NO_ARCHIVE' })
  })

  it('are broken off by who asked and by the end of the node, and the next one may begin', async () => {
    const waiting: BackupPart = {
      name: 'a',
      async export({ signal: ended }) {
        const items = async function* (): AsyncGenerator<Uint8Array> {
          ended.throwIfAborted()
          yield await new Promise<never>((_, reject) =>
            ended.addEventListener('abort', () => reject(ended.reason as Error)),
          )
        }
        const opened = { mark: 'm', isFull: true, root: async () => 'r', items: items() }
        return await Promise.resolve({ ...opened, [Symbol.asyncDispose]: async () => undefined })
      },
      restore: async () => undefined,
      root: async () => 'r',
    }
    const folder = join(dir, 'broken-off')
    const { backups, storage } = await backupsOf({ clock: systemClock, config: { folder }, parts: [waiting] })
    const stop = new AbortController()
    const first = backups.create({ signal: stop.signal })
    await until(async () => existsSync(folder) && (await readdir(folder)).length === 1)
    stop.abort()
    await assert.rejects(first, { name: 'AbortError' })
    assert.equal((await backups.schedule()).lastFailure?.why, 'it was broken off')
    const second = assert.rejects(backups.create({ signal }), { name: 'AbortError' })
    await until(async () => (await readdir(folder)).length === 1)
    await backups.close()
    assert.deepEqual(await readdir(folder), [])
    await second
    await storage.close()
  })

  it('close every export when one cannot be opened, and leave no file', async () => {
    const closed: string[] = []
    const part = (name: string, fails: boolean): BackupPart => ({
      name,
      async export() {
        if (fails) throw new RangeError('not now')
        const opened = { mark: 'm', isFull: true, root: async () => 'r', items: (async function* () {})() }
        return await Promise.resolve({ ...opened, [Symbol.asyncDispose]: async () => void closed.push(name) })
      },
      restore: async () => undefined,
      root: async () => 'r',
    })
    const folder = join(dir, 'failing')
    const { backups, storage } = await backupsOf({
      clock: systemClock,
      config: { folder },
      parts: [part('a', false), part('b', true)],
    })
    await assert.rejects(backups.create({ signal }), RangeError)
    assert.deepEqual(closed, ['a'])
    assert.equal(existsSync(folder), false)
    await storage.close()
  })

  it('are remembered up to a bound', async () => {
    const { catalogue, storage } = await backupsOf({ clock: systemClock, config: {} })
    const entry = {
      id: 'ab'.repeat(16),
      name: 'a.age',
      kind: 'full' as const,
      parent: null,
      bytes: 1,
      sha256: 'x',
      target: 'folder' as const,
      roots: [],
      depth: 0,
      marks: {},
    }
    const kv = storage.namespace('backup')
    for (let at = 0; at < MAX_REMEMBERED; at += 1_024) {
      const some = Array.from({ length: 1_024 }, (_, i) => ({ ...entry, createdAtMs: at + i }))
      await kv.batch(
        some.map((one) => ({
          type: 'put' as const,
          key: `${String(one.createdAtMs).padStart(15, '0')}-${one.id}`,
          value: Buffer.from(JSON.stringify(one)),
        })),
      )
    }
    await kv.put('zzz', Buffer.from('of a later version'))
    await catalogue.add({ ...entry, createdAtMs: MAX_REMEMBERED })
    const list = await catalogue.list()
    assert.equal(list.length, MAX_REMEMBERED)
    assert.deepEqual([list[0]?.createdAtMs, list.at(-1)?.createdAtMs], [1, MAX_REMEMBERED])
    await storage.close()
  })
})
