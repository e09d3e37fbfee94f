/** What the benches measure with: order statistics, and the check that every message came once, in order, intact. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
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
      { variant: 'tcp', ms: times, roundTripMs: null, cpuMs: 12, peakMb: 90 },
      { variant: 'tls', ms: { median: 200, min: 200, max: 200 }, roundTripMs: null, cpuMs: 3, peakMb: 80 },
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
