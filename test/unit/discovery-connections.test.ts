/** Connections that discovery opens: few, not for long, and what the end of one says. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { SimulatedClock } from '../../kernel/index.ts'
import { OpenedConnections } from '../../modules/discovery/opened-connections.ts'
import { createFakeNetwork } from '../fake/network.ts'

const { signal } = new AbortController()
const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }

describe('connections that were opened to ask', () => {
  async function opened(count: number, { max }: { readonly max: number }) {
    const clock = new SimulatedClock()
    const mesh = createFakeNetwork({ clock })
    const network = mesh.add('self')
    const peers = Array.from({ length: count }, (_, at) => mesh.add(`peer${at}`))
    const wanted = new Set<string>()
    const connections = new OpenedConnections(
      { network, clock, log: silent, isWanted: (peerId) => wanted.has(peerId) },
      { max, idleMs: 1_000 },
    )
    const use = async (at: number): Promise<void> => {
      const peerId = `peer${at}`
      const isOurs = network.peer(peerId)?.state !== 'connected'
      await network.connect(peerId, { addresses: peers[at]?.addresses() ?? [], signal })
      using _ = connections.use(peerId, { isOurs })
    }
    const open = (): readonly string[] =>
      network.peers().flatMap(({ peerId, state }) => (state === 'connected' ? [peerId] : []))
    return { clock, network, connections, wanted, use, open }
  }

  it('are ended when they were not used for long, but not those that others need', async () => {
    const { clock, connections, wanted, use, open } = await opened(4, { max: 8 })
    for (const at of [0, 1, 2, 3]) await use(at)
    wanted.add('peer3')
    await clock.advance(600)
    await use(1)
    connections.asked('peer2')
    await clock.advance(400)
    connections.endIdle()
    await clock.advance(0)
    assert.deepEqual(open(), ['peer1', 'peer2', 'peer3'].toSorted())
    await clock.advance(600)
    connections.endIdle()
    await clock.advance(0)
    assert.deepEqual([open(), connections.size], [['peer3'], 0])
  })

  it('are no more than the bound, used longest ago first out', async () => {
    const { clock, connections, use, open } = await opened(5, { max: 3 })
    for (const at of [0, 1, 2, 0, 3, 4]) await use(at)
    await clock.advance(0)
    assert.equal(connections.size, 3)
    assert.deepEqual(open(), ['peer0', 'peer3', 'peer4'])
  })

  it('tell whether an end was to be expected', async () => {
    const { clock, connections, use } = await opened(3, { max: 8 })
    const heardAtMs = clock.monotonicMs()
    for (const at of [0, 1]) await use(at)
    // One that this node opened and has not ended; of others, one that was in use, one that was not, one unknown.
    assert.equal(connections.closed('peer0', heardAtMs), false)
    assert.equal(connections.closed('other', heardAtMs), false)
    await clock.advance(1_000)
    assert.equal(connections.closed('other', heardAtMs), true)
    assert.equal(connections.closed('stranger', null), false)
    connections.endIdle()
    assert.equal(connections.closed('peer1', clock.monotonicMs()), true)
    assert.equal(connections.closed('peer1', clock.monotonicMs()), false)
  })
})
