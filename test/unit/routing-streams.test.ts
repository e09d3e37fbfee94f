/** Streams over routes as the node hands them out, and who is at the other end: their promises, and every bound at it. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { seededRandom, SimulatedClock } from '../../kernel/index.ts'
import { RoutedStream } from '../../modules/routing/routed-stream.ts'
import { RoutedStreams } from '../../modules/routing/detour.ts'
import { MAX_REMOTES, MAX_SESSIONS_PER_REMOTE, Remotes } from '../../modules/routing/remotes.ts'
import { peerIdOfKey } from '../../modules/routing/routing.ts'
import { MAX_STREAMS } from '../../protocols/flow/limits.ts'
import { startHandshake } from '../../protocols/handshake/handshake.ts'
import { verifyFor } from '../../protocols/identity/signature.ts'
import { ANN, BOB } from '../fake/channel.ts'
import { FlowPair } from '../fake/flow.ts'
import type { Session } from '../../protocols/flow/session.ts'
import type { RemotesInit } from '../../modules/routing/remotes.ts'
import type { Stream } from '../../protocols/flow/streams.ts'

const log = { debug() {}, info() {}, warn() {}, error() {} }
const { signal } = new AbortController()
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const turn = async (): Promise<void> => await new Promise((resolve) => setImmediate(resolve))

async function until(isTrue: () => boolean, step: () => void = () => undefined): Promise<void> {
  for (let turns = 0; !isTrue(); turns++) {
    assert.ok(turns < 10_000, 'it never came true')
    step()
    await turn()
  }
}

/** One stream, a `RoutedStream` at both of its ends. */
function joined() {
  const pair = new FlowPair()
  const clock = new SimulatedClock()
  const wrap = (stream: Stream, end: typeof pair.ann): RoutedStream =>
    new RoutedStream(
      {
        peerId: 'peer',
        clock,
        stream,
        onUse: () => end.streams.settle(stream),
        onReset: () => end.streams.reset(stream.id, pair.nowMs),
        onBytes: () => undefined,
      },
      '/app/x/1',
    )
  for (const end of [pair.ann, pair.bob]) end.isReading = false
  const own = pair.ann.streams.open() ?? assert.fail()
  const near = wrap(own, pair.ann)
  own.sender.write(Buffer.from('head'))
  pair.run(1_000, () => pair.bob.opened.length > 0)
  const far = wrap(pair.bob.opened[0] ?? assert.fail(), pair.bob)
  const step = (): void => {
    pair.run(5)
    near.progress()
    far.progress()
    if (pair.bob.wasReset.length > 0) far.cut()
  }
  return { pair, clock, near, far, step }
}

describe('a stream over a route', () => {
  it('carries bytes whole and in order, and its end', async () => {
    const { near, far, step } = joined()
    const said = Buffer.from(seededRandom(3).bytes(300_000))
    const read: Uint8Array[] = []
    let isDone = false
    const reading = (async () => {
      for (let bytes = await far.read(); bytes !== null; bytes = await far.read()) read.push(bytes)
      isDone = true
    })()
    const writing = near.write(said).then(async () => await near.closeWrite())
    await until(() => isDone, step)
    await Promise.all([reading, writing])
    assert.ok(Buffer.concat(read).equals(Buffer.concat([Buffer.from('head'), said])))
    await assert.rejects(near.write(Uint8Array.of(1)), { code: 'NZ_NETWORK_STREAM_RESET' })
  })

  it('makes a writer wait when nobody reads, and lets it go by its signal', async () => {
    const { near, step, pair } = joined()
    const stop = new AbortController()
    let isDone = false
    const writing = assert
      .rejects(near.write(new Uint8Array(8 * 1_048_576), { signal: stop.signal }), /enough/)
      .finally(() => (isDone = true))
    for (let turns = 0; turns < 400; turns++) {
      step()
      await turn()
    }
    assert.equal(isDone, false)
    assert.ok(pair.ann.streams.heldBytes < 4 * 1_048_576)
    stop.abort(new Error('enough'))
    await writing
  })

  it('says at the other end that it was reset, and ends both', async () => {
    const { near, far, step, pair } = joined()
    await far.read()
    const reading = assert.rejects(far.read(), { code: 'NZ_NETWORK_STREAM_RESET' })
    near.reset()
    await until(() => pair.bob.wasReset.length > 0, step)
    await reading
    assert.deepEqual([near.signal.aborted, far.signal.aborted], [true, true])
    await assert.rejects(near.read(), { code: 'NZ_NETWORK_STREAM_RESET' })
  })

  it('gives back what belongs to the next reader, before anything else', async () => {
    const { far } = joined()
    const head = (await far.read()) ?? assert.fail()
    far.giveBack(head.subarray(2))
    assert.equal(Buffer.from((await far.read()) ?? []).toString(), 'ad')
  })

  it('closes in bounded time when the other end never does', async () => {
    const { near, clock } = joined()
    const closing = near.close()
    await turn()
    await clock.advance(5_000)
    await closing
    assert.ok(near.signal.aborted)
  })
})

describe('streams over routes', () => {
  const peerId = peerIdOfKey(hex(BOB.publicKey))

  function served(maxStreams: number) {
    const pair = new FlowPair()
    const clock = new SimulatedClock()
    const session = { streams: pair.ann.streams, end: null } as unknown as Session
    const routing = {
      reaches: () => true,
      remotes: { call: () => session, open: () => [], pump: () => undefined, lastCode: () => null, keys: () => [] },
    }
    const events = { emit: () => undefined }
    const streams = new RoutedStreams({ clock, log, events: events as never, maxStreams })
    const end = { serve: () => 'unknown', reached: () => undefined, left: () => undefined }
    streams.start(routing as never, end as never, { signal })
    return { pair, session, streams }
  }

  it('are as many as routing.maxStreams says, and no more, opened here or there', async () => {
    const { pair, session, streams } = served(2)
    const stop = new AbortController()
    const opening = [1, 2].map(async () => await streams.openStream(peerId, '/app/x/1', { signal: stop.signal }))
    const settled = Promise.allSettled(opening)
    assert.equal(streams.count, 2)
    await assert.rejects(streams.openStream(peerId, '/app/x/1', { signal }), { code: 'NZ_NETWORK_LIMITED' })
    const theirs = pair.bob.streams.open() ?? assert.fail()
    theirs.sender.write(Uint8Array.of(1))
    pair.run(1_000, () => pair.ann.opened.length > 0)
    streams.hooks.onStreamOpened(hex(BOB.publicKey), session, pair.ann.opened[0] ?? assert.fail())
    pair.run(1_000, () => pair.bob.wasReset.length > 0)
    assert.deepEqual([pair.bob.wasReset, streams.count], [[theirs.id], 2])
    stop.abort()
    assert.ok((await settled).every(({ status }) => status === 'rejected'))
    assert.equal(streams.count, 0)
  })

  it('are at most so many in one session', async () => {
    const { streams, session } = served(10 * MAX_STREAMS)
    while (session.streams.open() !== null) assert.ok(session.streams.size <= MAX_STREAMS)
    assert.equal(session.streams.size, MAX_STREAMS)
    await assert.rejects(streams.openStream(peerId, '/app/x/1', { signal }), { code: 'NZ_NETWORK_LIMITED' })
  })
})

describe('the peers at the other ends of paths', () => {
  function remotes(changes: Partial<RemotesInit> = {}) {
    const clock = new SimulatedClock()
    const ended: string[] = []
    const none = (): void => undefined
    const all = new Remotes({
      identity: ANN,
      verify: verifyFor,
      clock,
      random: seededRandom(5),
      log,
      openFlow: () => ({ code: 'NZ_ROUTE_NONE' }),
      sendPacket: none,
      closeFlow: none,
      onStreamOpened: none,
      onStreamProgress: none,
      onStreamReset: none,
      onSessionOpened: none,
      onSessionEnded: (key) => void ended.push(key),
      ...changes,
    })
    return { all, clock, ended }
  }
  const keyOf = (n: number): string => n.toString(16).padStart(64, '0')

  it('are as many as the bound, and no more', () => {
    const { all } = remotes()
    for (let n = 0; n < MAX_REMOTES; n++) assert.ok(all.call(keyOf(n)) !== null)
    assert.equal(all.call(keyOf(MAX_REMOTES)), null)
    assert.equal(all.keys().length, MAX_REMOTES)
    assert.ok(all.call(keyOf(0)) !== null, 'who is known already can be called')
  })

  it('refuse a path of one too many', () => {
    const closed: string[] = []
    const { all } = remotes({ closeFlow: (flow) => void closed.push(flow) })
    for (let n = 0; n < MAX_REMOTES; n++) all.call(keyOf(n))
    all.pathOpened('one too many', keyOf(MAX_REMOTES), { nextHop: keyOf(1), isOwn: false })
    assert.deepEqual(closed, ['one too many'])
  })

  it('have a bounded number of sessions each: a new call ends the oldest of its own', () => {
    const { all, ended } = remotes()
    const key = hex(BOB.publicKey)
    all.pathOpened('path', key, { nextHop: keyOf(1), isOwn: false })
    const random = seededRandom(9)
    const call = (): void => {
      const calling = { role: 'initiator', identity: BOB, verify: verifyFor, random, nowMs: 0 } as const
      const handshake = startHandshake({ ...calling, purpose: 'nzcore/route-session/1', features: [] })
      for (const hello of handshake.due(0).send) all.receive('path', key, hello)
    }
    for (let n = 0; n < MAX_SESSIONS_PER_REMOTE; n++) call()
    assert.deepEqual(ended, [])
    call()
    assert.deepEqual(ended, [key])
    all.close()
  })

  it('are asked for again after a path was lost, later each time none comes about', async () => {
    const asked: number[] = []
    const { all, clock } = remotes({
      openFlow: () => {
        asked.push(clock.monotonicMs())
        return { code: 'NZ_ROUTE_NONE' }
      },
    })
    all.call(keyOf(1))
    all.pump(keyOf(1))
    await until(() => asked.length > 0)
    for (let n = 0; n < 40; n++) await clock.advance(500)
    const gaps = asked.slice(1).map((atMs, at) => atMs - (asked[at] ?? 0))
    assert.ok(gaps.length > 3)
    assert.ok(
      gaps.every((gap, at) => gap >= (gaps[at - 1] ?? 0)),
      gaps.join(),
    )
    assert.equal(all.lastCode(keyOf(1)), 'NZ_ROUTE_NONE')
    all.close()
  })
})
