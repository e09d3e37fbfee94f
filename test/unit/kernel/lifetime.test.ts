import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { bounded, deadline, LifetimeScope, SimulatedClock, sleep } from '../../../kernel/index.ts'
import { forever } from './fixture.ts'

describe('LifetimeScope', () => {
  it('releases in reverse, once, even when one release fails', async () => {
    const trace: string[] = []
    const scope = new LifetimeScope()
    scope.defer(() => void trace.push('first'))
    scope.defer(() => {
      throw new Error('no')
    })
    scope.defer(async () => void trace.push('last'))
    const failure = { name: 'AggregateError', errors: [new Error('no')] }
    await assert.rejects(scope[Symbol.asyncDispose](), failure)
    await assert.rejects(scope[Symbol.asyncDispose](), failure)
    assert.deepEqual(trace, ['last', 'first'])
    assert.ok(scope.signal.aborted)
  })

  it('waits no longer than its deadline, and still releases the rest', async () => {
    const clock = new SimulatedClock()
    const trace: string[] = []
    const scope = new LifetimeScope({ clock, releaseTimeoutMs: 500 })
    scope.defer(() => void trace.push('under'))
    scope.defer(forever)
    scope.defer(forever)
    const closing = assert.rejects(scope[Symbol.asyncDispose](), ({ errors }: AggregateError) => {
      assert.deepEqual(
        errors.map(({ code }: { code: string }) => code),
        ['NZ_KERNEL_RELEASE_TIMEOUT', 'NZ_KERNEL_RELEASE_TIMEOUT'],
      )
      return true
    })
    await clock.advance(499)
    assert.deepEqual(trace, [])
    await clock.advance(1)
    await closing
    assert.deepEqual(trace, ['under'])
    assert.equal(clock.pendingTimers, 0)
  })

  it('releases at once what is deferred after it closed', async () => {
    const failures: unknown[] = []
    const scope = new LifetimeScope({ onLateFailure: (error) => failures.push(error) })
    await scope[Symbol.asyncDispose]()
    let isReleased = false
    scope.defer(() => void (isReleased = true))
    assert.ok(isReleased)
    scope.defer(async () => await Promise.reject(new Error('late')))
    await new Promise<void>((resolve) => setImmediate(resolve))
    assert.deepEqual(failures, [new Error('late')])
  })

  it('closes its forks, and forgets those that closed before', async () => {
    const trace: string[] = []
    const scope = new LifetimeScope()
    const early = scope.fork()
    const late = scope.fork()
    early.defer(() => void trace.push('early'))
    late.defer(() => void trace.push('late'))
    scope.defer(() => void trace.push('own'))
    await early[Symbol.asyncDispose]()
    assert.ok(!scope.signal.aborted)
    await scope[Symbol.asyncDispose]()
    assert.deepEqual(trace, ['early', 'own', 'late'])
    assert.ok(late.signal.aborted)
    const afterwards = scope.fork()
    assert.ok(afterwards.signal.aborted)
  })
})

describe('SimulatedClock', () => {
  it('runs timers in order of time, and of setting at the same time', async () => {
    const delays = fc.array(fc.integer({ min: 0, max: 50 }), { maxLength: 40 })
    await fc.assert(
      fc.asyncProperty(delays, fc.integer({ min: 0, max: 60 }), async (delaysMs, untilMs) => {
        const clock = new SimulatedClock()
        const ran: Array<{ delayMs: number; order: number }> = []
        delaysMs.forEach((delayMs, order) =>
          clock.setTimer(delayMs, () => {
            assert.equal(clock.monotonicMs(), delayMs)
            ran.push({ delayMs, order })
          }),
        )
        await clock.advance(untilMs)
        const due = delaysMs.map((delayMs, order) => ({ delayMs, order })).filter(({ delayMs }) => delayMs <= untilMs)
        assert.deepEqual(
          ran,
          due.toSorted((a, b) => a.delayMs - b.delayMs || a.order - b.order),
        )
        assert.equal(clock.pendingTimers, delaysMs.length - due.length)
        assert.equal(clock.monotonicMs(), untilMs)
      }),
      { numRuns: 50 },
    )
  })

  it('lets work that waits go on before it moves further', async () => {
    const clock = new SimulatedClock({ startMs: 5_000 })
    const { signal } = new AbortController()
    const seen: number[] = []
    const work = (async () => {
      for (let i = 0; i < 3; i++) {
        await sleep(clock, 100, { signal })
        seen.push(clock.nowMs())
      }
    })()
    await clock.advance(1_000)
    await work
    assert.deepEqual(seen, [5_100, 5_200, 5_300])
  })

  it('keeps durations when the wall clock jumps', async () => {
    const clock = new SimulatedClock({ startMs: 0 })
    let isOver = false
    clock.setTimer(100, () => (isOver = true))
    clock.jumpWallClock(-86_400_000)
    assert.equal(clock.nowMs(), -86_400_000)
    await clock.advance(99)
    assert.equal(isOver, false)
    await clock.advance(1)
    assert.equal(isOver, true)
  })

  it('forgets cancelled timers', () => {
    const clock = new SimulatedClock()
    const timer = clock.setTimer(1, () => assert.fail('was cancelled'))
    timer.cancel()
    timer.cancel()
    assert.equal(clock.pendingTimers, 0)
  })
})

describe('waits', () => {
  it('end with their signal', async () => {
    const clock = new SimulatedClock()
    const controller = new AbortController()
    const slept = assert.rejects(sleep(clock, 1_000, controller), /enough/)
    controller.abort(new Error('enough'))
    await slept
    assert.equal(clock.pendingTimers, 0)
  })

  it('tell a deadline that passed from a parent that aborted', async () => {
    const clock = new SimulatedClock()
    const parent = new AbortController()
    const passed = deadline(clock, 10, { reason: () => new Error('too late') })
    const aborted = deadline(clock, 20, { signal: parent.signal })
    await clock.advance(10)
    parent.abort()
    assert.deepEqual([passed.isOver, passed.signal.reason], [true, new Error('too late')])
    assert.deepEqual([aborted.isOver, aborted.signal.aborted], [false, true])
    aborted[Symbol.dispose]()
    assert.equal(clock.pendingTimers, 0)
  })

  it('hand over what bounded work brings too late', async () => {
    const clock = new SimulatedClock()
    const gate = Promise.withResolvers<string>()
    const late: string[] = []
    const outcome = assert.rejects(
      bounded(async () => await gate.promise, {
        clock,
        timeoutMs: 5,
        timeoutError: () => new Error('too late'),
        onLate: (value) => late.push(value),
      }),
      /too late/,
    )
    await clock.advance(5)
    await outcome
    gate.resolve('a socket')
    await clock.advance(0)
    assert.deepEqual(late, ['a socket'])
  })
})
