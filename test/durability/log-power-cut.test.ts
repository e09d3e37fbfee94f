/**
 * A power cut at any moment of event logs that are written, turned and trimmed: as power-cut.test.ts does it for the
 * store. Every acknowledged entry is there, in its place, and the log proves itself; with one class of syncs left out of
 * the recording this test finds a loss. `NZ_SEED` repeats the cuts, not the recording.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, rmSync } from 'node:fs'
import { cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { isNzError, seededRandom } from '../../kernel/index.ts'
import { StateFiles } from '../../modules/home/state-files.ts'
import { bytes, never, openDiskLogs, text } from '../fake/event-logs.ts'
import { CUT_KINDS, DiskModel } from './disk-model.ts'
import { needsTracing, readCalls, recording } from './system-calls.ts'
import type { EventLogs } from '../../modules/eventlog/event-logs.ts'
import type { CutKind } from './disk-model.ts'
import type { CallEvent } from './system-calls.ts'

const CUTS = process.env['NZ_FULL'] === '1' ? 5_000 : 300
/** Cuts after which the loss of a class of syncs must have shown. */
const MAX_TEETH_CUTS = 300
const RUNS = 4
const LINES_PER_RUN = 240

const seed = Number(process.env['NZ_SEED'] ?? Math.floor(Math.random() * 2 ** 31))
const writer = join(import.meta.dirname, '..', 'fake', 'eventlog-writer.ts')

type SyncKind = 'segments' | 'heads' | 'folders of logs'

function kindOfSync(path: string, isFolder: boolean): SyncKind | null {
  if (isFolder && path.includes('eventlog')) return 'folders of logs'
  if (path.endsWith('.seg')) return 'segments'
  return /^head(?:\.tmp)?$/.test(basename(path)) ? 'heads' : null
}

describe('a power cut of event logs', { timeout: 3_600_000, ...needsTracing() }, () => {
  let folder = ''
  let home = ''
  /** One list for each life of the writer. */
  const lives: (readonly CallEvent[])[] = []

  before(async () => {
    // Where there is a disk of memory, a sync takes no time.
    folder = await mkdtemp(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'nz-log-cut-'))
    home = join(folder, 'h')
    mkdirSync(home, { mode: 0o700 })
    {
      await using under = await openDiskLogs(home, new StateFiles(home))
      assert.deepEqual(under.logs.list(), [])
    }
    await cp(home, `${home}.start`, { recursive: true })
    for (let run = 1; run <= RUNS; run++) {
      const trace = join(folder, `trace.${run}`)
      await recordLife(trace, run)
      lives.push(await readCalls(trace))
      await rm(trace)
    }
  })

  after(async () => await rm(folder, { recursive: true, force: true }))

  /** A writer that is killed when it has acknowledged so many entries. */
  async function recordLife(trace: string, run: number): Promise<void> {
    const [command, ...args] = [...recording(trace), process.execPath, writer, home, String(run)]
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    let lines = 0
    child.stdout.setEncoding('latin1')
    child.stdout.on('data', (some: string) => {
      lines += some.split('\n').length - 1
      if (lines > LINES_PER_RUN) child.kill('SIGKILL')
    })
    await new Promise((resolve) => child.once('close', resolve))
    assert.ok(lines > LINES_PER_RUN, `the writer ended after ${lines} lines`)
  }

  /** Replays the recording; at each of the places, in ascending order, `visit` is called. */
  async function replay(
    places: readonly number[],
    visit: (model: DiskModel, acknowledged: ReadonlyMap<number, string>) => Promise<boolean>,
    ignores: (path: string, isFolder: boolean) => boolean = () => false,
  ): Promise<void> {
    const acknowledged = new Map<number, string>()
    let printed = ''
    const onOutput = (some: Buffer): void => {
      printed += some.toString('latin1')
      const lines = printed.split('\n')
      printed = lines.pop() ?? ''
      for (const line of lines) {
        const [, sequence, said] = /^(\d+) (.+)$/.exec(line) ?? []
        if (sequence !== undefined && said !== undefined) acknowledged.set(Number(sequence), said)
      }
    }
    const model = new DiskModel({ root: home, ignores, onOutput })
    rmSync(home, { recursive: true, force: true })
    await cp(`${home}.start`, home, { recursive: true })
    model.load()
    let at = 0
    let next = 0
    for (const life of lives) {
      model.newProcess()
      printed = ''
      for (const event of life) {
        model.apply(event)
        at += 1
        for (; places[next] === at; next++) if (await visit(model, acknowledged)) return
      }
    }
  }

  /** What was lost by a cut here; `null` when nothing was. */
  async function lossAt(
    model: DiskModel,
    acknowledged: ReadonlyMap<number, string>,
    { kind, cutSeed }: { readonly kind: CutKind; readonly cutSeed: number },
  ): Promise<string | null> {
    rmSync(home, { recursive: true, force: true })
    mkdirSync(home, { mode: 0o700 })
    model.cut(home, kind, seededRandom(cutSeed))
    for (const isAgain of [false, true]) {
      await using under = await openDiskLogs(home, new StateFiles(home))
      const loss = await lossIn(under.logs, acknowledged)
      if (loss !== null) return isAgain ? `when it was opened again: ${loss}` : loss
      // What a recovery wrote must be durable enough for the next one, too.
      if (cutSeed % 8 !== 0) return null
      try {
        await under.logs.append('crash', [bytes('after the cut')])
      } catch (error) {
        return `it takes nothing more: ${String(error)}`
      }
    }
    return null
  }

  function placesOf(count: number, placeSeed: number): readonly number[] {
    const total = lives.reduce((sum, life) => sum + life.length, 0)
    const random = seededRandom(placeSeed)
    return Array.from({ length: count }, () => 1 + Math.floor(random.unit() * total)).toSorted((a, b) => a - b)
  }

  it(`loses nothing acknowledged, and proves itself, at ${CUTS} places`, async (t) => {
    const losses: string[] = []
    let cuts = 0
    await replay(placesOf(CUTS, seed), async (model, acknowledged) => {
      const kind = CUT_KINDS[cuts % CUT_KINDS.length] ?? 'mixed'
      cuts += 1
      const loss = await lossAt(model, acknowledged, { kind, cutSeed: seed + cuts })
      if (loss !== null) losses.push(`cut ${cuts} (${kind}): ${loss}`)
      return losses.length >= 20
    })
    t.diagnostic(`seed ${seed}: ${cuts} cuts`)
    assert.deepEqual(losses, [])
    assert.equal(cuts, CUTS)
  })

  for (const left of ['segments', 'heads', 'folders of logs'] satisfies readonly SyncKind[]) {
    it(`is found to lose entries when the syncs of ${left} are left out`, async (t) => {
      let cuts = 0
      let loss: string | null = null
      await replay(
        placesOf(MAX_TEETH_CUTS, seed + 1),
        async (model, acknowledged) => {
          cuts += 1
          const kind = CUT_KINDS[cuts % CUT_KINDS.length] ?? 'mixed'
          loss = await lossAt(model, acknowledged, { kind, cutSeed: seed + cuts })
          return loss !== null
        },
        (path, isFolder) => kindOfSync(path, isFolder) === left,
      )
      t.diagnostic(`${left}: after ${cuts} cuts: ${loss}`)
      assert.notEqual(loss, null)
    })
  }
})

async function lossIn(logs: EventLogs, acknowledged: ReadonlyMap<number, string>): Promise<string | null> {
  if (logs.list().length === 0) return acknowledged.size === 0 ? null : 'the log is gone'
  const { state, why, first } = logs.status('crash')
  if (state !== 'open') return `the log is ${state}: ${why}`
  const found = new Map<number, string>()
  try {
    for await (const item of logs.read('crash', { signal: never })) {
      if (item.type === 'entry') found.set(item.sequence, text(item.payload))
      else if (item.reason !== 'trimmed') return `entries ${item.from} to ${item.to} are lost`
    }
  } catch (error) {
    // Found only by who reads: the part that is not written any more is not walked at the start.
    if (isNzError(error, 'NZ_LOG_DAMAGED')) return `reading finds damage: ${error.why}`
    throw error
  }
  for (const [sequence, said] of acknowledged) {
    if (sequence >= first && found.get(sequence) !== said) return `entry ${sequence} is not what was acknowledged`
  }
  const { isIntact } = await logs.verify('crash', { signal: never })
  return isIntact ? null : 'the log does not prove itself'
}
