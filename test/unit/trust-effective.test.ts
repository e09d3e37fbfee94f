import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { effectiveTrust } from '../../protocols/trust/effective.ts'
import { Interest } from '../../protocols/trust/interest.ts'
import { TrustReplica } from '../../protocols/trust/replica.ts'
import { chainOf, keyNamed, trusting, unsignedUpdate } from '../fake/trust.ts'
import type { EffectiveTrust } from '../../protocols/trust/effective.ts'
import type { Statement } from '../../protocols/trust/update.ts'

const [viewer, ann, bob, cid, dan, eve] = ['viewer', 'ann', 'bob', 'cid', 'dan', 'eve'].map(keyNamed) as [
  string,
  string,
  string,
  string,
  string,
  string,
]

/** What each issuer says, in order. */
function world(said: readonly (readonly [string, readonly Statement[]])[]): TrustReplica {
  const replica = new TrustReplica({ verify: () => true, isOfInterest: () => true })
  for (const [issuer, statements] of said) {
    for (const { bytes } of chainOf(issuer, statements.length, (at) => statements[at] ?? assert.fail())) {
      assert.equal(replica.receive(bytes, 0).code, null)
    }
  }
  return replica
}

const seen = (replica: TrustReplica, peer: string, nowS = 1_000): EffectiveTrust =>
  effectiveTrust(replica, viewer, peer, nowS)

describe('effective trust', () => {
  it('is full for the viewer itself and none for strangers', () => {
    const replica = world([])
    assert.equal(seen(replica, viewer).level, 4)
    assert.deepEqual([seen(replica, ann).level, seen(replica, ann).because], [0, 'none'])
  })

  it('is what the viewer says itself, also when others say more', () => {
    const replica = world([
      [viewer, [trusting(ann, 3, { vouchDepth: 1 }), trusting(bob, 1)]],
      [ann, [trusting(bob, 4)]],
    ])
    assert.deepEqual([seen(replica, bob).level, seen(replica, bob).because], [1, 'own'])
  })

  it('follows a path with the arithmetic of the specification', () => {
    const replica = world([
      [viewer, [trusting(ann, 3, { vouchDepth: 2 })]],
      [ann, [trusting(bob, 4, { vouchDepth: 1 })]],
      [bob, [trusting(cid, 4)]],
    ])
    // 750; 750 x 1000 x 0.8 = 600; 600 x 1000 x 0.8 = 480.
    assert.deepEqual(
      seen(replica, cid).paths[0]?.map(({ weight }) => weight),
      [750, 600, 480],
    )
    assert.equal(seen(replica, cid).level, 1)
    assert.equal(seen(replica, bob).level, 2)
  })

  it('gives a path no more than HIGH and no path through who may not vouch so far', () => {
    const replica = world([
      [viewer, [trusting(ann, 4, { vouchDepth: 1 }), trusting(dan, 4)]],
      [ann, [trusting(bob, 4, { vouchDepth: 3 })]],
      [bob, [trusting(cid, 4)]],
      [dan, [trusting(eve, 4)]],
    ])
    assert.equal(seen(replica, bob).weight, 750)
    assert.deepEqual([seen(replica, cid).level, seen(replica, eve).level], [0, 0])
  })

  it('counts the best path, however many there are', () => {
    const introducers = Array.from({ length: 40 }, (_, at) => keyNamed(`many${at}`))
    const replica = world([
      [viewer, [...introducers.map((key) => trusting(key, 1, { vouchDepth: 1 })), trusting(ann, 3, { vouchDepth: 1 })]],
      ...introducers.map((key) => [key, [trusting(cid, 4)]] as const),
      [ann, [trusting(cid, 3)]],
    ])
    // Through ann: 750 x 0.75 x 0.8 = 449 after rounding down twice.
    assert.equal(seen(replica, cid).weight, 449)
    assert.equal(seen(replica, cid).paths.length, 8)
  })

  it('leads through nobody of whom the viewer itself thinks otherwise', () => {
    const replica = world([
      [viewer, [trusting(ann, 4, { vouchDepth: 3 }), trusting(bob, 1)]],
      [ann, [trusting(bob, 4, { vouchDepth: 2 })]],
      [bob, [trusting(cid, 4)]],
    ])
    assert.equal(seen(replica, cid).because, 'none')
  })

  it('ends with its time, and with a withdrawal', () => {
    const replica = world([
      [viewer, [trusting(ann, 3, { expiresS: 2_000 }), trusting(bob, 3), { kind: 'withdraw', subject: bob }]],
    ])
    assert.equal(seen(replica, ann, 1_999).level, 3)
    assert.equal(seen(replica, ann, 2_000).level, 0)
    assert.equal(seen(replica, bob).because, 'none')
  })

  it('is gone with a revocation by the peer, the viewer, or one trusted HIGH', () => {
    const revoking = (subject: string): Statement => ({ kind: 'revoke', subject, reason: 1 })
    const vouched = [viewer, [trusting(ann, 3, { vouchDepth: 1 }), trusting(dan, 3), trusting(eve, 2)]] as const
    const introduced = [ann, [trusting(bob, 3)]] as const
    assert.equal(seen(world([vouched, introduced]), bob).level, 1)
    assert.deepEqual(seen(world([vouched, introduced, [bob, [revoking(bob)]]]), bob).revokedBy, [bob])
    assert.deepEqual(seen(world([vouched, introduced, [dan, [revoking(bob)]]]), bob).revokedBy, [dan])
    assert.deepEqual(seen(world([vouched, introduced, [eve, [revoking(bob)]]]), bob).revokedBy, [])
    assert.equal(seen(world([vouched, introduced, [dan, [revoking(ann)]]]), ann).level, 3)
    assert.equal(seen(world([vouched, [ann, [trusting(bob, 3), revoking(ann)]]]), bob).level, 0)
  })

  it('counts nothing that an issuer of two histories says, and trusts it LOW at most', () => {
    const replica = world([
      [viewer, [trusting(ann, 4, { vouchDepth: 1 })]],
      [ann, [trusting(bob, 4)]],
    ])
    assert.equal(seen(replica, bob).level, 3)
    const other = unsignedUpdate(ann, 1, '0'.repeat(64), trusting(cid, 4))
    assert.equal(replica.receive(other.bytes, 0).code, 'NZ_TRUST_FORKED')
    assert.deepEqual([seen(replica, bob).level, seen(replica, ann).level, seen(replica, ann).isForked], [0, 1, true])
  })

  it('never leads through a circle', () => {
    const replica = world([
      [viewer, [trusting(ann, 4, { vouchDepth: 3 })]],
      [ann, [trusting(bob, 4, { vouchDepth: 3 }), trusting(viewer, 4, { vouchDepth: 3 })]],
      [bob, [trusting(ann, 4, { vouchDepth: 3 }), trusting(cid, 4)]],
    ])
    const keys = seen(replica, cid).paths.map((path) => path.map(({ subject }) => subject))
    assert.deepEqual(keys[0], [ann, bob, cid])
  })
})

describe('issuers of interest', () => {
  it('are those the viewer trusts and, as far as it lets them vouch, those they trust', () => {
    const replica = world([
      [viewer, [trusting(ann, 2, { vouchDepth: 1 }), trusting(dan, 2)]],
      [ann, [trusting(bob, 2, { vouchDepth: 3 })]],
      [bob, [trusting(cid, 2)]],
      [dan, [trusting(eve, 2)]],
    ])
    const interest = new Interest({ view: replica, viewer, nowS: () => 0 })
    assert.deepEqual([...interest.keys].toSorted(), [viewer, ann, bob, dan].toSorted())
  })
})
