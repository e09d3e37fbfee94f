import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { z } from 'zod'
import { createEventBus, defineEvents } from '../../../kernel/index.ts'
import type { EventBus, EventBusInit, EventGap, EventRecord } from '../../../kernel/index.ts'

const events = defineEvents('example', {
  counted: z.object({ n: z.number(), tags: z.array(z.string()).optional() }),
  named: z.object({ name: z.string() }),
})

function busOf(init: Partial<EventBusInit> = {}): EventBus {
  return createEventBus({ onListenerError: () => undefined, ...init })
}

async function settle(): Promise<void> {
  await new Promise<void>((resolve) => setImmediate(resolve))
}

const { signal } = new AbortController()

describe('listeners', () => {
  it('are told later, each in the order of emit', async () => {
    const bus = busOf()
    const heard: string[] = []
    bus.on(events.counted, ({ n }) => void heard.push(`first ${n}`), { signal })
    bus.on(events.counted, async ({ n }) => void heard.push(`second ${n}`), { signal })
    bus.emit(events.counted, { n: 1 })
    bus.emit(events.counted, { n: 2 })
    assert.equal(heard.length, 0)
    await settle()
    assert.deepEqual(
      heard.filter((line) => line.startsWith('first')),
      ['first 1', 'first 2'],
    )
    assert.deepEqual(
      heard.filter((line) => line.startsWith('second')),
      ['second 1', 'second 2'],
    )
  })

  it('that block or throw delay nobody and are counted', async () => {
    const failures: string[] = []
    const bus = busOf({ queueLimit: 3, onListenerError: (_error, name) => failures.push(name) })
    let heard = 0
    let blocked = 0
    bus.on(events.counted, async () => await new Promise<void>(() => void blocked++), { signal })
    bus.on(
      events.counted,
      () => {
        throw new Error('no')
      },
      { signal },
    )
    bus.on(events.counted, async () => await Promise.reject(new Error('later')), { signal })
    bus.on(events.counted, () => void heard++, { signal })
    for (let n = 0; n < 10; n++) {
      bus.emit(events.counted, { n })
      await settle()
    }
    assert.deepEqual([heard, blocked, failures.length], [10, 1, 20])
    assert.deepEqual(bus.stats(), { emitted: 10, listeners: 4, queued: 3, dropped: 6, failures: 20, invalid: 0 })
  })

  it('lose the oldest events at the bound, not before, and are told of once', async () => {
    const overflows: string[] = []
    const bus = busOf({ queueLimit: 4, onOverflow: (name) => overflows.push(name) })
    const heard: number[] = []
    bus.on(events.counted, ({ n }) => void heard.push(n), { signal })
    for (let n = 1; n <= 4; n++) bus.emit(events.counted, { n })
    assert.equal(bus.stats().dropped, 0)
    await settle()
    assert.deepEqual(heard.splice(0), [1, 2, 3, 4])
    for (let n = 1; n <= 7; n++) bus.emit(events.counted, { n })
    assert.equal(bus.stats().queued, 4)
    await settle()
    assert.deepEqual(heard, [4, 5, 6, 7])
    assert.equal(bus.stats().dropped, 3)
    assert.deepEqual(overflows, ['example.counted'])
  })

  it('live as long as their signal', async () => {
    const bus = busOf()
    const owner = new AbortController()
    let heard = 0
    bus.on(events.counted, () => void heard++, owner)
    bus.emit(events.counted, { n: 1 })
    await settle()
    bus.emit(events.counted, { n: 2 })
    owner.abort()
    bus.emit(events.counted, { n: 3 })
    await settle()
    assert.deepEqual([heard, bus.stats().listeners], [1, 0])
    bus.on(events.counted, () => void heard++, owner)
    assert.equal(bus.stats().listeners, 0)
  })

  it('cannot change an event for others', async () => {
    const bus = busOf()
    const payload = { n: 1, tags: ['a'] }
    const seen: unknown[] = []
    bus.on(events.counted, ({ tags }) => void tags?.push('b'), { signal })
    bus.on(events.counted, (event) => void seen.push(event), { signal })
    bus.emit(events.counted, payload)
    payload.tags.push('c')
    await settle()
    assert.deepEqual(seen, [{ n: 1, tags: ['a'] }])
    assert.equal(bus.stats().failures, 1)
  })
})

describe('payloads', () => {
  it('that do not fit their schema are counted and told of', () => {
    const told: string[] = []
    const bus = busOf({ onInvalidPayload: (name) => told.push(name) })
    bus.emit(events.counted, { n: 'one' } as never)
    assert.deepEqual([told, bus.stats().invalid], [['example.counted'], 1])
    const strict = busOf({
      onInvalidPayload: (name) => {
        throw new TypeError(name)
      },
    })
    assert.throws(() => strict.emit(events.counted, { n: 'one' } as never), TypeError)
  })

  it('hold what the schema names and no more', async () => {
    const bus = busOf()
    const seen: unknown[] = []
    bus.on(events.named, (event) => void seen.push(event), { signal })
    bus.emit(events.named, { name: 'a', secret: 'b' } as { name: string })
    await settle()
    assert.deepEqual(seen, [{ name: 'a' }])
  })
})

/** Reads the timeline until `count` items have come. */
async function take(
  source: AsyncIterable<EventRecord | EventGap>,
  count: number,
): Promise<Array<number | { missed: number }>> {
  const items: Array<number | { missed: number }> = []
  for await (const item of source) {
    items.push('id' in item ? item.id : { missed: item.missed })
    if (items.length === count) break
  }
  return items
}

describe('the timeline', () => {
  it('begins where it was asked for', async () => {
    const bus = busOf()
    bus.emit(events.counted, { n: 1 })
    bus.emit(events.counted, { n: 2 })
    const later = bus.timeline({ signal })
    const all = bus.timeline({ signal, afterId: 0 })
    bus.emit(events.counted, { n: 3 })
    assert.deepEqual(await take(later, 1), [3])
    assert.deepEqual(await take(all, 3), [1, 2, 3])
  })

  it('ends with what has happened when that is asked for', async () => {
    const bus = busOf({ historyLimit: 2 })
    assert.deepEqual(await take(bus.timeline({ signal, afterId: 0, endsNow: true }), 9), [])
    for (let n = 1; n <= 4; n++) bus.emit(events.counted, { n })
    const past = bus.timeline({ signal, afterId: 0, endsNow: true })
    assert.deepEqual(await take(bus.timeline({ signal, afterId: 0, endsNow: true, names: ['other'] }), 9), [
      { missed: 2 },
    ])
    assert.deepEqual(await take(past, 9), [{ missed: 2 }, 3, 4])
    assert.deepEqual(await take(bus.timeline({ signal, endsNow: true }), 9), [])
  })

  it('tells what its history no longer holds as one gap', async () => {
    const bus = busOf({ historyLimit: 3 })
    for (let n = 1; n <= 3; n++) bus.emit(events.counted, { n })
    assert.deepEqual(await take(bus.timeline({ signal, afterId: 0 }), 3), [1, 2, 3])
    for (let n = 4; n <= 10; n++) bus.emit(events.counted, { n })
    assert.deepEqual(await take(bus.timeline({ signal, afterId: 2 }), 4), [{ missed: 5 }, 8, 9, 10])
  })

  it('can be narrowed to names and scopes', async () => {
    const bus = busOf()
    const narrow = bus.timeline({ signal, names: ['example.named', 'exam'] })
    const wide = bus.timeline({ signal, names: ['example'] })
    bus.emit(events.counted, { n: 1 })
    bus.emit(events.named, { name: 'a' })
    assert.deepEqual(await take(narrow, 1), [2])
    assert.deepEqual(await take(wide, 2), [1, 2])
  })

  it('ends with its signal', async () => {
    const bus = busOf()
    const owner = new AbortController()
    const reading = take(bus.timeline({ signal: owner.signal }), 9)
    bus.emit(events.counted, { n: 1 })
    await settle()
    owner.abort()
    assert.deepEqual(await reading, [1])
  })

  it('reaches every reader complete and in order, or says what is missing', async () => {
    const actions = fc.array(fc.constantFrom('emit', 'emit', 'read'), { maxLength: 80 })
    await fc.assert(
      fc.asyncProperty(actions, fc.integer({ min: 1, max: 8 }), async (steps, historyLimit) => {
        const bus = busOf({ historyLimit })
        const owner = new AbortController()
        const reader = bus.timeline({ signal: owner.signal, afterId: 0 })[Symbol.asyncIterator]()
        let next = 1
        let emitted = 0
        for (const step of steps) {
          if (step === 'emit') bus.emit(events.counted, { n: ++emitted })
          else if (next <= emitted) {
            const { value } = (await reader.next()) as { value: EventRecord | EventGap }
            if ('id' in value) assert.equal(value.id, next++)
            else {
              assert.equal(value.missed, value.untilId - next + 1)
              next = value.untilId + 1
              assert.equal(emitted - value.untilId, Math.min(historyLimit, emitted))
            }
          }
        }
        owner.abort()
      }),
      { numRuns: 200 },
    )
  })
})
