/**
 * kill -9 of a writing node at random points: everything acknowledged is there, nothing is half there, and it starts.
 * Half of the kills meet the daemon of the command line, written to through its local API: records, an event log,
 * documents; half the lean node (lean-node.ts), which also writes batches and changes its keys meanwhile. `NZ_SEED` repeats a run,
 * though not to the microsecond. Needs a build.
 */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { it } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { seededRandom } from '../../kernel/index.ts'
import { ApiWriters, clientOf } from './api-writers.ts'
import { HistoryWriters } from './history-writers.ts'
import { NodeProcess } from './node-process.ts'
import type { Random } from '../../kernel/index.ts'

const isFull = process.env['NZ_FULL'] === '1'
const LEAN_KILLS = isFull ? 500 : 150
const DAEMON_KILLS = isFull ? 500 : 150
/** Homes that are killed side by side. */
const LANES = 2
const BATCH_WRITERS = 4
const API_WRITERS = 3

const seed = Number(process.env['NZ_SEED'] ?? Math.floor(Math.random() * 2 ** 31))

interface Tally {
  kills: number
  inStart: number
  inStop: number
  acknowledged: number
  /** Acknowledged appends to the log and versions of documents. */
  histories: number
}

/** One home whose node is started and killed again and again. */
abstract class Lane {
  readonly tally: Tally = { kills: 0, inStart: 0, inStop: 0, acknowledged: 0, histories: 0 }
  readonly api: ApiWriters
  readonly home: string
  readonly #random: Random
  #node: NodeProcess | null = null

  constructor(home: string, laneSeed: number) {
    this.home = home
    this.#random = seededRandom(laneSeed)
    this.api = new ApiWriters({ seed: laneSeed, writers: API_WRITERS })
  }

  /** Writes until the node is gone; the errors of the calls that failed. */
  async write(): Promise<readonly unknown[]> {
    return await this.api.write(clientOf(this.home))
  }

  /** What is wrong with what is found again. */
  async settle(): Promise<string | null> {
    return await this.api.settle(clientOf(this.home))
  }

  abstract started(): NodeProcess
  /** Waits until the node is ready; proves what it found. */
  abstract ready(node: NodeProcess): Promise<void>
  abstract ended(node: NodeProcess): void

  start(): NodeProcess {
    return (this.#node = this.started())
  }

  async run(kills: number): Promise<void> {
    try {
      await this.#rounds(kills)
    } finally {
      await this.#node?.kill()
    }
  }

  async #rounds(kills: number): Promise<void> {
    // One that ends in order leaves what it compiled to the others.
    const first = this.start()
    await this.#proven(first)
    await first.stop()
    this.ended(first)
    while (this.tally.kills < kills) await this.#round()
    const last = this.start()
    await this.#proven(last)
    assert.deepEqual(await last.stop(), { code: 0, signal: null })
    this.ended(last)
    const again = this.start()
    await this.#proven(again)
    await again.kill()
    this.tally.acknowledged += this.api.steps
  }

  async #round(): Promise<void> {
    const random = this.#random
    const chance = random.unit()
    const node = this.start()
    if (chance < 0.15) {
      await pause(random.unit() * 700)
      this.tally.inStart += 1
      await node.kill()
    } else {
      await this.#proven(node)
      const writing = this.write()
      await pause(random.unit() * random.unit() * 300)
      if (chance < 0.25) {
        node.child.kill('SIGTERM')
        await pause(random.unit() * 60)
        this.tally.inStop += 1
      }
      await node.kill()
      for (const error of await writing) {
        const code = error instanceof Error && 'code' in error ? error.code : error
        assert.match(String(code), /^NZ_IPC_(?:CONNECTION_LOST|NOT_RUNNING|STOPPING)|^NZ_(?:STORAGE|LOG)_UNAVAILABLE$/)
      }
    }
    this.ended(node)
    this.tally.kills += 1
  }

  async #proven(node: NodeProcess): Promise<void> {
    await this.ready(node)
    assert.equal(await this.settle(), null, `after kill ${this.tally.kills}, seed ${seed}`)
  }
}

class LeanLane extends Lane {
  #done: number[] = Array.from({ length: BATCH_WRITERS }, () => 0)

  started(): NodeProcess {
    return NodeProcess.lean({ seed, done: this.#done, rotateEvery: 200 }, { home: this.home })
  }

  async ready(node: NodeProcess): Promise<void> {
    await node.line(/^ready$/)
    const found = /^found (.+)$/.exec(node.lines.find((line) => /^(?:found|lost|error|failed)/.test(line)) ?? '')
    assert.ok(found !== null, `after kill ${this.tally.kills}, seed ${seed}: ${node.lines.join('\n')}`)
    this.#done = JSON.parse(found[1] ?? '') as number[]
  }

  ended(node: NodeProcess): void {
    for (const line of node.lines) {
      const [, writer, steps] = /^ack (\d+) (\d+)$/.exec(line) ?? []
      if (writer !== undefined) this.#done[Number(writer)] = Number(steps)
      else if (!/\bstops?\b/.test(line)) assert.match(line, /^(?:found|ready|done)/, `seed ${seed}`)
    }
  }

  override async run(kills: number): Promise<void> {
    await super.run(kills)
    this.tally.acknowledged += this.#done.reduce((sum, steps) => sum + steps, 0)
  }
}

class DaemonLane extends Lane {
  readonly #histories: HistoryWriters

  constructor(home: string, laneSeed: number) {
    super(home, laneSeed)
    this.#histories = new HistoryWriters(laneSeed)
  }

  override async write(): Promise<readonly unknown[]> {
    const client = clientOf(this.home)
    return (await Promise.all([super.write(), this.#histories.write(client)])).flat()
  }

  override async settle(): Promise<string | null> {
    return (await super.settle()) ?? (await this.#histories.settle(clientOf(this.home)))
  }

  override async run(kills: number): Promise<void> {
    await super.run(kills)
    this.tally.histories = this.#histories.acknowledged
  }

  started(): NodeProcess {
    return NodeProcess.daemon(['storage.witnessIntervalMs=200'], { home: this.home })
  }

  async ready(node: NodeProcess): Promise<void> {
    assert.match(await node.line(/./), /"state":"ready"/, `after kill ${this.tally.kills}, seed ${seed}`)
  }

  ended(): void {}
}

for (const [name, kills, Kind] of [
  ['a node without its network', LEAN_KILLS, LeanLane],
  ['the daemon', DAEMON_KILLS, DaemonLane],
] as const) {
  it(
    `${name} loses nothing acknowledged and starts after each of ${kills} kills`,
    { timeout: 3_600_000 },
    async (t) => {
      const root = await mkdtemp(join(tmpdir(), 'nz-kill-'))
      try {
        const lanes = Array.from({ length: LANES }, (_, lane) => new Kind(join(root, `h${lane}`), seed + lane))
        const ends = await Promise.allSettled(lanes.map(async (lane) => await lane.run(kills / LANES)))
        for (const end of ends) if (end.status === 'rejected') throw end.reason
        const total = lanes.reduce(
          (sum, { tally }) => ({
            kills: sum.kills + tally.kills,
            inStart: sum.inStart + tally.inStart,
            inStop: sum.inStop + tally.inStop,
            acknowledged: sum.acknowledged + tally.acknowledged,
            histories: sum.histories + tally.histories,
          }),
          { kills: 0, inStart: 0, inStop: 0, acknowledged: 0, histories: 0 },
        )
        t.diagnostic(`seed ${seed}: ${JSON.stringify(total)}`)
        assert.ok(total.acknowledged + total.histories > kills * 5, JSON.stringify(total))
        if (Kind === DaemonLane) assert.ok(total.histories > kills, JSON.stringify(total))
      } finally {
        await rm(root, { recursive: true, force: true })
      }
    },
  )
}
