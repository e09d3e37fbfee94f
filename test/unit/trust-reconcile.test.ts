import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { answerReconcile } from '../../protocols/trust/answer.ts'
import {
  decodeAnswer,
  decodeRequest,
  encodeAnswer,
  encodeRequest,
  MAX_MESSAGE_BYTES,
} from '../../protocols/trust/reconcile-messages.ts'
import { Reconciliation } from '../../protocols/trust/reconciliation.ts'
import { TrustReplica } from '../../protocols/trust/replica.ts'
import { chainOf, keyNamed, trusting, unsignedUpdate } from '../fake/trust.ts'
import type { TrustUpdate } from '../../protocols/trust/update.ts'

interface Cost {
  readonly bytes: number
  readonly rounds: number
  readonly received: number
  readonly refused: ReadonlySet<string>
}

function replicaOf(
  updates: Iterable<TrustUpdate>,
  isOfInterest: (issuer: string) => boolean = () => true,
): TrustReplica {
  const replica = new TrustReplica({ verify: () => true, isOfInterest })
  for (const { bytes } of updates) replica.restore(bytes)
  return replica
}

/** Runs a reconciliation over the wire format. */
function reconcile(asker: TrustReplica, answerer: TrustReplica, { isOfInterest = () => true as boolean } = {}): Cost {
  const reconciliation = new Reconciliation({
    replica: asker,
    receive: (bytes) => asker.receive(bytes, 0),
    isOfInterest,
    isRefused: () => false,
  })
  let bytes = 0
  let rounds = 0
  for (let request = reconciliation.next(); request !== null; request = reconciliation.next()) {
    const asked = encodeRequest(request)
    const read = decodeRequest(asked)
    assert.deepEqual(read, plain(request))
    assert.ok(read !== null && asked.length <= MAX_MESSAGE_BYTES)
    const answered = encodeAnswer(answerReconcile(answerer, read, (update) => answerer.receive(update, 0)))
    assert.ok(answered.length <= MAX_MESSAGE_BYTES)
    const answer = decodeAnswer(answered)
    assert.ok(answer !== null && reconciliation.accept(answer))
    bytes += asked.length + answered.length
    rounds += 1
  }
  return { bytes, rounds, received: reconciliation.received, refused: reconciliation.refused }
}

const plain = (value: unknown): unknown => structuredClone(value)

describe('reconciliation', () => {
  it('costs one exchange when both are equal', () => {
    const updates = chainOf(keyNamed('i'), 20, (at) => trusting(keyNamed(`s${at}`), 1))
    const { rounds, bytes } = reconcile(replicaOf(updates), replicaOf(updates))
    assert.equal(rounds, 1)
    assert.ok(bytes < 64)
  })

  it('brings any two replicas to the same state', () => {
    const part = fc.record({
      issuer: fc.nat(40),
      length: fc.nat(12),
      fork: fc.nat(3),
      here: fc.nat(12),
      there: fc.nat(12),
    })
    fc.assert(
      fc.property(fc.array(part, { maxLength: 40 }), (parts) => {
        const [one, other] = [replicaOf([]), replicaOf([])]
        for (const { issuer, length, fork, here, there } of parts) {
          const chain = chainOf(keyNamed(`i${issuer}`), length, (at) =>
            at % 4 === 3
              ? { kind: 'revoke', subject: keyNamed(`r${at}`), reason: fork }
              : trusting(keyNamed(`${fork === 0 ? '' : fork}${at}`), 2),
          )
          for (const { bytes } of chain.slice(0, here)) one.receive(bytes, 0)
          for (const { bytes } of chain.slice(0, there)) other.receive(bytes, 0)
          // A revocation that came without its chain.
          const loose = chain.find(({ statement }, at) => statement.kind === 'revoke' && at >= there)
          if (loose !== undefined) other.receive(loose.bytes, 0)
        }
        reconcile(one, other)
        assert.equal(one.root(), other.root())
      }),
      { numRuns: 150 },
    )
  })

  it('moves what differs and little more', () => {
    const issuers = Array.from({ length: 200 }, (_, at) => keyNamed(`i${at}`))
    const chains = issuers.map((issuer) => chainOf(issuer, 50, (at) => trusting(keyNamed(`s${at}`), 2)))
    const full = chains.flat()
    const answerer = replicaOf(full)
    const asker = replicaOf(chains.flatMap((chain, at) => (at % 20 === 0 ? chain.slice(0, 49) : chain)))
    const { bytes, received } = reconcile(asker, answerer)
    assert.equal(asker.root(), answerer.root())
    assert.equal(received, 10)
    const all = full.reduce((sum, update) => sum + update.bytes.length, 0)
    assert.ok(bytes < all / 100, `${bytes} of ${all} bytes`)
  })

  it('takes a log that is larger than one answer', () => {
    const updates = chainOf(keyNamed('i'), 3_000, (at) => trusting(keyNamed(`s${at}`), 2))
    const asker = replicaOf([])
    const answerer = replicaOf(updates)
    const { rounds } = reconcile(asker, answerer)
    assert.ok(rounds >= 4)
    assert.equal(asker.root(), answerer.root())
    const empty = replicaOf([])
    reconcile(asker, empty)
    assert.equal(empty.root(), asker.root())
  })

  it('brings the proof of a fork to the other side whoever asks', () => {
    const shared = chainOf(keyNamed('i'), 3, (at) => trusting(keyNamed(`s${at}`), 2))
    const head = shared[2]
    assert.ok(head !== undefined)
    const [a, b] = ['a', 'b'].map((name) => unsignedUpdate(keyNamed('i'), 4, head.id, trusting(keyNamed(name), 3)))
    assert.ok(a !== undefined && b !== undefined)
    const [one, other] = [replicaOf([...shared, a]), replicaOf([...shared, b])]
    reconcile(one, other)
    assert.equal(one.log(keyNamed('i'))?.isForked, true)
    assert.equal(one.root(), other.root())
  })

  it('stops to offer logs that the other side does not follow', () => {
    const updates = chainOf(keyNamed('i'), 2_000, (at) => trusting(keyNamed(`s${at}`), 2))
    const { refused, rounds } = reconcile(
      replicaOf(updates),
      replicaOf([], () => false),
    )
    assert.deepEqual([...refused], [keyNamed('i')])
    assert.equal(rounds, 2)
  })

  it('refuses answers that do not fit the request', () => {
    const replica = replicaOf([])
    const start = (): Reconciliation => {
      const reconciliation = new Reconciliation({
        replica,
        receive: (bytes) => replica.receive(bytes, 0),
        isOfInterest: () => true,
        isRefused: () => false,
      })
      reconciliation.next()
      return reconciliation
    }
    const print = '00'.repeat(16)
    assert.equal(start().accept({ kind: 'pushed', codes: [] }), false)
    assert.equal(start().accept({ kind: 'pulled', answers: [] }), false)
    assert.equal(start().accept({ kind: 'compared', ranges: [] }), false)
    assert.equal(start().accept({ kind: 'compared', ranges: [{ kind: 'parts', parts: [{ to: 'aa', print }] }] }), false)
    const backwards = ['bb', 'aa', ''].map((to) => ({ to, print }))
    assert.equal(start().accept({ kind: 'compared', ranges: [{ kind: 'parts', parts: backwards }] }), false)
  })

  it('decodes nothing but its own form, and never throws', () => {
    const samples = [
      encodeRequest({ kind: 'compare', ranges: [{ from: '', to: '', print: '11'.repeat(16) }] }),
      encodeRequest({
        kind: 'pull',
        pulls: [{ issuer: keyNamed('i'), locator: [{ sequence: 3, id: keyNamed('u') }], extras: [] }],
      }),
      encodeRequest({ kind: 'push', updates: [new Uint8Array(100)] }),
      encodeAnswer({
        kind: 'compared',
        ranges: [
          { kind: 'same' },
          { kind: 'issuers', issuers: [{ issuer: keyNamed('i'), length: 2, print: '22'.repeat(16) }] },
        ],
      }),
      encodeAnswer({
        kind: 'pulled',
        answers: [{ common: 1, held: [keyNamed('u')], updates: [new Uint8Array(9)], hasMore: false }],
      }),
      encodeAnswer({ kind: 'pushed', codes: [0, 6] }),
    ]
    fc.assert(
      fc.property(fc.constantFrom(...samples), fc.nat(), fc.integer({ min: 0, max: 255 }), (sample, at, value) => {
        const mutated = Uint8Array.from(sample)
        mutated[at % mutated.length] = value
        const request = decodeRequest(mutated)
        if (request !== null) assert.deepEqual(Buffer.from(encodeRequest(request)), Buffer.from(mutated))
        const answer = decodeAnswer(mutated)
        if (answer !== null) assert.deepEqual(Buffer.from(encodeAnswer(answer)), Buffer.from(mutated))
        decodeRequest(mutated.subarray(0, at % mutated.length))
        decodeAnswer(mutated.subarray(0, at % mutated.length))
      }),
      { numRuns: 2_000 },
    )
    assert.equal(decodeRequest(new Uint8Array(MAX_MESSAGE_BYTES + 1)), null)
  })
})
