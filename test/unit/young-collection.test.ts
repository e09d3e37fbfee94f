import assert from 'node:assert/strict'
import { constants, PerformanceObserver } from 'node:perf_hooks'
import { describe, it } from 'node:test'
import { runInNewContext } from 'node:vm'
import { COLLECT_EVERY_BYTES, YoungCollection } from '../../modules/network/young-collection.ts'

describe('collections of the young generation', () => {
  it('asks for one each time the bound is reached, and looks for the way to ask once', () => {
    const asked: unknown[] = []
    let looked = 0
    const collection = new YoungCollection(() => {
      looked += 1
      return (options) => asked.push(options)
    })
    collection.note(COLLECT_EVERY_BYTES - 1)
    assert.deepEqual([asked.length, looked], [0, 0])
    collection.note(1)
    assert.deepEqual([asked, looked], [[{ type: 'minor' }], 1])
    collection.note(3 * COLLECT_EVERY_BYTES)
    collection.note(COLLECT_EVERY_BYTES - 1)
    assert.deepEqual([asked.length, looked], [2, 1])
  })

  it('leaves it to V8 where there is no way to ask', () => {
    let looked = 0
    const collection = new YoungCollection(() => {
      looked += 1
      return null
    })
    for (let i = 0; i < 3; i++) collection.note(COLLECT_EVERY_BYTES)
    assert.equal(looked, 1)
  })

  it('has V8 collect, and leaves the flags of V8 as they were', { timeout: 30_000 }, async () => {
    const asked = Promise.withResolvers<void>()
    const observer = new PerformanceObserver((list) => {
      const { NODE_PERFORMANCE_GC_MINOR: minor, NODE_PERFORMANCE_GC_FLAGS_FORCED: forced } = constants
      const details = list.getEntries().map((entry) => Reflect.get(entry, 'detail') as { kind: number; flags: number })
      if (details.some(({ kind, flags }) => kind === minor && (flags & forced) !== 0)) asked.resolve()
    })
    observer.observe({ entryTypes: ['gc'] })
    new YoungCollection().note(COLLECT_EVERY_BYTES)
    await asked.promise
    observer.disconnect()
    assert.equal(runInNewContext('typeof gc'), 'undefined')
  })
})
