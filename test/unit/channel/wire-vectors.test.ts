/**
 * spec/vectors/wire.json against the code: the vectors of NZ-WIRE-01.
 * `NZ_WRITE_VECTORS=1 node --test test/unit/channel/wire-vectors.test.ts` writes them anew.
 */
import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { constants, deflateRawSync, zstdCompressSync } from 'node:zlib'
import { describe, it } from 'node:test'
import { codecs, compress, decompress } from '../../../protocols/wire/compression.ts'
import { commonFeatures, isFeatureList } from '../../../protocols/wire/features.ts'
import { decodeFrame, encodeFrame, FLAG_COMPRESSED, frameType } from '../../../protocols/wire/frame.ts'
import { uint32 } from '../../../protocols/wire/message-sender.ts'
import { Messages } from '../../../protocols/wire/messages.ts'
import { fromHex, madeVectors, toHex } from '../../vectors.ts'
import type { Codec } from '../../../protocols/wire/compression.ts'

function frameVectors() {
  const bodies: Readonly<Record<keyof typeof frameType, Uint8Array>> = {
    hello: new Uint8Array(38).fill(1),
    answer: new Uint8Array(36).fill(2),
    finish: new Uint8Array(36).fill(3),
    retry: new Uint8Array(20).fill(4),
    refuse: new Uint8Array(5).fill(5),
    packet: new Uint8Array(33).fill(6),
    open: Buffer.concat([uint32(0), uint32(300), Uint8Array.of(1)]),
    chunk: Buffer.concat([uint32(0), uint32(1), Uint8Array.of(7)]),
    credit: Buffer.concat([uint32(0), uint32(65_536)]),
    done: Buffer.concat([uint32(0), uint32(1)]),
    cancel: uint32(9),
    reject: Buffer.concat([uint32(9), Uint8Array.of(1)]),
  }
  const names = Object.keys(bodies) as (keyof typeof frameType)[]
  const plain = names.map((name) => ({ name, type: frameType[name], flags: 0, body: toHex(bodies[name]) }))
  const compressed = { name: 'chunk', type: frameType.chunk, flags: FLAG_COMPRESSED, body: toHex(bodies.chunk) }
  const frames = [...plain, compressed].map((frame) => ({
    ...frame,
    hex: toHex(encodeFrame(frame.type, [fromHex(frame.body)], frame.flags)),
  }))
  const good = encodeFrame(frameType.credit, [bodies.credit])
  const changed = (...places: ReadonlyArray<readonly [number, number]>): Uint8Array => {
    const bytes = Uint8Array.from(good)
    for (const [at, value] of places) bytes[at] = value
    return bytes
  }
  const refused = [
    changed([0, 0]),
    changed([0, 2], [1, 99]),
    changed([1, 0x06]),
    changed([1, 0x26], [2, 1]),
    changed([3, 1]),
    changed([2, 0x80]),
    changed([3, 2], [7, 9]),
    changed([4, 1]),
    changed([7, 9]),
    changed([7, 7]),
    good.subarray(0, 15),
    Buffer.concat([good, Uint8Array.of(0)]),
    good.subarray(0, 7),
    changed([0, 2]).subarray(0, 7),
    new Uint8Array(0),
    encodeFrame(frameType.chunk, [bodies.chunk], 2),
    encodeFrame(frameType.chunk, [bodies.chunk], FLAG_COMPRESSED | 0x8000),
    ...BOUNDS.flatMap(([type, least, most]) => [
      encodeFrame(frameType[type], [new Uint8Array(least - 1)]),
      // The header alone: what is too large is refused before its body is awaited.
      encodeFrame(frameType[type], [new Uint8Array(most + 1)]).subarray(0, 8),
    ]),
  ].map((bytes) => ({ hex: toHex(bytes), code: decodeFrame(bytes) }))
  return { frames, refused }
}

/** NZ-WIRE-01 §3: the least and the most bytes of a body. */
const BOUNDS: ReadonlyArray<readonly [keyof typeof frameType, number, number]> = [
  ['hello', 38, 2_048],
  ['answer', 36, 2_048],
  ['finish', 36, 2_048],
  ['retry', 20, 20],
  ['refuse', 5, 5],
  ['packet', 33, 65_633],
  ['open', 9, 9],
  ['chunk', 9, 65_544],
  ['credit', 8, 8],
  ['done', 4, 256],
  ['cancel', 4, 4],
  ['reject', 5, 5],
]

const TEXT = Buffer.from('frames carry messages, messages carry what people say. '.repeat(12))

interface Chunk {
  readonly codec: Exclude<Codec, 'none'>
  readonly bytes: Uint8Array
  readonly plainBytes: number
}

/** What holds for both codecs. */
function compressedChunks(codec: Chunk['codec']): readonly Chunk[] {
  const { bytes } = compress(codec, TEXT) ?? assert.fail()
  const twice = Buffer.concat([bytes, bytes])
  return [
    { codec, bytes, plainBytes: TEXT.length },
    { codec, bytes, plainBytes: TEXT.length - 1 },
    { codec, bytes, plainBytes: TEXT.length + 1 },
    { codec, bytes: bytes.subarray(0, -2), plainBytes: TEXT.length },
    { codec, bytes: Buffer.concat([bytes, Uint8Array.of(0)]), plainBytes: TEXT.length },
    { codec, bytes: twice, plainBytes: TEXT.length },
    { codec, bytes: Uint8Array.of(1, 2, 3, 4), plainBytes: 4_096 },
    { codec, bytes: Uint8Array.of(1, 2, 3, 4), plainBytes: 4_097 },
  ]
}

/** Forms of one codec alone. */
function specialChunks(): readonly Chunk[] {
  const { bytes: frame } = compress('zstd', TEXT) ?? assert.fail()
  const zstd = (bytes: Uint8Array, plainBytes = TEXT.length): Chunk => ({ codec: 'zstd', bytes, plainBytes })
  const deflate = (bytes: Uint8Array, plainBytes: number): Chunk => ({ codec: 'deflate', bytes, plainBytes })
  const checked = zstdCompressSync(TEXT, { params: { [constants.ZSTD_c_checksumFlag]: 1 } })
  const noise = Buffer.from(Array.from({ length: 300 }, (_, at) => (at * at * 31 + at) % 251))
  const stored = (bytes: Uint8Array): Uint8Array =>
    Buffer.concat([Uint8Array.of(1, bytes.length, 0, ~bytes.length & 0xff, 0xff), bytes])
  return [
    zstd(checked),
    zstd(Buffer.concat([checked.subarray(0, -1), Uint8Array.of((checked.at(-1) ?? 0) ^ 1)])),
    zstd(zstdCompressSync(noise), noise.length),
    // A raw block of one byte in a window of 128 KiB, and of one that is larger: 2^17, 2^17 + 2^14.
    zstd(fromHex('28b52ffd003809000041'), 1),
    zstd(fromHex('28b52ffd003909000041'), 1),
    // The same with a dictionary: none (0), and number 1.
    zstd(fromHex('28b52ffd01380009000041'), 1),
    zstd(fromHex('28b52ffd01380109000041'), 1),
    // A reserved bit; a skippable frame before and alone.
    zstd(fromHex('28b52ffd083809000041'), 1),
    zstd(fromHex('502a4d180000000028b52ffd003809000041'), 1),
    zstd(fromHex('502a4d1800000000'), 1),
    // 1,000 times one byte, told as a run; a run of 131,073 bytes.
    zstd(fromHex('28b52ffd0038431f0041'), 1_000),
    zstd(fromHex('28b52ffd00380b001041'), 10_240),
    zstd(Buffer.concat([frame.subarray(0, 5), Uint8Array.of(0x95), frame.subarray(6)])),
    deflate(stored(Buffer.from('plain')), 5),
    deflate(Buffer.concat([stored(Buffer.from('plain')).map((byte, at) => (at === 3 ? byte ^ 1 : byte))]), 5),
    deflate(deflateRawSync(Buffer.alloc(2_000)), 2_000),
    // A distance to before the beginning; a block of the reserved type; nothing but the end.
    deflate(fromHex('4b04424020ff00'), 9),
    deflate(fromHex('07'), 9),
    deflate(fromHex('0300'), 1),
  ]
}

function chunkVectors() {
  return [...compressedChunks('deflate'), ...compressedChunks('zstd'), ...specialChunks()].map(
    ({ codec, bytes, plainBytes }) => {
      const result = decompress(codec, bytes, plainBytes)
      return {
        codec,
        bytes: toHex(bytes),
        plain: plainBytes,
        result: typeof result === 'string' ? result : toHex(result),
      }
    },
  )
}

type Step = { readonly own: string } | { readonly peer: string; readonly answer: unknown }
type Act = Uint8Array | ((messages: Messages) => unknown)

const open = (id: number, totalBytes: number, codec = 0): Uint8Array =>
  encodeFrame(frameType.open, [uint32(id), uint32(totalBytes), Uint8Array.of(codec)])
const chunk = (id: number, plainBytes: number, bytes: Uint8Array, flags = 0): Uint8Array =>
  encodeFrame(frameType.chunk, [uint32(id), uint32(plainBytes), bytes], flags)
const zeros = (id: number, plainBytes: number): Uint8Array =>
  chunk(id, plainBytes, deflateRawSync(Buffer.alloc(plainBytes)), FLAG_COMPRESSED)
const cancel = (id: number): Uint8Array => encodeFrame(frameType.cancel, [uint32(id)])
const credit = (id: number, more: number): Uint8Array => encodeFrame(frameType.credit, [uint32(id), uint32(more)])
const done = (...ids: readonly number[]): Uint8Array => encodeFrame(frameType.done, ids.map(uint32))
const reject = (id: number, reason: number): Uint8Array =>
  encodeFrame(frameType.reject, [uint32(id), Uint8Array.of(reason)])
const add =
  (payload: Uint8Array): Act =>
  ({ sender }) =>
    sender.add(payload)
const taken =
  (id: number): Act =>
  ({ receiver }) =>
    receiver.taken(id)

/** What the peer sends, and what the application here does. */
const TALKS: readonly (readonly Act[])[] = [
  [open(0, 5), chunk(0, 2, Buffer.from('he')), open(1, 0), chunk(0, 3, Buffer.from('llo'))],
  [open(0, 400, 1), chunk(0, 400, deflateRawSync(Buffer.alloc(400, 'ab')), FLAG_COMPRESSED)],
  [open(0, 9), cancel(0), open(1, 1), chunk(1, 1, Uint8Array.of(65))],
  [open(0, 9), cancel(0), chunk(0, 1, Uint8Array.of(65))],
  [open(0, 67_108_864)],
  [open(0, 67_108_865)],
  [open(1, 5)],
  [open(0, 5), open(0, 5)],
  [open(0, 5, 3)],
  [open(1, 67_108_865, 3)],
  [open(0, 67_108_865, 3)],
  [open(0, 5), chunk(0, 6, new Uint8Array(6))],
  [open(0, 5), chunk(0, 4, new Uint8Array(5))],
  [open(0, 5), chunk(0, 0, new Uint8Array(5))],
  [open(0, 67_108_864), chunk(0, 65_537, new Uint8Array(5))],
  [open(0, 5), chunk(0, 5, new Uint8Array(2), FLAG_COMPRESSED)],
  [open(0, 5), chunk(0, 6, new Uint8Array(2), FLAG_COMPRESSED)],
  [open(0, 5_000, 1), chunk(0, 5_000, new Uint8Array(4), FLAG_COMPRESSED)],
  [open(0, 5), chunk(1, 5, new Uint8Array(5))],
  [open(0, 5), chunk(1, 0, new Uint8Array(5))],
  // Whole, and not taken; then taken.
  [open(0, 1), chunk(0, 1, Uint8Array.of(1)), chunk(0, 1, Uint8Array.of(1))],
  [open(0, 1), chunk(0, 1, Uint8Array.of(1)), cancel(0)],
  [open(0, 1), chunk(0, 1, Uint8Array.of(1)), taken(0), chunk(0, 1, Uint8Array.of(1))],
  [cancel(0)],
  [credit(0, 1)],
  [reject(0, 0)],
  [done(0)],
  [encodeFrame(frameType.done, [Uint8Array.of(0, 0, 0, 1, 2)])],
  [...Array.from({ length: 64 }, (_, id) => open(id, 1)), open(64, 1)],
  [...Array.from({ length: 64 }, (_, id) => open(id, 0)), taken(3), taken(0), open(64, 1), open(65, 1)],
  [encodeFrame(frameType.retry, [new Uint8Array(20)])],
  [encodeFrame(frameType.packet, [new Uint8Array(33)])],
  // Credit for a message as soon as there is room for it; none for the second, which waits for the first.
  [open(0, 40_000, 1), zeros(0, 16_384), zeros(0, 23_616)],
  [open(0, 67_108_864, 1), open(1, 40_000, 1), open(2, 20_000, 1), zeros(1, 16_384), zeros(2, 16_385)],
  [open(0, 67_108_864, 1), open(1, 40_000, 1), cancel(0), zeros(1, 40_000)],
  // Messages of this side: what credit allows, what ends them, and what is ignored then.
  [add(Buffer.from('hello')), done(0), credit(0, 9), reject(0, 1), done(0, 0)],
  [add(Buffer.alloc(16_400, 7)), credit(0, 10), credit(0, 6), done(0)],
  [add(Buffer.alloc(16_400, 7)), done(0)],
  [add(Buffer.alloc(16_400, 7)), reject(0, 9), credit(0, 100), done(1)],
  [add(Buffer.alloc(16_400, 7)), ({ sender }) => sender.cancel(0), add(Buffer.alloc(0)), done(1)],
  [add(Buffer.from('a')), add(Buffer.from('b')), done(0, 1)],
  // This side refuses: the peer gives up, or was done before it heard.
  [open(0, 9), ({ receiver }) => receiver.reject(0, 5), chunk(0, 3, new Uint8Array(3)), cancel(0), cancel(0)],
  [open(0, 9), ({ receiver }) => receiver.reject(0, 5), chunk(0, 9, new Uint8Array(9)), chunk(0, 1, new Uint8Array(1))],
]

function answerOf(messages: Messages, frame: Uint8Array): unknown {
  const event = messages.receive(frame)
  if ('refused' in event) return event.refused
  if (event.event === 'message') {
    return { id: event.id, bytes: event.payload.length, sha256: hash('sha256', event.payload) }
  }
  if (event.event === 'taken') return { taken: event.ids }
  return event.event === 'rejected' ? { rejected: event.id, reason: event.reason } : event.event
}

function talk(acts: readonly Act[]): readonly Step[] {
  const messages = new Messages({ codec: 'none' })
  return acts.flatMap((act) => {
    const steps: Step[] = []
    if (typeof act === 'function') act(messages)
    else steps.push({ peer: toHex(act), answer: answerOf(messages, act) })
    for (let own = messages.next(); own !== null; own = messages.next()) steps.push({ own: toHex(own) })
    return steps
  })
}

function featureVectors() {
  const names = (count: number): readonly string[] => Array.from({ length: count }, (_, at) => `f${at + 10}`)
  const lists = [
    [],
    ['a'],
    ['a', 'b'],
    ['b', 'a'],
    ['a', 'a'],
    ['a', 'ab', 'b'],
    ['a-b', 'a.b', 'a1', 'ab'],
    ['A'],
    ['.a'],
    ['-a'],
    ['1'],
    ['a b'],
    ['a\n'],
    ['ä'],
    ['a.-1'],
    ['a'.repeat(32)],
    ['a'.repeat(33)],
    [''],
    names(32),
    names(33),
  ]
  const pairs = [
    [
      ['a', 'b', 'd'],
      ['b', 'c', 'd'],
    ],
    [[], ['a']],
    [['zstd'], ['zstd']],
    [['a'], ['b']],
  ] as const
  return {
    lists: lists.map((list) => ({ list, isGood: isFeatureList(list) })),
    pairs: pairs.map(([ours, theirs]) => ({ ours, theirs, common: commonFeatures(ours, theirs) })),
  }
}

function makeVectors() {
  const { frames, refused } = frameVectors()
  return {
    source:
      'NZ-WIRE-01; written by test/unit/channel/wire-vectors.test.ts. Bytes are hexadecimal. conversations: the frames that ' +
      'one side gets (peer) and sends (own), in order, and what it says to each it gets: none, cancelled, a message that is ' +
      'whole, its messages that were taken or rejected, or the code with which it ends the carrier.',
    frames,
    refusedFrames: refused,
    chunks: chunkVectors(),
    conversations: TALKS.map(talk),
    features: featureVectors(),
  }
}

describe('NZ-WIRE-01', () => {
  const { made, written } = madeVectors('wire.json', makeVectors())

  it('has the vectors of spec/vectors/wire.json', () => {
    // Other versions of zlib may compress to other bytes; what they give back is fixed.
    const { chunks: _, conversations: __, ...rest } = made
    const { chunks: ___, conversations: ____, ...expected } = written
    assert.deepEqual(rest, expected)
    assert.deepEqual([made.chunks.length, made.conversations.length], [written.chunks.length, TALKS.length])
  })

  it('says what comes out of compressed bytes', () => {
    for (const { codec, bytes, plain, result } of written.chunks) {
      assert.ok(codecs.includes(codec))
      const out = decompress(codec, fromHex(bytes), plain)
      assert.equal(typeof out === 'string' ? out : toHex(out), result)
    }
  })

  it('says what a side that reads messages answers', () => {
    written.conversations.forEach((steps, at) => {
      const heard = steps.flatMap((step) => ('peer' in step ? [step] : []))
      // Where this side says something of itself, the whole conversation is made anew.
      const acts = TALKS[at] ?? assert.fail()
      if (acts.some((act) => typeof act === 'function')) return assert.deepEqual(made.conversations[at], steps)
      const messages = new Messages({ codec: 'none' })
      const answers = heard.map(({ peer }) => answerOf(messages, fromHex(peer)))
      assert.deepEqual(
        JSON.parse(JSON.stringify(answers)),
        heard.map(({ answer }) => answer),
      )
    })
  })
})
