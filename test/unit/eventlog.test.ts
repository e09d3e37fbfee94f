/** What an event log promises: order, durability as far as a process can see it, and that nothing changed goes unseen. */
import assert from 'node:assert/strict'
import { cp, open, readdir, readFile, readlink, rename, rm, truncate, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { it } from 'node:test'
import { SimulatedClock } from '../../kernel/index.ts'
import { MAX_APPEND_ENTRIES, MAX_LOGS } from '../../modules/eventlog/event-logs.ts'
import { MAX_FOLLOWERS } from '../../modules/eventlog/log.ts'
import { MAX_INDEXED_SEGMENTS, POINT_EVERY, SparseIndex } from '../../modules/eventlog/sparse-index.ts'
import { MAX_PAYLOAD_BYTES } from '../../protocols/eventlog/entry.ts'
import { bytes, fakeLogs, itemsOf, never, shown } from '../fake/event-logs.ts'
import type { FileHandle } from 'node:fs/promises'
import type { FakeLogs } from '../fake/event-logs.ts'

const all = { signal: never }

async function folderOf({ dir }: FakeLogs): Promise<string> {
  const [folder = ''] = await readdir(join(dir, 'eventlog'))
  return join(dir, 'eventlog', folder)
}

async function segmentsOf(folder: string): Promise<readonly string[]> {
  return (await readdir(folder)).filter((name) => name.endsWith('.seg')).toSorted()
}

/** Three segments: entries 1 to 3, 4 to 6, 7 to 9. */
async function filled(under: FakeLogs): Promise<string> {
  for (let n = 1; n <= 9; n++) {
    await under.logs.append('audit', [bytes(`entry ${n}`)])
    if (n === 3 || n === 6) await under.logs.rotate('audit')
  }
  await under.reopen()
  return await folderOf(under)
}

/** What `entry n` takes up in a segment. */
const ENTRY_BYTES = 5 + 29 + 49 + 7 + 16

/** `at` below 0 counts from the end. */
async function flip(path: string, at: number): Promise<void> {
  const content = await readFile(path)
  const place = at < 0 ? content.length + at : at
  content[place] = (content[place] ?? 0) ^ 1
  await writeFile(path, content)
}

async function cut(path: string, count: number): Promise<void> {
  await truncate(path, (await readFile(path)).length - count)
}

it('keeps entries in order over restarts, several logs apart, and reads from any place', async () => {
  await using under = await fakeLogs()
  const appended = await under.logs.append('audit', [bytes('a'), bytes('b')])
  assert.deepEqual([appended.first, appended.last], [1, 2])
  await under.logs.append('other', [bytes('x')])
  const logs = await under.reopen()
  assert.equal((await logs.append('audit', [bytes('c')])).first, 3)
  assert.deepEqual(await shown(logs.read('audit', all)), ['1:a', '2:b', '3:c'])
  assert.deepEqual(await shown(logs.read('audit', { after: 1, limit: 1, signal: never })), ['2:b'])
  assert.deepEqual(await shown(logs.read('audit', { after: 99, signal: never })), [])
  assert.deepEqual(await shown(logs.read('other', all)), ['1:x'])
  assert.deepEqual(
    logs.list().map(({ name, last, state }) => [name, last, state]),
    [
      ['audit', 3, 'open'],
      ['other', 1, 'open'],
    ],
  )
  assert.throws(() => logs.read('none', all), { code: 'NZ_LOG_NOT_FOUND' })
  await assert.rejects(logs.append('../x', [bytes('a')]), { code: 'NZ_LOG_NAME_INVALID' })
})

it('reads from the middle of large logs, of many groups, by its index', async () => {
  await using under = await fakeLogs({ segmentBytes: 65_536 })
  for (let at = 0; at < 4; at++) {
    await under.logs.append(
      'big',
      Array.from({ length: 500 }, (_, n) => bytes(`${at * 500 + n + 1}`)),
    )
  }
  assert.ok(under.logs.status('big').segments > 1)
  for (const isReopened of [false, true]) {
    const logs = isReopened ? await under.reopen() : under.logs
    for (const after of [0, 1, 255, 256, 1_499, 1_500, 1_998, 1_999]) {
      const [item] = await itemsOf(logs.read('big', { after, limit: 1, signal: never }))
      assert.deepEqual(item?.type === 'entry' ? Buffer.from(item.payload).toString() : '', String(after + 1))
    }
    const proof = await logs.verify('big', all)
    assert.deepEqual([proof.isIntact, proof.entries, proof.isWitnessed], [true, 2_000, true])
  }
})

it('shows no name and no payload to who reads the disk, and opens for its own key only', async () => {
  await using under = await fakeLogs()
  const folder = await filled(under)
  for (const name of await readdir(folder)) {
    const content = await readFile(join(folder, name))
    for (const word of ['audit', 'entry']) assert.equal(content.includes(word), false)
  }
  await using other = await fakeLogs({ dir: under.dir, seed: 2 })
  assert.deepEqual(other.logs.list(), [])
})

it('lets waiting entries share their syncs, in the order of their calls', async () => {
  await using under = await fakeLogs()
  const log = 'audit'
  const calls = Array.from({ length: 400 }, async (_, n) => await under.logs.append(log, [bytes(`${n}`)]))
  const answers = await Promise.all(calls)
  assert.deepEqual(
    answers.map(({ first }) => first),
    Array.from({ length: 400 }, (_, n) => n + 1),
  )
  assert.ok((under.logs.existing(log).head?.writes ?? 999) < 20)
})

it('finds a segment that was changed, cut, removed, exchanged or replaced, and reads what comes before', async () => {
  const attacks: readonly (readonly [string, number, (folder: string, names: readonly string[]) => Promise<void>])[] = [
    ['changed', 2, async (folder, [, second = '']) => await flip(join(folder, second), -20)],
    ['cut between entries', 2, async (folder, [, second = '']) => await cut(join(folder, second), ENTRY_BYTES)],
    ['removed', 2, async (folder, [, second = '']) => await rm(join(folder, second))],
    ['oldest removed', 1, async (folder, [first = '']) => await rm(join(folder, first))],
    [
      'exchanged',
      1,
      async (folder, [first = '', second = '']) => {
        await rename(join(folder, first), join(folder, 'x'))
        await rename(join(folder, second), join(folder, first))
        await rename(join(folder, 'x'), join(folder, second))
      },
    ],
  ]
  for (const [how, segment, attack] of attacks) {
    await using under = await fakeLogs()
    const folder = await filled(under)
    await attack(folder, await segmentsOf(folder))
    const logs = await under.reopen()
    const proof = await logs.verify('audit', all)
    assert.equal(proof.isIntact, false, how)
    assert.ok(
      proof.damaged.some((damage) => damage.segment === segment),
      how,
    )
    assert.equal(logs.status('audit').code, 'NZ_LOG_DAMAGED')
    assert.ok(under.told.includes('eventlog.damaged'))
    await assert.rejects(shown(logs.read('audit', all)), { code: 'NZ_LOG_DAMAGED' }, how)
    const before = []
    try {
      for await (const item of logs.read('audit', all)) before.push(item.type === 'entry' ? item.sequence : 0)
    } catch {
      // As asserted above.
    }
    assert.deepEqual(before.slice(0, 3), segment === 1 ? [] : [1, 2, 3], how)
    // What lies behind the damage is there, and entries are taken.
    assert.deepEqual(await shown(logs.read('audit', { after: 6, limit: 3, signal: never })), [
      '7:entry 7',
      '8:entry 8',
      '9:entry 9',
    ])
    assert.equal((await logs.append('audit', [bytes('more')])).first, 10)
    const { lost } = await logs.repair('audit')
    assert.ok(lost.length > 0, how)
    const repaired = await under.reopen()
    const after = await repaired.verify('audit', all)
    assert.deepEqual([after.isIntact, repaired.status('audit').state], [true, 'open'], how)
    const kept = await shown(repaired.read('audit', all))
    assert.deepEqual(kept.slice(-5, -1), ['7:entry 7', '8:entry 8', '9:entry 9', '10:more'], how)
    assert.match(kept.at(-1) ?? '', /^11:\{"repaired"/)
    assert.equal((await repaired.append('audit', [bytes('on')])).first, 12)
  }
})

it('is proven and read while entries are added and segments go', async () => {
  await using under = await fakeLogs()
  await filled(under)
  const work = (async () => {
    for (let n = 0; n < 30; n++) {
      await under.logs.append('audit', [bytes('meanwhile')])
      if (n % 10 === 5) await under.logs.rotate('audit')
      if (n % 10 === 9) await under.logs.trim('audit', { keepBytes: 1 })
    }
  })()
  let isDone = false
  void work.finally(() => (isDone = true))
  for (let times = 0; times < 1_000 && !isDone; times++) {
    assert.equal((await under.logs.verify('audit', all)).isIntact, true)
    for await (const item of under.logs.read('audit', all))
      assert.ok(item.type === 'entry' || item.reason === 'trimmed')
  }
  await work
})

it('takes no entry behind an end that is not what was acknowledged, until it is repaired', async () => {
  const attacks: readonly (readonly [string, (folder: string, names: readonly string[]) => Promise<void>])[] = [
    ['cut', async (folder, names) => await cut(join(folder, names.at(-1) ?? ''), 20)],
    ['last removed', async (folder, names) => await rm(join(folder, names.at(-1) ?? ''))],
    ['no head', async (folder) => await rm(join(folder, 'head'))],
    ['head of zeros', async (folder) => await writeFile(join(folder, 'head'), new Uint8Array(8_192))],
    ['all gone', async (folder) => await rm(folder, { recursive: true })],
  ]
  for (const [how, attack] of attacks) {
    await using under = await fakeLogs()
    const folder = await filled(under)
    await under.logs.close()
    await attack(folder, await segmentsOf(folder))
    const logs = await under.reopen()
    assert.equal(logs.status('audit').state, 'damaged', how)
    await assert.rejects(logs.append('audit', [bytes('x')]), { code: 'NZ_LOG_DAMAGED' }, how)
    await logs.repair('audit')
    const repaired = await under.reopen()
    assert.equal((await repaired.verify('audit', all)).isIntact, true, how)
    const { first } = await repaired.append('audit', [bytes('on')])
    // A number is never given twice, and nothing that was acknowledged goes without being told.
    assert.ok(first >= 10, how)
    const [begin] = await itemsOf(repaired.read('audit', all))
    assert.ok(begin !== undefined && (begin.type === 'gap' || begin.sequence === 1), how)
  }
})

it('is whole after a repair of two segments in the place of each other, of which the last was empty', async () => {
  await using under = await fakeLogs()
  const folder = await filled(under)
  await under.logs.rotate('audit')
  await under.logs.close()
  const [last = '', one = ''] = (await segmentsOf(folder)).toReversed()
  await rename(join(folder, last), join(folder, 'aside'))
  await rename(join(folder, one), join(folder, last))
  await rename(join(folder, 'aside'), join(folder, one))
  const logs = await under.reopen()
  assert.equal((await logs.verify('audit', all)).isIntact, false)
  await logs.repair('audit')
  const repaired = await under.reopen()
  assert.equal((await repaired.verify('audit', all)).isIntact, true)
  assert.ok((await repaired.append('audit', [bytes('on')])).first > 9)
})

it('survives the loss of one place of its head', async () => {
  for (const at of [60, 4_096 + 60]) {
    await using under = await fakeLogs()
    const folder = await filled(under)
    await under.logs.append('audit', [bytes('ten')])
    await under.logs.close()
    await flip(join(folder, 'head'), at)
    const logs = await under.reopen()
    assert.equal((await logs.append('audit', [bytes('eleven')])).first, 11)
    assert.deepEqual([logs.status('audit').state, (await logs.verify('audit', all)).isIntact], ['open', true])
  }
})

it('cuts what a crash left behind the end, and keeps whole entries that nobody was told of', async () => {
  await using under = await fakeLogs()
  const folder = await filled(under)
  const head = await readFile(join(folder, 'head'))
  await under.logs.append('audit', [bytes('ten')])
  const path = join(folder, (await segmentsOf(folder)).at(-1) ?? '')
  const whole = await readFile(path)
  for (const torn of [whole.length - 1, whole.length - 40, whole.length]) {
    // As if the machine had stopped before the head was written.
    await writeFile(path, whole.subarray(0, torn))
    await writeFile(join(folder, 'head'), head)
    under.disk.engine.records.clear()
    under.disk.files.clear()
    const logs = await under.reopen({ closes: false })
    assert.equal(logs.status('audit').last, torn === whole.length ? 10 : 9)
    assert.equal((await logs.verify('audit', all)).isIntact, true)
    assert.equal((await logs.append('audit', [bytes('next')])).first, torn === whole.length ? 11 : 10)
  }
})

const onLinux = { skip: process.platform === 'linux' ? false : 'it looks into /proc' }

it('makes durable what it takes over behind the head before a head speaks of it', onLinux, async (t) => {
  await using under = await fakeLogs()
  const folder = await filled(under)
  const head = await readFile(join(folder, 'head'))
  await under.logs.append('audit', [bytes('ten')])
  await under.logs.rotate('audit')
  await under.logs.append('audit', [bytes('eleven')])
  // As a process leaves it that was killed when it had written and not synced.
  await writeFile(join(folder, 'head'), head)
  const taken = (await segmentsOf(folder)).slice(-2)
  const handle = await open(folder)
  const prototype = Object.getPrototypeOf(handle) as Pick<FileHandle, 'sync' | 'datasync'>
  await handle.close()
  const synced: string[] = []
  for (const name of ['sync', 'datasync'] as const) {
    const call = prototype[name]
    t.mock.method(prototype, name, async function (this: FileHandle): Promise<void> {
      synced.push(basename(await readlink(`/proc/self/fd/${this.fd}`)))
      await call.call(this)
    })
  }
  const logs = await under.reopen({ closes: false })
  assert.equal(logs.status('audit').last, 11)
  const before = synced.slice(0, synced.indexOf('head.tmp'))
  assert.deepEqual(before.slice(-3), [...taken, basename(folder)])
})

it('notices an older copy of the whole log', async () => {
  await using under = await fakeLogs()
  const folder = await filled(under)
  await cp(folder, `${under.dir}/older`, { recursive: true })
  await under.logs.append('audit', [bytes('later')])
  await under.logs.close()
  await rm(folder, { recursive: true })
  await cp(`${under.dir}/older`, folder, { recursive: true })
  const logs = await under.reopen()
  assert.match(logs.status('audit').why ?? '', /older/)
  await assert.rejects(logs.append('audit', [bytes('x')]), { code: 'NZ_LOG_DAMAGED' })
  assert.deepEqual((await logs.repair('audit')).lost, [{ from: 10, to: 10 }])
  assert.equal((await logs.append('audit', [bytes('on')])).first, 12)
  assert.equal((await logs.verify('audit', all)).isIntact, true)
})

it('turns, trims and says so', async () => {
  const clock = new SimulatedClock()
  await using under = await fakeLogs({ clock, segmentAgeMs: 1_000 })
  for (let n = 1; n <= 5; n++) {
    await under.logs.append('audit', [bytes(`${n}`)])
    await clock.advance(1_000)
  }
  assert.equal(under.logs.status('audit').segments, 5)
  assert.deepEqual(await under.logs.trim('audit', { before: 3 }), { segments: 2, first: 3 })
  assert.deepEqual(await under.logs.trim('audit', { keepMs: 1_500 }), { segments: 1, first: 4 })
  const logs = await under.reopen()
  const kept = await shown(logs.read('audit', all))
  assert.deepEqual(kept.slice(0, 3), ['[1-3]', '4:4', '5:5'])
  assert.match(kept[3] ?? '', /^6:\{"trimmed":\{"from":1,"to":2\}\}$/)
  assert.deepEqual(await logs.trim('audit', { keepBytes: 1 }), { segments: 2, first: 6 })
  assert.equal((await logs.verify('audit', all)).isIntact, true)
  assert.equal((await segmentsOf(await folderOf(under))).length, logs.status('audit').segments)
})

it('follows what is appended, over gaps and until it is told to stop', async () => {
  await using under = await fakeLogs()
  await under.logs.append('audit', [bytes('1')])
  const stop = new AbortController()
  const seen: string[] = []
  const following = (async () => {
    for await (const item of under.logs.tail('audit', { signal: stop.signal })) {
      seen.push(item.type === 'entry' ? Buffer.from(item.payload).toString() : 'gap')
      if (seen.length === 5) stop.abort()
    }
  })()
  await under.logs.append('audit', [bytes('2'), bytes('3')])
  await under.logs.rotate('audit')
  await under.logs.append('audit', [bytes('4')])
  await under.logs.append('audit', [bytes('5')])
  await following
  assert.deepEqual(seen, ['1', '2', '3', '4', '5'])
})

it('keeps its bounds', async () => {
  await using under = await fakeLogs({ maxLogBytes: 2_000 })
  const { logs } = under
  await assert.rejects(logs.append('a', [new Uint8Array(MAX_PAYLOAD_BYTES + 1)]), { code: 'NZ_LOG_TOO_LARGE' })
  await assert.rejects(
    logs.append(
      'a',
      Array.from({ length: MAX_APPEND_ENTRIES + 1 }, () => bytes('')),
    ),
    {
      code: 'NZ_LOG_TOO_LARGE',
    },
  )
  await assert.rejects(logs.append('a', []), { code: 'NZ_LOG_TOO_LARGE' })
  await logs.append('a', [new Uint8Array(1_000)])
  await assert.rejects(logs.append('a', [new Uint8Array(1_000)]), { code: 'NZ_LOG_QUOTA' })
  await logs.rotate('a')
  await logs.trim('a', { keepBytes: 1_000 })
  await logs.append('a', [new Uint8Array(600)])
  await Promise.all(Array.from({ length: MAX_LOGS - 1 }, async (_, n) => await logs.append(`log${n}`, [bytes('x')])))
  await assert.rejects(logs.append('one-more', [bytes('x')]), { code: 'NZ_LOG_TOO_MANY' })
  const stop = new AbortController()
  const log = logs.existing('a')
  const followers = Array.from({ length: MAX_FOLLOWERS }, async () => await log.grown(99, stop))
  await assert.rejects(log.grown(99, stop), { code: 'NZ_LOG_BUSY' })
  stop.abort()
  await Promise.all(followers)
  const index = new SparseIndex()
  const previous = new Uint8Array(32)
  for (let segment = 0; segment < MAX_INDEXED_SEGMENTS + 5; segment++) {
    for (const next of [1, 2, POINT_EVERY, POINT_EVERY + 1])
      index.note(segment, { offset: next, chain: { next, previous } })
  }
  assert.equal(index.size, MAX_INDEXED_SEGMENTS)
  assert.equal(index.pointBefore(20, POINT_EVERY)?.offset, 1)
  assert.equal(index.pointBefore(20, POINT_EVERY + 1)?.offset, POINT_EVERY + 1)
})
