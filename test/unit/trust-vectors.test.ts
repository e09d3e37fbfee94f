/**
 * spec/vectors/trust.json against the code: the vectors of NZ-TRUST-01.
 * `NZ_WRITE_VECTORS=1 node --test test/unit/trust-vectors.test.ts` writes them anew.
 */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { IdentityKeys } from '../../modules/identity/keys.ts'
import { verifyFor } from '../../protocols/identity/signature.ts'
import { decodeCanonical, encodeCanonical } from '../../protocols/framing/canonical-cbor.ts'
import { effectiveTrust } from '../../protocols/trust/effective.ts'
import { MAX_UPDATE_BYTES } from '../../protocols/trust/limits.ts'
import { TrustReplica } from '../../protocols/trust/replica.ts'
import { bytesOf, createUpdate, keyOf, NO_PREVIOUS, readUpdate, UPDATE_PURPOSE } from '../../protocols/trust/update.ts'
import { fromHex, specVectors, toHex } from '../vectors.ts'
import { trusting } from '../fake/trust.ts'
import type { SigningPurpose } from '../../modules/identity/service.ts'
import type { Key, Statement, TrustUpdate } from '../../protocols/trust/update.ts'

const NAMES = ['viewer', 'ann', 'bob', 'cid', 'dan'] as const
type Name = (typeof NAMES)[number]
const NOW_S = 1_800_000_000

interface Signer {
  readonly key: Key
  say(sequence: number, previous: Key, statement: Statement): TrustUpdate
  /** Signs anything for any purpose. */
  sign(purpose: SigningPurpose, message: Uint8Array): Uint8Array
}

async function signers(): Promise<Readonly<Record<Name, Signer>>> {
  const made = await Promise.all(
    NAMES.map(async (name, at) => {
      const keys = await IdentityKeys.derive(new Uint8Array(32).fill(at), ['A', 'B', 'C', 'D'])
      const issuer = keyOf(keys.self.nodePublicKey)
      const sign = (purpose: SigningPurpose, message: Uint8Array): Uint8Array => keys.signAsNode(purpose, message)
      const say = (sequence: number, previous: Key, statement: Statement): TrustUpdate =>
        createUpdate({ issuer, sequence, previous, issuedS: NOW_S - 1_000 + sequence, statement }, sign)
      return [name, { key: issuer, say, sign }] as const
    }),
  )
  return Object.fromEntries(made) as Readonly<Record<Name, Signer>>
}

function chain(signer: Signer, statements: readonly Statement[]): readonly TrustUpdate[] {
  const updates: TrustUpdate[] = []
  for (const statement of statements) {
    updates.push(signer.say(updates.length + 1, updates.at(-1)?.id ?? NO_PREVIOUS, statement))
  }
  return updates
}

function updatesOf({ viewer, ann, bob, cid, dan }: Readonly<Record<Name, Signer>>): readonly TrustUpdate[] {
  const fork = dan.say(1, NO_PREVIOUS, trusting(ann.key, 1))
  return [
    ...chain(viewer, [
      trusting(ann.key, 3, { vouchDepth: 2 }),
      trusting(dan.key, 2),
      trusting(bob.key, 1),
      { kind: 'withdraw', subject: bob.key },
    ]),
    ...chain(ann, [trusting(bob.key, 4, { vouchDepth: 1 }), trusting(cid.key, 2, { expiresS: NOW_S - 1 })]),
    ...chain(bob, [trusting(cid.key, 4, { expiresS: NOW_S + 1 }), { kind: 'revoke', subject: viewer.key, reason: 3 }]),
    ...chain(dan, [trusting(ann.key, 0), { kind: 'revoke', subject: cid.key, reason: 1 }]),
    fork,
  ]
}

/** One thing wrong in each, and what a reader must answer. */
function refusedOf({ ann, bob }: Readonly<Record<Name, Signer>>): ReadonlyArray<{ bytes: Uint8Array; code: string }> {
  const good = ann.say(1, NO_PREVIOUS, trusting(bob.key, 2))
  const [, body, signature] = decodeCanonical(good.bytes) as [string, Uint8Array, Uint8Array]
  const fields = decodeCanonical(body) as unknown[]
  const sealed = (items: unknown, signer: Signer = ann): Uint8Array => {
    const encoded = encodeCanonical(items)
    return encodeCanonical([UPDATE_PURPOSE, encoded, signer.sign(UPDATE_PURPOSE, encoded)])
  }
  const changed = Uint8Array.from(signature)
  changed[0] = (changed[0] ?? 0) ^ 1
  const elsewhere = 'nzcore/invite/1'
  return [
    { bytes: encodeCanonical([UPDATE_PURPOSE, body, changed]), code: 'NZ_TRUST_FORGED' },
    { bytes: sealed(fields, bob), code: 'NZ_TRUST_FORGED' },
    { bytes: encodeCanonical([elsewhere, body, ann.sign(elsewhere, body)]), code: 'NZ_TRUST_PURPOSE' },
    { bytes: encodeCanonical([UPDATE_PURPOSE, body, ann.sign(elsewhere, body)]), code: 'NZ_TRUST_FORGED' },
    { bytes: sealed([2, ...fields.slice(1)]), code: 'NZ_TRUST_VERSION' },
    { bytes: sealed([2, 'a body of another form']), code: 'NZ_TRUST_VERSION' },
    { bytes: encodeCanonical([elsewhere, encodeCanonical([2]), changed]), code: 'NZ_TRUST_VERSION' },
    { bytes: encodeCanonical([elsewhere, encodeCanonical([1]), changed]), code: 'NZ_TRUST_PURPOSE' },
    { bytes: sealed(['1', ...fields.slice(1)]), code: 'NZ_TRUST_MALFORMED' },
    { bytes: sealed([-1, ...fields.slice(1)]), code: 'NZ_TRUST_MALFORMED' },
    { bytes: sealed([]), code: 'NZ_TRUST_MALFORMED' },
    { bytes: sealed([...fields, 0]), code: 'NZ_TRUST_MALFORMED' },
    { bytes: sealed([1, fields[1], 2, ...fields.slice(3)]), code: 'NZ_TRUST_MALFORMED' },
    { bytes: sealed([...fields.slice(0, 5), [0, bytesOf(ann.key), 4, 0]]), code: 'NZ_TRUST_MALFORMED' },
    { bytes: sealed([...fields.slice(0, 5), [0, bytesOf(bob.key), 5, 0]]), code: 'NZ_TRUST_MALFORMED' },
    { bytes: sealed([...fields.slice(0, 5), [1, bytesOf(bob.key), 3, 0, 4]]), code: 'NZ_TRUST_MALFORMED' },
    { bytes: good.bytes.subarray(1), code: 'NZ_TRUST_MALFORMED' },
    { bytes: Buffer.concat([good.bytes, Uint8Array.of(0)]), code: 'NZ_TRUST_MALFORMED' },
  ]
}

const orders = [
  [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
  [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
  [10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0],
  [3, 1, 9],
  [9],
] as const

function delivered(updates: ReadonlyArray<{ readonly bytes: Uint8Array }>, order: readonly number[]) {
  const replica = new TrustReplica({ verify: verifyFor, isOfInterest: () => true })
  const codes = order.map((at) => replica.receive(updates[at]?.bytes ?? assert.fail(), NOW_S).code ?? 'taken')
  return { replica, codes }
}

function questionsOf(updates: readonly TrustUpdate[], by: Readonly<Record<Name, Signer>>) {
  return [orders[0], orders[1]].flatMap((order) =>
    NAMES.flatMap((viewer) =>
      NAMES.map((peer) => {
        const { replica } = delivered(updates, order)
        const { level, weight, because, isForked, revokedBy, paths } = effectiveTrust(
          replica,
          by[viewer].key,
          by[peer].key,
          NOW_S,
        )
        const path = paths[0]?.map((step) => ({ subject: step.subject, weight: step.weight })) ?? []
        return { order, viewer, peer, now: NOW_S, level, weight, because, isForked, revokedBy, path }
      }),
    ),
  )
}

async function makeVectors() {
  const by = await signers()
  const updates = updatesOf(by)
  return {
    source: 'NZ-TRUST-01; written by test/unit/trust-vectors.test.ts. Bytes are hexadecimal.',
    keys: Object.fromEntries(NAMES.map((name) => [name, by[name].key])),
    updates: updates.map(({ id, issuer, sequence, previous, issuedS, statement, bytes }) => ({
      issuer,
      sequence,
      previous,
      issued: issuedS,
      statement,
      id,
      bytes: toHex(bytes),
    })),
    refused: refusedOf(by).map(({ bytes, code }) => ({ bytes: toHex(bytes), code })),
    deliveries: orders.map((order) => {
      const { replica, codes } = delivered(updates, order)
      const states = Object.fromEntries(replica.issuers.map((issuer) => [issuer, replica.log(issuer)?.state]))
      return { order, now: NOW_S, codes, states, root: replica.root() }
    }),
    questions: questionsOf(updates, by),
  }
}

type Vectors = Awaited<ReturnType<typeof makeVectors>>

describe('NZ-TRUST-01', () => {
  it('has the vectors of spec/vectors/trust.json', async () => {
    const made = await makeVectors()
    if (process.env['NZ_WRITE_VECTORS'] !== undefined) {
      const path = join(resolve(import.meta.dirname, '..', '..'), 'spec', 'vectors', 'trust.json')
      writeFileSync(path, `${JSON.stringify(made, null, 1)}\n`)
    }
    assert.deepEqual(JSON.parse(JSON.stringify(made)), specVectors<object>('trust.json'))
  })

  it('refuses each bad update of its vectors with its own code', () => {
    for (const { bytes, code } of specVectors<Vectors>('trust.json').refused) {
      assert.equal(readUpdate(fromHex(bytes), verifyFor), code)
    }
  })

  it('ends with one root for one set of updates', () => {
    const { updates, deliveries } = specVectors<Vectors>('trust.json')
    const all = updates.map(({ bytes }) => ({ bytes: fromHex(bytes) }))
    const [, forward, backward] = deliveries
    assert.equal(forward?.root, backward?.root)
    for (const { order, root } of deliveries) assert.equal(delivered(all, order).replica.root(), root)
  })

  it('reads no changed update as a good one', () => {
    const samples = specVectors<Vectors>('trust.json').updates.map(({ bytes }) => fromHex(bytes))
    fc.assert(
      fc.property(fc.constantFrom(...samples), fc.nat(), fc.integer({ min: 1, max: 255 }), (sample, at, flip) => {
        const mutated = Uint8Array.from(sample)
        mutated[at % mutated.length] = (mutated[at % mutated.length] ?? 0) ^ flip
        assert.equal(typeof readUpdate(mutated, verifyFor), 'string')
        assert.equal(typeof readUpdate(mutated.subarray(0, at % mutated.length), verifyFor), 'string')
      }),
      { numRuns: 500 },
    )
    assert.equal(readUpdate(new Uint8Array(MAX_UPDATE_BYTES + 1), verifyFor), 'NZ_TRUST_MALFORMED')
  })
})
