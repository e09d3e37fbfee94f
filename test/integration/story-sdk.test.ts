/**
 * The story of two machines by a program: both daemons are real processes, everything else goes through `connect()`.
 * 64 MiB; NZ_FULL=1: 1 GiB.
 */
import assert from 'node:assert/strict'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { connect, isNzError } from '../../sdk/index.ts'
import type { NzNode, Transfer } from '../../sdk/index.ts'
import type { Machine } from './story/machine.ts'
import { sha256Of } from './story/sample-file.ts'
import { FILE_NAME, MIB, STORY_BYTES, TwoMachines } from './story/two-machines.ts'

describe('two machines, through the SDK', { timeout: 900_000 }, () => {
  let both: TwoMachines
  let desk: NzNode
  let laptop: NzNode

  before(async () => {
    both = await TwoMachines.create({ bytes: STORY_BYTES })
  })

  after(async () => await both.close())

  const start = async (machine: Machine): Promise<NzNode> => {
    await machine.json('up')
    return await connect({ env: machine.env })
  }

  const openInbox = async (node: NzNode, directory: string): Promise<string> =>
    (await node.api.transfersReceive({ directory })).inbox.id

  const assertReceived = async (sent: Transfer, path: string): Promise<void> => {
    assert.equal(sent.state, 'done')
    assert.equal(sent.sha256, both.sample.sha256)
    assert.match(sent.receipt?.id ?? '', /^rcp_/)
    assert.equal((await stat(path)).size, STORY_BYTES)
    assert.equal(await sha256Of(path), both.sample.sha256)
  }

  it('start, each with its own identity', async () => {
    ;[desk, laptop] = await Promise.all([start(both.desk), start(both.laptop)])
    const [one, other] = await Promise.all([desk.status(), laptop.status()])
    assert.match(one.id, /^nz1/)
    assert.notEqual(one.id, other.id)
    assert.deepEqual([one.state, other.state], ['running', 'running'])
  })

  it('meet by an invite, with the same words on both sides, which works once', async () => {
    const { ticket, changes } = await desk.invite()
    const joining = await laptop.join(ticket, { name: 'desk' })
    await joining.decide(true)
    let words: readonly string[] = []
    for await (const { invite, join } of changes()) {
      if (words.length === 0 && join !== null && join.words.length > 0) {
        words = join.words
        await desk.api.joinsDecide({ joinId: join.joinId, accepts: true })
      }
      if (invite.state === 'joined') break
    }
    assert.equal(words.length, 4)
    assert.deepEqual(joining.words, words)
    for await (const { state } of joining.changes()) if (state === 'joined') break
    await assert.rejects(laptop.join(ticket), { code: 'NZ_INVITE_USED' })
    const [contact] = await desk.contacts()
    await desk.api.contactsRename({ contact: contact?.id ?? '', name: 'laptop' })
  })

  it('see and reach each other', async () => {
    for (const [node, peer] of [
      [desk, 'laptop'],
      [laptop, 'desk'],
    ] as const) {
      assert.deepEqual(
        (await node.peers()).map(({ name, state }) => ({ name, state })),
        [{ name: peer, state: 'connected' }],
      )
      let answered = 0
      for await (const { lastMs } of node.api.peersPing({ peer, count: 3, intervalMs: 10 }))
        answered += Number(lastMs !== null)
      assert.equal(answered, 3)
    }
  })

  for (const [from, to] of [
    ['desk', 'laptop'],
    ['laptop', 'desk'],
  ] as const) {
    it(`send a file from ${from} to ${to}, confirmed, within memory`, async (t) => {
      const [sender, receiver] = from === 'desk' ? [desk, laptop] : [laptop, desk]
      const directory = await both.folder(`${to}-inbox`)
      const inbox = await openInbox(receiver, directory)
      const sending = sender.send(to, FILE_NAME, both.samplePath)
      const sent = await both.withinMemory(sending, (figures) => t.diagnostic(figures))
      await assertReceived(sent, join(directory, FILE_NAME))
      await receiver.api.transfersStopInbox({ id: inbox })
    })
  }

  it('go on where they stopped after the receiver was killed', async () => {
    const directory = await both.folder('killed-inbox')
    const inbox = await openInbox(laptop, directory)
    const before = both.tap.bytes()
    const half = both.tap.holdAfter(STORY_BYTES / 2)
    const states = new Set<string>()
    const sending = desk.send('laptop', FILE_NAME, both.samplePath, { onProgress: ({ state }) => states.add(state) })
    await half
    await both.laptop.kill()
    both.tap.release()
    assert.equal((await readdir(directory)).includes(FILE_NAME), false, 'half a file under its final name')
    // Its socket may be going down still.
    await assert.rejects(laptop.status(), (error) => isNzError(error, 'NZ_IPC_NOT_RUNNING', 'NZ_IPC_CONNECTION_LOST'))
    await both.laptop.json('up')
    await assertReceived(await sending, join(directory, FILE_NAME))
    assert.ok(states.has('waiting'), 'the sender told nothing of the cut')
    const carried = both.tap.bytes() - before
    assert.ok(carried < STORY_BYTES * 1.5, `${(carried / MIB).toFixed(0)} MiB went over the wire`)
    // The same handle of the SDK, the node after its restart.
    const received = []
    for await (const event of laptop.api.transfersWatchInbox({ id: inbox })) {
      if (event.type === 'received') received.push(event.transfer)
      if (received.length > 0) break
    }
    assert.equal(received[0]?.sha256, both.sample.sha256)
  })

  it('stop, and show nothing of it to the wire', async () => {
    await Promise.all([desk.api.nodeStop({}), laptop.api.nodeStop({})])
    await both.assertSecret(2.5 * STORY_BYTES)
  })
})
