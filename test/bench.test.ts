/** What the benches measure with: order statistics, and the check that every message came once, in order, intact. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { gateTable } from '../bench/gates.ts'
import { edgesOf } from '../bench/mesh.ts'
import { MessageCheck, messageOf } from '../bench/messages.ts'
import { ratesOf, tableOf } from '../bench/scenario.ts'
import { quantile, summaryOf } from '../bench/statistics.ts'

describe('the check of messages', () => {
  const all = Buffer.concat(Array.from({ length: 50 }, (_, i) => messageOf(i, 100)))

  it('counts what came whole, however it was cut', () => {
    for (const cut of [1, 7, 99, 100, 101, 1_000, 5_000]) {
      const check = new MessageCheck(100)
      for (let i = 0; i < all.byteLength; i += cut) check.push(all.subarray(i, i + cut))
      assert.equal(check.count, 50)
    }
  })

  it('finds a message that is missing, doubled, out of order or altered', () => {
    const message = (i: number): Uint8Array => messageOf(i, 100)
    const altered = message(1)
    altered[99] = (altered[99] ?? 0) ^ 1
    for (const sequence of [[message(1)], [message(0), message(0)], [message(0), message(2)], [message(0), altered]]) {
      const check = new MessageCheck(100)
      assert.throws(() => sequence.forEach((bytes) => check.push(bytes)), /came as/)
    }
  })
})

describe('figures', () => {
  it('are order statistics', () => {
    assert.deepEqual(summaryOf([3, 1, 2]), { median: 2, min: 1, max: 3 })
    assert.equal(quantile([1, 2, 3, 4], 0.5), 2.5)
    assert.throws(() => summaryOf([]), RangeError)
  })

  it('turn times into rates, the slowest round being the lowest rate', () => {
    const times = { median: 100, min: 50, max: 200 }
    const results = [
      { variant: 'tcp', ms: times, roundTripMs: null, cpuMs: 12, peakMb: 90, grownMb: times, stalled: null },
      {
        variant: 'tls',
        ms: { median: 200, min: 200, max: 200 },
        roundTripMs: null,
        cpuMs: 3,
        peakMb: 80,
        grownMb: times,
        stalled: null,
      },
    ] as const
    const figures = ratesOf(results, 1_000, 'messages/s')
    assert.deepEqual(figures[0], {
      name: 'tcp',
      median: 10_000,
      min: 5_000,
      max: 20_000,
      unit: 'messages/s',
      ratio: null,
      cost: { cpuMs: 12, peakMb: 90 },
    })
    assert.equal(figures[1]?.ratio, 0.5)
    assert.match(
      tableOf({ scenario: 's', title: 'T', rounds: 7, figures }),
      /\| tls +\| 5000 messages\/s .*\| 0\.50× +\| 3\.00 ms +\| 80\.0 MB +\|/,
    )
  })
})

describe('the table of all benches', () => {
  const figure = (name: string, median: number, unit: 'dials/s' | 'MB/s' | 'KB', cpuMs = 0) => ({
    name,
    median,
    min: median,
    max: median,
    unit,
    ratio: null,
    cost: { cpuMs, peakMb: 1 },
  })
  const lineOf = (table: string, what: string): readonly string[] =>
    (table.split('\n').find((line) => line.startsWith(`| ${what} `)) ?? '').split('|').map((cell) => cell.trim())

  it('says what is asked and whether it is met, by figures of the same run', () => {
    const dial = [figure('native-streams', 200, 'dials/s'), figure('libp2p', 100, 'dials/s')]
    const bulk = [
      figure('native-streams', 100, 'MB/s', 500),
      figure('libp2p', 100, 'MB/s', 1_000),
      figure('tls', 50, 'MB/s', 700),
    ]
    const idle = [figure('native-streams', 20, 'KB'), figure('libp2p', 30, 'KB')]
    const table = gateTable([
      { scenario: 'dial', title: '', rounds: 7, figures: dial },
      { scenario: 'throughput', title: '', rounds: 7, figures: bulk, bytesPerRound: 1_000_000_000 },
      { scenario: 'idle-memory', title: '', rounds: 7, figures: idle },
      { scenario: 'other', title: '', rounds: 7, figures: [figure('ready', 3, 'MB/s')] },
    ])
    assert.deepEqual(lineOf(table, 'dial and handshake').slice(6, 11), [
      '2.00×',
      '≥ 1.5× stock',
      'yes',
      '≥ 4× stock',
      'no',
    ])
    assert.deepEqual(lineOf(table, 'bulk').slice(6, 11), ['1.00×', '≥ 3× stock', 'no', '≥ 1.1× tls', 'yes'])
    assert.deepEqual(lineOf(table, 'CPU seconds a GB').slice(2, 11), [
      '0.50 s/GB',
      '1.00 s/GB',
      '0.70 s/GB',
      '',
      '0.50×',
      '≤ 0.3× stock',
      'no',
      '≤ 1× tls',
      'yes',
    ])
    assert.deepEqual(lineOf(table, 'memory, idle connection').slice(7, 11), ['≤ 0.6× stock', 'no', '≤ 21 KB', 'yes'])
    assert.equal(lineOf(table, 'other: ready')[2], '3.00 MB/s')
    assert.equal(new Set(table.split('\n').map((line) => line.length)).size, 1)
  })
})

describe('the mesh', () => {
  it('has three connections that each node dials, none twice and none to itself', () => {
    for (const nodes of [10, 50]) {
      const addresses = Array.from({ length: nodes }, (_, i) => String(i))
      const pairs = edgesOf([addresses.slice(0, 4), addresses.slice(4)]).flatMap((edges, process) =>
        edges.map(({ from, to }) => [from + process * 4, Number(to)].toSorted((a, b) => a - b).join('-')),
      )
      assert.equal(new Set(pairs).size, nodes * 3)
      assert.ok(pairs.every((pair) => pair.split('-')[0] !== pair.split('-')[1]))
    }
  })
})
