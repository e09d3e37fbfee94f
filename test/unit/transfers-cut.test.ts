/** Transfers between two nodes of the in-memory mesh that a cut, a crash or a full disk meets. */
import assert from 'node:assert/strict'
import { readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { seededRandom } from '../../kernel/index.ts'
import { storageError } from '../../modules/transfers/part-file.ts'
import { storageEvents } from '../../modules/storage/service.ts'
import { content, hashOf, MIB, pair, pullOf, signal, until } from '../fake/transfer-pair.ts'
import { introduce, transfersNode } from '../fake/transfers-node.ts'

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
    const { bytes, path, waiting } = await interrupted(nodes)
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
    const { bytes, path } = await interrupted(nodes)
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

/** A file `big` that its sender gives up in the middle: what of it waits at the receiver. */
async function interrupted(nodes: Awaited<ReturnType<typeof pair>>) {
  const bytes = content(20 * MIB)
  const path = await nodes.file('big', bytes)
  const stop = new AbortController()
  const sent = await nodes.desk.transfers.sendFile({ peer: 'laptop', name: 'big', path, signal: stop.signal })
  await until(() => (sent.snapshot().bytes > 0 ? true : undefined))
  stop.abort()
  await assert.rejects(sent.result(), { code: 'NZ_TRANSFERS_CANCELLED' })
  const waiting = await until(() =>
    nodes.laptop.transfers.list().find(({ code }) => code === 'NZ_TRANSFERS_SOURCE_FAILED'),
  )
  return { bytes, path, waiting }
}
