/** Changes share a group, in order, and what waits is bounded. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { GroupCommit } from '../../../kernel/index.ts'

const limits = {
  maxGroupChanges: 3,
  maxGroupBytes: 10,
  maxWaiting: 8,
  maxWaitingBytes: 30,
  onFull: () => new Error('full'),
}

it('takes what waits in groups of at most so many changes and bytes, one group after another', async () => {
  const groups: number[][] = []
  let isBusy = false
  const commits = new GroupCommit<{ bytes: number }>(async (group) => {
    assert.equal(isBusy, false)
    isBusy = true
    await Promise.resolve()
    groups.push(group.map(({ bytes }) => bytes))
    isBusy = false
  }, limits)
  for (const bytes of [1, 1, 1, 1, 9, 2, 12, 1]) commits.submit({ bytes })
  const order: string[] = []
  await commits.exclusive(async () => void order.push(`task after ${groups.length}`))
  await commits.idle()
  assert.deepEqual(groups, [[1, 1, 1], [1, 9], [2], [12], [1]])
  assert.deepEqual(order, ['task after 0'])
})

it('refuses what is too many or too much, and takes again what has room', async () => {
  const commits = new GroupCommit<{ bytes: number }>(async () => await Promise.resolve(), limits)
  for (let i = 0; i < 8; i++) commits.submit({ bytes: 1 })
  assert.throws(() => commits.submit({ bytes: 1 }), /full/)
  await commits.idle()
  commits.submit({ bytes: 29 })
  assert.throws(() => commits.submit({ bytes: 2 }), /full/)
  commits.submit({ bytes: 1 })
  await commits.idle()
  commits.submit({ bytes: 30 })
  await commits.idle()
})
