/** Event logs under a disk that refuses, the recorder of events, backups, and nonces over every kind of restart. */
import assert from 'node:assert/strict'
import { readdir, readFile, rename, rm, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { it } from 'node:test'
import fc from 'fast-check'
import { z } from 'zod'
import { createEventBus, defineEvents, SimulatedClock } from '../../kernel/index.ts'
import { MAX_PENDING, Recorder } from '../../modules/eventlog/recorder.ts'
import { decodeFrameHead, FRAME_HEAD_BYTES } from '../../protocols/eventlog/frame.ts'
import { decodeHeader } from '../../protocols/sealed/sealed.ts'
import { bytes, fakeLogs, itemsOf, never, shown, text } from '../fake/event-logs.ts'
import type { NewEntry } from '../../modules/eventlog/tail-writer.ts'
import type { FakeLogs } from '../fake/event-logs.ts'

const all = { signal: never }

async function filesOf(under: FakeLogs): Promise<readonly string[]> {
  const [folder = ''] = await readdir(join(under.dir, 'eventlog'))
  const dir = join(under.dir, 'eventlog', folder)
  return (await readdir(dir)).toSorted().map((name) => join(dir, name))
}

it('refuses while the disk does, acknowledges nothing then, and goes on without a restart', async () => {
  for (const which of ['segment', 'head'] as const) {
    await using under = await fakeLogs()
    const { logs } = under
    await logs.append('audit', [bytes('kept')])
    const path = (await filesOf(under)).find((name) => name.endsWith(which === 'head' ? 'head' : '.seg')) ?? ''
    await logs.existing('audit').writer.release()
    await rename(path, `${path}.away`)
    await symlink('/dev/full', path)
    for (let time = 0; time < 2; time++) {
      await assert.rejects(logs.append('audit', [bytes('refused')]), { code: 'NZ_LOG_READ_ONLY' })
    }
    assert.equal(logs.status('audit').state, 'readOnly')
    assert.match(logs.status('audit').why ?? '', /ENOSPC/)
    await rm(path)
    await rename(`${path}.away`, path)
    assert.equal((await logs.append('audit', [bytes('again')])).first, 2)
    assert.equal(logs.status('audit').state, 'open')
    assert.deepEqual(under.told, ['eventlog.readOnly', 'eventlog.writable'])
    assert.deepEqual(await shown((await under.reopen()).read('audit', all)), ['1:kept', '2:again'])
    assert.equal((await under.logs.verify('audit', all)).isIntact, true)
  }
})

const testEvents = defineEvents('test', { ticked: z.strictObject({ n: z.number() }) })

function recorded(entries: readonly NewEntry[]): readonly unknown[] {
  return entries.map(({ kind, payload }) => {
    const said = JSON.parse(text(payload)) as { name?: string; payload?: { n: number } }
    return kind === 'event' ? [said.name, said.payload?.n] : said
  })
}

const log = { debug() {}, info() {}, warn() {}, error() {} }
const settled = async (): Promise<void> => await new Promise((resolve) => setImmediate(resolve))

it('records what happens, also what happened before, and only what is wanted', async () => {
  const clock = new SimulatedClock()
  const bus = createEventBus({ onListenerError: () => undefined })
  const others = defineEvents('other', { happened: z.strictObject({}) })
  const written: NewEntry[] = []
  bus.emit(testEvents.ticked, { n: 0 })
  const write = async (entries: readonly NewEntry[]): Promise<void> => {
    await Promise.resolve()
    written.push(...entries)
  }
  const recorder = new Recorder({ events: bus, clock, log, write }, { log: 'events', names: ['test'] })
  await recorder.start()
  bus.emit(testEvents.ticked, { n: 1 })
  bus.emit(others.happened, {})
  await settled()
  assert.deepEqual(recorder.status(), { isOn: true, log: 'events', recorded: 2, dropped: 0, waiting: 0 })
  await recorder.stop()
  assert.deepEqual(recorded(written), [
    { recording: 'started', names: ['test'] },
    ['test.ticked', 0],
    ['test.ticked', 1],
    { recording: 'stopped', recorded: 2, dropped: 0 },
  ])
})

it('waits for a disk that refuses within its bound, then says how many events it lost', async () => {
  const clock = new SimulatedClock()
  const bus = createEventBus({ onListenerError: () => undefined, historyLimit: 10 })
  const written: NewEntry[] = []
  let isRefusing = true
  const write = async (entries: readonly NewEntry[]): Promise<void> => {
    await Promise.resolve()
    if (isRefusing) throw new Error('no')
    written.push(...entries)
  }
  const recorder = new Recorder({ events: bus, clock, log, write }, { log: 'events', names: [] })
  await recorder.start()
  const count = MAX_PENDING + 500
  for (let n = 1; n <= count; n++) {
    bus.emit(testEvents.ticked, { n })
    if (n % 5 === 0) await settled()
  }
  assert.equal(recorder.status().waiting, MAX_PENDING)
  isRefusing = false
  await clock.advance(60_000)
  for (let turn = 0; turn < 50 && recorder.status().waiting > 0; turn++) await settled()
  const { recorded: kept, dropped } = recorder.status()
  assert.equal(kept + dropped, count)
  assert.ok(dropped > 400 && kept >= MAX_PENDING - 1, JSON.stringify(recorder.status()))
  assert.ok(recorded(written).some((said) => (said as { dropped?: number }).dropped === dropped))
  await recorder.stop()
})

it('gives a backup everything, then what is new, and proves itself after a restore', async () => {
  await using under = await fakeLogs({ segmentBytes: 65_536 })
  const { logs } = under
  for (let n = 0; n < 5; n++) await logs.append('audit', [new Uint8Array(200_000).fill(n), bytes(`${n}`)])
  await logs.append('other', [bytes('x')])
  await logs.trim('audit', { before: 4 })
  await using full = await logs.backup.export(all)
  await logs.append('audit', [bytes('later')])
  assert.equal(full.isFull, true)
  await using target = await fakeLogs({ seed: 3 })
  await target.logs.backup.restore(full.items, all)
  assert.equal(await target.logs.backup.root(all), await full.root())
  await logs.append('audit', [bytes('new')])
  await logs.rotate('audit')
  await using more = await logs.backup.export({ since: full.mark, signal: never })
  assert.equal(more.isFull, false)
  await target.logs.backup.restore(more.items, all)
  assert.equal(await target.logs.backup.root(all), await logs.backup.root(all))
  const restored = await target.reopen()
  assert.equal((await restored.verify('audit', all)).isIntact, true)
  const [theirs, ours] = [restored, logs].map(
    async (one) => await shown(one.read('audit', { after: 4, signal: never })),
  )
  assert.deepEqual(await theirs, await ours)
  assert.equal((await logs.backup.export({ since: 'from elsewhere', signal: never })).isFull, true)
})

it('never seals twice under one nonce: over restarts, crashes, refusals and trims', async () => {
  const step = fc.constantFrom('append', 'rotate', 'restart', 'crash', 'refuse', 'trim')
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 4, maxLength: 12 }), async (steps) => {
      await using under = await fakeLogs()
      const used = new Map<string, string>()
      const collect = async (): Promise<void> => {
        for (const path of await filesOf(under)) {
          if (path.endsWith('.seg')) collectNonces(await readFile(path), used)
        }
      }
      await under.logs.append('audit', [bytes('first')])
      for (const one of steps) {
        if (one === 'append') await under.logs.append('audit', [bytes('more')])
        if (one === 'rotate') await under.logs.rotate('audit')
        if (one === 'restart') await under.reopen()
        if (one === 'crash') await under.reopen({ closes: false })
        if (one === 'trim') await under.logs.trim('audit', { keepBytes: 1 })
        if (one === 'refuse') {
          const head = (await filesOf(under)).find((path) => path.endsWith('head')) ?? ''
          await under.logs.existing('audit').writer.release()
          await rename(head, `${head}.away`)
          await symlink('/dev/full', head)
          await under.logs.append('audit', [bytes('refused')]).catch(() => undefined)
          await collect()
          await rm(head)
          await rename(`${head}.away`, head)
        }
        await collect()
      }
      assert.ok((await itemsOf(under.logs.read('audit', all))).length > 0)
    }),
    { numRuns: 12 },
  )
})

/** Every frame of a segment by its nonce; another frame under a known nonce fails. */
function collectNonces(content: Buffer, used: Map<string, string>): void {
  for (let at = 0; at < content.length;) {
    const frame = decodeFrameHead(content.subarray(at))
    assert.ok(frame !== null)
    const sealed = content.subarray(at + FRAME_HEAD_BYTES, at + FRAME_HEAD_BYTES + frame.length)
    const header = decodeHeader(sealed)
    assert.ok(header !== null)
    const nonce = `${Buffer.from(header.salt).toString('hex')} ${header.counter}`
    const before = used.get(nonce)
    const now = sealed.toString('hex')
    assert.ok(before === undefined || before === now, 'a nonce was used twice')
    used.set(nonce, now)
    at += FRAME_HEAD_BYTES + frame.length
  }
}
