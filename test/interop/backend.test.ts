/** Nodes of different stacks: each tells its own in paths, counters and events. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { networkEvents } from '../../modules/network/service.ts'
import { startNetworkNode } from '../fake/network-node.ts'
import type { NetworkConfig } from '../../modules/network/config.ts'

describe('two nodes', () => {
  for (const [native, expected] of [
    ['off', 'typescript'],
    ['stock', 'libp2p'],
  ] as const satisfies ReadonlyArray<readonly [NetworkConfig['native'], string]>)
    it(`with native ${native} run on ${expected}, and say so in their paths and events, also to one of the other kind`, async () => {
      await using here = await startNetworkNode({ config: { native } })
      await using there = await startNetworkNode({ config: { native: 'off' } })
      const told = Promise.withResolvers<string>()
      const signal = AbortSignal.timeout(120_000)
      here.events.on(networkEvents.peerConnected, ({ backend }) => told.resolve(backend), { signal })
      const peer = await here.network.connect(there.network.peerId, { addresses: there.network.addresses(), signal })
      assert.equal(peer.paths[0]?.backend, expected)
      assert.equal(await told.promise, expected)
      assert.equal(here.network.backend().backend, expected)
      assert.ok((await here.network.ping(there.network.peerId, { signal })) > 0)
    })
})
