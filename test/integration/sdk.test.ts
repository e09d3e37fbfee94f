/** Two embedded nodes over loopback TCP, and the same node through its socket. */
import assert from 'node:assert/strict'
import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { connect, isNzError } from '../../sdk/index.ts'
import { createNode } from '../../sdk/node.ts'
import type { NzNode } from '../../sdk/nz-node.ts'
import type { Transfer } from '../../sdk/transfers.ts'

const settings = { 'network.listen': ['/ip4/127.0.0.1/tcp/0'], 'logs.level': 'error' } as const

let dir = ''
let desk: NzNode
let laptop: NzNode
let umask = 0

before(async () => {
  // As in most applications.
  umask = process.umask(0o022)
  dir = await mkdtemp(join(tmpdir(), 'nz-sdk-'))
  desk = await createNode({ env: { NZ_HOME: join(dir, 'desk') }, settings, socket: true })
  laptop = await createNode({ env: { NZ_HOME: join(dir, 'laptop') }, settings })
})

after(async () => {
  await Promise.all([desk.close(), laptop.close()])
  process.umask(umask)
  await rm(dir, { recursive: true, force: true })
})

describe('two embedded nodes', () => {
  it('are introduced by an invite', async () => {
    const events = desk.events({ names: ['contacts.added'] })[Symbol.asyncIterator]()
    const added = events.next()
    const { ticket, changes } = await desk.invite({ accepts: 'automatically' })
    const { words, decide, changes: joinChanges } = await laptop.join(ticket, { name: 'desk' })
    assert.equal(words.length, 4)
    await decide(true)
    for await (const join of joinChanges()) if (join.state === 'joined') break
    for await (const { invite } of changes()) if (invite.state === 'joined') break
    assert.deepEqual(
      (await laptop.contacts()).map(({ name }) => name),
      ['desk'],
    )
    const { value } = await added
    assert.ok(value?.kind === 'event' && value.name === 'contacts.added')
    await events.return?.()
  })

  it('carry streams between programs', async () => {
    const controller = new AbortController()
    const served = (async () => {
      for await (const stream of desk.acceptStreams('/app/upper/1', { signal: controller.signal })) {
        for await (const bytes of stream) {
          await stream.write(new TextEncoder().encode(new TextDecoder().decode(bytes).toUpperCase()))
        }
        await stream.end()
      }
    })()
    for (const word of ['hello', 'again']) {
      const stream = await laptop.openStream('desk', '/app/upper/1')
      await stream.write(new TextEncoder().encode(word))
      await stream.end()
      let text = ''
      for await (const bytes of stream) text += new TextDecoder().decode(bytes)
      assert.equal(text, word.toUpperCase())
    }
    controller.abort()
    await served
  })

  it('send bytes and files, each with a receipt', async () => {
    const { peerId } = await laptop.status()
    const parts = ['hello ', 'world']
    const file = join(dir, 'notes.txt')
    await writeFile(file, parts.join(''))
    const sources = [async () => file, async () => Buffer.from(parts.join('')), async () => pieces(parts)]
    for (const source of sources) {
      const received = receiveText(laptop, 'notes')
      const sent = await untilReceiving(async () => await desk.send(peerId, 'notes', await source()))
      const { text, transfer } = await received
      assert.equal(text, 'hello world')
      assert.equal(sent.state, 'done')
      assert.ok(sent.receipt !== null)
      assert.equal(transfer.sha256, sent.sha256)
    }
  })

  it('are the same through the socket', async () => {
    const remote = await connect({ env: { NZ_HOME: join(dir, 'desk') } })
    const [near, far] = [await desk.status(), await remote.status()]
    assert.equal(near.peerId, far.peerId)
    assert.deepEqual(near.addresses, far.addresses)
    assert.deepEqual(
      far.peers.map(({ state }) => state),
      ['connected'],
    )
    await assert.rejects(connect({ env: { NZ_HOME: join(dir, 'laptop') } }), { code: 'NZ_IPC_NOT_RUNNING' })
    await remote.close()
  })

  it('run a profile once', async () => {
    await assert.rejects(createNode({ env: { NZ_HOME: join(dir, 'desk') }, settings }), { code: 'NZ_HOME_LOCKED' })
  })

  it('leave nothing that others may open, whatever the umask of the application', async () => {
    const checkedIn = async (home: string): Promise<number> => {
      const entries = await readdir(join(dir, home), { recursive: true, withFileTypes: true })
      for (const { name, parentPath } of entries) {
        const { mode } = await stat(join(parentPath, name))
        assert.equal(mode & 0o077, 0, `${join(parentPath, name)} is ${(mode & 0o777).toString(8)}`)
      }
      return entries.length
    }
    assert.ok((await checkedIn('desk')) > 10)
    assert.ok((await checkedIn('laptop')) > 10)
  })
})

async function receiveText(node: NzNode, name: string): Promise<{ text: string; transfer: Transfer }> {
  const receiving = await node.receive(name)
  const chunks: Uint8Array[] = []
  for await (const bytes of receiving) chunks.push(bytes)
  return { text: Buffer.concat(chunks).toString(), transfer: receiving.transfer }
}

async function* pieces(parts: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) yield new TextEncoder().encode(part)
}

/** The receiver may come a little after the sender. */
async function untilReceiving<T>(send: () => Promise<T>): Promise<T> {
  for (let tries = 0; ; tries++) {
    try {
      return await send()
    } catch (error) {
      if (!isNzError(error, 'NZ_TRANSFERS_NOT_RECEIVING') || tries === 50) throw error
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
}
