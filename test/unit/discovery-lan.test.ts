/** Messages of multicast DNS: what nodes send is read back, what others send is skipped, nothing throws. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { decodeLan, encodeAnswer, encodeQuestion, MAX_DATAGRAM_BYTES } from '../../protocols/discovery/lan.ts'
import { toHex } from '../vectors.ts'

describe('messages on the LAN', () => {
  it('are those of DNS', () => {
    assert.equal(toHex(encodeQuestion()), '000000000001000000000000075f6e7a636f7265045f756470056c6f63616c00000c0001')
    assert.equal(
      toHex(encodeAnswer('ab', Uint8Array.of(1, 2, 3))),
      '0000840000000001000000000261' + '62075f6e7a636f7265045f756470056c6f63616c00001000010000007800040301' + '0203',
    )
  })

  it('are read back, records of every length', () => {
    assert.deepEqual(decodeLan(encodeQuestion()), { kind: 'question' })
    for (const length of [1, 254, 255, 256, 700, 2_048]) {
      const record = Uint8Array.from({ length }, (_, at) => at & 0xff)
      assert.deepEqual(decodeLan(encodeAnswer('abc', record)), { kind: 'answer', records: [record] })
    }
    assert.deepEqual(decodeLan(encodeAnswer('abc', new Uint8Array(2_049))), { kind: 'other' })
  })

  it('of others are skipped, with compressed names and without', () => {
    const printer = Buffer.from('000000000001000000000000045f697070045f746370056c6f63616c00000c0001', 'hex')
    assert.deepEqual(decodeLan(printer), { kind: 'other' })
    const compressed = Buffer.from('00008400000000010000000002c00c00100001000000780002016100', 'hex')
    assert.deepEqual(decodeLan(compressed), { kind: 'other' })
    assert.deepEqual(decodeLan(new Uint8Array(MAX_DATAGRAM_BYTES + 1)), { kind: 'other' })
  })

  it('never throw, however they are altered', () => {
    const whole = encodeAnswer('abc', new Uint8Array(300).fill(7))
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 6 }),
        fc.nat(whole.length),
        (changes, length) => {
          const copy = whole.slice(0, length)
          for (const [at, byte] of changes) copy[at % Math.max(1, copy.length)] = byte
          assert.ok(['question', 'answer', 'other'].includes(decodeLan(copy).kind))
        },
      ),
      { numRuns: 300 },
    )
  })
})
