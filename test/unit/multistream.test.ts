/** multistream-select without I/O: bytes of the specification, every cut, and peers that do not keep to it. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { isNzError } from '../../kernel/index.ts'
import { Answer, MAX_LINE_BYTES, MAX_LINES, Offer } from '../../protocols/multistream/negotiation.ts'
import type { Progress } from '../../protocols/multistream/negotiation.ts'

const HEADER = '\x13/multistream/1.0.0\n'
const bytes = (text: string): Uint8Array => Buffer.from(text, 'latin1')
const text = (of: Uint8Array): string => Buffer.from(of).toString('latin1')

/** What came of `input` in pieces of `pieceBytes`: all replies, the protocol, and what was behind it. */
function push(side: Offer | Answer, input: string, pieceBytes = input.length): Progress & { readonly said: string } {
  let said = ''
  for (let at = 0; at < input.length; at += pieceBytes) {
    const progress = side.push(bytes(input.slice(at, at + pieceBytes)))
    said += text(progress.reply)
    if (progress.protocol === null) continue
    const rest = Buffer.concat([progress.rest, bytes(input.slice(at + pieceBytes))])
    return { ...progress, rest, said }
  }
  return { reply: new Uint8Array(0), protocol: null, rest: new Uint8Array(0), said }
}

describe('the side that asks', () => {
  it('says header and protocol at once', () => {
    assert.equal(text(new Offer('/noise').opening), `${HEADER}\x07/noise\n`)
  })

  it('takes the answer in any pieces, and leaves what is behind it', () => {
    for (let pieceBytes = 1; pieceBytes <= 40; pieceBytes += 1) {
      const { protocol, rest, said } = push(new Offer('/noise'), `${HEADER}\x07/noise\nbehind`, pieceBytes)
      assert.deepEqual([protocol, text(rest), said], ['/noise', 'behind', ''])
    }
  })

  it('ends when the peer does not speak the protocol, or something else altogether', () => {
    assert.throws(() => new Offer('/noise').push(bytes(`${HEADER}\x03na\n`)), { code: 'NZ_MULTISTREAM_REFUSED' })
    for (const said of ['\x07/noise\n', `${HEADER}\x06/tls/\n`, `${HEADER}${HEADER}`, 'HTTP/1.1', '\0']) {
      assert.throws(() => new Offer('/noise').push(bytes(said)), { code: 'NZ_MULTISTREAM_INVALID' }, said)
    }
  })
})

describe('the side that is asked', () => {
  it('answers what it is asked in any pieces, and leaves what is behind it', () => {
    const asked = `${HEADER}\x05/tls\n\x07/noise\nbehind`
    for (let pieceBytes = 1; pieceBytes <= asked.length; pieceBytes += 1) {
      const { protocol, rest, said } = push(new Answer(['/noise']), asked, pieceBytes)
      assert.deepEqual([protocol, text(rest), said], ['/noise', 'behind', `${HEADER}\x03na\n\x07/noise\n`])
    }
  })

  it('lists what it speaks', () => {
    const { said } = push(new Answer(['/a', '/b']), `${HEADER}\x03ls\n`)
    assert.equal(said, `${HEADER}\x09\x03/a\n\x03/b\n\n`)
  })

  it('answers the header before anything else is asked', () => {
    assert.equal(text(new Answer(['/a']).push(bytes(HEADER)).reply), HEADER)
  })

  it(`gives up after ${MAX_LINES} lines`, () => {
    const answer = new Answer(['/noise'])
    assert.equal(push(answer, HEADER + '\x03/a\n'.repeat(MAX_LINES - 1)).protocol, null)
    assert.throws(() => answer.push(bytes('\x03/a\n')), { code: 'NZ_MULTISTREAM_REFUSED' })
  })

  it(`takes lines of ${MAX_LINE_BYTES} bytes and none that is longer`, () => {
    const name = `/${'a'.repeat(MAX_LINE_BYTES - 2)}`
    const { protocol, said } = push(new Answer([name]), `${HEADER}\x80\x08${name}\n`, 100)
    assert.deepEqual([protocol, said.length], [name, HEADER.length + MAX_LINE_BYTES + 2])
    assert.throws(() => new Answer([name]).push(bytes(`${HEADER}\x81\x08`)), { code: 'NZ_MULTISTREAM_INVALID' })
    assert.throws(() => new Answer([name]).push(bytes('\xff\xff')), { code: 'NZ_MULTISTREAM_INVALID' })
  })
})

it('two sides agree on what both speak, with random bytes behind', () => {
  const name = fc.string({ minLength: 1, maxLength: 80, unit: 'grapheme-ascii' }).map((made) => `/${made}`)
  const property = fc.property(name, fc.uint8Array({ maxLength: 200 }), fc.integer({ min: 1, max: 60 }), (...drawn) => {
    const [protocol, behind, pieceBytes] = drawn
    const offer = new Offer(protocol)
    const asked = push(new Answer([protocol]), text(Buffer.concat([offer.opening, behind])), pieceBytes)
    assert.deepEqual([asked.protocol, text(asked.rest)], [protocol, text(behind)])
    assert.equal(push(offer, asked.said, pieceBytes).protocol, protocol)
  })
  fc.assert(property, { numRuns: 200 })
})

it('mutated lines are taken or refused with a code', () => {
  const property = fc.property(fc.uint8Array({ maxLength: 60 }), fc.nat(), (noise, where) => {
    const input = Buffer.from(`${HEADER}\x07/noise\n`, 'latin1')
    const at = where % input.byteLength
    const mutated = Buffer.concat([input.subarray(0, at), noise, input.subarray(at + (where % 3))])
    for (const side of [new Offer('/noise'), new Answer(['/noise'])]) {
      try {
        side.push(mutated)
      } catch (error) {
        if (!isNzError(error, 'NZ_MULTISTREAM_INVALID', 'NZ_MULTISTREAM_REFUSED')) throw error
      }
    }
  })
  fc.assert(property, { numRuns: 2_000 })
})
