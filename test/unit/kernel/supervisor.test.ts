import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { backoffDelayMs, defaultSupervisorOptions, seededRandom, Supervisor } from '../../../kernel/index.ts'
import type { ChildSpec, SupervisorOptions } from '../../../kernel/index.ts'

function supervisorOf(children: readonly ChildSpec[], options: Partial<SupervisorOptions> = {}): Supervisor {
  const supervisor = new Supervisor({ ...defaultSupervisorOptions, ...options }, seededRandom(1))
  for (const child of children) supervisor.add(child)
  return supervisor
}

function startDue(supervisor: Supervisor, nowMs: number): string[] {
  const started = supervisor.due(nowMs).filter((name) => {
    const isBegun = supervisor.begin(name)
    if (isBegun) supervisor.started(name, nowMs)
    return isBegun
  })
  return started
}

describe('Supervisor', () => {
  it('doubles the wait up to a minute and gives up after the ninth failure in ten minutes', () => {
    const supervisor = supervisorOf([{ name: 'a', restart: 'permanent', requires: [] }])
    startDue(supervisor, 0)
    const delays: number[] = []
    let nowMs = 0
    for (;;) {
      const verdict = supervisor.ended('a', 'failed', nowMs)
      if (verdict.action !== 'restart') {
        assert.deepEqual(verdict, { action: 'giveUp', restarts: 8, takeDown: ['a'] })
        break
      }
      delays.push(verdict.delayMs)
      assert.equal(supervisor.nextDueMs(), nowMs + verdict.delayMs)
      assert.deepEqual(supervisor.due(nowMs + verdict.delayMs - 1), [])
      nowMs += verdict.delayMs
      assert.deepEqual(startDue(supervisor, nowMs), ['a'])
    }
    assert.deepEqual(delays, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000])
    assert.equal(supervisor.nextDueMs(), null)
  })

  it('forgets restarts that are older than the window', () => {
    const supervisor = supervisorOf([{ name: 'a', restart: 'permanent', requires: [] }], {
      maxRestarts: 1,
      windowMs: 100_000,
    })
    startDue(supervisor, 0)
    for (const nowMs of [0, 100_000, 200_000]) {
      assert.equal(supervisor.ended('a', 'failed', nowMs).action, 'restart')
      startDue(supervisor, nowMs + 60_000)
    }
    assert.equal(supervisor.ended('a', 'failed', 261_000).action, 'giveUp')
  })

  it('runs a child again only when what it requires is up', () => {
    const supervisor = supervisorOf([
      { name: 'a', restart: 'permanent', requires: [] },
      { name: 'b', restart: 'permanent', requires: ['a'] },
    ])
    startDue(supervisor, 0)
    supervisor.ended('b', 'failed', 0)
    supervisor.ended('a', 'failed', 500)
    assert.equal(supervisor.nextDueMs(), 1_500)
    assert.deepEqual(supervisor.due(1_200), [])
    assert.deepEqual(startDue(supervisor, 1_500), ['a', 'b'])
  })

  it('ignores a child that is down already', () => {
    const supervisor = supervisorOf([{ name: 'a', restart: 'essential', requires: [] }])
    assert.deepEqual(supervisor.ended('a', 'failed', 0), { action: 'ignore' })
  })

  it('takes children as they come and go', () => {
    const supervisor = supervisorOf([{ name: 'a', restart: 'permanent', requires: [] }])
    supervisor.add({ name: 'b', restart: 'transient', requires: ['a'] })
    assert.deepEqual(startDue(supervisor, 0), ['a', 'b'])
    assert.throws(() => supervisor.remove('a'), /in use/)
    assert.deepEqual(supervisor.ended('b', 'inOrder', 1), { action: 'rest', takeDown: ['b'] })
    supervisor.remove('b')
    assert.throws(() => supervisor.phase('b'), /no such child/)
    assert.throws(() => supervisor.add({ name: 'c', restart: 'transient', requires: ['b'] }), /no such child/)
  })

  it('keeps every child above running ones only, whatever fails and when', () => {
    const graph = fc
      .integer({ min: 1, max: 8 })
      .chain((size) =>
        fc.tuple(...Array.from({ length: size }, (_, i) => fc.subarray(Array.from({ length: i }, (_unused, j) => j)))),
      )
    const step = fc.record({
      child: fc.nat({ max: 7 }),
      how: fc.constantFrom('failed' as const, 'inOrder' as const),
      afterMs: fc.integer({ min: 0, max: 90_000 }),
      startFails: fc.boolean(),
    })
    const policies = fc.array(fc.constantFrom('permanent' as const, 'transient' as const), {
      minLength: 8,
      maxLength: 8,
    })
    fc.assert(
      fc.property(graph, policies, fc.array(step, { maxLength: 60 }), (edges, restarts, steps) => {
        const specs = edges.map((needs, i) => ({
          name: `c${i}`,
          restart: restarts[i] ?? 'permanent',
          requires: needs.map((j) => `c${j}`),
        }))
        const supervisor = supervisorOf(specs, { maxRestarts: 3 })
        const up = new Set(startDue(supervisor, 0))
        let nowMs = 0
        const take = (verdict: ReturnType<Supervisor['ended']>): void => {
          for (const name of 'takeDown' in verdict ? verdict.takeDown : []) {
            // Nothing stops while a running child still needs it.
            for (const { name: other, requires } of specs) if (requires.includes(name)) assert.ok(!up.has(other))
            up.delete(name)
          }
        }
        for (const { child, how, afterMs, startFails } of steps) {
          nowMs += afterMs
          for (const name of supervisor.due(nowMs)) {
            if (!supervisor.begin(name)) continue
            for (const needed of specs.find((spec) => spec.name === name)?.requires ?? []) assert.ok(up.has(needed))
            up.add(name)
            if (startFails) take(supervisor.ended(name, 'failed', nowMs))
            else supervisor.started(name, nowMs)
          }
          if (child < specs.length) take(supervisor.ended(`c${child}`, how, nowMs))
          for (const { name } of specs) assert.equal(supervisor.phase(name) === 'up', up.has(name))
          const nextMs = supervisor.nextDueMs()
          if (nextMs !== null) assert.ok(supervisor.due(Math.max(nextMs, nowMs)).length > 0)
        }
      }),
      { numRuns: 300 },
    )
  })
})

describe('backoffDelayMs', () => {
  it('stays within bounds, and jitter only shortens it', () => {
    const random = seededRandom(7)
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2_000 }), fc.double({ min: 0, max: 1, noNaN: true }), (attempt, jitter) => {
        const options = { firstDelayMs: 1_000, maxDelayMs: 60_000, jitter }
        const full = backoffDelayMs(attempt, { ...options, jitter: 0 }, random)
        const delayMs = backoffDelayMs(attempt, options, random)
        assert.ok(delayMs <= full && delayMs >= full * (1 - jitter) && full <= 60_000 && full >= 1_000)
      }),
    )
  })
})
