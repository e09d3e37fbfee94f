/** Messages of circuit relay v2 and DCUtR: the bytes of libp2p's own encoder, bounds, and what is none of them. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import {
  delimited,
  DelimitedMessages,
  MAX_FIELDS,
  MAX_MESSAGE_BYTES,
  readFields,
  writeFields,
} from '../../protocols/circuit/fields.ts'
import {
  decodeHop,
  decodePunch,
  decodeStop,
  encodeHop,
  encodePunch,
  encodeStop,
  MAX_ADDRESSES,
  STATUS,
} from '../../protocols/circuit/messages.ts'
import type { HopMessage, PunchMessage, StopMessage } from '../../protocols/circuit/messages.ts'

const vectors = JSON.parse(readFileSync(new URL('../../spec/vectors/circuit.json', import.meta.url), 'utf8'))
const bytes = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, 'hex'))
const hex = (value: Uint8Array): string => Buffer.from(value).toString('hex')
const peer = bytes(vectors.peer)
const limit = { seconds: 3_600, bytes: 1_073_741_824n }

const hop: Readonly<Record<string, HopMessage>> = {
  reserve: { type: 'reserve' },
  connect: { type: 'connect', peer },
  ok: {
    type: 'status',
    status: STATUS.ok,
    reservation: { expiresAtS: 1_800_000_000, addresses: [bytes(vectors.address)] },
    limit,
  },
  noReservation: { type: 'status', status: STATUS.noReservation, reservation: null, limit: null },
}
const stop: Readonly<Record<string, StopMessage>> = {
  connect: { type: 'connect', peer, limit },
  ok: { type: 'status', status: STATUS.ok },
}
const punch: Readonly<Record<string, PunchMessage>> = {
  connect: { type: 'connect', addresses: [bytes(vectors.address)] },
  sync: { type: 'sync' },
}

describe('messages of relays and hole punching', () => {
  for (const [name, message] of Object.entries(hop))
    it(`hop ${name}: the bytes of libp2p, both ways`, () => {
      assert.equal(hex(encodeHop(message)), vectors.hop[name])
      assert.deepEqual(decodeHop(bytes(vectors.hop[name])), message)
    })
  for (const [name, message] of Object.entries(stop))
    it(`stop ${name}: the bytes of libp2p, both ways`, () => {
      assert.equal(hex(encodeStop(message)), vectors.stop[name])
      assert.deepEqual(decodeStop(bytes(vectors.stop[name])), message)
    })
  for (const [name, message] of Object.entries(punch))
    it(`punch ${name}: the bytes of libp2p, both ways`, () => {
      assert.equal(hex(encodePunch(message)), vectors.punch[name])
      assert.deepEqual(decodePunch(bytes(vectors.punch[name])), message)
    })

  it('leave unknown fields aside, and take bounds of zero for none', () => {
    const told = writeFields([
      { number: 1, value: 2n },
      { number: 4, bytes: writeFields([{ number: 1, value: 0n }]) },
      { number: 5, value: 100n },
      { number: 30, bytes: peer },
    ])
    assert.deepEqual(decodeHop(told), {
      type: 'status',
      status: 100,
      reservation: null,
      limit: { seconds: null, bytes: null },
    })
  })

  it('take MAX_ADDRESSES of a list, and no address that is too long', () => {
    const many = [new Uint8Array(257), ...Array.from({ length: MAX_ADDRESSES + 3 }, (_, at) => Uint8Array.of(at + 1))]
    const message = writeFields([{ number: 1, value: 100n }, ...many.map((each) => ({ number: 2, bytes: each }))])
    const decoded = decodePunch(message)
    assert.ok(decoded?.type === 'connect')
    assert.deepEqual(
      decoded.addresses.map(([first]) => first),
      Array.from({ length: MAX_ADDRESSES }, (_, at) => at + 1),
    )
  })

  it('are refused without a type, a status, a peer, and with a field that ends too late', () => {
    for (const text of ['', '2864', '0802', '0801', '08011200', '0803', '08', '1205aa', '0a', 'ffffffffffffffffffff01'])
      assert.equal(decodeHop(bytes(text)), null, text)
    for (const text of ['', '0801', '0800', '080012020a00', '0802']) assert.equal(decodeStop(bytes(text)), null, text)
    for (const text of ['', '0801', '08c801']) assert.equal(decodePunch(bytes(text)), null, text)
  })

  it('have at most MAX_FIELDS fields', () => {
    const fields = Array.from({ length: MAX_FIELDS }, () => ({ number: 7, value: 1n }))
    assert.equal(readFields(writeFields(fields))?.length, MAX_FIELDS)
    assert.equal(readFields(writeFields([...fields, { number: 7, value: 1n }])), null)
    assert.throws(() => writeFields([{ number: 1, bytes: new Uint8Array(MAX_MESSAGE_BYTES) }]), RangeError)
  })

  it('come out of a stream whole, however it is cut, with what follows them', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 6 }),
        fc.integer({ min: 1, max: 40 }),
        (list, cut) => {
          const stream = Buffer.concat([...list.map((each) => delimited(each)), Buffer.from('rest')])
          const reader = new DelimitedMessages()
          const found: Uint8Array[] = []
          for (let at = 0; at < stream.length; at += cut) {
            reader.push(stream.subarray(at, at + cut))
            while (found.length < list.length) {
              const next = reader.next()
              if (next.state !== 'message') break
              found.push(next.message)
            }
          }
          assert.deepEqual(found.map(hex), list.map(hex))
          assert.equal(Buffer.from(reader.rest()).toString(), 'rest')
        },
      ),
    )
  })

  it('longer than MAX_MESSAGE_BYTES end the reading before they are kept', () => {
    const reader = new DelimitedMessages()
    reader.push(delimited(new Uint8Array(MAX_MESSAGE_BYTES)))
    assert.equal(reader.next().state, 'message')
    reader.push(bytes('8120'))
    assert.deepEqual(reader.next(), { state: 'invalid' })
    const endless = new DelimitedMessages()
    endless.push(new Uint8Array(10).fill(0x80))
    assert.deepEqual(endless.next(), { state: 'invalid' })
  })
})
