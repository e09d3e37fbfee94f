/** What a table costs in hours while nobody looks for anything: few requests, few connections, and the dead are noticed all the same. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { CHECKED_PER_ROUND } from '../../modules/discovery/tending.ts'
import { startDiscoveryNodes, stopAll } from '../fake/discovery.ts'
import type { DiscoveryNode } from '../fake/discovery.ts'

const MINUTE_MS = 60_000

const connectionsOf = ({ network }: DiscoveryNode): number =>
  network.peers().filter(({ state }) => state === 'connected').length
const queriesOf = (nodes: readonly DiscoveryNode[]): number =>
  nodes.reduce((sum, { discovery }) => sum + discovery.status().counters.queries, 0)

describe('nodes at rest', () => {
  it('all know each other soon, then ask ever less, and hold few connections', async () => {
    const { nodes, clock } = await startDiscoveryNodes(16, { config: { connectionIdleMs: MINUTE_MS } })
    await clock.advance(5 * MINUTE_MS)
    assert.deepEqual(
      nodes.map(({ discovery }) => discovery.status().tableSize),
      nodes.map(() => nodes.length - 1),
    )
    await clock.advance(60 * MINUTE_MS)
    const before = queriesOf(nodes)
    let open = 0
    for (let minute = 0; minute < 60; minute++) {
      await clock.advance(MINUTE_MS)
      open += nodes.reduce((sum, node) => sum + connectionsOf(node), 0) / nodes.length / 60
    }
    const perRound = (queriesOf(nodes) - before) / nodes.length / 60
    assert.ok(perRound < CHECKED_PER_ROUND / 2, `${perRound} requests of a node in a round`)
    assert.ok(open < (nodes.length - 1) / 3, `${open} connections of a node`)
    await stopAll(nodes)
  })

  it('keep out of the table, within minutes, a third of all that died at once', async () => {
    const { nodes, clock } = await startDiscoveryNodes(12)
    await clock.advance(90 * MINUTE_MS)
    const [living, dead] = [nodes.slice(0, 8), nodes.slice(8)]
    await stopAll(dead)
    let minutes = 0
    const isRecovered = (): boolean => living.every(({ discovery }) => discovery.status().tableSize === 7)
    for (; !isRecovered() && minutes < 60; minutes++) await clock.advance(MINUTE_MS)
    assert.ok(isRecovered(), living.map(({ discovery }) => discovery.status().tableSize).join())
    await stopAll(living)
  })
})
