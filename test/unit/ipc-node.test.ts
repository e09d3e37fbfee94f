import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { z } from 'zod'
import { defineEvents, kernelEvents } from '../../kernel/index.ts'
import { createFakeNetwork } from '../fake/network.ts'
import { startApiNode } from '../fake/node.ts'

const { rang } = defineEvents('bell', { rang: z.strictObject({ times: z.number() }) })
const { seen } = defineEvents('fox', { seen: z.strictObject({}) })

describe('the group node', () => {
  it('says how the node is, over the socket and in process alike', async () => {
    await using node = await startApiNode()
    const status = await node.client.nodeStatus({})
    assert.equal(status.profile, 'test')
    assert.equal(status.pid, process.pid)
    assert.equal(status.state, 'running')
    assert.ok(status.uptimeMs >= 0 && status.memoryBytes > 1e6)
    assert.deepEqual(status.peers, [])
    assert.deepEqual(
      status.modules.map(({ name, state }) => [name, state]),
      [
        ['contacts', 'running'],
        ['trust', 'running'],
        ['discovery', 'running'],
        ['routing', 'running'],
        ['forwards', 'running'],
        ['transfers', 'running'],
        ['doctor', 'running'],
        ['backup', 'running'],
        ['ipc', 'running'],
      ],
    )
    const { uptimeMs: _a, memoryBytes: _b, cpuPercent: _c, ...same } = await node.local.nodeStatus({})
    assert.deepEqual({ ...status, ...same }, status)
    assert.equal((await node.client.nodeVersion({})).apiVersion, 1)
  })

  it('lists the peers that are connected or kept, not all that were ever met', async () => {
    const mesh = createFakeNetwork()
    await using node = await startApiNode({ mesh })
    const somebody = mesh.add('12D3KooWsomebody')
    const { peerId } = somebody
    const { signal } = new AbortController()
    const shown = async (): Promise<string[]> => (await node.client.nodeStatus({})).peers.map((peer) => peer.peerId)
    await node.network.connect(peerId, { addresses: somebody.addresses(), signal })
    assert.deepEqual(await shown(), [peerId])
    await node.network.disconnect(peerId, { signal })
    assert.equal(node.network.peer(peerId)?.state, 'disconnected')
    assert.deepEqual(await shown(), [])
  })

  it('stops when asked, after having answered', async () => {
    await using node = await startApiNode()
    const asked = Promise.withResolvers<string>()
    const { signal } = new AbortController()
    node.kernel.events.on(kernelEvents.stopRequested, ({ reason }) => asked.resolve(reason), { signal })
    assert.deepEqual(await node.client.nodeStop({ reason: 'enough' }), { pid: process.pid })
    assert.equal(await asked.promise, 'enough')
  })
})

describe('the group events', () => {
  it('tells events in order, by name and by area', async () => {
    await using node = await startApiNode()
    for (const names of [['bell.rang'], ['bell']]) {
      const reader = node.client.eventsFollow({ names })[Symbol.asyncIterator]()
      const first = reader.next()
      await settled()
      for (const times of [1, 2, 3]) {
        node.kernel.events.emit(seen, {})
        node.kernel.events.emit(rang, { times })
      }
      const got = [await first, await reader.next(), await reader.next()]
      assert.deepEqual(
        got.map(({ value }) => (value?.kind === 'event' ? [value.name, value.payload] : value)),
        [1, 2, 3].map((times) => ['bell.rang', { times }]),
      )
      await reader.return?.()
    }
  })

  it('goes on after the cursor, with nothing lost and nothing twice', async () => {
    await using node = await startApiNode()
    node.kernel.events.emit(rang, { times: 0 })
    const cursors: string[] = []
    let after: string | undefined = '0-0'
    for (let round = 0; round < 3; round++) {
      for (const times of [1, 2]) node.kernel.events.emit(rang, { times })
      let left = round === 0 ? 3 : 2
      for await (const item of node.client.eventsFollow({ names: ['bell'], after })) {
        after = item.cursor
        if (item.kind === 'gap') continue
        cursors.push(item.cursor)
        if (--left === 0) break
      }
    }
    assert.equal(cursors.length, 7)
    assert.equal(new Set(cursors).size, 7)
  })

  it('tells a reader of another run of the node that it starts anew', async () => {
    await using node = await startApiNode()
    node.kernel.events.emit(rang, { times: 1 })
    const reader = node.client.eventsFollow({ names: ['bell'], after: 'otherboot-99' })[Symbol.asyncIterator]()
    const { value: gap } = await reader.next()
    assert.deepEqual([gap?.kind, gap?.kind === 'gap' && gap.reason], ['gap', 'restart'])
    const { value: event } = await reader.next()
    assert.deepEqual(event?.kind === 'event' && event.payload, { times: 1 })
    await reader.return?.()
  })

  it('tells a reader that is too slow what it missed', async () => {
    await using node = await startApiNode()
    const boot = node.client.eventsFollow({ after: '0-0' })[Symbol.asyncIterator]()
    const { value: start } = await boot.next()
    await boot.return?.()
    for (let times = 0; times < 3_000; times++) node.kernel.events.emit(rang, { times })
    const reader = node.client.eventsFollow({ after: start?.cursor ?? '', names: ['bell'] })[Symbol.asyncIterator]()
    const { value: gap } = await reader.next()
    assert.ok(gap?.kind === 'gap' && gap.reason === 'history' && (gap.missed ?? 0) >= 2_000)
    const { value: next } = await reader.next()
    assert.ok(next?.kind === 'event')
    assert.equal(next.id, Number(gap.cursor.split('-')[1]) + 1)
    await reader.return?.()
  })

  it('refuses a cursor that is none', async () => {
    await using node = await startApiNode()
    await assert.rejects(node.client.eventsFollow({ after: 'soon' })[Symbol.asyncIterator]().next(), {
      code: 'NZ_IPC_PARAMS_INVALID',
    })
  })
})

/** Lets a request reach the node. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await new Promise(setImmediate)
}
