/** Two embedded nodes over loopback TCP, and the same node through its socket. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { connect } from '../../sdk/index.ts'
import { createNode } from '../../sdk/node.ts'
import type { NzNode } from '../../sdk/nz-node.ts'

const settings = { 'network.listen': ['/ip4/127.0.0.1/tcp/0'], 'logs.level': 'error' } as const

let dir = ''
let desk: NzNode
let laptop: NzNode

before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'nz-sdk-'))
  desk = await createNode({ env: { NZ_HOME: join(dir, 'desk') }, settings, socket: true })
  laptop = await createNode({ env: { NZ_HOME: join(dir, 'laptop') }, settings })
})

after(async () => {
  await Promise.all([desk.close(), laptop.close()])
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
})
