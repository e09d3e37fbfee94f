/** Streams over paths: every byte once and in order, whatever the path does; bounded while nobody reads (NZ-ROUTING-01 §9). */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import {
  MAX_EARLY_PIECES,
  MAX_ENDED,
  MAX_OFFSET,
  MAX_RANGES,
  MAX_RESETS,
  MAX_SKIPPED,
  MAX_STREAMS,
  RECEIVE_WINDOW_BYTES,
  SEGMENT_BYTES,
  SEND_BUFFER_BYTES,
} from '../../protocols/flow/limits.ts'
import { Receiver } from '../../protocols/flow/receiver.ts'
import { RoundTrip } from '../../protocols/flow/round-trip.ts'
import { decodeSegment, encodeSegment } from '../../protocols/flow/segment.ts'
import { FlowPair } from '../fake/flow.ts'
import type { Stream } from '../../protocols/flow/streams.ts'
import type { Segment } from '../../protocols/flow/segment.ts'

function opened(stream: Stream | null | undefined): Stream {
  assert.ok(stream !== null && stream !== undefined)
  return stream
}

function data(stream: number, offset: number, bytes: Uint8Array, isLast = false): Segment {
  return { type: 'data', stream, offset, isLast, bytes }
}

describe('a stream', () => {
  for (const [what, init] of Object.entries({
    'that loses nothing': {},
    'that loses, doubles and lets overtake': { loss: 0.15, duplication: 0.1, delayMs: [1, 40] as const },
  }))
    it(`brings every byte once and in order over a path ${what}`, () => {
      for (const seed of [1, 2, 3]) {
        const pair = new FlowPair({ seed, ...init })
        const there = Buffer.from(pair.random.bytes(200_000))
        const back = Buffer.from(pair.random.bytes(60_000))
        const stream = opened(pair.ann.streams.open())
        for (let at = 0; at < there.length; at += 30_011) stream.sender.write(there.subarray(at, at + 30_011))
        stream.sender.end()
        pair.run(10_000, () => pair.bob.opened.length > 0)
        const answer = opened(pair.bob.opened[0])
        answer.sender.write(back)
        answer.sender.end()
        pair.run(120_000, () => pair.ann.streams.size + pair.bob.streams.size === 0)
        assert.deepEqual([pair.ann.streams.size, pair.bob.streams.size], [0, 0])
        assert.ok(pair.bob.received(stream.id).equals(there) && pair.ann.received(stream.id).equals(back))
      }
    })

  it('goes on without a byte lost or repeated when its path is cut and another is taken', () => {
    const pair = new FlowPair({ delayMs: [20, 20] })
    const there = Buffer.from(pair.random.bytes(1_000_000))
    const stream = opened(pair.ann.streams.open())
    stream.sender.write(there)
    stream.sender.end()
    pair.run(100)
    assert.ok(pair.bob.received(stream.id).length < there.length)
    pair.isCut = true
    pair.run(3_000)
    assert.ok(pair.ann.streams.timeouts >= 2)
    pair.isCut = false
    pair.ann.streams.changePath()
    pair.bob.streams.changePath()
    pair.run(500, () => pair.bob.received(stream.id).length === there.length)
    assert.ok(pair.bob.received(stream.id).equals(there))
  })

  it('whose reader has stopped holds one window, and goes on when it reads', () => {
    const pair = new FlowPair()
    pair.bob.isReading = false
    const stream = opened(pair.ann.streams.open())
    const there = Buffer.from(pair.random.bytes(RECEIVE_WINDOW_BYTES + 300_000))
    stream.sender.write(there)
    assert.equal(stream.sender.hasRoom, there.length < SEND_BUFFER_BYTES)
    pair.run(3_000)
    const other = opened(pair.bob.opened[0])
    assert.equal(other.receiver.heldBytes, RECEIVE_WINDOW_BYTES)
    assert.equal(stream.sender.pendingBytes, 300_000)
    const quiet = pair.sentBytes
    pair.run(10_000)
    assert.ok(pair.sentBytes - quiet < 10_000, 'asking for room costs little')
    pair.bob.isReading = true
    pair.bob.read(other)
    pair.run(1_000, () => pair.bob.received(stream.id).length === there.length)
    assert.ok(pair.bob.received(stream.id).equals(there))
  })

  it('is sent again early when later segments arrived, not only when time is over', () => {
    const pair = new FlowPair({ delayMs: [30, 30] })
    const stream = opened(pair.ann.streams.open())
    stream.sender.write(pair.random.bytes(40 * SEGMENT_BYTES))
    stream.sender.end()
    pair.run(1)
    pair.isCut = true
    pair.run(1)
    pair.isCut = false
    pair.run(190, () => pair.bob.received(stream.id).length === 40 * SEGMENT_BYTES)
    assert.equal(stream.sender.timeouts, 0)
  })

  it('that is reset ends at both sides although the first words of it are lost', () => {
    const pair = new FlowPair()
    const stream = opened(pair.ann.streams.open())
    stream.sender.write(pair.random.bytes(100))
    pair.run(50)
    pair.isCut = true
    pair.ann.streams.reset(stream.id, pair.nowMs)
    pair.run(20)
    pair.isCut = false
    pair.run(2_000, () => pair.bob.wasReset.length > 0)
    assert.deepEqual([pair.bob.wasReset, pair.bob.streams.size], [[stream.id], 0])
    pair.run(5_000)
    assert.equal(pair.ann.streams.dueAtMs, Infinity)
  })
})

describe('streams of a session', () => {
  it('are at most MAX_STREAMS, of either side', () => {
    const pair = new FlowPair()
    for (let at = 0; at < MAX_STREAMS; at++) opened(pair.ann.streams.open())
    assert.equal(pair.ann.streams.open(), null)
    for (let at = 0; at < MAX_STREAMS + 5; at++) pair.bob.streams.receive(data(at * 2, 0, Uint8Array.of(1)), 0)
    assert.equal(pair.bob.streams.size, MAX_STREAMS)
  })

  it('are taken in any order, once, and only with numbers that are the peer’s', () => {
    const pair = new FlowPair()
    for (const id of [4, 0, 0, 3, 2, 2 * MAX_SKIPPED + 100]) pair.bob.streams.receive(data(id, 0, Uint8Array.of(1)), 0)
    assert.deepEqual(
      pair.bob.opened.map(({ id }) => id),
      [4, 0, 2],
    )
  })

  it('are told to be reset so often while nothing is heard of it, later each time', () => {
    const pair = new FlowPair()
    const stream = opened(pair.ann.streams.open())
    pair.ann.streams.reset(stream.id, 0)
    const toldMs: number[] = []
    for (let nowMs = 0; nowMs < 600_000; nowMs += 50)
      for (const { type } of pair.ann.streams.take(nowMs)) if (type === 'reset') toldMs.push(nowMs)
    assert.equal(toldMs.length, MAX_RESETS)
    const gaps = toldMs.slice(1).map((atMs, at) => atMs - (toldMs[at] ?? 0))
    assert.ok(
      gaps.every((gap, at) => at === 0 || gap > (gaps[at - 1] ?? 0)),
      gaps.join(),
    )
    assert.equal(pair.ann.streams.dueAtMs, Infinity)
  })

  it('take room up to the last byte that a segment can name, and no promise of more', () => {
    const pair = new FlowPair()
    const { sender } = opened(pair.ann.streams.open())
    assert.deepEqual(
      [sender.acknowledge(0, MAX_OFFSET, [], 0), sender.acknowledge(0, MAX_OFFSET + 1, [], 0)],
      [true, false],
    )
  })

  it('that are over are answered for a while, and bounded', () => {
    const pair = new FlowPair()
    for (let at = 0; at < MAX_ENDED + 10; at++) {
      opened(pair.ann.streams.open()).sender.end()
      pair.run(20, () => pair.bob.opened.length === at + 1)
      opened(pair.bob.opened[at]).sender.end()
      pair.run(60, () => pair.ann.streams.size + pair.bob.streams.size === 0)
      assert.equal(pair.bob.streams.size, 0)
    }
    pair.bob.streams.receive(data(2 * (MAX_ENDED + 9), 0, new Uint8Array(0), true), pair.nowMs)
    assert.deepEqual(
      pair.bob.streams.take(pair.nowMs).map(({ type }) => type),
      ['ack'],
    )
    pair.bob.streams.receive(data(0, 0, Uint8Array.of(1)), pair.nowMs)
    assert.deepEqual(
      pair.bob.streams.take(pair.nowMs).map(({ type }) => type),
      ['reset'],
    )
  })

  it('take no acknowledgement of what was never sent, nor bytes that contradict the end', () => {
    const pair = new FlowPair()
    const stream = opened(pair.ann.streams.open())
    stream.sender.write(Uint8Array.of(1, 2, 3))
    pair.ann.streams.take(0)
    assert.equal(stream.sender.acknowledge(4, 1_000, [], 0), false)
    assert.equal(stream.sender.pendingBytes, 3)
    const receiver = new Receiver()
    assert.ok(receiver.receive(5, Uint8Array.of(1), true))
    assert.deepEqual(
      [receiver.receive(6, Uint8Array.of(1), false), receiver.receive(0, Uint8Array.of(1), true)],
      [false, false],
    )
    assert.equal(receiver.receive(RECEIVE_WINDOW_BYTES, Uint8Array.of(1), false), false)
  })

  it('hold only so many early pieces, and tell only so many ranges', () => {
    const receiver = new Receiver()
    for (let at = 1; at < MAX_EARLY_PIECES + 50; at++) receiver.receive(at * 2, Uint8Array.of(1), false)
    assert.equal(receiver.heldBytes, MAX_EARLY_PIECES)
    const ack = receiver.acknowledgement(0)
    assert.equal(ack.type === 'ack' && ack.ranges.length, MAX_RANGES)
  })
})

describe('a timeout', () => {
  it('follows RFC 6298 and doubles each time', () => {
    const trip = new RoundTrip()
    assert.equal(trip.timeoutMs, 1_000)
    trip.sample(300)
    assert.equal(trip.timeoutMs, 900)
    trip.timedOut()
    trip.timedOut()
    assert.equal(trip.timeoutMs, 3_600)
    trip.sample(300)
    assert.equal(trip.timeoutMs, 750)
    trip.restart()
    assert.equal(trip.timeoutMs, 1_000)
  })
})

describe('a segment', () => {
  const number = fc.integer({ min: 0, max: 2 ** 48 - 1 })
  const stream = fc.integer({ min: 0, max: 2 ** 32 - 1 })
  const segments = fc.oneof(
    fc.record({
      type: fc.constant('data' as const),
      stream,
      offset: number,
      isLast: fc.boolean(),
      bytes: fc.uint8Array({ maxLength: 64 }),
    }),
    fc
      .record({ stream, limit: number, steps: fc.array(fc.integer({ min: 1, max: 9_999 }), { maxLength: 32 }) })
      .map(({ stream: id, limit, steps }): Segment => {
        let at = steps.length
        const ranges = []
        for (let n = 1; n < steps.length; n += 2) {
          const from = at + (steps[n - 1] ?? 1)
          at = from + (steps[n] ?? 1)
          ranges.push({ from, to: at })
        }
        return { type: 'ack', stream: id, next: steps.length, limit, ranges }
      }),
    fc.record({ type: fc.constantFrom('reset' as const, 'resetSeen' as const), stream }),
    fc.record({ type: fc.constantFrom('probe' as const, 'echo' as const), stamp: number }),
  )

  it('is read as it was written', () => {
    fc.assert(
      fc.property(segments, (segment) => {
        const read = decodeSegment(encodeSegment(segment))
        assert.ok(read !== null)
        assert.deepEqual(encodeSegment(read), encodeSegment(segment))
        assert.equal(read.type, segment.type)
      }),
      { numRuns: 300 },
    )
  })

  it('is read from any bytes without harm', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        const read = decodeSegment(bytes)
        if (read !== null) assert.equal(Buffer.compare(encodeSegment(read), bytes), 0)
      }),
      { numRuns: 1_000 },
    )
  })
})
