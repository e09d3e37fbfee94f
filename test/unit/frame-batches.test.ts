/** Batches of frames: the codec, and over a stream. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { systemClock } from '../../kernel/index.ts'
import { receiveMany, sendMany } from '../../modules/network/frames.ts'
import { encodeFrames, FrameCutter, FrameTooLargeError } from '../../protocols/framing/frame-batches.ts'
import { fakeStreamPair } from '../fake/stream.ts'

const frame = (text: string): Uint8Array => new TextEncoder().encode(text)
const texts = (frames: readonly Uint8Array[]): string[] => frames.map((each) => new TextDecoder().decode(each))

describe('frames in batches', () => {
  it('are a length and as many bytes', () => {
    assert.deepEqual(
      [...encodeFrames([frame('ab'), frame(''), frame('c')])],
      [0, 0, 0, 2, 97, 98, 0, 0, 0, 0, 0, 0, 0, 1, 99],
    )
    assert.equal(encodeFrames([]).byteLength, 0)
  })

  it('come back whole and in order however the bytes are cut', () => {
    const cut = fc.array(fc.nat({ max: 12 }), { maxLength: 40 })
    const frames = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 20 })
    fc.assert(
      fc.property(frames, cut, (sent, cuts) => {
        const bytes = encodeFrames(sent)
        const cutter = new FrameCutter({ maxFrameBytes: 40 })
        const got: Uint8Array[] = []
        let at = 0
        for (const size of [...cuts, bytes.byteLength]) {
          got.push(...cutter.push(bytes.subarray(at, at + size)).map((each) => each.slice()))
          at = Math.min(bytes.byteLength, at + size)
        }
        assert.deepEqual(got, sent)
        assert.equal(cutter.isAtBoundary, true)
      }),
    )
  })

  it('that are too large are refused by their length, at once and by and by', () => {
    const bytes = Uint8Array.of(0xff, 0xff, 0xff, 0xff)
    assert.throws(() => new FrameCutter({ maxFrameBytes: 10 }).push(bytes), FrameTooLargeError)
    const cutter = new FrameCutter({ maxFrameBytes: 10 })
    assert.deepEqual(cutter.push(bytes.subarray(0, 3)), [])
    assert.throws(() => cutter.push(bytes.subarray(3)), FrameTooLargeError)
    assert.equal(new FrameCutter({ maxFrameBytes: 10 }).push(encodeFrames([new Uint8Array(10)])).length, 1)
  })

  const pair = (): ReturnType<typeof fakeStreamPair> =>
    fakeStreamPair({ protocol: '/t/1', peerIds: ['a', 'b'], clock: systemClock, latencyMs: 0, windowBytes: 1 << 20 })

  it('go over a stream together', async () => {
    const [here, there] = pair()
    const batches: string[][] = []
    const received = receiveMany(there, (frames) => void batches.push(texts(frames)), { maxFrameBytes: 100 })
    await sendMany(here, [frame('one'), frame('two'), frame('three')])
    await sendMany(here, [])
    await sendMany(here, [frame('four')])
    await here.closeWrite()
    await received
    assert.deepEqual(batches, [['one', 'two', 'three'], ['four']])
  })

  it('that are too large, or cut short, end the receiving with a code', async () => {
    const [here, there] = pair()
    const received = receiveMany(there, () => undefined, { maxFrameBytes: 2 })
    await sendMany(here, [frame('long')])
    await assert.rejects(received, { code: 'NZ_NETWORK_STREAM_RESET' })
    const [from, to] = pair()
    const cut = receiveMany(to, () => undefined, { maxFrameBytes: 2 })
    await from.write(Uint8Array.of(0, 0, 0, 2, 1))
    await from.closeWrite()
    await assert.rejects(cut, { code: 'NZ_NETWORK_STREAM_RESET' })
  })
})
