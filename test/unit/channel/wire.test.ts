/** NZ-WIRE-01: frames, messages under credit, compression and its bombs. */
import assert from 'node:assert/strict'
import { deflateRawSync, zstdCompressSync } from 'node:zlib'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { codecOf, compress, decompress } from '../../../protocols/wire/compression.ts'
import { commonFeatures, isFeatureList, MAX_FEATURES } from '../../../protocols/wire/features.ts'
import {
  decodeFrame,
  encodeFrame,
  FLAG_COMPRESSED,
  frameType,
  HEADER_BYTES,
  MAX_CHUNK_BYTES,
} from '../../../protocols/wire/frame.ts'
import { FrameReader, splitFrames } from '../../../protocols/wire/frame-reader.ts'
import {
  CREDIT_WINDOW_BYTES,
  INITIAL_CREDIT_BYTES,
  MAX_MESSAGE_BYTES,
  MAX_OPEN_MESSAGES,
  MAX_RATIO,
} from '../../../protocols/wire/limits.ts'
import { uint32 } from '../../../protocols/wire/message-sender.ts'
import { Messages } from '../../../protocols/wire/messages.ts'
import type { ReceiverEvent } from '../../../protocols/wire/message-receiver.ts'
import type { SenderEvent } from '../../../protocols/wire/message-sender.ts'

type Event = SenderEvent | ReceiverEvent

const open = (id: number, totalBytes: number, codec = 0): Uint8Array =>
  encodeFrame(frameType.open, [uint32(id), uint32(totalBytes), Uint8Array.of(codec)])
const chunk = (id: number, plainBytes: number, bytes: Uint8Array, flags = 0): Uint8Array =>
  encodeFrame(frameType.chunk, [uint32(id), uint32(plainBytes), bytes], flags)

/** Carries frames both ways until none is left; what happened at `to`. */
function carry(from: Messages, to: Messages): Event[] {
  const events: Event[] = []
  for (;;) {
    const forward = from.next()
    const backward = to.next()
    if (forward === null && backward === null) return events
    if (forward !== null) events.push(to.receive(forward))
    if (backward !== null) from.receive(backward)
  }
}

const pair = (codec: 'none' | 'deflate' | 'zstd' = 'none'): readonly [Messages, Messages] => [
  new Messages({ codec }),
  new Messages({ codec: 'none' }),
]
const messagesOf = (events: readonly Event[]): ReadonlyArray<{ readonly id: number; readonly payload: Uint8Array }> =>
  events.flatMap((event) => ('event' in event && event.event === 'message' ? [event] : []))

describe('a frame', () => {
  it('has a version, a known type, its flags and a bounded length', () => {
    const good = encodeFrame(frameType.credit, [new Uint8Array(8)])
    assert.deepEqual(decodeFrame(good), { type: 0x23 - 1, flags: 0, bodyBytes: 8, body: new Uint8Array(8) })
    const wrong = (at: number, value: number): string => {
      const changed = Uint8Array.from(good)
      changed[at] = value
      const frame = decodeFrame(changed)
      return typeof frame === 'string' ? frame : 'taken'
    }
    assert.equal(wrong(0, 2), 'NZ_WIRE_VERSION')
    assert.equal(wrong(1, 0x7f), 'NZ_WIRE_TYPE')
    assert.equal(wrong(3, 1), 'NZ_WIRE_FLAGS')
    assert.equal(wrong(4, 1), 'NZ_WIRE_TOO_LARGE')
    assert.equal(wrong(7, 7), 'NZ_WIRE_MALFORMED')
    assert.equal(decodeFrame(good.subarray(1)), 'NZ_WIRE_VERSION')
    assert.equal(decodeFrame(good.subarray(0, 5)), 'NZ_WIRE_MALFORMED')
  })

  it('comes out of a stream whole, however the stream is cut', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ minLength: 9, maxLength: 300 }), { minLength: 1, maxLength: 12 }),
        fc.infiniteStream(fc.integer({ min: 1, max: 40 })),
        (bodies, cuts) => {
          const frames = bodies.map((body) => encodeFrame(frameType.chunk, [body]))
          const bytes = Buffer.concat(frames)
          const reader = new FrameReader()
          const found: Uint8Array[] = []
          for (let at = 0; at < bytes.length;) {
            const length = cuts.next().value
            reader.push(bytes.subarray(at, at + length))
            at += length
            for (let frame = reader.next(); frame !== null; frame = reader.next()) {
              assert.ok(typeof frame !== 'string')
              found.push(frame)
            }
          }
          assert.deepEqual(
            found.map((frame) => Buffer.from(frame)),
            frames.map((frame) => Buffer.from(frame)),
          )
          assert.equal(reader.heldBytes, 0)
          assert.equal(splitFrames(bytes).length, frames.length)
        },
      ),
      { numRuns: 60 },
    )
  })

  it('is refused by its header, before its body is awaited', () => {
    const reader = new FrameReader()
    reader.push(Uint8Array.of(1, frameType.chunk, 0, 0, 0xff, 0xff, 0xff, 0xff))
    assert.equal(reader.next(), 'NZ_WIRE_TOO_LARGE')
    reader.push(encodeFrame(frameType.credit, [new Uint8Array(8)]))
    assert.equal(reader.next(), 'NZ_WIRE_TOO_LARGE', 'nothing after it can be read')
    assert.equal(splitFrames(Uint8Array.of(1)), 'NZ_WIRE_MALFORMED')
  })
})

describe('features', () => {
  it('are few short names in order; what both have is used', () => {
    assert.ok(isFeatureList([]) && isFeatureList(['a', 'b.c-1']))
    const bad = [['b', 'a'], ['a', 'a'], [''], ['A'], ['a'.repeat(33)], ['é']]
    for (const list of bad) assert.ok(!isFeatureList(list))
    const names = Array.from({ length: MAX_FEATURES }, (_, at) => `f${String(at).padStart(2, '0')}`)
    assert.ok(isFeatureList(names) && !isFeatureList([...names, 'z']))
    assert.deepEqual(commonFeatures(['a', 'c', 'd'], ['b', 'c', 'd']), ['c', 'd'])
    assert.deepEqual(['none', 'deflate', 'zstd'], [[], ['deflate'], ['deflate', 'zstd']].map(codecOf))
  })
})

describe('messages', () => {
  it('arrive whole, whatever their size, several at a time', () => {
    const [from, to] = pair()
    const sizes = [
      0,
      1,
      INITIAL_CREDIT_BYTES,
      INITIAL_CREDIT_BYTES + 1,
      MAX_CHUNK_BYTES * 3 + 5,
      CREDIT_WINDOW_BYTES * 2,
    ]
    const payloads = sizes.map((size, at) => new Uint8Array(size).fill(at + 1))
    for (const payload of payloads) from.sender.add(payload)
    const came = messagesOf(carry(from, to)).toSorted((one, other) => one.id - other.id)
    assert.ok(came.every(({ payload }, at) => Buffer.compare(payload, payloads[at] ?? assert.fail()) === 0))
    assert.equal(came.length, sizes.length)
    assert.equal(from.sender.openMessages, sizes.length, 'not before they were taken')
    for (const { id } of came) to.receiver.taken(id)
    carry(from, to)
    assert.deepEqual([from.sender.openMessages, to.receiver.openMessages, to.receiver.reservedBytes], [0, 0, 0])
  })

  it('are not sent beyond what was asked for', () => {
    const [from, to] = pair()
    from.sender.add(new Uint8Array(CREDIT_WINDOW_BYTES * 4))
    let sentBytes = 0
    for (let frame = from.next(); frame !== null; frame = from.next()) {
      to.receive(frame)
      if (frame[1] === frameType.chunk) sentBytes += frame.length - HEADER_BYTES - 8
    }
    assert.equal(sentBytes, INITIAL_CREDIT_BYTES, 'no credit was carried back')
    assert.deepEqual(to.receive(chunk(0, CREDIT_WINDOW_BYTES, new Uint8Array(9))), { refused: 'NZ_WIRE_MALFORMED' })
    const [, greedy] = pair()
    greedy.receive(open(0, INITIAL_CREDIT_BYTES + 1))
    const tooMuch = new Uint8Array(INITIAL_CREDIT_BYTES + 1)
    // Credit was asked for, but only a window's: here the rest of the message.
    assert.deepEqual(greedy.receive(chunk(0, tooMuch.length, tooMuch)), {
      event: 'message',
      id: 0,
      payload: Buffer.from(tooMuch),
    })
    greedy.receive(open(1, CREDIT_WINDOW_BYTES * 2))
    const piece = new Uint8Array(MAX_CHUNK_BYTES)
    for (let sent = 0; sent + piece.length <= CREDIT_WINDOW_BYTES; sent += piece.length) {
      assert.deepEqual(greedy.receive(chunk(1, piece.length, piece)), { event: 'none' })
      if (sent > CREDIT_WINDOW_BYTES / 4) break
    }
  })

  it('wait for room; those behind a large one do not pass it, and small ones always come', () => {
    const from = new Messages({ codec: 'none' })
    const to = new Messages({ codec: 'none', reassemblyBytes: 300_000 })
    for (const size of [200_000, 200_000, 100, 150_000]) from.sender.add(new Uint8Array(size))
    const first = messagesOf(carry(from, to))
    assert.deepEqual(
      first.map(({ id }) => id).toSorted((one, other) => one - other),
      [0, 2],
    )
    assert.ok(to.receiver.reservedBytes <= 300_000 + 4 * INITIAL_CREDIT_BYTES)
    to.receiver.taken(0)
    assert.deepEqual(
      messagesOf(carry(from, to)).map(({ id }) => id),
      [1],
    )
    to.receiver.taken(1)
    assert.deepEqual(
      messagesOf(carry(from, to)).map(({ id }) => id),
      [3],
    )
  })

  it('are bounded in number on both sides', () => {
    const [from, to] = pair()
    for (let count = 0; count < MAX_OPEN_MESSAGES; count += 1) from.sender.add(Uint8Array.of(1))
    assert.ok(!from.sender.hasRoom)
    assert.throws(() => from.sender.add(Uint8Array.of(1)), RangeError)
    carry(from, to)
    assert.deepEqual(to.receive(open(MAX_OPEN_MESSAGES, 1)), { refused: 'NZ_WIRE_MESSAGES' })
  })

  it('may be given up by either side', () => {
    const [from, to] = pair()
    const given = from.sender.add(new Uint8Array(500_000))
    const never = from.sender.add(new Uint8Array(500_000))
    from.sender.cancel(never)
    for (let count = 0; count < 3; count += 1) to.receive(from.next() ?? assert.fail())
    from.sender.cancel(given)
    const events = carry(from, to)
    assert.ok(events.some((event) => 'event' in event && event.event === 'cancelled' && event.id === given))
    assert.deepEqual([from.sender.openMessages, to.receiver.openMessages], [0, 0])
    const unwanted = from.sender.add(new Uint8Array(500_000))
    to.receive(from.next() ?? assert.fail())
    to.receiver.reject(unwanted, 7)
    const told: Event[] = []
    for (let frame = to.next(); frame !== null; frame = to.next()) told.push(from.receive(frame))
    assert.deepEqual(told.at(-1), { event: 'rejected', id: unwanted, reason: 7 })
    carry(from, to)
    assert.deepEqual([from.sender.openMessages, to.receiver.openMessages, to.receiver.reservedBytes], [0, 0, 0])
  })

  it('that break the rules are refused, each with its code', () => {
    const cases: ReadonlyArray<readonly [string, readonly Uint8Array[]]> = [
      ['NZ_WIRE_MESSAGE', [open(1, 5)]],
      ['NZ_WIRE_MESSAGE', [open(0, 5), open(0, 5)]],
      ['NZ_WIRE_MESSAGE', [chunk(0, 1, Uint8Array.of(1))]],
      ['NZ_WIRE_MESSAGE', [encodeFrame(frameType.done, [uint32(3)])]],
      ['NZ_WIRE_MESSAGE', [encodeFrame(frameType.credit, [uint32(3), uint32(1)])]],
      ['NZ_WIRE_MESSAGE', [encodeFrame(frameType.cancel, [uint32(3)])]],
      ['NZ_WIRE_MESSAGE_TOO_LARGE', [open(0, MAX_MESSAGE_BYTES + 1)]],
      ['NZ_WIRE_COMPRESSION', [open(0, 5, 3)]],
      ['NZ_WIRE_COMPRESSION', [open(0, 5), chunk(0, 5, Uint8Array.of(1, 2), FLAG_COMPRESSED)]],
      ['NZ_WIRE_CREDIT', [open(0, 5), chunk(0, 6, new Uint8Array(6))]],
      ['NZ_WIRE_MALFORMED', [open(0, 5), chunk(0, 4, new Uint8Array(5))]],
      ['NZ_WIRE_MALFORMED', [open(0, 5), chunk(0, 0, new Uint8Array(5))]],
      ['NZ_WIRE_TYPE', [encodeFrame(frameType.retry, [new Uint8Array(20)])]],
    ]
    for (const [code, frames] of cases) {
      const to = new Messages({ codec: 'none' })
      const last = frames.map((frame) => to.receive(frame)).at(-1)
      assert.deepEqual(last, { refused: code })
    }
  })

  it('that were not announced yet are none that a peer can speak of', () => {
    for (const type of ['credit', 'reject'] as const) {
      const from = new Messages({ codec: 'none' })
      from.sender.add(Uint8Array.of(1))
      const body = type === 'credit' ? [uint32(0), uint32(1)] : [uint32(0), Uint8Array.of(1)]
      assert.deepEqual(from.receive(encodeFrame(frameType[type], body)), { refused: 'NZ_WIRE_MESSAGE' })
      assert.deepEqual(from.next(), open(0, 1))
    }
  })
})

describe('compression', () => {
  for (const codec of ['deflate', 'zstd'] as const) {
    it(`by ${codec} gives the message back and fewer bytes`, () => {
      const [from, to] = pair(codec)
      const text = Buffer.from('what is said again and again is said in fewer bytes. '.repeat(4_000))
      from.sender.add(text, { isCompressed: true })
      let carried = 0
      const events: Event[] = []
      for (;;) {
        const frame = from.next()
        const back = to.next()
        if (frame === null && back === null) break
        if (frame !== null) {
          carried += frame.length
          events.push(to.receive(frame))
        }
        if (back !== null) from.receive(back)
      }
      assert.deepEqual(messagesOf(events)[0]?.payload, text)
      assert.ok(carried < text.length / 5, `${carried} of ${text.length}`)
    })

    it(`by ${codec} is undone only to what was said, and only in full`, () => {
      const plain = Buffer.from('ab'.repeat(2_000))
      const { bytes: small, plainBytes } = compress(codec, plain) ?? assert.fail()
      assert.equal(plainBytes, plain.length)
      assert.deepEqual(Buffer.from(decompress(codec, small, plain.length)), plain)
      assert.equal(decompress(codec, small, plain.length - 1), 'NZ_WIRE_BOMB')
      assert.equal(decompress(codec, small, plain.length + 1), 'NZ_WIRE_COMPRESSION')
      assert.equal(decompress(codec, small.subarray(0, small.length - 1), plain.length), 'NZ_WIRE_COMPRESSION')
      assert.equal(decompress(codec, Buffer.concat([small, small]), plain.length), 'NZ_WIRE_COMPRESSION')
      assert.equal(decompress(codec, Buffer.alloc(40, 0xff), 100), 'NZ_WIRE_COMPRESSION')
    })
  }

  it('is never believed beyond the ratio and a chunk, whatever the codec would give', () => {
    for (const [codec, bomb] of [
      ['deflate', deflateRawSync(Buffer.alloc(8 * 1024 * 1024))],
      ['zstd', zstdCompressSync(Buffer.alloc(8 * 1024 * 1024))],
    ] as const) {
      assert.equal(decompress(codec, bomb, MAX_CHUNK_BYTES + 1), 'NZ_WIRE_BOMB')
      const padded = Buffer.concat([bomb, Buffer.alloc(Math.max(0, 300 - bomb.length))])
      const refused = decompress(codec, padded, MAX_CHUNK_BYTES)
      assert.ok(refused === 'NZ_WIRE_BOMB' || refused === 'NZ_WIRE_COMPRESSION', String(refused))
      assert.equal(decompress(codec, new Uint8Array(1), MAX_RATIO + 1), 'NZ_WIRE_BOMB')
    }
  })

  it('of what becomes too small to be believed takes less of it', () => {
    const { bytes, plainBytes } = compress('zstd', Buffer.alloc(MAX_CHUNK_BYTES)) ?? assert.fail()
    assert.ok(plainBytes < MAX_CHUNK_BYTES && plainBytes <= bytes.length * MAX_RATIO)
    assert.deepEqual(Buffer.from(decompress('zstd', bytes, plainBytes)), Buffer.alloc(plainBytes))
  })

  it('is left out where it does not help', () => {
    const random = Buffer.from(Array.from({ length: 1_000 }, (_, at) => (at * 7919 + (at >> 3) * 104_729) & 0xff))
    assert.equal(compress('none', random), null)
    assert.equal(compress('deflate', Uint8Array.of(1, 2, 3)), null)
  })
})
