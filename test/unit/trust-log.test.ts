import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { IssuerLog } from '../../protocols/trust/issuer-log.ts'
import {
  MAX_REVOCATIONS_PER_ISSUER,
  MAX_UPDATES_PER_ISSUER,
  MAX_WAITING_PER_ISSUER,
} from '../../protocols/trust/limits.ts'
import { MAX_RECENT, TrustReplica } from '../../protocols/trust/replica.ts'
import { NO_PREVIOUS } from '../../protocols/trust/update.ts'
import { chainOf, keyNamed, trusting, unsignedUpdate } from '../fake/trust.ts'
import type { Applied } from '../../protocols/trust/issuer-log.ts'
import type { TrustUpdate } from '../../protocols/trust/update.ts'

const issuer = keyNamed('issuer')
const anywhere = { mayWait: true }

function logOf(updates: readonly TrustUpdate[]): { log: IssuerLog; applied: Applied[] } {
  const log = new IssuerLog(issuer)
  return { log, applied: updates.map((update) => log.apply(update, anywhere).applied) }
}

/** Two histories that part after `common` updates; some of their updates revoke. */
function branches(
  common: number,
  one: number,
  other: number,
): readonly [readonly TrustUpdate[], readonly TrustUpdate[]] {
  const shared = chainOf(issuer, common, (at) => trusting(keyNamed(`s${at % 3}`), 2))
  const head = shared.at(-1)?.id ?? NO_PREVIOUS
  const branch = (name: string, length: number): readonly TrustUpdate[] =>
    chainOf(
      issuer,
      length,
      (at) =>
        at % 3 === 1
          ? { kind: 'revoke', subject: keyNamed(`s${at % 4}`), reason: 1 }
          : trusting(keyNamed(`${name}${at % 3}`), 3),
      { after: common, previous: head },
    )
  return [
    [...shared, ...branch('a', one)],
    [...shared, ...branch('b', other)],
  ]
}

describe('the log of an issuer', () => {
  it('takes a chain in order and knows it when it comes again', () => {
    const chain = chainOf(issuer, 3, (at) => trusting(keyNamed(`s${at}`), 2))
    const { log, applied } = logOf([...chain, ...chain])
    assert.deepEqual(applied, ['taken', 'taken', 'taken', 'known', 'known', 'known'])
    assert.deepEqual(log.chain, chain)
    assert.equal(log.trustIn(keyNamed('s1'))?.level, 2)
  })

  it('lets an update wait for those before it, then takes all', () => {
    const chain = chainOf(issuer, 4, (at) => trusting(keyNamed(`s${at}`), 1))
    const { log, applied } = logOf([chain[3], chain[1], chain[2], chain[0]].filter((update) => update !== undefined))
    assert.deepEqual(applied, ['gap', 'gap', 'gap', 'taken'])
    assert.equal(log.chain.length, 4)
    assert.equal(log.waiting, 0)
    const again = logOf([chain[2], chain[2]].filter((update) => update !== undefined))
    assert.deepEqual([again.applied, again.log.waiting], [['gap', 'gap'], 1])
  })

  it('keeps at most its bound of updates that wait', () => {
    const chain = chainOf(issuer, MAX_WAITING_PER_ISSUER + 2, (at) => trusting(keyNamed(`s${at}`), 1))
    const { log, applied } = logOf(chain.slice(1))
    assert.equal(applied.filter((how) => how === 'gap').length, MAX_WAITING_PER_ISSUER)
    assert.equal(applied.at(-1), 'full')
    assert.equal(log.waiting, MAX_WAITING_PER_ISSUER)
  })

  it('refuses sequences and revocations beyond its bounds', () => {
    const far = unsignedUpdate(issuer, MAX_UPDATES_PER_ISSUER + 1, keyNamed('x'), trusting(keyNamed('s'), 1))
    assert.equal(new IssuerLog(issuer).apply(far, anywhere).applied, 'full')
    const revocations = chainOf(issuer, MAX_REVOCATIONS_PER_ISSUER + 1, (at) => ({
      kind: 'revoke',
      subject: keyNamed(`s${at}`),
      reason: 0,
    }))
    const { log, applied } = logOf(revocations)
    assert.equal(applied.at(-1), 'full')
    assert.equal(log.chain.length, MAX_REVOCATIONS_PER_ISSUER)
  })

  it('counts a revocation at once, before its predecessors, and lets no later statement undo it', () => {
    const subject = keyNamed('s')
    const chain = chainOf(issuer, 3, (at) => (at === 1 ? { kind: 'revoke', subject, reason: 1 } : trusting(subject, 3)))
    const [first, revocation, again] = chain
    assert.ok(first !== undefined && revocation !== undefined && again !== undefined)
    const { log } = logOf([revocation])
    assert.equal(log.revocationOf(subject)?.id, revocation.id)
    for (const update of [first, again]) log.apply(update, anywhere)
    assert.equal(log.chain.length, 3)
    assert.equal(log.trustIn(subject), undefined)
    assert.deepEqual(log.loose(), [])
  })

  it('keeps the proof of two histories, the common part, and all revocations', () => {
    const [one, other] = branches(2, 5, 5)
    const { log, applied } = logOf([...one, ...other])
    assert.equal(applied.at(one.length + 2), 'forked')
    assert.equal(log.isForked, true)
    assert.equal(log.chain.length, 2)
    assert.deepEqual(
      log.evidence.map(({ id }) => id),
      [one[2]?.id ?? '', other[2]?.id ?? ''].toSorted(),
    )
    for (const { statement } of [...one, ...other]) {
      if (statement.kind === 'revoke') assert.notEqual(log.revocationOf(statement.subject), undefined)
    }
    assert.equal(log.trustIn(keyNamed('s0')), undefined)
  })

  it('sees a fork by the name of a predecessor alone', () => {
    const [one, other] = branches(2, 3, 3)
    const next = other[3]
    assert.ok(next !== undefined)
    const { log, applied } = logOf([...one.slice(0, 3), next])
    assert.equal(applied.at(-1), 'forked')
    assert.equal(log.chain.length, 2)
    assert.equal(log.evidence.length, 2)
  })

  it('sees a fork by two names of a predecessor that is not at hand', () => {
    const [first, x, y] = ['first', 'x', 'y'].map((name, at) =>
      at === 0
        ? unsignedUpdate(issuer, 1, NO_PREVIOUS, trusting(keyNamed(name), 1))
        : unsignedUpdate(issuer, 2, `0${at}`.padStart(64, '0'), trusting(keyNamed(name), 1)),
    )
    assert.ok(first !== undefined && x !== undefined && y !== undefined)
    const { log, applied } = logOf([x, y])
    assert.deepEqual(applied, ['gap', 'forked'])
    assert.equal(logOf([first, x, y]).log.state, log.state)
    assert.equal(logOf([x, first, y]).log.state, log.state)
  })

  it('says what a store has to write and to delete', () => {
    const [one, other] = branches(1, 6, 6)
    const log = new IssuerLog(issuer)
    const stored = new Set<string>()
    for (const update of [...one.toReversed(), ...other]) {
      const { added, removed } = log.apply(update, anywhere)
      for (const { id } of removed) assert.equal(stored.delete(id), true)
      for (const { id } of added) stored.add(id)
    }
    assert.deepEqual([...stored].toSorted(), [...log.chain, ...log.loose()].map(({ id }) => id).toSorted())
  })

  it('is the same whatever the order of what it saw', () => {
    const sizes = fc.record({ common: fc.nat(4), one: fc.nat(5), other: fc.nat(5), third: fc.nat(4), cut: fc.nat(4) })
    fc.assert(
      fc.property(sizes, fc.infiniteStream(fc.nat(1_000_000)), ({ common, one, other, third, cut }, chance) => {
        const [a, b] = branches(common, one, other)
        const [, c] = branches(Math.min(cut, common), 0, third)
        const all = [...new Map([...a, ...b, ...c].map((update) => [update.id, update])).values()]
        const states = [all, all.toReversed(), shuffled(all, chance), shuffled(all, chance)].map((order) => {
          const { log } = logOf(order)
          return log.state
        })
        assert.equal(new Set(states).size, 1)
        // What is kept proves the same to somebody who sees nothing else.
        const { log } = logOf(all)
        const handedOn = logOf(shuffled([...log.chain, ...log.loose()], chance))
        assert.equal(handedOn.log.state, log.state)
      }),
      { numRuns: 600 },
    )
  })
})

describe('a replica', () => {
  it('has the same root as another that saw the same updates in another order', () => {
    const issuers = ['x', 'y', 'z'].map(keyNamed)
    const all = issuers.flatMap((key) => chainOf(key, 5, (at) => trusting(keyNamed(`s${at}`), 2)))
    const [one, other] = [all, all.toReversed()].map((updates) => {
      const replica = new TrustReplica({ verify: () => true, isOfInterest: () => true })
      for (const { bytes } of updates) replica.receive(bytes, 0)
      return replica
    })
    assert.equal(one?.root(), other?.root())
    assert.equal(one?.size, all.length)
  })

  it('keeps to its bounds', () => {
    const limits = { updates: 3, issuers: 2, waiting: 1 }
    const replica = new TrustReplica({ verify: () => true, isOfInterest: () => true, limits })
    const [x, y, z] = ['x', 'y', 'z'].map((name) => chainOf(keyNamed(name), 4, () => trusting(keyNamed('s'), 1)))
    const codes = [x?.[0], y?.[0], z?.[0], y?.[2], y?.[3], x?.[1], x?.[2]].map(
      (update) => replica.receive(update?.bytes ?? assert.fail(), 0).code,
    )
    const full = 'NZ_TRUST_FULL'
    assert.deepEqual(codes, [null, null, full, 'NZ_TRUST_GAP', full, null, full])
    assert.equal(replica.size, 3)
  })

  it('verifies no update twice that several peers push, and knows those it verified longer ago by their place', () => {
    let verified = 0
    const verify = (): boolean => (verified += 1) > 0
    const replica = new TrustReplica({ verify, isOfInterest: () => true })
    const chain = chainOf(issuer, MAX_RECENT + 1, (at) => trusting(keyNamed(`s${at % 5}`), 1))
    for (const { bytes } of chain) assert.equal(replica.receive(bytes, 0).code, null)
    assert.equal(replica.receive(chain.at(-1)?.bytes ?? assert.fail(), 0).code, 'NZ_TRUST_REPLAYED')
    assert.equal(verified, chain.length)
    assert.equal(replica.receive(chain[0]?.bytes ?? assert.fail(), 0).code, 'NZ_TRUST_REPLAYED')
    assert.equal(verified, chain.length + 1)
  })

  it('does not list an issuer of whom everything waits', () => {
    const replica = new TrustReplica({ verify: () => true, isOfInterest: () => true })
    const empty = replica.root()
    const [, second] = chainOf(issuer, 2, () => trusting(keyNamed('s'), 1))
    assert.ok(second !== undefined)
    assert.equal(replica.receive(second.bytes, 0).code, 'NZ_TRUST_GAP')
    assert.equal(replica.root(), empty)
    assert.deepEqual(replica.issuers, [])
  })
})

function shuffled<T>(items: readonly T[], chance: Iterator<number>): readonly T[] {
  return items
    .map((item) => ({ item, at: Number(chance.next().value) }))
    .toSorted((a, b) => a.at - b.at)
    .map(({ item }) => item)
}
