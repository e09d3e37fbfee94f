/** Random graphs of modules, some of which fail, hang or cannot be put together. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { isNzError, sleep, systemClock } from '../../../kernel/index.ts'
import { forever, kernelOf, recorder, without } from './fixture.ts'
import type { AnyModule, ModuleContext } from '../../../kernel/index.ts'
import type { Behaviour } from './fixture.ts'

/** For each module, the earlier ones it needs: never a cycle. */
const acyclic = fc
  .integer({ min: 1, max: 12 })
  .chain((size) =>
    fc.tuple(...Array.from({ length: size }, (_, i) => fc.subarray(Array.from({ length: i }, (_unused, j) => j)))),
  )

/** For each module, any ones it needs. */
const anyGraph = fc
  .integer({ min: 1, max: 8 })
  .chain((size) =>
    fc.array(fc.array(fc.nat({ max: size - 1 }), { maxLength: 2 }), { minLength: size, maxLength: size }),
  )

function modulesOf(
  edges: readonly (readonly number[])[],
  trace: string[],
  behaviour: (index: number) => Behaviour = () => ({}),
): AnyModule[] {
  return edges.map((needs, i) =>
    recorder(
      `m${i}`,
      [...new Set(needs)].map((j) => `m${j}`),
      trace,
      behaviour(i),
    ),
  )
}

describe('for any graph of modules', () => {
  it('each starts after, and stops before, what it requires, in whatever order they are named', async () => {
    const shuffled = acyclic.chain((edges) =>
      fc.tuple(
        fc.constant(edges),
        fc.shuffledSubarray(
          edges.map((_, i) => i),
          { minLength: edges.length },
        ),
      ),
    )
    await fc.assert(
      fc.asyncProperty(shuffled, async ([edges, order]) => {
        const trace: string[] = []
        const modules = modulesOf(edges, trace)
        const { kernel } = kernelOf(order.flatMap((i) => modules[i] ?? []))
        await kernel.start()
        await kernel.stop()
        edges.forEach((needs, i) => {
          for (const j of needs) {
            assert.ok(trace.indexOf(`setup m${j}`) < trace.indexOf(`setup m${i}`))
            assert.ok(trace.indexOf(`start m${j}`) < trace.indexOf(`start m${i}`))
            assert.ok(trace.indexOf(`release m${i}`) < trace.indexOf(`stop m${j}`))
          }
          for (const step of ['setup', 'start', 'stop', 'release'])
            assert.equal(trace.filter((line) => line === `${step} m${i}`).length, 1)
        })
      }),
      { numRuns: 100 },
    )
  })

  it('a start that fails or hangs anywhere leaves nothing behind', async () => {
    const outcome = fc.constantFrom('well', 'well', 'well', 'throws', 'hangs', 'setup throws', 'stop hangs')
    const outcomes = fc.array(outcome, { minLength: 12, maxLength: 12 })
    await fc.assert(
      fc.asyncProperty(acyclic, outcomes, async (edges, how) => {
        const trace: string[] = []
        const fail = (): never => {
          throw new Error('no')
        }
        const modules = modulesOf(edges, trace, (i) => ({
          ...(how[i] === 'throws' ? { start: fail } : {}),
          ...(how[i] === 'hangs' ? { start: forever } : {}),
          ...(how[i] === 'setup throws' ? { setup: fail } : {}),
          ...(how[i] === 'stop hangs' ? { stop: forever } : {}),
        }))
        const { kernel, clock } = kernelOf(modules, { startTimeoutMs: 100 })
        const isSound = edges.every((_, i) => how[i] === 'well' || how[i] === 'stop hangs')
        const starting = kernel.start().then(
          async () => {
            await kernel.stop()
            return true
          },
          () => false,
        )
        await clock.advance(60_000)
        assert.equal(await starting, isSound)
        assert.equal(kernel.state, 'stopped')
        assert.equal(clock.pendingTimers, 0)
        edges.forEach((needs, i) => {
          const count = (step: string): number => trace.filter((line) => line === `${step} m${i}`).length
          assert.equal(count('release'), count('setup'))
          assert.ok(count('start') <= count('stop'))
          for (const j of needs) if (count('start') === 1) assert.ok(without(trace, 'setup').includes(`start m${j}`))
        })
      }),
      { numRuns: 100 },
    )
  })

  it('whatever crashes and when, each runs only above running ones, and all run in the end', async () => {
    const crash = fc.record({ module: fc.nat({ max: 7 }), afterMs: fc.constantFrom(0, 1, 700, 1_000, 5_000, 70_000) })
    const startsMs = fc.array(fc.constantFrom(0, 0, 50, 900, 3_000), { minLength: 12, maxLength: 12 })
    await fc.assert(
      fc.asyncProperty(acyclic, startsMs, fc.array(crash, { maxLength: 12 }), async (edges, delaysMs, crashes) => {
        const trace: string[] = []
        const running = new Set<number>()
        const contexts: ModuleContext[] = []
        const modules = modulesOf(edges, trace, (i) => ({
          setup(context) {
            contexts[i] = context
          },
          async start({ clock }, signal) {
            for (const j of edges[i] ?? []) assert.ok(running.has(j), `m${i} started without m${j}`)
            await sleep(clock, delaysMs[i] ?? 0, { signal })
            running.add(i)
          },
          async stop(signal) {
            edges.forEach((needs, j) => assert.ok(!needs.includes(i) || !running.has(j), `m${i} left m${j} behind`))
            if (running.has(i)) await sleep(contexts[i]?.clock ?? systemClock, delaysMs[11 - i] ?? 0, { signal })
            running.delete(i)
          },
        }))
        const { kernel, clock, log } = kernelOf(modules, {
          supervision: { maxRestarts: 100 },
          shutdownTimeoutMs: 120_000,
        })
        const starting = kernel.start()
        await clock.advance(60_000)
        await starting
        for (const { module, afterMs } of crashes) {
          await clock.advance(afterMs)
          contexts[module]?.fail(new Error('crashed'))
        }
        await clock.advance(600_000)
        assert.equal(kernel.state, 'running')
        assert.equal(running.size, edges.length)
        const stopping = kernel.stop()
        await clock.advance(60_000)
        await stopping
        assert.equal(running.size, 0)
        assert.deepEqual(
          log.lines.filter(({ event }) => event === 'kernel.stopFailed'),
          [],
        )
      }),
      { numRuns: 100 },
    )
  })

  it('a cycle is named by its own path, and only a cycle', () => {
    fc.assert(
      fc.property(anyGraph, (edges) => {
        try {
          kernelOf(modulesOf(edges, []))
        } catch (error) {
          assert.ok(isNzError(error, 'NZ_KERNEL_DEPENDENCY_CYCLE'))
          const path = (error.data['path'] as string[]).map((name) => Number(name.slice(1)))
          assert.equal(path[0], path.at(-1))
          assert.equal(new Set(path).size, path.length - 1)
          for (let at = 0; at + 1 < path.length; at++) assert.ok(edges[path[at] ?? -1]?.includes(path[at + 1] ?? -1))
          return
        }
        const reach = edges.map((needs) => new Set(needs))
        for (const via of reach.keys())
          for (const set of reach) if (set.has(via)) for (const next of reach[via] ?? []) set.add(next)
        reach.forEach((set, i) => assert.ok(!set.has(i), `m${i} needs itself`))
      }),
      { numRuns: 300 },
    )
  })
})
