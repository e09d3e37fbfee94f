/** What a node learns of peers outlives it: in the encrypted store, and nowhere readable. */
import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { LevelEngine } from '../../modules/storage/level-engine.ts'
import { memoryHome } from '../fake/home.ts'
import { freshKey, startNetworkNode } from '../fake/network-node.ts'
import { damage, diskOf } from '../fake/storage.ts'

const signal = AbortSignal.timeout(60_000)

describe('a node that starts again', () => {
  it('dials a peer it had learnt of before, by the store alone', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'nz-peers-'))
    try {
      await using desk = await startNetworkNode()
      const { peerId } = desk.network
      const disk = { engine: new LevelEngine(join(dir, 'store')), files: new Map<string, Uint8Array>() }
      const init = { privateKey: freshKey(), disk, home: memoryHome(disk.files) }
      const laptop = await startNetworkNode(init)
      await laptop.network.connect(peerId, { addresses: desk.network.addresses(), signal })
      // It is learnt of once the two have identified themselves.
      while (laptop.network.peer(peerId)?.agent == null) await pause(5, undefined, { signal })
      await laptop.stop()
      for (const file of await readdir(join(dir, 'store'))) {
        assert.equal((await readFile(join(dir, 'store', file))).includes(peerId), false, file)
      }

      await using again = await startNetworkNode(init)
      assert.equal(again.network.peer(peerId)?.state, 'disconnected')
      const stream = await again.network.openStream(peerId, '/ipfs/ping/1.0.0', { signal })
      await stream.close({ signal })
      assert.equal(again.network.peer(peerId)?.state, 'connected')
    } finally {
      await rm(dir, { recursive: true, force: true })
    }
  })

  it('comes up with a damaged store: in memory, saying so, and taking nobody whom it may have blocked', async () => {
    const home = memoryHome()
    const first = await startNetworkNode({ home })
    await first.network.block('192.0.2.1')
    await first.stop()
    damage(diskOf(home.files))
    await using again = await startNetworkNode({ home })
    const health = await again.health()
    assert.deepEqual([health.state, 'code' in health && health.code], ['degraded', 'NZ_STORAGE_DAMAGED'])
    await using desk = await startNetworkNode()
    const { peerId } = again.network
    await assert.rejects(desk.network.connect(peerId, { addresses: again.network.addresses(), signal }))
    const dial = again.network.connect(desk.network.peerId, { addresses: desk.network.addresses(), signal })
    await assert.rejects(dial, { code: 'NZ_STORAGE_DAMAGED' })
    assert.throws(() => again.network.blocked(), { code: 'NZ_STORAGE_DAMAGED', exit: 'damaged' })
    await again.repair()
    await again.network.connect(desk.network.peerId, { addresses: desk.network.addresses(), signal })
  })
})
