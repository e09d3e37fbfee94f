/** Channels in the simulator, past nodes that replay what they pass on. NZ_FULL=1 runs the full size. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { ReplayWindow } from '../../protocols/channel/replay-window.ts'
import { caughtBy, isFull, runSeeds } from './scenarios.ts'

describe('channels in the simulator', () => {
  it('take nothing twice, nothing that was not sent, change their keys and go on after healing', (test) => {
    const verdicts = runSeeds('channels', { first: 1, count: isFull ? 1_000 : 12 })
    const wellMs = verdicts.map(({ convergedAfterMs }) => convergedAfterMs ?? Infinity).toSorted((a, b) => a - b)
    test.diagnostic(`${verdicts.length} seeds; every call well after at most ${wellMs.at(-1)} ms`)
    // Replays came, and most of what was taken came under later keys than the first.
    for (const { counts } of verdicts) {
      assert.ok((counts['refused NZ_CHANNEL_REPLAYED'] ?? 0) > 0)
      assert.ok((counts['payloads arrived under later keys'] ?? 0) > (counts['payloads arrived'] ?? 0) / 2)
    }
  })

  it('catches a planted bug: the replay window is skipped', (test) => {
    test.mock.method(ReplayWindow.prototype, 'test', () => 'new')
    const caught = /took a replay/
    const { seed, violations } = caughtBy('channels', {}, caught, 8)
    test.diagnostic(`seed ${seed}: ${violations.find((violation) => caught.test(violation))}`)
  })
})
