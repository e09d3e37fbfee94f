import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { isNzError, SimulatedClock, systemClock } from '../../kernel/index.ts'
import { RESTORED_FILE } from '../../modules/home/service.ts'
import { REQUEST_TIMEOUT_MS } from '../../modules/trust/replication.ts'
import { trustEvents, TrustService } from '../../modules/trust/service.ts'
import { decodeAnswer, encodeRequest, RECONCILE_METHOD } from '../../protocols/trust/reconcile-messages.ts'
import { trustCodes } from '../../protocols/trust/errors.ts'
import { createUpdate, keyOf, NO_PREVIOUS } from '../../protocols/trust/update.ts'
import { fakeIdentity } from '../fake/identity.ts'
import { createFakeNetwork } from '../fake/network.ts'
import { startApiNode } from '../fake/node.ts'
import { copyOfDisk } from '../fake/storage.ts'
import { trusting } from '../fake/trust.ts'
import type { Clock } from '../../kernel/index.ts'
import type { ApiNode } from '../fake/node.ts'
import type { Statement, TrustUpdate } from '../../protocols/trust/update.ts'
import type { FakeNetwork } from '../fake/network.ts'

const signal = AbortSignal.timeout(120_000)

async function eventually(isTrue: () => boolean): Promise<void> {
  for (; !isTrue();) {
    signal.throwIfAborted()
    await new Promise((resolve) => setImmediate(resolve))
  }
}

const trustOf = (node: ApiNode): TrustService => node.kernel.get(TrustService)

/** Two connected nodes that trust each other `MEDIUM`. */
async function pair(
  mesh: FakeNetwork,
  clocked: { readonly clock?: Clock } = {},
): Promise<{ readonly one: ApiNode; readonly other: ApiNode } & AsyncDisposable> {
  const one = await startApiNode({ mesh, seed: 1, ...clocked })
  const other = await startApiNode({ mesh, seed: 2, ...clocked })
  await trustOf(one).set(other.network.peerId, { level: 'MEDIUM', vouchDepth: 1 })
  await trustOf(other).set(one.network.peerId, { level: 'MEDIUM', vouchDepth: 1 })
  await one.network.connect(other.network.peerId, { addresses: other.network.addresses(), signal })
  return {
    one,
    other,
    async [Symbol.asyncDispose]() {
      await one[Symbol.asyncDispose]()
      await other[Symbol.asyncDispose]()
    },
  }
}

const third = fakeIdentity(3).self.peerId

function updateBy(seed: number, sequence: number, previous: string, statement: Statement): TrustUpdate {
  const identity = fakeIdentity(seed)
  const issuer = keyOf(identity.self.nodePublicKey)
  return createUpdate({ issuer, sequence, previous, issuedS: 1, statement }, (purpose, message) =>
    identity.signAsNode(purpose, message),
  )
}

/** What `node` answers to updates that the peer `as` pushes. */
async function push(as: ApiNode, node: ApiNode, updates: readonly Uint8Array[]): Promise<readonly (string | null)[]> {
  const request = encodeRequest({ kind: 'push', updates })
  const answer = decodeAnswer(await as.network.request(node.network.peerId, RECONCILE_METHOD, request, { signal }))
  return answer?.kind === 'pushed' ? answer.codes.map((code) => trustCodes[code] ?? null) : assert.fail()
}

describe('the module trust', () => {
  it('tells a connected peer at once what was stated: no time passes', async () => {
    // Nobody moves this clock: whatever waited for a timer would wait for ever.
    const clock = new SimulatedClock()
    await using nodes = await pair(createFakeNetwork({ clock }), { clock })
    const { one, other } = nodes
    await trustOf(one).reconcile(other.network.peerId, { signal })
    assert.equal(trustOf(one).status().root, trustOf(other).status().root)
    await trustOf(one).set(third, { level: 'HIGH' })
    await eventually(() => trustOf(other).explain(third).because === 'path')
    assert.equal(trustOf(one).status().root, trustOf(other).status().root)
    // 500 x 0.75 x 0.8
    assert.equal(trustOf(other).explain(third).weight, 300)
  })

  it('brings what was stated in the meantime to a peer that comes back', async () => {
    const mesh = createFakeNetwork()
    await using nodes = await pair(mesh)
    const { one, other } = nodes
    mesh.cut(one.network.peerId, other.network.peerId)
    await trustOf(one).set(third, { level: 'LOW' })
    assert.equal(trustOf(other).explain(third).because, 'none')
    mesh.heal(one.network.peerId, other.network.peerId)
    await other.network.connect(one.network.peerId, { addresses: one.network.addresses(), signal })
    assert.equal((await trustOf(other).reconcile(one.network.peerId, { signal })).isEqual, true)
    assert.equal(trustOf(one).status().root, trustOf(other).status().root)
    assert.equal(trustOf(other).explain(third).because, 'path')
  })

  it('answers each bad update with its own code and keeps its state', async () => {
    await using nodes = await pair(createFakeNetwork())
    const { one, other } = nodes
    await trustOf(one).set(third, { level: 'HIGH', vouchDepth: 1 })
    const subject = keyOf(fakeIdentity(4).self.nodePublicKey)
    const good = updateBy(3, 1, NO_PREVIOUS, trusting(subject, 2))
    const late = updateBy(3, 3, good.id, trusting(subject, 2))
    const over = updateBy(3, 2, good.id, trusting(subject, 3, { expiresS: 10 }))
    const fork = updateBy(3, 1, NO_PREVIOUS, trusting(subject, 4))
    const stranger = updateBy(9, 1, NO_PREVIOUS, trusting(subject, 4))
    const forged = Uint8Array.from(good.bytes)
    forged[forged.length - 1] = (forged.at(-1) ?? 0) ^ 1
    const otherPurpose = Buffer.from(good.bytes)
    otherPurpose.write('other', otherPurpose.indexOf('trust'))
    assert.deepEqual(
      await push(other, one, [
        good.bytes,
        good.bytes,
        late.bytes,
        over.bytes,
        forged,
        otherPurpose,
        Uint8Array.of(1),
        stranger.bytes,
      ]),
      [
        null,
        'NZ_TRUST_REPLAYED',
        'NZ_TRUST_GAP',
        'NZ_TRUST_FORKED',
        'NZ_TRUST_FORGED',
        'NZ_TRUST_PURPOSE',
        'NZ_TRUST_MALFORMED',
        'NZ_TRUST_NOT_INTERESTED',
      ],
    )
    assert.deepEqual(await push(other, one, [fork.bytes]), ['NZ_TRUST_FORKED'])
    const { forked, refused } = trustOf(one).status()
    assert.deepEqual(forked, [third])
    assert.deepEqual(refused, {
      NZ_TRUST_REPLAYED: 1,
      NZ_TRUST_GAP: 1,
      NZ_TRUST_FORKED: 2,
      NZ_TRUST_FORGED: 1,
      NZ_TRUST_PURPOSE: 1,
      NZ_TRUST_MALFORMED: 1,
      NZ_TRUST_NOT_INTERESTED: 1,
    })
    assert.deepEqual(trustOf(one).explain(third).level, 'LOW')
  })

  it('says of an update whose time is over that it is, counts it, and keeps it without effect', async () => {
    await using nodes = await pair(createFakeNetwork())
    const { one, other } = nodes
    await trustOf(one).set(third, { level: 'HIGH', vouchDepth: 1 })
    const told: unknown[] = []
    one.kernel.events.on(trustEvents.refused, (event) => void told.push(event), { signal })
    const subject = fakeIdentity(4).self
    const key = keyOf(subject.nodePublicKey)
    const nowS = Math.floor(systemClock.nowMs() / 1_000)
    const over = updateBy(3, 1, NO_PREVIOUS, trusting(key, 3, { expiresS: nowS - 1 }))
    const lasting = updateBy(3, 2, over.id, trusting(key, 2, { expiresS: nowS + 3_600 }))
    assert.deepEqual(await push(other, one, [over.bytes]), ['NZ_TRUST_EXPIRED'])
    assert.equal(trustOf(one).explain(subject.peerId).because, 'none')
    assert.equal(trustOf(one).updates(third).length, 1, 'the next one follows it')
    assert.deepEqual(await push(other, one, [lasting.bytes]), [null])
    assert.equal(trustOf(one).explain(subject.peerId).because, 'path')
    await eventually(() => told.length > 0)
    assert.deepEqual(told, [{ peerId: other.network.peerId, code: 'NZ_TRUST_EXPIRED', count: 1 }])
    assert.deepEqual(trustOf(one).status().refused, { NZ_TRUST_EXPIRED: 1 })
  })

  it('answers only peers that its policy lets replicate', async () => {
    const mesh = createFakeNetwork()
    await using one = await startApiNode({ mesh, seed: 1 })
    await using other = await startApiNode({ mesh, seed: 2 })
    await trustOf(other).set(one.network.peerId, { level: 'HIGH' })
    await other.network.connect(one.network.peerId, { addresses: one.network.addresses(), signal })
    await assert.rejects(
      trustOf(other).reconcile(one.network.peerId, { signal }),
      (error) => isNzError(error) && error.code === 'NZ_TRUST_NOT_ALLOWED',
    )
    await assert.rejects(
      trustOf(one).reconcile(other.network.peerId, { signal }),
      (error) => isNzError(error) && error.code === 'NZ_TRUST_NOT_ALLOWED',
    )
  })

  it('gives a peer that does not answer so long, and no longer', async () => {
    const clock = new SimulatedClock()
    const mesh = createFakeNetwork({ clock })
    await using one = await startApiNode({ mesh, clock, seed: 1 })
    const mute = mesh.add(third)
    const asked = Promise.withResolvers<void>()
    mute.handleRequests(
      RECONCILE_METHOD,
      async (_payload, options) => {
        asked.resolve()
        return await new Promise((_resolve, reject) =>
          options.signal.addEventListener('abort', () => reject(options.signal.reason as Error)),
        )
      },
      { signal },
    )
    await trustOf(one).set(third, { level: 'MEDIUM' })
    await one.network.connect(third, { addresses: mute.addresses(), signal })
    let isOver = false
    const over = assert.rejects(trustOf(one).reconcile(third, { signal })).finally(() => (isOver = true))
    await asked.promise
    await clock.advance(REQUEST_TIMEOUT_MS - 1)
    assert.equal(isOver, false)
    await clock.advance(1)
    await over
  })

  it('hangs up on a peer that it revokes, refuses it from then on, and never takes that back', async () => {
    await using nodes = await pair(createFakeNetwork())
    const { one, other } = nodes
    const peer = other.network.peerId
    await trustOf(one).revoke(peer, { reason: 1 })
    await eventually(() => one.network.peer(peer)?.state !== 'connected')
    await assert.rejects(other.network.connect(one.network.peerId, { addresses: one.network.addresses(), signal }))
    assert.deepEqual(trustOf(one).explain(peer).mayDo, [])
    await assert.rejects(
      trustOf(one).set(peer, { level: 'HIGH' }),
      (error) => isNzError(error) && error.code === 'NZ_TRUST_REVOKED',
    )
  })

  it('states nothing after a restore before a peer has told what it stated since the backup', async () => {
    const mesh = createFakeNetwork()
    await using other = await startApiNode({ mesh, seed: 2 })
    const files = new Map<string, Uint8Array>()
    let backup = new Map<string, Uint8Array>()
    {
      await using one = await startApiNode({ mesh, seed: 1, files })
      await trustOf(one).set(other.network.peerId, { level: 'MEDIUM', vouchDepth: 1 })
      await trustOf(other).set(one.network.peerId, { level: 'MEDIUM', vouchDepth: 1 })
      backup = copyOfDisk(files)
      await one.network.connect(other.network.peerId, { addresses: other.network.addresses(), signal })
      await trustOf(one).revoke(third, { reason: 1 })
      await trustOf(one).reconcile(other.network.peerId, { signal })
    }
    mesh.remove(fakeIdentity(1).self.peerId)
    backup.set(RESTORED_FILE, new Uint8Array())
    await using restored = await startApiNode({ mesh, seed: 1, files: backup })
    assert.equal(trustOf(restored).status().ownLog, 'unsure')
    await assert.rejects(
      trustOf(restored).set(third, { level: 'HIGH' }),
      (error) => isNzError(error) && error.code === 'NZ_TRUST_RESTORED',
    )
    await restored.network.connect(other.network.peerId, { addresses: other.network.addresses(), signal })
    await trustOf(restored).reconcile(other.network.peerId, { signal })
    assert.equal(trustOf(restored).status().ownLog, 'ready')
    // What it had said after the backup is there again, and what it says now comes after it.
    assert.equal(trustOf(restored).explain(third).because, 'revoked')
    await trustOf(restored).set(fakeIdentity(4).self.peerId, { level: 'LOW' })
    await trustOf(restored).reconcile(other.network.peerId, { signal })
    assert.deepEqual(trustOf(other).status().forked, [])
    assert.equal(trustOf(other).status().root, trustOf(restored).status().root)
    await eventually(() => !backup.has(RESTORED_FILE))
  })

  it('states again after a restore when its owner knows nobody who could tell', async () => {
    const files = new Map([[RESTORED_FILE, new Uint8Array()]])
    await using fresh = await startApiNode({ seed: 1, files })
    assert.equal(trustOf(fresh).status().ownLog, 'ready')
    await trustOf(fresh).set(third, { level: 'LOW' })
    await fresh.kernel.stop()
    await using again = await startApiNode({ seed: 1, files })
    assert.equal((await again.client.trustStatus({})).trust.ownLog, 'unsure')
    assert.equal((await again.client.trustResume({})).ownLog, 'ready')
    await trustOf(again).set(third, { level: 'HIGH' })
    assert.equal(files.has(RESTORED_FILE), false)
  })

  it('shows statements, explanations and logs through the local API', async () => {
    await using nodes = await pair(createFakeNetwork())
    const { one, other } = nodes
    const peer = other.network.peerId
    await one.client.trustSet({ peer: third, level: 'HIGH', expiresInMs: 60_000 })
    const { statements } = await one.client.trustList({})
    assert.deepEqual(
      statements.map(({ subject, level }) => [subject.peerId, level]),
      [
        [peer, 'MEDIUM'],
        [third, 'HIGH'],
      ],
    )
    const { trust } = await one.client.trustExplain({ peer })
    assert.deepEqual(
      [trust.level, trust.because, trust.mayDo],
      ['MEDIUM', 'own', ['connect', 'replicate', 'send', 'route']],
    )
    await one.client.trustWithdraw({ peer: third })
    const { updates } = await one.client.trustLog({})
    assert.deepEqual(
      updates.map(({ sequence, kind }) => [sequence, kind]),
      [
        [1, 'trust'],
        [2, 'trust'],
        [3, 'withdraw'],
      ],
    )
    await assert.rejects(
      one.client.trustSet({ peer: one.network.peerId, level: 'LOW' }),
      (error) => isNzError(error) && error.code === 'NZ_TRUST_SELF',
    )
  })
})
