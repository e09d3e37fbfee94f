/** Happy eyeballs: when attempts start, which one wins, and what becomes of the others. On a simulated clock. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { SimulatedClock } from '../../kernel/index.ts'
import { staggered } from '../../modules/network/staggered.ts'

interface Attempt {
  readonly startedMs: number
  readonly signal: AbortSignal
  readonly end: PromiseWithResolvers<string | null>
}

function race(count: number, signal = new AbortController().signal) {
  const clock = new SimulatedClock()
  const began = clock.monotonicMs()
  const attempts: Attempt[] = []
  const discarded: string[] = []
  const start = async (stop: AbortSignal): Promise<string | null> => {
    const end = Promise.withResolvers<string | null>()
    attempts.push({ startedMs: clock.monotonicMs() - began, signal: stop, end })
    return await end.promise
  }
  const result = staggered(Array<typeof start>(count).fill(start), {
    clock,
    delayMs: 250,
    signal,
    discard: (late) => void discarded.push(late),
  })
  result.catch(() => undefined)
  const startedMs = (): number[] => attempts.map((attempt) => attempt.startedMs)
  return { clock, attempts, discarded, result, startedMs }
}

const settled = async (): Promise<void> => await new Promise((resolve) => setImmediate(resolve))

describe('staggered attempts', () => {
  it('start 250 ms apart while none has ended, and the first success ends the others', async () => {
    const { clock, attempts, discarded, result, startedMs } = race(4)
    await clock.advance(500)
    assert.deepEqual(startedMs(), [0, 250, 500])
    attempts[1]?.end.resolve('second')
    assert.equal(await result, 'second')
    assert.deepEqual(
      attempts.map(({ signal }) => signal.aborted),
      [true, false, true],
    )
    attempts[0]?.end.resolve('too late')
    attempts[2]?.end.resolve(null)
    await settled()
    await clock.advance(1_000)
    assert.deepEqual([startedMs().length, discarded], [3, ['too late']])
  })

  it('start at once when the one before has failed', async () => {
    const { clock, attempts, result, startedMs } = race(3)
    await clock.advance(10)
    attempts[0]?.end.resolve(null)
    await settled()
    await clock.advance(10)
    attempts[1]?.end.resolve(null)
    await settled()
    assert.deepEqual(startedMs(), [0, 10, 20])
    attempts[2]?.end.resolve(null)
    assert.equal(await result, null)
  })

  it('come to nothing when there are none, and end with the caller’s reason', async () => {
    assert.equal(await race(0).result, null)
    const caller = new AbortController()
    const { attempts, result } = race(2, caller.signal)
    caller.abort(new Error('enough'))
    await assert.rejects(result, /enough/)
    assert.ok(attempts[0]?.signal.aborted)
  })
})
