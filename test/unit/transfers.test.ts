/** Transfers between two nodes of the in-memory mesh, into real folders. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { mkdir, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { progressText } from '../../cli/transfer-progress.ts'
import { storageError } from '../../modules/transfers/part-file.ts'
import { seededRandom } from '../../kernel/index.ts'
import { openReceipt } from '../../protocols/transfer/receipt.ts'
import { createFakeNetwork } from '../fake/network.ts'
import { storageEvents } from '../../modules/storage/service.ts'
import { fakeIdentity } from '../fake/identity.ts'
import { introduce, temporaryFolder, transfersNode } from '../fake/transfers-node.ts'
import type { Inbox } from '../../modules/transfers/service.ts'
import type { FakeNetwork } from '../fake/network.ts'
import type { TransfersNode, TransfersNodeInit } from '../fake/transfers-node.ts'

const MIB = 1_048_576
const signal = AbortSignal.timeout(60_000)

function content(bytes: number, seed = 1): Uint8Array {
  const block = seededRandom(seed).bytes(Math.min(bytes, 65_521))
  const whole = new Uint8Array(bytes)
  for (let at = 0; at < bytes; at += block.length) whole.set(block.subarray(0, bytes - at), at)
  return whole
}

const hashOf = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

interface Pair extends AsyncDisposable {
  readonly mesh: FakeNetwork
  readonly desk: TransfersNode
  laptop: TransfersNode
  readonly folder: string
  readonly inboxDir: string
  readonly restart: (settings?: object) => Promise<void>
  readonly file: (name: string, bytes: Uint8Array) => Promise<string>
  readonly inbox: () => Promise<Inbox>
}

async function pair(
  init: { desk?: Partial<TransfersNodeInit>; laptop?: Partial<TransfersNodeInit> } = {},
): Promise<Pair> {
  const mesh = createFakeNetwork()
  const folder = await temporaryFolder()
  const inboxDir = join(folder.path, 'inbox')
  await mkdir(inboxDir)
  const desk = await transfersNode(mesh, { seed: 1, ...init.desk })
  const made: Pair = {
    mesh,
    desk,
    laptop: await transfersNode(mesh, { seed: 2, ...init.laptop }),
    folder: folder.path,
    inboxDir,
    async restart(settings) {
      await made.laptop.crash()
      made.laptop = await transfersNode(mesh, { seed: 2, files: made.laptop.files, ...(settings && { settings }) })
      introduce(desk, made.laptop, ['desk', 'laptop'])
    },
    async file(name, bytes) {
      const path = join(folder.path, name)
      await writeFile(path, bytes)
      return path
    },
    inbox: async () => await made.laptop.transfers.openInbox({ directory: inboxDir }),
    async [Symbol.asyncDispose]() {
      await desk.stop()
      await made.laptop.stop()
      await folder[Symbol.asyncDispose]()
    },
  }
  introduce(desk, made.laptop, ['desk', 'laptop'])
  return made
}

/** Gives the pieces, then ends. */
function pullOf(pieces: readonly Uint8Array[]): () => Promise<Uint8Array | null> {
  let next = 0
  return async () => pieces[next++] ?? null
}

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

describe('a transfer that is cut', () => {
  it('goes on where it stopped, whatever the moment of the cut', async () => {
    const seed = Number(process.env['NZ_SEED'] ?? 7)
    const random = seededRandom(seed)
    const bytes = content(6 * MIB + 5)
    for (let round = 0; round < 4; round += 1) {
      await using nodes = await pair()
      await nodes.inbox()
      const pieces: Uint8Array[] = []
      for (let at = 0; at < bytes.length;) {
        const length = 1 + Math.floor(random.unit() * 300_000)
        pieces.push(bytes.subarray(at, at + length))
        at += length
      }
      const cuts = new Set([0, 1, 2].map(() => Math.floor(random.unit() * pieces.length)))
      const pull = pullOf(pieces)
      let pulled = 0
      const sent = await nodes.desk.transfers.sendBytes({
        peer: 'laptop',
        name: 'stream.bin',
        signal,
        pull: async () => {
          if (cuts.has(pulled++)) {
            nodes.mesh.cut(nodes.desk.peerId, nodes.laptop.peerId)
            nodes.mesh.heal(nodes.desk.peerId, nodes.laptop.peerId)
          }
          return await pull()
        },
      })
      const done = await sent.result()
      assert.equal(done.sha256, hashOf(bytes), `seed ${seed}`)
      assert.equal(hashOf(await readFile(join(nodes.inboxDir, 'stream.bin'))), hashOf(bytes), `seed ${seed}`)
      assert.deepEqual(await readdir(nodes.inboxDir), ['stream.bin'])
    }
  })

  it('is delivered once when its sender comes back while the file is put in its place', async () => {
    await using nodes = await pair()
    const held = Promise.withResolvers<void>()
    const seen = Promise.withResolvers<void>()
    const { engine } = nodes.laptop.disk
    const batch = engine.batch.bind(engine)
    let writes = 0
    engine.batch = async (operations) => {
      // Of the folder, of the unfinished file, and that it is complete.
      writes += 1
      if (writes === 3) {
        seen.resolve()
        await held.promise
      }
      await batch(operations)
    }
    await nodes.inbox()
    const bytes = content(3 * MIB)
    const path = await nodes.file('big', bytes)
    const sent = await nodes.desk.transfers.sendFile({ peer: 'laptop', name: 'big', path, signal })
    await seen.promise
    nodes.mesh.cut(nodes.desk.peerId, nodes.laptop.peerId)
    nodes.mesh.heal(nodes.desk.peerId, nodes.laptop.peerId)
    // Time for the second offer: the first retry comes within a tenth of a second.
    await new Promise((resolve) => setTimeout(resolve, 300))
    held.resolve()
    assert.equal((await sent.result()).sha256, hashOf(bytes))
    assert.deepEqual(await readdir(nodes.inboxDir), ['big'])
    assert.equal(nodes.laptop.transfers.list().filter(({ state }) => state === 'done').length, 1)
    assert.equal(nodes.laptop.transfers.list().length, 1)
  })

  it('goes on after the receiver crashed, from a stream that cannot be read again', async () => {
    await using nodes = await pair()
    await nodes.inbox()
    const bytes = content(12 * MIB)
    const pieces = Array.from({ length: 48 }, (_, at) => bytes.subarray(at * 262_144, (at + 1) * 262_144))
    const pull = pullOf(pieces)
    let pulled = 0
    const sent = await nodes.desk.transfers.sendBytes({
      peer: 'laptop',
      name: 's',
      signal,
      pull: async () => {
        if (pulled++ === 40) await nodes.restart()
        return await pull()
      },
    })
    const done = await sent.result()
    assert.equal(done.sha256, hashOf(bytes))
    assert.equal(hashOf(await readFile(join(nodes.inboxDir, 's'))), hashOf(bytes))
  })

  it('sends only what is missing when the same file is sent again', async () => {
    await using nodes = await pair()
    await nodes.inbox()
    const bytes = content(20 * MIB)
    const path = await nodes.file('big', bytes)
    const first = new AbortController()
    const sent = await nodes.desk.transfers.sendFile({ peer: 'laptop', name: 'big', path, signal: first.signal })
    await until(() => (sent.snapshot().bytes > 0 ? true : undefined))
    first.abort()
    await assert.rejects(sent.result(), { code: 'NZ_TRANSFERS_CANCELLED' })
    const waiting = await until(() =>
      nodes.laptop.transfers.list().find(({ code }) => code === 'NZ_TRANSFERS_SOURCE_FAILED'),
    )
    assert.ok(waiting.bytes > 0 && waiting.bytes < bytes.length)
    assert.match((await readdir(nodes.inboxDir)).join(), /^\.nzcore-[0-9a-f]{32}\.part$/)
    await nodes.restart()
    const again = await nodes.desk.transfers.sendFile({ peer: 'laptop', name: 'big', path, signal })
    let firstBytes: number | null = null
    for await (const { state, bytes: confirmed } of again.changes({ signal })) {
      if (state !== 'waiting') firstBytes ??= confirmed
    }
    assert.equal((await again.result()).sha256, hashOf(bytes))
    assert.deepEqual(await readdir(nodes.inboxDir), ['big'])
  })

  it('starts anew when what the receiver holds is not the beginning of the file', async () => {
    await using nodes = await pair()
    await nodes.inbox()
    const bytes = content(20 * MIB)
    const path = await nodes.file('big', bytes)
    const first = new AbortController()
    const sent = await nodes.desk.transfers.sendFile({ peer: 'laptop', name: 'big', path, signal: first.signal })
    await until(() => (sent.snapshot().bytes > 0 ? true : undefined))
    first.abort()
    await until(() => nodes.laptop.transfers.list().find(({ code }) => code === 'NZ_TRANSFERS_SOURCE_FAILED'))
    await nodes.laptop.crash()
    const [part = ''] = await readdir(nodes.inboxDir)
    await writeFile(join(nodes.inboxDir, part), content(MIB, 99))
    nodes.laptop = await transfersNode(nodes.mesh, { seed: 2, files: nodes.laptop.files })
    introduce(nodes.desk, nodes.laptop, ['desk', 'laptop'])
    const again = await nodes.desk.transfers.sendFile({ peer: 'laptop', name: 'big', path, signal })
    assert.equal((await again.result()).sha256, hashOf(bytes))
    assert.equal(hashOf(await readFile(join(nodes.inboxDir, 'big'))), hashOf(bytes))
  })

  it('gives up after its patience, and at once when the peer was never there', async () => {
    await using nodes = await pair()
    await nodes.inbox()
    let pulled = 0
    const sent = await nodes.desk.transfers.sendBytes({
      peer: 'laptop',
      name: 's',
      timeoutMs: 100,
      signal,
      pull: async () => {
        if (pulled++ === 3) nodes.mesh.cut(nodes.desk.peerId, nodes.laptop.peerId)
        return pulled > 100 ? null : content(1000)
      },
    })
    await assert.rejects(sent.result(), { code: 'NZ_TRANSFERS_TIMED_OUT', exit: 'timedOut' })
    const never = await nodes.desk.transfers.sendBytes({
      peer: 'laptop',
      name: 's',
      timeoutMs: 1,
      signal,
      pull: async () => null,
    })
    await assert.rejects(never.result(), { code: 'NZ_NETWORK_UNREACHABLE', exit: 'unreachable' })
  })
})

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

describe('a disk that fails', () => {
  it('refuses what cannot fit before anything is sent', async () => {
    const settings = { maxTransferBytes: Number.MAX_SAFE_INTEGER }
    await using nodes = await pair({ laptop: { settings } })
    await nodes.inbox()
    const path = await nodes.file('sparse', new Uint8Array())
    await truncate(path, 15 * 2 ** 40)
    const sent = await nodes.desk.transfers.sendFile({ peer: 'laptop', name: 'sparse', path, signal })
    await assert.rejects(sent.result(), { code: 'NZ_TRANSFERS_NO_SPACE' })
    assert.deepEqual(await readdir(nodes.inboxDir), [])
  })

  it('ends the transfer on both sides, is not tried again and leaves nothing behind', async () => {
    await using nodes = await pair()
    await nodes.inbox()
    let pulled = 0
    const sent = await nodes.desk.transfers.sendBytes({
      peer: 'laptop',
      name: 's',
      signal,
      pull: async () => {
        if (pulled++ === 2) await rm(nodes.inboxDir, { recursive: true })
        return pulled > 8 ? null : content(1000)
      },
    })
    await assert.rejects(sent.result(), { code: 'NZ_TRANSFERS_STORAGE_FAILED' })
    const received = await until(() => nodes.laptop.transfers.list().find(({ endedAtMs }) => endedAtMs !== null))
    assert.deepEqual([received.state, received.code], ['failed', 'NZ_TRANSFERS_STORAGE_FAILED'])
  })

  it('after the file has its name changes nothing: the sender has its receipt, the record is written later', async () => {
    await using nodes = await pair()
    await nodes.inbox()
    const { engine } = nodes.laptop.disk
    const batch = engine.batch.bind(engine)
    let writes = 0
    engine.batch = async (operations) => {
      await batch(operations)
      // That the file is complete is on disk; then the disk is full.
      writes += 1
      engine.isFull ||= writes === 2
    }
    const path = await nodes.file('x', content(1_000))
    const sent = await nodes.desk.transfers.sendFile({ peer: 'laptop', name: 'x', path, signal })
    assert.equal((await sent.result()).sha256, hashOf(content(1_000)))
    assert.equal(nodes.laptop.transfers.list()[0]?.state, 'done')
    assert.ok((await readdir(nodes.inboxDir)).includes('x'))
    engine.isFull = false
    const writable = new AbortController()
    const told = Promise.withResolvers<void>()
    nodes.laptop.events.on(storageEvents.writable, () => told.resolve(), { signal: writable.signal })
    await told.promise
    writable.abort()
    while ((await readdir(nodes.inboxDir)).length > 1) await new Promise(setImmediate)
    await nodes.restart()
    assert.equal(nodes.laptop.transfers.list()[0]?.state, 'done')
    assert.deepEqual(await readdir(nodes.inboxDir), ['x'])
  })

  it('is remembered when the process ends before the record could be written', async () => {
    await using nodes = await pair()
    await nodes.inbox()
    const { engine } = nodes.laptop.disk
    const batch = engine.batch.bind(engine)
    let writes = 0
    engine.batch = async (operations) => {
      await batch(operations)
      engine.isFull ||= (writes += 1) === 2
    }
    const path = await nodes.file('x', content(1_000))
    await (await nodes.desk.transfers.sendFile({ peer: 'laptop', name: 'x', path, signal })).result()
    const crashed = nodes.laptop.crash()
    await crashed
    engine.isFull = false
    await nodes.restart()
    assert.deepEqual(await readdir(nodes.inboxDir), ['x'])
    assert.equal(nodes.laptop.transfers.list()[0]?.state, 'done')
  })

  it('is told apart by its code', () => {
    const full = Object.assign(new Error('full'), { code: 'ENOSPC' })
    assert.equal((storageError(full) as { code?: string }).code, 'NZ_TRANSFERS_NO_SPACE')
    const broken = Object.assign(new Error('broken'), { code: 'EIO' })
    assert.equal((storageError(broken) as { code?: string }).code, 'NZ_TRANSFERS_STORAGE_FAILED')
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

/** Polls in turns of the event loop. */
async function until<T>(find: () => T | undefined): Promise<T> {
  for (;;) {
    const found = find()
    if (found !== undefined) return found
    signal.throwIfAborted()
    await new Promise((resolve) => setImmediate(resolve))
  }
}
