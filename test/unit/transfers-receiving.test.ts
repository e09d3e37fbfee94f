/** Who takes files, and for how long: listeners, folders, and either side that cancels. */
import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { content, hashOf, MIB, pair, signal, until } from '../fake/transfer-pair.ts'

describe('listening', () => {
  it('takes the bytes in order and gives the receipt after they were taken', async () => {
    await using nodes = await pair()
    const bytes = content(2 * MIB)
    const taken: Uint8Array[] = []
    let isHeld = true
    const released = Promise.withResolvers<void>()
    const listening = nodes.laptop.transfers.listen({
      name: 'docs',
      consumer: {
        start: async () => undefined,
        take: async (pieces) => {
          if (isHeld) await released.promise
          taken.push(Buffer.concat(pieces))
        },
      },
      signal,
    })
    const path = await nodes.file('docs', bytes)
    const sent = await nodes.desk.transfers.sendFile({ peer: 'laptop', name: 'docs', path, signal })
    await until(() => nodes.laptop.transfers.list()[0])
    assert.equal(sent.snapshot().receipt, null)
    assert.equal(sent.snapshot().bytes, 0)
    isHeld = false
    released.resolve()
    assert.equal((await sent.result()).sha256, hashOf(bytes))
    assert.equal((await listening).state, 'done')
    assert.equal(hashOf(Buffer.concat(taken)), hashOf(bytes))
  })

  it('goes on after a cut without a byte twice', async () => {
    await using nodes = await pair()
    const bytes = content(4 * MIB)
    const taken: Uint8Array[] = []
    let isCut = false
    const listening = nodes.laptop.transfers.listen({
      name: 'docs',
      consumer: {
        start: async () => undefined,
        take: async (pieces) => {
          taken.push(Buffer.concat(pieces))
          if (isCut || taken.length < 3) return
          isCut = true
          nodes.mesh.cut(nodes.desk.peerId, nodes.laptop.peerId)
          nodes.mesh.heal(nodes.desk.peerId, nodes.laptop.peerId)
        },
      },
      signal,
    })
    const path = await nodes.file('docs', bytes)
    await (await nodes.desk.transfers.sendFile({ peer: 'laptop', name: 'docs', path, signal })).result()
    await listening
    assert.equal(hashOf(Buffer.concat(taken)), hashOf(bytes))
  })

  it('fails on both sides when the consumer goes away', async () => {
    await using nodes = await pair()
    const consumer = new AbortController()
    const listening = nodes.laptop.transfers.listen({
      name: 'docs',
      consumer: {
        start: async () => undefined,
        take: async () => {
          consumer.abort()
          throw new Error('closed')
        },
      },
      signal: consumer.signal,
    })
    const path = await nodes.file('docs', content(MIB))
    const sent = await nodes.desk.transfers.sendFile({ peer: 'laptop', name: 'docs', path, signal })
    await assert.rejects(listening, { code: 'NZ_TRANSFERS_CONSUMER_GONE' })
    await assert.rejects(sent.result(), { code: 'NZ_TRANSFERS_CONSUMER_GONE' })
  })

  it('is possible once for a name', async () => {
    await using nodes = await pair()
    const stop = new AbortController()
    const consumer = { start: async () => undefined, take: async () => undefined }
    const first = nodes.laptop.transfers.listen({ name: 'n', consumer, signal: stop.signal })
    await assert.rejects(nodes.laptop.transfers.listen({ name: 'n', consumer, signal }), {
      code: 'NZ_TRANSFERS_NAME_TAKEN',
    })
    stop.abort()
    await assert.rejects(first)
  })
})

describe('receiving folders', () => {
  it('outlive the process, tell what arrived while nobody watched, and end when they are closed', async () => {
    await using nodes = await pair()
    const inbox = await nodes.inbox()
    await nodes.restart()
    const path = await nodes.file('x', content(100))
    await (await nodes.desk.transfers.sendFile({ peer: 'laptop', name: 'x', path, signal })).result()
    const told: string[] = []
    for await (const event of nodes.laptop.transfers.watchInbox(inbox.id, {
      seen: [],
      sinceMs: inbox.createdAtMs,
      signal,
    })) {
      if (event.type === 'received') {
        told.push(event.transfer.name)
        await nodes.laptop.transfers.closeInbox(inbox.id)
      }
    }
    assert.deepEqual(told, ['x'])
    const late = await nodes.desk.transfers.sendFile({ peer: 'laptop', name: 'x', path, timeoutMs: 1, signal })
    await assert.rejects(late.result(), { code: 'NZ_TRANSFERS_NOT_RECEIVING' })
  })

  it('end after one file when asked to', async () => {
    await using nodes = await pair()
    await nodes.laptop.transfers.openInbox({ directory: nodes.inboxDir, isOnce: true })
    const path = await nodes.file('x', content(100))
    await (await nodes.desk.transfers.sendFile({ peer: 'laptop', name: 'x', path, signal })).result()
    assert.deepEqual(nodes.laptop.transfers.inboxes(), [])
  })

  it('for one file admit one at a time, and the next only when the first did not come', async () => {
    await using nodes = await pair()
    await nodes.laptop.transfers.openInbox({ directory: nodes.inboxDir, isOnce: true })
    const start = async (name: string) => {
      const more = Promise.withResolvers<Uint8Array | null>()
      let pulled = 0
      const sent = await nodes.desk.transfers.sendBytes({
        peer: 'laptop',
        name,
        signal,
        pull: async () => (pulled++ === 0 ? content(10) : await more.promise),
      })
      return { sent, more }
    }
    const both = [await start('a'), await start('b')] as const
    const [first, second] = await until(() => {
      const [a, b] = both
      if (a.sent.snapshot().bytes > 0) return [a, b] as const
      return b.sent.snapshot().bytes > 0 ? ([b, a] as const) : undefined
    })
    await until(() => (second.sent.snapshot().code === 'NZ_TRANSFERS_BUSY' ? true : undefined))
    await nodes.desk.transfers.cancel(first.sent.id)
    await until(() => (second.sent.snapshot().bytes > 0 ? true : undefined))
    second.more.resolve(null)
    await second.sent.result()
    assert.deepEqual(await readdir(nodes.inboxDir), [second.sent.snapshot().name])
    assert.deepEqual(nodes.laptop.transfers.inboxes(), [])
  })

  it('must be folders', async () => {
    await using nodes = await pair()
    for (const directory of ['relative', join(nodes.folder, 'absent'), await nodes.file('plain', content(1))]) {
      await assert.rejects(nodes.laptop.transfers.openInbox({ directory }), { code: 'NZ_TRANSFERS_DIRECTORY' })
    }
  })
})

describe('cancelling', () => {
  it('by the sender deletes what the receiver holds at once; a sender that only stops leaves it', async () => {
    await using nodes = await pair()
    await nodes.inbox()
    const path = await nodes.file('big', content(12 * MIB))
    const start = async () => {
      const sent = await nodes.desk.transfers.sendFile({ peer: 'laptop', name: 'big', path, signal })
      await until(() => (sent.snapshot().bytes > 0 ? true : undefined))
      return sent
    }
    const ended = async (code: string) =>
      await until(() => nodes.laptop.transfers.list().find((one) => one.code === code))
    await nodes.desk.transfers.cancel((await start()).id)
    await ended('NZ_TRANSFERS_CANCELLED')
    assert.deepEqual(await readdir(nodes.inboxDir), [])
    await start()
    await nodes.desk.stop()
    await ended('NZ_NETWORK_STREAM_RESET')
    assert.match((await readdir(nodes.inboxDir)).join(), /^\.nzcore-[0-9a-f]{32}\.part$/)
  })

  it('ends a transfer from either side', async () => {
    await using nodes = await pair()
    await nodes.inbox()
    const start = async () => {
      let pulled = 0
      const sent = await nodes.desk.transfers.sendBytes({
        peer: 'laptop',
        name: 'slow',
        signal,
        pull: async () => (pulled++ === 0 ? content(10) : await new Promise(() => undefined)),
      })
      await until(() => (sent.snapshot().bytes > 0 ? true : undefined))
      return sent
    }
    const first = await start()
    assert.equal((await nodes.desk.transfers.cancel(first.id.slice(0, 8))).state, 'cancelled')
    await assert.rejects(first.result(), { code: 'NZ_TRANSFERS_CANCELLED' })
    const second = await start()
    assert.equal((await nodes.laptop.transfers.cancel(second.id)).state, 'cancelled')
    await assert.rejects(second.result(), { code: 'NZ_TRANSFERS_CANCELLED' })
    await assert.rejects(nodes.laptop.transfers.cancel('abcdef'), { code: 'NZ_TRANSFERS_UNKNOWN' })
  })
})
