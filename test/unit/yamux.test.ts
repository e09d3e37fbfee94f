/** The yamux session without I/O: frames of hand-written vectors, windows, ends, limits. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { isNzError } from '../../kernel/index.ts'
import { BURST_UNITS, COST } from '../../protocols/yamux/allowance.ts'
import { Crumbs, MAX_CRUMB_BYTES } from '../../protocols/yamux/crumbs.ts'
import { FLAG, FRAME, HEADER_BYTES, INITIAL_WINDOW_BYTES } from '../../protocols/yamux/constants.ts'
import { FrameReader } from '../../protocols/yamux/frame-reader.ts'
import { writeHeader } from '../../protocols/yamux/header.ts'
import { ReceiveWindow } from '../../protocols/yamux/receive-window.ts'
import { MAX_GROWN_BYTES } from '../../protocols/yamux/session.ts'
import { sessionPair, sessionWith } from '../fake/yamux.ts'
import { specVectors } from '../vectors.ts'

interface Vectors {
  readonly frames: ReadonlyArray<Frame & { readonly name: string; readonly hex: string }>
  readonly refused: ReadonlyArray<{ readonly name: string; readonly hex: string }>
}
interface Frame {
  readonly type: number
  readonly flags: number
  readonly streamId: number
  readonly length: number
}

const vectors = specVectors<Vectors>('yamux.json')
const bytesOf = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, 'hex'))

function frameBytes({ type, flags, streamId, length }: Frame, payload: Uint8Array = new Uint8Array(0)): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + payload.byteLength)
  bytes.set(payload, writeHeader(bytes, 0, type, flags, streamId, length))
  return bytes
}

/** What a reader says of `bytes` pushed in pieces of `pieceBytes`. */
function read(bytes: Uint8Array, pieceBytes: number): Array<Frame & { payload: string }> {
  const frames: Array<Frame & { payload: string }> = []
  const reader = new FrameReader({
    onFrame: (type, flags, streamId, length) => void frames.push({ type, flags, streamId, length, payload: '' }),
    onPayload: (piece) => {
      const last = frames.at(-1)
      assert.ok(last)
      last.payload += Buffer.from(piece).toString('hex')
    },
  })
  for (let at = 0; at < bytes.byteLength; at += pieceBytes) reader.push(bytes.subarray(at, at + pieceBytes))
  return frames
}

describe('a yamux frame', () => {
  for (const { name, hex, ...frame } of vectors.frames)
    it(`is what the specification says: ${name}`, () => {
      const payload = bytesOf(hex).subarray(HEADER_BYTES)
      assert.equal(Buffer.from(frameBytes(frame, payload)).toString('hex'), hex)
      assert.deepEqual(read(bytesOf(hex), 1_000), [{ ...frame, payload: Buffer.from(payload).toString('hex') }])
    })

  it('comes back whole from any stream of frames, cut anywhere', () => {
    const number = fc.integer({ min: 0, max: 0xffff_ffff })
    const frame = fc.oneof(
      fc.record({
        type: fc.constantFrom(1, 2, 3),
        flags: fc.integer({ min: 0, max: 0xffff }),
        streamId: number,
        length: number,
      }),
      fc.uint8Array({ maxLength: 40 }),
    )
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 12 }), fc.integer({ min: 1, max: 64 }), (given, pieceBytes) => {
        const frames = given.map((each) =>
          each instanceof Uint8Array
            ? {
                type: FRAME.data,
                flags: 0,
                streamId: 7,
                length: each.byteLength,
                payload: Buffer.from(each).toString('hex'),
              }
            : { ...each, payload: '' },
        )
        const bytes = Buffer.concat(frames.map((each) => frameBytes(each, bytesOf(each.payload))))
        assert.deepEqual(read(bytes, pieceBytes), frames)
      }),
    )
  })
})

describe('a session', () => {
  for (const { name, hex } of vectors.refused)
    for (const pieceBytes of [1, 1_000])
      it(`ends with a peer that sends ${name}, in pieces of ${pieceBytes}`, () => {
        const { session } = sessionWith({ isClient: false })
        const bytes = bytesOf(hex)
        const push = (): void => {
          for (let at = 0; at < bytes.byteLength; at += pieceBytes) session.push(bytes.subarray(at, at + pieceBytes))
        }
        assert.throws(push, (error) => isNzError(error, 'NZ_MUXER_FRAME_INVALID', 'NZ_MUXER_WINDOW_EXCEEDED'))
      })

  it('carries streams both ways, half closed and reset, and forgets those that ended', () => {
    const { client, server, deliver } = sessionPair()
    const [one, two] = [client.open(), client.open()]
    client.session.send(one.channel, bytesOf('0102'))
    client.session.finish(one.channel)
    client.session.greet(two.channel)
    deliver()
    const [first, second] = server.streams
    assert.deepEqual(first?.heard, [1, 2])
    assert.deepEqual([first?.isFinished, second?.isFinished], [true, false])
    assert.ok(first && second)
    server.session.send(first.channel, bytesOf('0304'))
    server.session.finish(first.channel)
    server.session.reset(second.channel)
    deliver()
    assert.deepEqual([one.heard, one.isFinished, one.isReset], [[3, 4], true, false])
    assert.deepEqual([two.isFinished, two.isReset], [false, true])
    assert.deepEqual([client.session.streams, server.session.streams], [0, 0])
  })

  it('delivers bytes of a stream before the end that came with them', () => {
    const { session, streams } = sessionWith({ isClient: false })
    session.push(frameBytes({ type: FRAME.data, flags: FLAG.syn | FLAG.fin, streamId: 1, length: 2 }, bytesOf('0a')))
    assert.deepEqual([streams[0]?.heard, streams[0]?.isFinished], [[10], false])
    session.push(bytesOf('0b'))
    assert.deepEqual([streams[0]?.heard, streams[0]?.isFinished], [[10, 11], true])
  })

  it('puts single bytes of a stream together, in order, and copies nothing that comes alone', () => {
    const told: Array<readonly [owner: string, bytes: Uint8Array]> = []
    const crumbs = new Crumbs<string>((owner, bytes) => void told.push([owner, bytes]))
    const alone = Uint8Array.of(1)
    const large = new Uint8Array(MAX_CRUMB_BYTES + 1).fill(2)
    for (const [owner, piece] of [
      ['a', alone],
      ['b', large],
    ] as const)
      crumbs.push(owner, piece)
    for (let i = 0; i < 10_000; i++) crumbs.push('b', Uint8Array.of(i))
    for (let i = 0; i < 10; i++) crumbs.push(i % 2 === 0 ? 'a' : 'b', Uint8Array.of(i))
    crumbs.flush()
    crumbs.flush()
    assert.equal(told[0]?.[1], alone)
    assert.equal(told[1]?.[1], large)
    assert.equal(told.length, 2 + Math.ceil(10_000 / (4_096 - MAX_CRUMB_BYTES)) + 10)
    const bytesTo = (wanted: string): Buffer =>
      Buffer.concat(told.flatMap(([owner, bytes]) => (owner === wanted ? [bytes] : [])))
    assert.deepEqual(bytesTo('a'), Buffer.from([1, 0, 2, 4, 6, 8]))
    const many = Uint8Array.from({ length: 10_000 }, (_, i) => i)
    assert.deepEqual(bytesTo('b'), Buffer.concat([large, many, Uint8Array.of(1, 3, 5, 7, 9)]))
  })

  it('sends one window and no more, and goes on when half of it was taken: not with every frame', () => {
    const { client, server, deliver } = sessionPair()
    const stream = client.open()
    const chunk = new Uint8Array(INITIAL_WINDOW_BYTES / 8)
    let sent = 0
    for (let i = 0; i < 10; i++) sent += client.session.send(stream.channel, chunk)
    assert.equal(sent, INITIAL_WINDOW_BYTES)
    assert.ok(client.session.windowStalls > 0)
    deliver()
    const there = server.streams[0]
    assert.ok(there)
    server.frames.length = 0
    for (let i = 0; i < 8; i++) {
      server.session.take(there.channel, chunk.byteLength)
      if (i < 3) assert.equal(server.frames.length, 0)
    }
    assert.deepEqual(
      server.frames.filter(({ type }) => type === FRAME.windowUpdate).map(({ length }) => length),
      [INITIAL_WINDOW_BYTES / 2, INITIAL_WINDOW_BYTES / 2],
    )
    deliver()
    assert.ok(stream.writable > 0)
    assert.equal(client.session.send(stream.channel, chunk), chunk.byteLength)
  })

  it('resets streams beyond its cap and those opened after it said that it goes away, and keeps the others', () => {
    const { session, frames, streams } = sessionWith({ isClient: false, maxInboundStreams: 2 })
    const syn = (streamId: number): Uint8Array => frameBytes({ type: 1, flags: FLAG.syn, streamId, length: 0 })
    for (const id of [1, 3, 5]) session.push(syn(id))
    assert.equal(streams.length, 2)
    assert.deepEqual(frames, [{ type: 1, flags: FLAG.rst, streamId: 5, length: 0 }])
    session.reset(streams[0]?.channel ?? assert.fail())
    session.goAway()
    session.push(syn(7))
    assert.deepEqual(frames.at(-1), { type: 1, flags: FLAG.rst, streamId: 7, length: 0 })
    assert.equal(session.streams, 1)
  })

  it('throws away what still comes for a stream that was reset here', () => {
    const { session, streams } = sessionWith({ isClient: false })
    session.push(frameBytes({ type: 0, flags: FLAG.syn, streamId: 1, length: 4 }, bytesOf('01')))
    session.reset(streams[0]?.channel ?? assert.fail())
    session.push(bytesOf('020304'))
    session.push(frameBytes({ type: 0, flags: 0, streamId: 1, length: 1 }, bytesOf('05')))
    session.push(frameBytes({ type: 0, flags: FLAG.syn, streamId: 3, length: 1 }, bytesOf('06')))
    assert.deepEqual(
      streams.map(({ heard }) => heard),
      [[1], [6]],
    )
  })

  it('cuts a peer that asks too much in vain, however it takes the answers, and lets it ask again with time', () => {
    const ping = (): Uint8Array => frameBytes({ type: FRAME.ping, flags: FLAG.syn, streamId: 0, length: 7 })
    const opening = (n: number): Uint8Array =>
      frameBytes({ type: FRAME.windowUpdate, flags: FLAG.syn, streamId: 1 + 2 * n, length: 0 })
    const comingAndGoing = (n: number): Uint8Array =>
      Buffer.concat([
        opening(n),
        frameBytes({ type: FRAME.windowUpdate, flags: FLAG.rst, streamId: 1 + 2 * n, length: 0 }),
      ])
    for (const [question, most] of [
      [ping, BURST_UNITS],
      [opening, 100 + BURST_UNITS],
      [comingAndGoing, BURST_UNITS / COST.vainStream],
    ] as const) {
      const clock = { nowMs: 0 }
      const server = sessionWith({ isClient: false, maxInboundStreams: 100, clock })
      const ask = (n: number): void => {
        server.session.push(question(n))
        server.takeSent()
      }
      for (let n = 0; n < most - 1; n++) ask(n)
      clock.nowMs += 62.5
      for (let n = most - 1; n < most - 1 + 16 / (question === comingAndGoing ? COST.vainStream : 1); n++) ask(n)
      ask(100_000)
      assert.throws(() => ask(100_001), { code: 'NZ_MUXER_FLOODED' })
    }
  })

  it('opens no more streams than may be unacknowledged until one is', () => {
    const { client, server, deliver } = sessionPair()
    while (!client.session.isFull) client.open()
    assert.equal(client.session.streams, 256)
    const [first] = client.streams
    client.session.greet(first?.channel ?? assert.fail())
    deliver()
    server.session.greet(server.streams[0]?.channel ?? assert.fail())
    deliver()
    assert.equal(client.session.isFull, false)
    assert.equal(client.acknowledged, 1)
  })

  it('measures the round trip with its own ping, and answers the peer’s', () => {
    const { client, deliver, clock } = sessionPair()
    client.session.ping()
    clock.nowMs += 40
    deliver()
    assert.equal(client.session.rttMs, 40)
  })
})

describe('a receive window', () => {
  it('refuses a byte more than it has room for', () => {
    const window = new ReceiveWindow(0)
    window.arrive(INITIAL_WINDOW_BYTES)
    assert.throws(
      () => window.arrive(1),
      (error) => isNzError(error, 'NZ_MUXER_WINDOW_EXCEEDED'),
    )
    assert.equal(window.heldBytes, INITIAL_WINDOW_BYTES)
  })

  it('grows to twice the bandwidth-delay product, at most twofold a step and to its bound, and not without a measurement', () => {
    const half = INITIAL_WINDOW_BYTES / 2
    const sizeAfter = (epochMs: number, rttMs: number | null, roomBytes = 1e9): number => {
      const window = new ReceiveWindow(0)
      window.arrive(half)
      const delta = window.take(half, epochMs, { rttMs, roomBytes })
      assert.equal(delta, half + window.sizeBytes - INITIAL_WINDOW_BYTES)
      return window.sizeBytes
    }
    assert.equal(sizeAfter(100, null), INITIAL_WINDOW_BYTES, 'unknown round trip')
    assert.equal(sizeAfter(100, 50), INITIAL_WINDOW_BYTES, 'half a window in two round trips')
    assert.equal(sizeAfter(100, 150), INITIAL_WINDOW_BYTES * 1.5, 'half a window in two thirds of one')
    assert.equal(sizeAfter(10, 150), INITIAL_WINDOW_BYTES * 2, 'much more')
    assert.equal(sizeAfter(10, 150, 1_000), INITIAL_WINDOW_BYTES + 1_000, 'at its bound')
  })

  it('of one connection’s streams grow within a bound together', () => {
    const { client, server, deliver, clock } = sessionPair({ maxStreamWindowBytes: MAX_GROWN_BYTES })
    server.session.ping()
    clock.nowMs += 100
    deliver()
    const streams = [client.open(), client.open()]
    for (let round = 0; round < 16; round++)
      for (const { channel } of streams) {
        client.session.send(channel, new Uint8Array(channel.sendBytes))
        deliver()
        for (const there of server.streams) {
          server.session.take(there.channel, there.unread)
          there.unread = 0
        }
        deliver()
      }
    const sizes = server.streams.map(({ channel }) => channel.window.sizeBytes)
    const grown = sizes.reduce((sum, size) => sum + size - INITIAL_WINDOW_BYTES, 0)
    assert.equal(grown, MAX_GROWN_BYTES)
  })
})
