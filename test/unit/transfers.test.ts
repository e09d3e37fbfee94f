/** Files from one node of the in-memory mesh to another, into real folders, and the bounds of it. */
import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { progressText } from '../../cli/transfer-progress.ts'
import { openReceipt } from '../../protocols/transfer/receipt.ts'
import { fakeIdentity } from '../fake/identity.ts'
import { content, hashOf, MIB, pair, signal, until } from '../fake/transfer-pair.ts'
import { introduce, transfersNode } from '../fake/transfers-node.ts'

describe('sending a file', () => {
  it('delivers it under its name with a receipt that verifies', async () => {
    await using nodes = await pair()
    await nodes.inbox()
    const bytes = content(3 * MIB + 17)
    const path = await nodes.file('notes.bin', bytes)
    const sent = await nodes.desk.transfers.sendFile({ peer: 'laptop', name: 'notes.bin', path, signal })
    const done = await sent.result()
    assert.equal(done.state, 'done')
    assert.equal(done.sha256, hashOf(bytes))
    assert.deepEqual(await readdir(nodes.inboxDir), ['notes.bin'])
    assert.equal(hashOf(await readFile(join(nodes.inboxDir, 'notes.bin'))), hashOf(bytes))
    const identity = fakeIdentity(9)
    assert.ok(done.receipt)
    const opened = openReceipt(
      Buffer.from(done.receipt.body, 'hex'),
      Buffer.from(done.receipt.signature, 'hex'),
      (m, s, k) => identity.verify('nzcore/receipt/1', m, s, k),
    )
    assert.equal(opened?.receiver, nodes.laptop.peerId)
    assert.equal(opened?.sender, nodes.desk.peerId)
    assert.equal(opened?.size, bytes.length)
    const [received] = nodes.laptop.transfers.list()
    assert.equal(received?.state, 'done')
    assert.equal(received?.path, join(nodes.inboxDir, 'notes.bin'))
    assert.deepEqual(received?.receipt, done.receipt)
  })

  it('delivers an empty file', async () => {
    await using nodes = await pair()
    await nodes.inbox()
    const path = await nodes.file('empty', new Uint8Array())
    const sent = await nodes.desk.transfers.sendFile({ peer: 'laptop', name: 'empty', path, signal })
    assert.equal((await sent.result()).size, 0)
    assert.deepEqual(await readdir(nodes.inboxDir), ['empty'])
  })

  it('never replaces a file, and makes hostile names harmless', async () => {
    await using nodes = await pair()
    await nodes.inbox()
    for (const [index, name] of ['a.txt', 'a.txt', '../../a.txt', '.a.txt'].entries()) {
      const path = await nodes.file(`source${index}`, content(10, index))
      await (await nodes.desk.transfers.sendFile({ peer: 'laptop', name, path, signal })).result()
    }
    assert.deepEqual(
      (await readdir(nodes.inboxDir)).toSorted(),
      ['__.._a.txt', '_a.txt', 'a (2).txt', 'a.txt'].toSorted(),
    )
    assert.equal(hashOf(await readFile(join(nodes.inboxDir, 'a.txt'))), hashOf(content(10, 0)))
  })

  it('is refused by a peer that is not receiving, and by one that does not know this node', async () => {
    await using nodes = await pair()
    const path = await nodes.file('x', content(10))
    const send = async () =>
      await (await nodes.desk.transfers.sendFile({ peer: 'laptop', name: 'x', path, timeoutMs: 1, signal })).result()
    await assert.rejects(send, { code: 'NZ_TRANSFERS_NOT_RECEIVING', exit: 'notFound' })
    await nodes.inbox()
    nodes.laptop.book.clear()
    await assert.rejects(send, { code: 'NZ_TRANSFERS_NOT_CONTACT', exit: 'refusedByTrust' })
    assert.deepEqual(await readdir(nodes.inboxDir), [])
  })

  it('fails for an unknown peer, a file that is not there and a bad name before anything is sent', async () => {
    await using nodes = await pair()
    const path = await nodes.file('x', content(10))
    const { transfers } = nodes.desk
    await assert.rejects(transfers.sendFile({ peer: 'nobody', name: 'x', path, signal }), {
      code: 'NZ_CONTACTS_NOT_FOUND',
    })
    await assert.rejects(transfers.sendFile({ peer: 'laptop', name: 'x', path: `${path}y`, signal }), {
      code: 'NZ_TRANSFERS_SOURCE_UNREADABLE',
    })
    await assert.rejects(transfers.sendFile({ peer: 'laptop', name: '', path, signal }), { code: 'NZ_TRANSFERS_NAME' })
    await assert.rejects(transfers.sendFile({ peer: 'laptop', name: 'x'.repeat(1025), path, signal }), {
      code: 'NZ_TRANSFERS_NAME',
    })
  })

  it('only takes files from the peer that the folder is for', async () => {
    await using nodes = await pair()
    const other = await transfersNode(nodes.mesh, { seed: 3 })
    introduce(other, nodes.laptop, ['other', 'laptop'])
    await nodes.laptop.transfers.openInbox({ directory: nodes.inboxDir, from: 'other' })
    const path = await nodes.file('x', content(10))
    const refused = await nodes.desk.transfers.sendFile({ peer: 'laptop', name: 'x', path, timeoutMs: 1, signal })
    await assert.rejects(refused.result(), { code: 'NZ_TRANSFERS_NOT_RECEIVING' })
    await (await other.transfers.sendFile({ peer: 'laptop', name: 'x', path, signal })).result()
    await other.stop()
  })
})

describe('limits', () => {
  it('hold at their bounds: transfers of a peer, offers in a minute, size', async () => {
    await using nodes = await pair({
      laptop: { settings: { maxIncomingPerPeer: 1, maxOffersPerMinute: 4, maxTransferBytes: 1000 } },
    })
    await nodes.inbox()
    const path = await nodes.file('x', content(1000))
    const send = async (name: string, file = path) =>
      await nodes.desk.transfers.sendFile({ peer: 'laptop', name, path: file, signal, timeoutMs: 1 })
    const open = Promise.withResolvers<Uint8Array | null>()
    const slow = await nodes.desk.transfers.sendBytes({
      peer: 'laptop',
      name: 'slow',
      signal,
      pull: () => open.promise,
    })
    await until(() => (slow.snapshot().state === 'moving' ? true : undefined))
    await assert.rejects((await send('second')).result(), { code: 'NZ_TRANSFERS_BUSY' })
    open.resolve(null)
    await slow.result()
    const large = await nodes.file('large', content(1001))
    await assert.rejects((await send('large', large)).result(), { code: 'NZ_TRANSFERS_TOO_LARGE' })
    // `second` may have been offered more than once within its patience.
    for (let offers = 0; offers < 4; offers += 1) await (await send('x')).result().catch(() => undefined)
    await assert.rejects((await send('x')).result(), { code: 'NZ_TRANSFERS_BUSY' })
  })

  it('hold at their bounds: transfers sent at once', async () => {
    await using nodes = await pair({ desk: { settings: { maxOutgoing: 1 } } })
    await nodes.inbox()
    const open = Promise.withResolvers<Uint8Array | null>()
    const slow = await nodes.desk.transfers.sendBytes({
      peer: 'laptop',
      name: 'slow',
      signal,
      pull: () => open.promise,
    })
    const path = await nodes.file('x', content(1))
    await assert.rejects(nodes.desk.transfers.sendFile({ peer: 'laptop', name: 'x', path, signal }), {
      code: 'NZ_TRANSFERS_LIMIT',
    })
    open.resolve(null)
    await slow.result()
  })

  it('hold at their bounds: unfinished files and history', async () => {
    await using nodes = await pair({ laptop: { settings: { maxPartials: 2, historyLimit: 3 } } })
    await nodes.inbox()
    for (const name of ['a', 'b', 'c', 'd']) {
      const stop = new AbortController()
      const path = await nodes.file(name, content(12 * MIB))
      const sent = await nodes.desk.transfers.sendFile({ peer: 'laptop', name, path, signal: stop.signal })
      await until(() => (sent.snapshot().bytes > 0 ? true : undefined))
      stop.abort()
      await sent.result().catch(() => undefined)
      await until(() => nodes.laptop.transfers.list().find((one) => one.name === name && one.endedAtMs !== null))
    }
    assert.ok((await readdir(nodes.inboxDir)).length <= 3)
    const path = await nodes.file('x', content(1))
    await (await nodes.desk.transfers.sendFile({ peer: 'laptop', name: 'x', path, signal })).result()
    assert.equal((await readdir(nodes.inboxDir)).filter((name) => name.endsWith('.part')).length, 2)
    assert.equal(nodes.laptop.transfers.list().filter(({ endedAtMs }) => endedAtMs !== null).length, 3)
  })
})

describe('the progress line', () => {
  const shown = { peer: 'laptop', name: 'docs\u001b[2J', state: 'moving', size: 412_000_000, bytes: 259_560_000 }

  it('shows size, share, speed and time left, and escapes names', () => {
    assert.equal(progressText(shown, 118_000_000), 'docs\\u{1b}[2J  412 MB ██████     63 % 118 MB/s ETA 1.29 s')
    assert.equal(progressText({ ...shown, name: 'docs', size: null }, 0), 'docs  260 MB')
    assert.equal(progressText({ ...shown, state: 'waiting' }, 5), 'waiting for laptop…  260 MB safe')
  })
})
