/**
 * Connections that go from the thread of JS to the I/O thread and back, as their users see it, that is: not at all. When
 * one goes is set here: after few bytes, however long they took.
 */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { after, describe, it } from 'node:test'
import { seededRandom } from '../../kernel/random.ts'
import { startTestEngine, whyNoNative } from '../fake/native-libp2p.ts'
import { nativePair } from '../fake/native-pair.ts'
import type { Stream } from '@libp2p/interface'
import type { Random } from '../../kernel/random.ts'
import type { MuxerPair } from '../fake/native-pair.ts'

const skip = whyNoNative()
const LIMIT_MS = 120_000
const MANY_MS = 3_600_000

interface Received {
  readonly byteLength: number
  readonly digest: string
}

const integer = (random: Random, bound: number): number => Math.floor(random.unit() * bound)

/** Seeded pieces of 1 byte to 100 KB. */
function piecesOf(random: Random, total: number): readonly Uint8Array[] {
  const pieces: Uint8Array[] = []
  for (let left = total; left > 0;) {
    const most = integer(random, 4) === 0 ? 100_000 : 1_500
    const size = Math.min(left, 1 + integer(random, most))
    pieces.push(Uint8Array.from(random.bytes(size)))
    left -= size
  }
  return pieces
}

function digestOf(pieces: readonly Uint8Array[]): Received {
  const hash = createHash('sha256')
  let byteLength = 0
  for (const piece of pieces) {
    hash.update(piece)
    byteLength += piece.byteLength
  }
  return { byteLength, digest: hash.digest('hex') }
}

async function eventOf(target: unknown, name: string): Promise<unknown> {
  return await once(target as EventTarget, name)
}

async function write(stream: Stream, pieces: readonly Uint8Array[], random: Random): Promise<void> {
  for (const piece of pieces) {
    if (stream.status !== 'open') return
    if (!stream.send(piece)) await Promise.race([eventOf(stream, 'drain'), eventOf(stream, 'close')])
    else if (integer(random, 20) === 0) await new Promise((next) => setImmediate(next))
  }
  await stream.close()
}

async function read(stream: Stream, onPiece: () => void): Promise<Received> {
  const pieces: Uint8Array[] = []
  for await (const chunk of stream) {
    pieces.push(chunk instanceof Uint8Array ? chunk : chunk.subarray())
    onPiece()
  }
  return digestOf(pieces)
}

/** Both directions of one stream at once. */
async function exchange({ dialler, listener }: MuxerPair, random: Random, onPiece: () => void): Promise<void> {
  const opened = eventOf(listener, 'stream') as Promise<[{ detail: Stream }]>
  const near = await dialler.createStream()
  const there = piecesOf(random, 200_000 + integer(random, 400_000))
  const back = piecesOf(random, 200_000 + integer(random, 400_000))
  const [, [{ detail: far }]] = [near.send(Uint8Array.of(1)), await opened]
  const results = await Promise.all([
    read(far, onPiece),
    read(near, onPiece),
    write(near, there, random),
    write(far, back, random),
  ])
  assert.deepEqual(results.slice(0, 2), [digestOf([Uint8Array.of(1), ...there]), digestOf(back)])
}

for (const choice of ['auto', 'epoll'] as const)
  describe(`a connection between two threads (${choice})`, { skip, timeout: LIMIT_MS }, () => {
    if (skip !== false) return
    const engine = startTestEngine(choice, { busyBytes: 64 * 1024, busyMs: MANY_MS, calmTicks: 1 })
    after(() => engine.stop())

    it('goes in the middle of transfers in both directions, again and again: all arrives, in order', async () => {
      const random = seededRandom(11)
      const pair = await nativePair(engine)
      for (let round = 0; round < 2; round++) {
        assert.equal(engine.inlineSize, 2, 'it begins, and comes back when it is calm, on the thread of JS')
        let least = 2
        await exchange(pair, random, () => (least = Math.min(least, engine.inlineSize)))
        assert.ok(least < 2, 'it went to the thread')
        while (engine.inlineSize < 2) await new Promise((settle) => setTimeout(settle, 20))
      }
      await pair.close(false)
    })

    it('is closed, cut or lost in the middle of it: said once, and nothing stays', async () => {
      const random = seededRandom(12)
      for (let i = 0; i < 12; i++) {
        const pair = await nativePair(engine)
        const stream = await pair.dialler.createStream()
        const closed = eventOf(stream, 'close')
        const writing = write(stream, piecesOf(random, 40_000 + integer(random, 60_000)), random).catch(() => undefined)
        if (i % 3 === 0) await new Promise((next) => setImmediate(next))
        if (i % 2 === 0) pair.dialler.abort(new Error('enough'))
        await Promise.all([pair.close(i % 4 < 2), writing, closed])
      }
      while (engine.size > 0) await new Promise((settle) => setTimeout(settle, 5))
      assert.equal(engine.inlineSize, 0)
    })

    it('answers what it is told while it is told, as often as there is something to answer', async () => {
      const pair = await nativePair(engine)
      const turns = Promise.withResolvers<void>()
      pair.listener.addEventListener('stream', ({ detail }) =>
        detail.addEventListener('message', ({ data }) =>
          detail.send(data instanceof Uint8Array ? data : data.subarray()),
        ),
      )
      const stream = await pair.dialler.createStream()
      let left = 2_000
      stream.addEventListener('message', ({ data }) => {
        left -= data.byteLength
        if (left <= 0) turns.resolve()
        else stream.send(Uint8Array.of(left & 0xff))
      })
      stream.send(Uint8Array.of(0))
      await turns.promise
      await pair.close(false)
    })
  })
