/** The simulator itself: the same seed is the same run, and what it does to links, disks and clocks is what it says. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Chance } from '../../protocols/simulation/chance.ts'
import { SimulatedDisk } from '../../protocols/simulation/disk.ts'
import { runScenario, scenarios } from '../../protocols/simulation/index.ts'
import { SimulatedNetwork } from '../../protocols/simulation/network.ts'
import { Schedule } from '../../protocols/simulation/schedule.ts'
import type { LinkConditions } from '../../protocols/simulation/network.ts'

const small = (seed: number): { readonly seed: number; readonly nodes: number } => ({ seed, nodes: 4 })
const [partition] = scenarios
if (partition === undefined) assert.fail('no scenario')

/** Time that passes when told to. */
class Time {
  readonly #schedule = new Schedule()
  nowMs = 0

  readonly after = (delayMs: number, work: () => void): void => void this.#schedule.at(this.nowMs + delayMs, work)

  run(untilMs: number): void {
    for (let next = this.#schedule.next(untilMs); next !== null; next = this.#schedule.next(untilMs)) {
      this.nowMs = next.atMs
      next.run()
    }
    this.nowMs = untilMs
  }
}

function linked(conditions: Partial<LinkConditions> = {}) {
  const time = new Time()
  const seen: string[] = []
  const up = [true, true]
  const network = new SimulatedNetwork({
    chance: new Chance(7, 'network'),
    conditions: () => ({ loss: 0, duplicate: 0, reorder: 0, delayMs: [10, 10], ...conditions }),
    nowMs: () => time.nowMs,
    after: time.after,
    endpoint: (node) => ({
      isUp: up[node] === true,
      receive: (from, _, bytes) => void seen.push(`${from}>${node} ${bytes.length}`),
      connected: (peer) => void seen.push(`${node} up ${peer}`),
      disconnected: (peer) => void seen.push(`${node} down ${peer}`),
    }),
    note: () => undefined,
  })
  network.link(0, 1)
  network.open()
  time.run(1_000)
  return { time, seen, up, network }
}

describe('a run of the simulator', () => {
  it('is the same for the same seed, to the last event, and another for another', () => {
    const lines: string[] = []
    const one = runScenario(partition, { ...small(1), onLine: (line) => void lines.push(line) })
    const again = runScenario(partition, small(1))
    assert.deepEqual(again, one)
    assert.equal(lines.length, one.events)
    assert.notEqual(runScenario(partition, small(2)).digest, one.digest)
  })

  it('refuses seeds and sizes out of bounds', () => {
    for (const options of [
      { seed: -1 },
      { seed: 0.5 },
      { seed: 2 ** 53 },
      { seed: 1, nodes: 1 },
      { seed: 1, nodes: 501 },
    ]) {
      assert.throws(() => runScenario(partition, options), RangeError)
    }
  })
})

describe('the schedule', () => {
  it('is in order of time, then of planning, and leaves out what was cancelled', () => {
    const schedule = new Schedule()
    const chance = new Chance(3, 'times')
    const done: string[] = []
    const times = Array.from({ length: 300 }, () => chance.between(0, 40))
    const timers = times.map((atMs, at) => schedule.at(atMs, () => void done.push(`${atMs}/${at}`)))
    timers.filter((_, at) => at % 7 === 0).forEach((timer) => timer.cancel())
    for (let next = schedule.next(100); next !== null; next = schedule.next(100)) next.run()
    const wanted = times
      .map((atMs, at) => ({ atMs, at }))
      .filter(({ at }) => at % 7 !== 0)
      .toSorted((a, b) => a.atMs - b.atMs || a.at - b.at)
    assert.deepEqual(
      done,
      wanted.map(({ atMs, at }) => `${atMs}/${at}`),
    )
  })
})

describe('a simulated link', () => {
  it('carries a connection in order, and what was under way over a short cut', () => {
    const { time, seen, network } = linked({ loss: 0.3, delayMs: [1, 100] })
    assert.deepEqual(seen.splice(0), ['0 up 1', '1 up 0'])
    for (let size = 1; size <= 20; size++) assert.equal(network.send(0, 1, 0, new Uint8Array(size)), true)
    network.cut(0, 1)
    time.run(1_500)
    assert.deepEqual(seen, [])
    network.mend(0, 1)
    time.run(60_000)
    assert.deepEqual(
      seen,
      Array.from({ length: 20 }, (_, at) => `0>1 ${at + 1}`),
    )
  })

  it('breaks when one direction alone is cut for long, and comes back', () => {
    const { time, seen, network } = linked()
    seen.splice(0)
    network.cut(0, 1)
    time.run(10_000)
    assert.deepEqual(seen.splice(0), ['0 down 1', '1 down 0'])
    assert.equal(network.send(1, 0, 0, new Uint8Array(1)), false)
    network.sendDatagram(1, 0, 0, new Uint8Array(2))
    network.sendDatagram(0, 1, 0, new Uint8Array(2))
    time.run(11_000)
    assert.deepEqual(seen.splice(0), ['1>0 2'])
    network.mend(0, 1)
    time.run(20_000)
    assert.deepEqual(seen, ['0 up 1', '1 up 0'])
  })

  it('loses, doubles and overtakes datagrams', () => {
    const { time, seen, network } = linked({ loss: 0.2, duplicate: 0.2, reorder: 0.3 })
    seen.splice(0)
    for (let size = 1; size <= 200; size++) network.sendDatagram(0, 1, 0, new Uint8Array(size))
    time.run(5_000)
    const sizes = seen.map((line) => Number(line.split(' ')[1]))
    assert.ok(new Set(sizes).size < 190 && sizes.length > new Set(sizes).size)
    assert.notDeepEqual(
      sizes,
      sizes.toSorted((a, b) => a - b),
    )
  })

  it('tells the peers of a crashed node later, and before it is back', () => {
    const { time, seen, up, network } = linked()
    seen.splice(0)
    up[1] = false
    network.crashed(1)
    up[1] = true
    network.restarted(1)
    time.run(20_000)
    assert.deepEqual(seen, ['0 down 1', '0 up 1', '1 up 0'])
  })
})

describe('a simulated disk', () => {
  const bytes = (value: number): Uint8Array => Uint8Array.of(value)

  it('keeps what it said to be durable, and of the rest a part in order', () => {
    for (let seed = 0; seed < 30; seed++) {
      const time = new Time()
      const disk = new SimulatedDisk({ chance: new Chance(seed, 'disk'), after: time.after, errorShare: () => 0 })
      let told = 0
      for (let at = 1; at <= 9; at++) disk.write([{ key: `${at}`, value: bytes(at) }], () => void (told = at))
      time.run(seed)
      disk.crash()
      const kept = [...disk.read('').keys()].map(Number)
      assert.ok(kept.length >= told)
      assert.deepEqual(
        kept,
        Array.from({ length: kept.length }, (_, at) => at + 1),
      )
      const before = told
      time.run(1_000)
      assert.equal(told, before)
    }
  })

  it('tells what it refused', () => {
    const time = new Time()
    const disk = new SimulatedDisk({ chance: new Chance(1, 'disk'), after: time.after, errorShare: () => 1 })
    let isKept: boolean | null = null
    disk.write([{ key: 'a', value: bytes(1) }], (was) => void (isKept = was))
    time.run(100)
    assert.equal(isKept, false)
    assert.equal(disk.read('').size, 0)
  })
})
