/** NAT-PMP: the bytes of RFC 6886 §3.2 and §3.3, refusals, and what is no answer. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { askAddress, askTcpMapping, decodeAnswer } from '../../protocols/portmapping/nat-pmp.ts'

const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text.replaceAll(' ', ''), 'hex'))

describe('NAT-PMP', () => {
  it('asks as the RFC draws it; a port is given back without naming one outside', () => {
    assert.deepEqual(askAddress(), bytes('0000'))
    assert.deepEqual(askTcpMapping(4001, 4002, 7200), bytes('00 02 0000 0fa1 0fa2 00001c20'))
    assert.deepEqual(askTcpMapping(4001, 4002, 0), bytes('00 02 0000 0fa1 0000 00000000'))
  })
  it('reads the answers', () => {
    assert.deepEqual(decodeAnswer(bytes('00 80 0000 00000001 2d000007')), { type: 'address', address: '45.0.0.7' })
    assert.deepEqual(decodeAnswer(bytes('00 82 0000 00000001 0fa1 0fa2 00000e10')), {
      type: 'mapping',
      insidePort: 4001,
      outsidePort: 4002,
      lifetimeS: 3600,
    })
  })
  it('tells a refusal from an answer, whatever follows it', () =>
    assert.deepEqual(decodeAnswer(bytes('00 82 0002 00000001')), { type: 'refusal', asked: 'mapping', result: 2 }))
  it('takes nothing else for an answer', () => {
    for (const text of [
      '',
      '00',
      '01 80 0000 00000001 2d000007',
      '00 81 0000 00000001 2d000007',
      '00 80 0000 00000001 2d',
    ])
      assert.equal(decodeAnswer(bytes(text)), null)
    assert.equal(decodeAnswer(askTcpMapping(1, 1, 1)), null)
  })
  it('reads or refuses any bytes', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 20 }), (any) => void decodeAnswer(any)))
  })
})
