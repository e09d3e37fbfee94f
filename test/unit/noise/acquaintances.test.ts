/** Proofs that were checked before: found again only when they are the same, and bounded. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Acquaintances, MAX_ACQUAINTANCES } from '../../../modules/network/noise/acquaintances.ts'
import type { Acquaintance, Proof } from '../../../modules/network/noise/acquaintances.ts'

const proofOf = (number: number): Proof => ({
  identityKey: new Uint8Array(36).fill(1),
  identitySignature: new Uint8Array(64).fill(2),
  staticKey: Uint8Array.from({ length: 32 }, (_, at) => (at < 2 ? number >> (8 * at) : 3)),
})
const acquaintanceOf = (number: number): Acquaintance => ({ peerId: number }) as unknown as Acquaintance

describe('acquaintances', () => {
  it('are found by exactly what they showed', () => {
    const known = new Acquaintances()
    known.add(proofOf(7), acquaintanceOf(7))
    assert.equal(known.find(proofOf(7))?.peerId, 7)
    for (const part of ['identityKey', 'identitySignature', 'staticKey'] as const) {
      const altered = Uint8Array.from(proofOf(7)[part])
      altered[altered.length - 1] = 99
      assert.equal(known.find({ ...proofOf(7), [part]: altered }), undefined, part)
    }
  })

  it(`are at most ${MAX_ACQUAINTANCES}, those not met for longest go first`, () => {
    const known = new Acquaintances()
    for (let i = 0; i < MAX_ACQUAINTANCES; i += 1) known.add(proofOf(i), acquaintanceOf(i))
    assert.equal(known.find(proofOf(0))?.peerId, 0)
    known.add(proofOf(9_999), acquaintanceOf(9_999))
    assert.equal(known.size, MAX_ACQUAINTANCES)
    assert.equal(known.find(proofOf(1)), undefined)
    assert.equal(known.find(proofOf(0))?.peerId, 0)
  })
})
