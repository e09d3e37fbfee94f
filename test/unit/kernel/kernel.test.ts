import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { z } from 'zod'
import { defineModule, defineService, Kernel } from '../../../kernel/index.ts'
import type { AnyModule, Logger } from '../../../kernel/index.ts'

const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} }

/** A module that only records when it starts and stops. */
function recorder(name: string, needs: readonly string[], trace: string[], fails = false): AnyModule {
  return defineModule({
    name,
    config: z.strictObject({}),
    requires: Object.fromEntries(needs.map((id) => [id, defineService<unknown>(id)])),
    provides: { self: defineService<unknown>(name) },
    emits: {},
    capabilities: [],
    restart: 'permanent',
    setup({ scope }) {
      scope.defer(() => {
        trace.push(`release ${name}`)
      })
      return {
        services: { self: {} },
        async start() {
          if (fails) throw new Error(`${name} cannot start`)
          trace.push(`start ${name}`)
        },
        async stop() {
          trace.push(`stop ${name}`)
        },
      }
    },
  })
}

describe('Kernel', () => {
  it('starts in dependency order and stops in reverse', async () => {
    const trace: string[] = []
    const kernel = new Kernel({
      modules: [recorder('b', ['a'], trace), recorder('a', [], trace)],
      config: {},
      log: silent,
    })
    await kernel.start()
    await kernel.stop()
    assert.deepEqual(trace, ['start a', 'start b', 'stop b', 'release b', 'stop a', 'release a'])
  })

  it('stops what had started when a later module fails', async () => {
    const trace: string[] = []
    const kernel = new Kernel({
      modules: [recorder('a', [], trace), recorder('b', ['a'], trace, true)],
      config: {},
      log: silent,
    })
    await assert.rejects(kernel.start(), /b cannot start/)
    assert.equal(kernel.state, 'stopped')
    assert.deepEqual(trace, ['start a', 'stop b', 'release b', 'stop a', 'release a'])
  })

  it('reports a cycle with its path', () => {
    assert.throws(
      () => new Kernel({ modules: [recorder('a', ['b'], []), recorder('b', ['a'], [])], config: {}, log: silent }),
      { code: 'NZ_KERNEL_DEPENDENCY_CYCLE', data: { path: ['a', 'b', 'a'] } },
    )
  })

  it('rejects an unknown configuration key', async () => {
    const kernel = new Kernel({ modules: [recorder('a', [], [])], config: { a: { typo: 1 } }, log: silent })
    await assert.rejects(kernel.start(), { code: 'NZ_KERNEL_CONFIG_INVALID' })
  })

  it('gives up on a module that never starts', async () => {
    const stuck = { ...recorder('a', [], []), setup: () => new Promise<never>(() => {}) }
    const keepAlive = setTimeout(() => {}, 5_000)
    const kernel = new Kernel({ modules: [stuck], config: {}, log: silent, startTimeoutMs: 20 })
    await assert.rejects(kernel.start(), { code: 'NZ_KERNEL_START_TIMEOUT', retryable: true })
    clearTimeout(keepAlive)
  })

  it('never starts a module before what it requires, for any acyclic graph', async () => {
    const graph = fc
      .integer({ min: 1, max: 12 })
      .chain((size) =>
        fc.tuple(...Array.from({ length: size }, (_, i) => fc.subarray(Array.from({ length: i }, (_unused, j) => j)))),
      )
    await fc.assert(
      fc.asyncProperty(graph, fc.infiniteStream(fc.nat()), async (edges, random) => {
        const trace: string[] = []
        const modules = edges.map((needs, i) =>
          recorder(
            `m${i}`,
            needs.map((j) => `m${j}`),
            trace,
          ),
        )
        const keys = modules.map(() => random.next().value as number)
        const shuffled = modules
          .map((module, i) => ({ module, key: keys[i] ?? 0 }))
          .sort((a, b) => a.key - b.key)
          .map(({ module }) => module)
        const kernel = new Kernel({ modules: shuffled, config: {}, log: silent })
        await kernel.start()
        edges.forEach((needs, i) => {
          for (const j of needs) assert.ok(trace.indexOf(`start m${j}`) < trace.indexOf(`start m${i}`))
        })
        await kernel.stop()
      }),
      { numRuns: 100 },
    )
  })
})
