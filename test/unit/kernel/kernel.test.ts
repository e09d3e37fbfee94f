import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { z } from 'zod'
import {
  defineEvents,
  defineModule,
  defineService,
  Kernel,
  kernelEvents,
  KernelService,
  provide,
  resolveConfig,
} from '../../../kernel/index.ts'
import { forever, kernelOf, recorder, recordingLogger, without } from './fixture.ts'
import type { KernelState } from '../../../kernel/index.ts'

describe('the order of modules', () => {
  it('sets all up, starts in dependency order and stops in reverse', async () => {
    const trace: string[] = []
    const { kernel } = kernelOf([recorder('b', ['a'], trace), recorder('a', [], trace)])
    await kernel.start()
    await kernel.stop()
    assert.deepEqual(trace, ['setup a', 'setup b', 'start a', 'start b', 'stop b', 'release b', 'stop a', 'release a'])
  })

  it('starts and stops independent modules side by side', async () => {
    const trace: string[] = []
    const gate = Promise.withResolvers<void>()
    const slow = recorder('slow', [], trace, { start: async () => await gate.promise, stop: forever })
    const { kernel, clock } = kernelOf([slow, recorder('quick', [], trace), recorder('next', ['quick'], trace)])
    const starting = kernel.start()
    await clock.advance(0)
    assert.deepEqual(without(trace, 'setup'), ['start quick', 'start next'])
    gate.resolve()
    await starting
    const stopping = kernel.stop()
    await clock.advance(0)
    assert.deepEqual(without(trace, 'setup', 'start', 'release'), ['stop next', 'stop slow', 'stop quick'])
    await clock.advance(5_000)
    await stopping
  })

  it('names the whole path of a cycle', () => {
    const modules = [
      recorder('x', ['a'], []),
      recorder('a', ['b'], []),
      recorder('b', ['c'], []),
      recorder('c', ['a'], []),
    ]
    assert.throws(() => kernelOf(modules), {
      code: 'NZ_KERNEL_DEPENDENCY_CYCLE',
      why: 'a → b → c → a',
      data: { path: ['a', 'b', 'c', 'a'] },
    })
  })

  it('refuses a module that requires its own service', () => {
    assert.throws(() => kernelOf([recorder('a', ['a'], [])]), { data: { path: ['a', 'a'] } })
  })

  it('refuses missing and doubled services and doubled modules before anything runs', () => {
    const trace: string[] = []
    const token = defineService<number>('a')
    assert.throws(() => kernelOf([recorder('b', ['a'], trace)]), {
      code: 'NZ_KERNEL_SERVICE_MISSING',
      data: { service: 'a', module: 'b' },
    })
    const other = { ...recorder('a', [], trace), name: 'other' }
    assert.throws(() => kernelOf([recorder('a', [], trace), other]), {
      code: 'NZ_KERNEL_SERVICE_TWICE',
      data: { service: 'a', modules: ['a', 'other'] },
    })
    assert.throws(() => kernelOf([recorder('a', [], trace)], { services: [provide(token, 1)] }), {
      code: 'NZ_KERNEL_SERVICE_TWICE',
    })
    assert.throws(() => kernelOf([], { services: [provide(token, 1), provide(token, 2)] }), {
      code: 'NZ_KERNEL_SERVICE_TWICE',
    })
    assert.throws(() => kernelOf([recorder('a', [], trace), recorder('a', [], trace)]), {
      code: 'NZ_KERNEL_MODULE_TWICE',
    })
    assert.deepEqual(trace, [])
  })
})

describe('services', () => {
  it('gives a module what it requires and nothing else', async () => {
    const secret = defineService<string>('secret')
    const open = defineService<string>('open')
    let seen: object = {}
    const module = defineModule({
      name: 'm',
      config: z.strictObject({}),
      requires: { open },
      provides: {},
      emits: {},
      capabilities: [],
      restart: 'permanent',
      setup(_context, services) {
        seen = services
        return { services: {} }
      },
    })
    const { kernel } = kernelOf([module], { services: [provide(open, 'o'), provide(secret, 's')] })
    await kernel.start()
    assert.deepEqual(seen, { open: 'o' })
    assert.ok(Object.isFrozen(seen))
    await kernel.stop()
  })

  it('refuses a module that does not return what it provides', async () => {
    const broken = { ...recorder('a', [], []), setup: () => ({ services: {} }) }
    await assert.rejects(kernelOf([broken]).kernel.start(), /returned no service "self"/)
  })

  it('shows modules the state of the kernel', async () => {
    let service: KernelService | null = null
    const watcher = defineModule({
      name: 'watcher',
      config: z.strictObject({}),
      requires: { kernel: KernelService },
      provides: {},
      emits: {},
      capabilities: [],
      restart: 'permanent',
      setup(_context, { kernel }) {
        service = kernel
        return { services: {} }
      },
    })
    const { kernel, clock } = kernelOf([watcher, recorder('a', [], [])])
    await kernel.start()
    const seen = kernel.get(KernelService)
    assert.equal(service, seen)
    assert.equal(seen.startedAtMs, clock.nowMs())
    assert.equal(seen.state, 'running')
    assert.deepEqual(
      seen.modules().map(({ name, state, restarts, lastErrorCode }) => ({ name, state, restarts, lastErrorCode })),
      [
        { name: 'watcher', state: 'running', restarts: 0, lastErrorCode: null },
        { name: 'a', state: 'running', restarts: 0, lastErrorCode: null },
      ],
    )
    seen.requestStop('a test')
    assert.equal(seen.state, 'running')
    await clock.advance(0)
    assert.deepEqual(await kernel.stopped, { reason: 'a test', error: null })
    assert.equal(kernel.state, 'stopped')
  })
})

describe('a start that fails', () => {
  it('rolls back in reverse and leaves dependents unstarted', async () => {
    const trace: string[] = []
    const fails = recorder('c', ['b'], trace, {
      start() {
        throw new Error('c cannot start')
      },
    })
    const { kernel } = kernelOf([
      recorder('a', [], trace),
      recorder('b', ['a'], trace),
      fails,
      recorder('d', ['c'], trace),
    ])
    await assert.rejects(kernel.start(), /c cannot start/)
    assert.equal(kernel.state, 'stopped')
    assert.deepEqual(without(trace, 'setup'), [
      'start a',
      'start b',
      'stop c',
      'release c',
      'release d',
      'stop b',
      'release b',
      'stop a',
      'release a',
    ])
    const states = kernel.get(KernelService).modules()
    assert.deepEqual(
      states.map(({ name, state }) => `${name} ${state}`),
      ['a stopped', 'b stopped', 'c failed', 'd stopped'],
    )
  })

  it('releases what was set up when a later setup throws', async () => {
    const trace: string[] = []
    const fails = recorder('b', [], trace, {
      setup() {
        throw new Error('b cannot be set up')
      },
    })
    await assert.rejects(kernelOf([recorder('a', [], trace), fails]).kernel.start(), /b cannot be set up/)
    assert.deepEqual(trace, ['setup a', 'setup b', 'release b', 'release a'])
  })

  it('is cut at its deadline, also in setup', async () => {
    for (const phase of ['setup', 'start'] as const) {
      const { kernel, clock } = kernelOf([recorder('a', [], [], { [phase]: forever })], { startTimeoutMs: 1_000 })
      const outcome = assert.rejects(kernel.start(), {
        code: 'NZ_KERNEL_START_TIMEOUT',
        data: { module: 'a', during: phase, timeoutMs: 1_000 },
      })
      await clock.advance(999)
      assert.equal(kernel.state, 'starting')
      await clock.advance(1)
      await outcome
      assert.equal(kernel.state, 'stopped')
      assert.equal(clock.pendingTimers, 0)
    }
  })

  it('cannot leak what a cut setup or start opens later', async () => {
    for (const phase of ['setup', 'start'] as const) {
      const trace: string[] = []
      const gate = Promise.withResolvers<void>()
      const late = recorder('a', [], trace, {
        async [phase](context: { scope: { defer(release: () => void): void } }) {
          await gate.promise
          trace.push('open late')
          context.scope.defer(() => {
            trace.push('close late')
          })
        },
      })
      const { kernel, clock } = kernelOf([late], { startTimeoutMs: 10 })
      const outcome = assert.rejects(kernel.start(), { code: 'NZ_KERNEL_START_TIMEOUT' })
      await clock.advance(10)
      await outcome
      trace.length = 0
      gate.resolve()
      await clock.advance(0)
      assert.deepEqual(without(trace, 'start'), ['open late', 'close late', 'stop a'])
    }
  })

  it('cuts the others at once', async () => {
    let isCut = false
    const slow = recorder('slow', [], [], {
      async start(_context, signal) {
        signal.addEventListener('abort', () => (isCut = true))
        await forever()
      },
    })
    const fails = recorder('fails', [], [], {
      start() {
        throw new Error('no')
      },
    })
    await assert.rejects(kernelOf([slow, fails]).kernel.start(), /no/)
    assert.ok(isCut)
  })

  it('is the fate of a module that reports a failure while it starts', async () => {
    const fails = recorder('a', [], [], {
      async start({ fail }) {
        fail(new Error('lost it'))
        await forever()
      },
    })
    await assert.rejects(kernelOf([fails]).kernel.start(), /lost it/)
  })

  it('can be asked for by stop', async () => {
    const { kernel } = kernelOf([recorder('a', [], [], { start: forever })])
    const outcome = assert.rejects(kernel.start(), { code: 'NZ_KERNEL_START_INTERRUPTED', why: 'interrupted' })
    await kernel.stop('interrupted')
    await outcome
    assert.deepEqual(await kernel.stopped, { reason: 'interrupted', error: null })
  })
})

describe('a stop', () => {
  it('is not blocked by a module that hangs, throws, or does not release', async () => {
    const trace: string[] = []
    const hangs = recorder('hangs', ['a'], trace, { stop: forever })
    const throws = recorder('throws', ['a'], trace, {
      stop() {
        throw new Error('no')
      },
    })
    const keeps = recorder('keeps', ['a'], trace, { setup: ({ scope }) => scope.defer(forever) })
    const { kernel, clock, log } = kernelOf([recorder('a', [], trace), hangs, throws, keeps])
    await kernel.start()
    trace.length = 0
    const stopping = kernel.stop()
    await clock.advance(10_000)
    await stopping
    assert.deepEqual(trace.slice(-2), ['stop a', 'release a'])
    assert.deepEqual(
      log.lines.filter(({ level }) => level === 'warn').map(({ event, fields }) => [event, fields['module']]),
      [
        ['kernel.stopFailed', 'throws'],
        ['kernel.stopFailed', 'hangs'],
        ['kernel.releaseFailed', 'keeps'],
      ],
    )
    assert.equal(kernel.state, 'stopped')
  })

  it('is bounded as a whole', async () => {
    const modules = Array.from({ length: 8 }, (_, i) =>
      recorder(`m${i}`, i === 0 ? [] : [`m${i - 1}`], [], {
        stop: forever,
        setup: ({ scope }) => scope.defer(forever),
      }),
    )
    const { kernel, clock } = kernelOf(modules, { shutdownTimeoutMs: 10_000 })
    await kernel.start()
    const beganMs = clock.monotonicMs()
    let tookMs = 0
    void kernel.stop().then(() => (tookMs = clock.monotonicMs() - beganMs))
    await clock.advance(60_000)
    assert.ok(tookMs <= 10_000 + 8 * 200, `${tookMs} ms`)
  })

  it('may be asked for many times', async () => {
    const trace: string[] = []
    const { kernel } = kernelOf([recorder('a', [], trace)])
    await kernel.start()
    await Promise.all([kernel.stop(), kernel.stop(), kernel.stop()])
    assert.deepEqual(without(trace, 'setup', 'start'), ['stop a', 'release a'])
    await assert.rejects(kernel.start(), { code: 'NZ_KERNEL_STATE' })
  })
})

describe('states', () => {
  it('are told as events', async () => {
    const { kernel, clock } = kernelOf([recorder('a', [], [])])
    const states: string[] = []
    const { signal } = new AbortController()
    kernel.events.on(kernelEvents.moduleStateChanged, ({ from, to }) => void states.push(`${from} → ${to}`), { signal })
    const seen: KernelState[] = [kernel.state]
    const starting = kernel.start()
    seen.push(kernel.state)
    await starting
    seen.push(kernel.state)
    await kernel.stop()
    await clock.advance(0)
    assert.deepEqual(states, [
      'created → setting-up',
      'setting-up → ready',
      'ready → starting',
      'starting → running',
      'running → stopping',
      'stopping → stopped',
    ])
    assert.deepEqual(seen, ['created', 'starting', 'running'])
  })
})

describe('configuration', () => {
  it('is refused before anything runs', async () => {
    const trace: string[] = []
    const { kernel } = kernelOf([recorder('a', [], trace)], { config: { a: { levle: 1 } } })
    await assert.rejects(kernel.start(), { code: 'NZ_KERNEL_CONFIG_INVALID', why: /did you mean a\.level/ })
    assert.deepEqual(trace, [])
  })

  it('is taken over without a restart where a module can', async () => {
    const taken: unknown[] = []
    const modules = [
      recorder('can', [], [], { reload: async (config) => void taken.push(config) }),
      recorder('cannot', [], []),
      recorder('refuses', [], [], {
        reload: async () => {
          throw new Error('no')
        },
      }),
      recorder('same', [], [], { reload: async () => assert.fail('nothing changed') }),
    ]
    const { kernel } = kernelOf(modules, { config: resolveConfig({ modules, layers: [] }) })
    await kernel.start()
    const service = kernel.get(KernelService)
    const values = { can: { level: 1 }, cannot: { level: 1 }, refuses: { level: 1 } }
    const report = await service.reload([{ origin: 'file', values }])
    assert.deepEqual(report, { reloaded: ['can'], needRestart: ['cannot'], failed: ['refuses'] })
    assert.deepEqual(taken, [{ level: 1 }])
    assert.equal(service.config.explain('can.level').origin, 'file')
    await assert.rejects(service.reload([{ origin: 'file', values: { can: { level: 'x' } } }]), {
      code: 'NZ_KERNEL_CONFIG_INVALID',
    })
    assert.equal(service.config.explain('can.level').value, 1)
    await kernel.stop()
  })
})

describe('events of a module', () => {
  const events = defineEvents('m', { told: z.object({ n: z.number() }) })
  const teller = (emits: Record<string, (typeof events)['told']>): ReturnType<typeof recorder> =>
    defineModule({
      ...recorder('m', [], []),
      emits,
      setup: (context) => ({
        services: { self: {} },
        start: async () => context.events.emit(events.told, { n: 1 }),
      }),
    })

  it('must be declared', async () => {
    await assert.rejects(kernelOf([teller({})]).kernel.start(), /m does not declare m\.told/)
    const { kernel } = kernelOf([teller({ told: events.told })])
    await kernel.start()
    await kernel.stop()
  })

  it('are logged, not thrown, where a daemon must live on', async () => {
    const log = recordingLogger()
    const kernel = new Kernel({ modules: [teller({})], config: {}, log })
    await kernel.start()
    await kernel.stop()
    assert.ok(log.lines.some(({ event }) => event === 'kernel.eventInvalid'))
  })
})
