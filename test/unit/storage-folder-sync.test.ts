/** A folder is synced unless nothing in it can have changed since it last was. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { SimulatedClock } from '../../kernel/index.ts'
import { FolderSync, SETTLED_AFTER_MS } from '../../modules/storage/folder-sync.ts'

function folderOf(isTimed = true, changed?: () => Promise<void>) {
  const clock = new SimulatedClock()
  const state = { time: 1n, synced: 0, isFailing: false }
  const handle = {
    sync: async () => {
      if (state.isFailing) throw new Error('EIO')
      state.synced += 1
      await Promise.resolve()
    },
  }
  const names = new FolderSync(handle as never, clock, {
    isTimed,
    timeOf: () => state.time,
    ...(changed === undefined ? {} : { changed }),
  })
  return { clock, state, names }
}

it('syncs until the last change is so long ago that a later one cannot have its time', async () => {
  const { clock, state, names } = folderOf()
  await names.sync()
  await clock.advance(SETTLED_AFTER_MS - 1)
  await names.sync()
  assert.equal(state.synced, 2)
  await clock.advance(1)
  await names.sync()
  await names.sync()
  assert.equal(state.synced, 3)
})

it('syncs again after every change, and for as long after it', async () => {
  const { clock, state, names } = folderOf()
  await names.sync()
  await clock.advance(SETTLED_AFTER_MS)
  await names.sync()
  state.time = 2n
  await names.sync()
  await names.sync()
  assert.equal(state.synced, 4)
  await clock.advance(SETTLED_AFTER_MS)
  await names.sync()
  await names.sync()
  assert.equal(state.synced, 5)
  state.time = 1n
  await names.sync()
  assert.equal(state.synced, 6)
})

it('believes nothing of a sync that failed', async () => {
  const { clock, state, names } = folderOf()
  await names.sync()
  await clock.advance(SETTLED_AFTER_MS)
  state.isFailing = true
  await assert.rejects(names.sync())
  state.isFailing = false
  await names.sync()
  assert.equal(state.synced, 2)
})

it('always syncs where the file system notes no changes', async () => {
  const { clock, state, names } = folderOf(false)
  for (let n = 0; n < 3; n++) {
    await names.sync()
    await clock.advance(SETTLED_AFTER_MS)
  }
  assert.equal(state.synced, 3)
})

it('tells that names may be new, for every change, and before it takes them for durable', async () => {
  const told: number[] = []
  const { clock, state, names } = folderOf(true, async () => void told.push(state.synced))
  await names.sync()
  await names.sync()
  assert.deepEqual(told, [0])
  state.time = 2n
  await names.sync()
  assert.deepEqual(told, [0, 2])
  // Another change may have had the same time.
  await clock.advance(SETTLED_AFTER_MS)
  await names.sync()
  await names.sync()
  assert.deepEqual(told, [0, 2, 3])
})
