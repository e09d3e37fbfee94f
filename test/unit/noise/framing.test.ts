import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { decodePayload, encodePayload, MAX_EXTENSION_ENTRIES } from '../../../protocols/noise/libp2p-payload.ts'
import { frameMessage, RecordReader } from '../../../protocols/noise/record.ts'

describe('RecordReader', () => {
  it('finds the same messages however the bytes are cut', () => {
    const messages = fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 8 })
    fc.assert(
      fc.property(messages, fc.array(fc.integer({ min: 1, max: 64 }), { minLength: 1 }), (wanted, cuts) => {
        const bytes = Buffer.concat(wanted.map(frameMessage))
        const reader = new RecordReader()
        const found: string[] = []
        for (let offset = 0, turn = 0; offset < bytes.byteLength; turn += 1) {
          const length = cuts[turn % cuts.length] ?? 1
          reader.push(bytes.subarray(offset, offset + length))
          offset += length
          for (let message = reader.next(); message !== null; message = reader.next()) {
            found.push(Buffer.from(message).toString('hex'))
          }
        }
        assert.deepEqual(
          found,
          wanted.map((message) => Buffer.from(message).toString('hex')),
        )
        assert.equal(reader.bufferedBytes, 0)
      }),
    )
  })

  it('keeps the pieces of one connection apart from those of another', () => {
    const readers = Array.from({ length: 20 }, () => new RecordReader())
    const messages = readers.map((_, index) => Buffer.alloc(500, index))
    readers.forEach((reader, index) => {
      reader.push(frameMessage(messages[index] ?? Buffer.alloc(0)).subarray(0, 100))
      assert.equal(reader.next(), null)
    })
    readers.forEach((reader, index) => {
      reader.push(frameMessage(messages[index] ?? Buffer.alloc(0)).subarray(100))
      assert.deepEqual(Buffer.from(reader.next() ?? []), messages[index])
      assert.equal(reader.next(), null)
    })
  })

  it('holds nothing after its release', () => {
    const reader = new RecordReader()
    reader.push(frameMessage(Buffer.alloc(500, 1)).subarray(0, 300))
    assert.equal(reader.next(), null)
    assert.equal(reader.bufferedBytes, 300)
    reader.release()
    assert.equal(reader.bufferedBytes, 0)
    reader.push(frameMessage(Buffer.from('next')))
    assert.equal(Buffer.from(reader.next() ?? []).toString(), 'next')
  })

  it('carries the longest message and refuses a longer one', () => {
    const reader = new RecordReader()
    reader.push(frameMessage(new Uint8Array(65_535)))
    assert.equal(reader.next()?.byteLength, 65_535)
    assert.throws(() => frameMessage(new Uint8Array(65_536)), RangeError)
  })
})

describe('the libp2p handshake payload', () => {
  const golden = {
    bytes: '0a04deadbeef1203c0ffee220e120c2f79616d75782f312e302e30',
    payload: {
      identityKey: Buffer.from('deadbeef', 'hex'),
      identitySignature: Buffer.from('c0ffee', 'hex'),
      streamMuxers: ['/yamux/1.0.0'],
    },
  }

  it('has the bytes of the protocol buffer definition', () => {
    assert.equal(Buffer.from(encodePayload(golden.payload)).toString('hex'), golden.bytes)
    assert.deepEqual(decodePayload(Buffer.from(golden.bytes, 'hex')), golden.payload)
  })

  it('comes back as it was sent', () => {
    const payload = fc.record({
      identityKey: fc.uint8Array({ maxLength: 200 }),
      identitySignature: fc.uint8Array({ maxLength: 200 }),
      streamMuxers: fc.array(fc.string({ minLength: 1, maxLength: 20 }), { maxLength: MAX_EXTENSION_ENTRIES }),
    })
    fc.assert(
      fc.property(payload, (sent) => {
        const received = decodePayload(encodePayload(sent))
        assert.deepEqual(new Uint8Array(received.identityKey), sent.identityKey)
        assert.deepEqual(new Uint8Array(received.identitySignature), sent.identitySignature)
        assert.deepEqual(
          received.streamMuxers,
          sent.streamMuxers.map((name) => Buffer.from(name).toString('utf8')),
        )
      }),
    )
  })

  it('skips fields it does not know', () => {
    const extra = Buffer.concat([
      Buffer.from('1801', 'hex'),
      Buffer.from(golden.bytes, 'hex'),
      Buffer.from('3a0101', 'hex'),
    ])
    assert.deepEqual(decodePayload(extra), golden.payload)
  })

  it('refuses too many extensions', () => {
    const payload = { ...golden.payload, streamMuxers: Array.from({ length: MAX_EXTENSION_ENTRIES + 1 }, () => 'm') }
    assert.throws(() => decodePayload(encodePayload(payload)), { code: 'NZ_NOISE_MALFORMED' })
  })

  it('answers altered bytes with a code or a payload', () => {
    fc.assert(
      fc.property(fc.nat(26), fc.integer({ min: 0, max: 255 }), fc.nat(27), (at, value, length) => {
        const bytes = Buffer.from(golden.bytes, 'hex')
        bytes[at] = value
        try {
          decodePayload(bytes.subarray(0, length))
        } catch (error) {
          assert.equal((error as { code: string }).code, 'NZ_NOISE_MALFORMED')
        }
      }),
      { numRuns: 2_000 },
    )
  })
})
