import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { isNzError, kernelEvents, KernelService } from '../../../kernel/index.ts'
import { forever, kernelOf, recorder } from './fixture.ts'
import type { Health, Kernel, KernelInit, ModuleContext, ModuleStatus, SimulatedClock } from '../../../kernel/index.ts'
import type { Behaviour } from './fixture.ts'

const noTrace: string[] = []

/** A module that can be told to fail, and the times at which it started. */
function crasher(
  name: string,
  clock: () => SimulatedClock,
  behaviour: Behaviour = {},
): { module: ReturnType<typeof recorder>; startsMs: number[]; crash: (error?: unknown) => void; finish: () => void } {
  const startsMs: number[] = []
  let context: ModuleContext | null = null
  const module = recorder(name, [], noTrace, {
    ...behaviour,
    async start(own, signal) {
      context = own
      startsMs.push(clock().monotonicMs())
      await behaviour.start?.(own, signal)
    },
  })
  return {
    module,
    startsMs,
    crash: (error = new Error('crashed')) => context?.fail(error),
    finish: () => context?.finish(),
  }
}

function statusOf(kernel: Kernel, name: string): ModuleStatus {
  const status = kernel
    .get(KernelService)
    .modules()
    .find((module) => module.name === name)
  return status ?? assert.fail(`no module ${name}`)
}

const limits: KernelInit['supervision'] = { maxRestarts: 3, windowMs: 60_000, probeIntervalMs: 10_000 }

describe('a module that crashes', () => {
  it('runs again after 1, 2 and 4 s, and is given up at the limit', async () => {
    let clock: SimulatedClock
    let crashes = 0
    const a = crasher('a', () => clock, {
      start() {
        if (crashes++ > 0) throw Object.assign(new Error('no'), { code: 'EXAMPLE' })
      },
    })
    const fixture = kernelOf([a.module], { supervision: limits })
    const { kernel } = fixture
    clock = fixture.clock
    const told: string[] = []
    const { signal } = new AbortController()
    kernel.events.on(kernelEvents.restartScheduled, ({ delayMs, code }) => void told.push(`${delayMs} ${code}`), {
      signal,
    })
    kernel.events.on(kernelEvents.moduleGivenUp, ({ restarts }) => void told.push(`given up after ${restarts}`), {
      signal,
    })
    await kernel.start()
    a.crash()
    await clock.advance(0)
    assert.equal(kernel.state, 'degraded')
    assert.deepEqual(
      [statusOf(kernel, 'a').state, statusOf(kernel, 'a').restartAtMs],
      ['failed', clock.nowMs() + 1_000],
    )
    await clock.advance(60_000)
    assert.deepEqual(a.startsMs, [0, 1_000, 3_000, 7_000])
    assert.deepEqual(told, ['1000 NZ_KERNEL_MODULE_FAILED', '2000 EXAMPLE', '4000 EXAMPLE', 'given up after 3'])
    const { state, restarts, lastErrorCode, restartAtMs } = statusOf(kernel, 'a')
    assert.deepEqual(
      { state, restarts, lastErrorCode, restartAtMs },
      { state: 'failed', restarts: 3, lastErrorCode: 'EXAMPLE', restartAtMs: null },
    )
    assert.equal(clock.pendingTimers, 0)
    await kernel.stop()
  })

  it('takes its dependents along, in order, and leaves the others alone', async () => {
    const trace: string[] = []
    let fail: ModuleContext['fail'] = () => {}
    const db = recorder('db', [], trace, { start: (context) => void ({ fail } = context) })
    const { kernel, clock } = kernelOf(
      [db, recorder('shop', ['db'], trace), recorder('till', ['shop', 'db'], trace), recorder('lamp', [], trace)],
      { supervision: limits },
    )
    await kernel.start()
    trace.length = 0
    fail(new Error('crashed'))
    await clock.advance(0)
    const down = ['stop till', 'release till', 'stop shop', 'release shop', 'stop db', 'release db']
    assert.deepEqual(trace, down)
    assert.deepEqual(
      ['db', 'shop', 'till', 'lamp'].map((name) => statusOf(kernel, name).state),
      ['failed', 'stopped', 'stopped', 'running'],
    )
    await clock.advance(1_000)
    const up = ['setup db', 'start db', 'setup shop', 'start shop', 'setup till', 'start till']
    assert.deepEqual(trace, [...down, ...up])
    assert.equal(kernel.state, 'running')
    assert.equal(statusOf(kernel, 'till').restarts, 0)
    await kernel.stop()
  })

  it('leaves its dependents stopped when it is given up, and says so', async () => {
    const trace: string[] = []
    let fail: ModuleContext['fail'] = () => {}
    const db = recorder('db', [], trace, { start: (context) => void ({ fail } = context) })
    const { kernel, clock } = kernelOf([db, recorder('shop', ['db'], trace), recorder('lamp', [], trace)], {
      supervision: { ...limits, maxRestarts: 0 },
    })
    const told: string[][] = []
    const { signal } = new AbortController()
    kernel.events.on(kernelEvents.moduleGivenUp, ({ dependents }) => void told.push(dependents), { signal })
    await kernel.start()
    fail(new Error('crashed'))
    await clock.advance(60_000)
    assert.deepEqual(
      ['db', 'shop', 'lamp'].map((name) => statusOf(kernel, name).state),
      ['failed', 'stopped', 'running'],
    )
    assert.deepEqual(told, [['shop']])
    assert.equal(kernel.state, 'degraded')
    await kernel.stop()
    assert.deepEqual(trace.slice(-2), ['stop lamp', 'release lamp'])
  })

  it('starts again with the shortest wait after a stable time', async () => {
    let clock: SimulatedClock
    const a = crasher('a', () => clock)
    const fixture = kernelOf([a.module], { supervision: { ...limits, maxRestarts: 9, stableAfterMs: 30_000 } })
    clock = fixture.clock
    await fixture.kernel.start()
    a.crash()
    await clock.advance(1_000)
    a.crash()
    await clock.advance(2_000 + 30_000)
    a.crash()
    await clock.advance(1_000)
    assert.deepEqual(a.startsMs, [0, 1_000, 3_000, 34_000])
    await fixture.kernel.stop()
  })

  it('is reported once, however often it says so', async () => {
    let clock: SimulatedClock
    const a = crasher('a', () => clock)
    const fixture = kernelOf([a.module], { supervision: limits })
    clock = fixture.clock
    await fixture.kernel.start()
    a.crash()
    a.crash()
    await clock.advance(0)
    a.crash()
    await clock.advance(1_000)
    assert.equal(statusOf(fixture.kernel, 'a').restarts, 1)
    await fixture.kernel.stop()
  })

  it('stops the node when it is essential', async () => {
    let clock: SimulatedClock
    const a = crasher('a', () => clock, { restart: 'essential' })
    const { kernel, ...fixture } = kernelOf([recorder('b', [], noTrace), a.module])
    clock = fixture.clock
    await kernel.start()
    const cause = new Error('broken disk')
    a.crash(cause)
    await clock.advance(0)
    const { reason, error } = await kernel.stopped
    assert.equal(reason, 'module a failed')
    assert.ok(isNzError(error, 'NZ_KERNEL_ESSENTIAL_FAILED'))
    assert.equal(error.cause, cause)
    assert.equal(kernel.state, 'stopped')
  })

  it('stops the node when an essential one cannot do without it', async () => {
    let fail: ModuleContext['fail'] = () => {}
    const db = recorder('db', [], noTrace, { start: (context) => void ({ fail } = context) })
    const shop = recorder('shop', ['db'], noTrace, { restart: 'essential' })
    const { kernel, clock } = kernelOf([db, shop], { supervision: { ...limits, maxRestarts: 0 } })
    await kernel.start()
    fail(new Error('crashed'))
    await clock.advance(0)
    assert.equal((await kernel.stopped).reason, 'module shop failed')
  })

  it('does not run again while the node stops', async () => {
    let clock: SimulatedClock
    const a = crasher('a', () => clock)
    const fixture = kernelOf([a.module], { supervision: limits })
    clock = fixture.clock
    await fixture.kernel.start()
    a.crash()
    const stopping = fixture.kernel.stop()
    await clock.advance(60_000)
    await stopping
    assert.deepEqual(a.startsMs, [0])
  })

  it('does not hold up the stop of the node with a restart that hangs', async () => {
    let clock: SimulatedClock
    let starts = 0
    const a = crasher('a', () => clock, { start: async () => (starts++ > 0 ? await forever() : undefined) })
    const fixture = kernelOf([a.module], { supervision: limits })
    clock = fixture.clock
    await fixture.kernel.start()
    a.crash()
    await clock.advance(1_000)
    assert.equal(statusOf(fixture.kernel, 'a').state, 'starting')
    await fixture.kernel.stop()
    assert.equal(clock.monotonicMs(), 1_000)
  })
})

describe('restarts', () => {
  it('do not wait for one that hangs and has nothing to do with them', async () => {
    let clock: SimulatedClock
    let starts = 0
    const a = crasher('a', () => clock, { start: async () => (starts++ > 0 ? await forever() : undefined) })
    const b = crasher('b', () => clock, { stop: forever })
    const c = crasher('c', () => clock)
    const fixture = kernelOf([a.module, b.module, c.module], { supervision: limits })
    clock = fixture.clock
    await fixture.kernel.start()
    a.crash()
    b.crash()
    await clock.advance(1_000)
    c.crash()
    await clock.advance(1_000)
    assert.deepEqual(
      ['a', 'b', 'c'].map((name) => statusOf(fixture.kernel, name).state),
      ['starting', 'stopping', 'running'],
    )
    assert.deepEqual(c.startsMs, [0, 2_000])
    await clock.advance(3_000)
    assert.deepEqual(b.startsMs, [0, 5_000])
    const stopping = fixture.kernel.stop()
    await clock.advance(5_000)
    await stopping
  })

  it('cut the start of a module whose ground has gone', async () => {
    const fails: Record<string, ModuleContext['fail']> = {}
    let starts = 0
    const db = recorder('db', [], noTrace, { start: ({ fail }) => void (fails['db'] = fail) })
    const shop = recorder('shop', ['db'], noTrace, {
      async start({ fail }) {
        fails['shop'] = fail
        if (starts++ === 1) await forever()
      },
    })
    const { kernel, clock } = kernelOf([db, shop], { supervision: limits })
    await kernel.start()
    fails['shop']?.(new Error('crashed'))
    await clock.advance(1_000)
    assert.equal(statusOf(kernel, 'shop').state, 'starting')
    fails['db']?.(new Error('crashed'))
    await clock.advance(999)
    assert.deepEqual([statusOf(kernel, 'shop').state, statusOf(kernel, 'db').state], ['failed', 'failed'])
    assert.equal(statusOf(kernel, 'shop').lastErrorCode, 'NZ_KERNEL_DEPENDENCY_FAILED')
    await clock.advance(1)
    assert.equal(kernel.state, 'running')
    assert.equal(statusOf(kernel, 'shop').restarts, 1)
    await kernel.stop()
  })
})

describe('a module that finishes', () => {
  it('rests when it is transient, and the node counts as whole', async () => {
    let clock: SimulatedClock
    const a = crasher('a', () => clock, { restart: 'transient' })
    const { kernel, ...fixture } = kernelOf([a.module])
    clock = fixture.clock
    await kernel.start()
    a.finish()
    await clock.advance(60_000)
    assert.deepEqual([a.startsMs, statusOf(kernel, 'a').state, kernel.state], [[0], 'stopped', 'running'])
    await kernel.stop()
  })

  it('may do so before the others have started', async () => {
    const gate = Promise.withResolvers<void>()
    const quick = recorder('quick', [], noTrace, {
      restart: 'transient',
      setup: ({ finish, clock }) => void clock.setTimer(5, finish),
    })
    const { kernel, clock } = kernelOf([
      quick,
      recorder('slow', [], noTrace, { start: async () => await gate.promise }),
    ])
    const starting = kernel.start()
    await clock.advance(5)
    gate.resolve()
    await starting
    await clock.advance(0)
    assert.equal(statusOf(kernel, 'quick').state, 'stopped')
    await kernel.stop()
  })

  it('runs again when it is permanent', async () => {
    let clock: SimulatedClock
    const a = crasher('a', () => clock)
    const { kernel, ...fixture } = kernelOf([a.module])
    clock = fixture.clock
    await kernel.start()
    a.finish()
    await clock.advance(1_000)
    assert.deepEqual([a.startsMs, statusOf(kernel, 'a').lastErrorCode], [[0, 1_000], null])
    await kernel.stop()
  })
})

describe('health probes', () => {
  const unhealthy: Health = { state: 'unhealthy', code: 'EXAMPLE_DEAF', why: 'nobody listens' }
  const answers: Record<string, () => Promise<Health>> = {
    'says it is unhealthy': async () => unhealthy,
    throws: async () => {
      throw Object.assign(new Error('nobody listens'), { code: 'EXAMPLE_DEAF' })
    },
    'never answers': forever,
  }

  for (const [name, health] of Object.entries(answers)) {
    it(`restart a module that ${name} three times in a row`, async () => {
      let clock: SimulatedClock
      const a = crasher('a', () => clock, { health })
      const fixture = kernelOf([a.module], { supervision: { ...limits, probeTimeoutMs: 2_000 } })
      clock = fixture.clock
      const { kernel } = fixture
      await kernel.start()
      assert.equal(statusOf(kernel, 'a').health, null)
      const answerMs = health === forever ? 2_000 : 0
      await clock.advance(10_000 + answerMs)
      assert.deepEqual([statusOf(kernel, 'a').state, kernel.state], ['degraded', 'degraded'])
      await clock.advance(20_000 + 2 * answerMs)
      assert.equal(statusOf(kernel, 'a').lastErrorCode, 'NZ_KERNEL_UNHEALTHY')
      await clock.advance(1_000)
      assert.deepEqual(a.startsMs, [0, 31_000 + 3 * answerMs])
      assert.equal(statusOf(kernel, 'a').health, null)
      await kernel.stop()
    })
  }

  it('forgive what does not last', async () => {
    let clock: SimulatedClock
    let probes = 0
    const a = crasher('a', () => clock, {
      health: async () => (++probes % 3 === 0 ? { state: 'healthy' } : unhealthy),
    })
    const fixture = kernelOf([a.module], { supervision: limits })
    clock = fixture.clock
    await fixture.kernel.start()
    const states: string[] = []
    const { signal } = new AbortController()
    fixture.kernel.events.on(kernelEvents.healthChanged, ({ state }) => void states.push(state), { signal })
    await clock.advance(90_000)
    assert.deepEqual([probes, a.startsMs], [9, [0]])
    assert.deepEqual(states, ['unhealthy', 'healthy', 'unhealthy', 'healthy', 'unhealthy', 'healthy'])
    await fixture.kernel.stop()
    assert.equal(clock.pendingTimers, 0)
  })

  it('show a degraded module, and do not restart it', async () => {
    let clock: SimulatedClock
    const health = async (): Promise<Health> => ({ state: 'degraded', code: 'EXAMPLE_SLOW', why: 'slow disk' })
    const a = crasher('a', () => clock, { health })
    const fixture = kernelOf([a.module], { supervision: limits })
    clock = fixture.clock
    await fixture.kernel.start()
    await clock.advance(100_000)
    assert.deepEqual([statusOf(fixture.kernel, 'a').state, a.startsMs], ['degraded', [0]])
    await fixture.kernel.stop()
  })

  it('are made at once when somebody wants to know', async () => {
    let clock: SimulatedClock
    const a = crasher('a', () => clock, { health: async () => unhealthy })
    const b = crasher('b', () => clock)
    const fixture = kernelOf([a.module, b.module], { supervision: limits })
    clock = fixture.clock
    await fixture.kernel.start()
    const found = await fixture.kernel.checkHealth({ signal: new AbortController().signal })
    const told = new Map(found.map(({ name, state, health }) => [name, { state, health }]))
    assert.deepEqual(told.get('a'), { state: 'degraded', health: unhealthy })
    assert.deepEqual(told.get('b'), { state: 'running', health: null })
    await fixture.kernel.stop()
    assert.equal(clock.pendingTimers, 0)
  })
})
