/** Reads that meet a batch which is on disk and not yet told: memory is behind for a moment, and nothing is damaged. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { MemoryEngine } from '../../modules/storage/memory-engine.ts'
import { openStore } from '../fake/storage.ts'
import type { EngineOperation } from '../../modules/storage/engine.ts'

const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text))
const { signal } = new AbortController()

/** A disk that tells of a batch some turns after the batch took effect. */
class SlowToTell extends MemoryEngine {
  turns = 0
  onBatch = (): void => undefined

  override async batch(operations: readonly EngineOperation[]): Promise<void> {
    await super.batch(operations)
    this.onBatch()
    for (let turn = 0; turn < this.turns; turn++) await new Promise((resolve) => setImmediate(resolve))
  }
}

it('a change of keys goes on beside changes of the records', async () => {
  const engine = new SlowToTell()
  const storage = await openStore({ disk: { engine } })
  const store = storage.namespace('one')
  for (let i = 0; i < 20; i++) await store.put(`${i}`, bytes(`value ${i}`))
  engine.turns = 3
  const changes: Promise<unknown>[] = []
  engine.onBatch = () => {
    changes.push(store.put(`${changes.length % 20}`, bytes(`newer ${changes.length}`)))
    if (changes.length % 7 === 3) changes.push(store.delete(`${changes.length % 20}`))
  }
  await storage.rotate({ signal })
  engine.onBatch = () => undefined
  await Promise.all(changes)
  await storage.rotate({ signal })
  assert.deepEqual([storage.status().state, storage.status().toRotate], ['open', 0])
  assert.equal((await storage.check({ signal })).isIntact, true)
  await storage.close()
})

it('a record that changes without end is read all the same', async () => {
  const engine = new SlowToTell()
  const storage = await openStore({ disk: { engine } })
  const store = storage.namespace('one')
  await store.put('a', bytes('value'))
  engine.turns = 2
  let isOver = false
  const writing = (async () => {
    for (let n = 0; !isOver; n++) await store.put('a', bytes(`value ${n}`))
  })()
  for (let n = 0; n < 200; n++) assert.match(Buffer.from((await store.get('a')) ?? []).toString(), /^value/)
  isOver = true
  await writing
  await storage.close()
})
