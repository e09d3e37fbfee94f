/**
 * Mutated frames, handshakes, packets and messages: taken or refused with a code, bounded, and never anything else; and a
 * channel to which everything it ever received is sent again, in any order, and from which nothing comes twice.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { seededRandom } from '../../kernel/index.ts'
import { channelLimits } from '../../protocols/channel/limits.ts'
import { startHandshake } from '../../protocols/handshake/handshake.ts'
import { decodePayload } from '../../protocols/handshake/messages.ts'
import { TicketStore } from '../../protocols/handshake/tickets.ts'
import { decodeFrame, MAX_CHUNK_BYTES } from '../../protocols/wire/frame.ts'
import { FrameReader } from '../../protocols/wire/frame-reader.ts'
import { INITIAL_CREDIT_BYTES, MAX_MESSAGE_BYTES, MAX_OPEN_MESSAGES } from '../../protocols/wire/limits.ts'
import { Messages } from '../../protocols/wire/messages.ts'
import { BOB, channels, initiatorInit, responderInit, sealed, settle } from '../fake/channel.ts'
import { fromHex, specVectors } from '../vectors.ts'
import type { Random } from '../../kernel/index.ts'

const RUNS = Number(process.env['NZ_FUZZ_RUNS'] ?? 20_000)
/** Packets sent twice, at least. */
const REPLAYED = process.env['NZ_FULL'] === undefined ? 100_000 : 1_000_000

interface WireVectors {
  readonly frames: ReadonlyArray<{ hex: string }>
  readonly refusedFrames: ReadonlyArray<{ hex: string }>
  readonly conversations: ReadonlyArray<ReadonlyArray<{ readonly peer?: string }>>
}

const wire = specVectors<WireVectors>('wire.json')
const { handshakes } = specVectors<{ readonly handshakes: ReadonlyArray<{ readonly frames: readonly string[] }> }>(
  'handshake.json',
)
const { sessions } = specVectors<{
  readonly sessions: ReadonlyArray<{ readonly packets: ReadonlyArray<{ hex: string }> }>
}>('channel.json')

function fuzz(name: string, run: (random: Random, below: (bound: number) => number) => void): void {
  it(name, (t) => {
    const seed = Number(process.env['NZ_FUZZ_SEED'] ?? Date.now() % 2 ** 32)
    t.diagnostic(`seed ${seed} (NZ_FUZZ_SEED), ${RUNS} runs`)
    const random = seededRandom(seed)
    run(random, (bound) => Math.floor(random.unit() * bound))
  })
}

function mutated(corpus: readonly Uint8Array[], below: (bound: number) => number): Uint8Array {
  const bytes = Buffer.from(corpus[below(corpus.length)] ?? assert.fail())
  for (let flips = below(4); flips > 0 && bytes.length > 0; flips -= 1) {
    bytes[below(bytes.length)] = below(3) === 0 ? below(256) : below(8)
  }
  return below(6) === 0 ? bytes.subarray(0, below(bytes.length + 1)) : bytes
}

const codes = /^NZ_(?:WIRE|HANDSHAKE|CHANNEL)_[A-Z_]+$/

describe('what is mutated', () => {
  fuzz('frames on a stream are read whole or refused, and little is held', (_random, below) => {
    const corpus = [...wire.frames, ...wire.refusedFrames].map(({ hex }) => fromHex(hex))
    for (let run = 0; run < RUNS; run += 1) {
      const reader = new FrameReader()
      for (let parts = 1 + below(4); parts > 0; parts -= 1) {
        reader.push(mutated(corpus, below))
        for (let frame = reader.next(); frame !== null; frame = reader.next()) {
          if (typeof frame === 'string') {
            assert.match(frame, codes)
            break
          }
          assert.ok(typeof decodeFrame(frame) !== 'string')
        }
      }
      assert.ok(reader.heldBytes <= 4 * 2_100)
    }
  })

  fuzz('messages are taken or refused; room is never above its bound', (_random, below) => {
    // But those of 65 frames.
    const talks = wire.conversations
      .map((steps) => steps.flatMap(({ peer }) => (peer === undefined ? [] : [fromHex(peer)])).slice(0, 6))
      .filter((frames) => frames.length > 0)
    let whole = 0
    for (let run = 0; run < RUNS; run += 1) {
      const messages = new Messages({ codec: 'none', reassemblyBytes: 200_000 })
      messages.sender.add(new Uint8Array(below(40_000)))
      for (const frame of talks[below(talks.length)] ?? assert.fail()) {
        const event = messages.receive(below(4) === 0 ? mutated([frame], below) : frame)
        if ('refused' in event) {
          assert.match(event.refused, codes)
          break
        }
        if (event.event === 'message') {
          whole += 1
          if (below(2) === 0) messages.receiver.taken(event.id)
        }
        for (let pulls = below(3); pulls > 0; pulls -= 1) {
          const frame = messages.next()
          if (frame !== null) assert.ok(typeof decodeFrame(frame) !== 'string')
        }
        assert.ok(messages.receiver.reservedBytes <= 200_000 + MAX_OPEN_MESSAGES * INITIAL_CREDIT_BYTES)
      }
    }
    assert.ok(whole > RUNS / 50, 'the mutations still reach what is behind the header')
  })

  fuzz('handshakes of either role refuse what is not theirs and stay alive for what is', (_random, below) => {
    const corpus = handshakes.flatMap(({ frames }) => frames.map(fromHex))
    const answers = startHandshake(responderInit())
    const [hello = assert.fail()] = startHandshake(initiatorInit()).due(0).send
    const answer = answers.receive(hello, 0).send[0] ?? assert.fail()
    for (let run = 0; run < RUNS / 40; run += 1) {
      const calling = startHandshake(initiatorInit(run % 3 === 0 ? { pinnedStatic: BOB.staticKey.publicKey } : {}))
      const called = startHandshake(responderInit({ tickets: new TicketStore() }))
      calling.due(0)
      for (let parts = 1 + below(3); parts > 0; parts -= 1) {
        const bytes = mutated([...corpus, answer, hello], below)
        for (const { send, done, refused, failed } of [calling.receive(bytes, 0), called.receive(bytes, 0)]) {
          assert.ok(send.length <= 1)
          if (refused !== undefined) assert.match(refused, codes)
          if (failed !== undefined) assert.match(failed, codes)
          assert.ok(done === undefined || Buffer.compare(done.secret, new Uint8Array(32)) !== 0)
        }
      }
      if (run % 3 !== 0) assert.ok(calling.receive(answer, 0).send.length <= 1)
    }
    for (let run = 0; run < RUNS; run += 1) {
      const payload = decodePayload(mutated([Buffer.from('868101616180006100f6f6', 'hex'), ...corpus], below))
      assert.ok(payload === null || payload.features.length <= 32)
    }
  })

  fuzz('packets never open, but for those that are true', (_random, below) => {
    const ends = channels()
    const packet = sealed(ends.ann, 'the only true one')
    const corpus = [packet, ...sessions.flatMap(({ packets }) => packets.map(({ hex }) => fromHex(hex)))]
    for (let run = 0; run < RUNS; run += 1) {
      const bytes = mutated(corpus, below)
      if (Buffer.compare(bytes, packet) === 0) continue
      const result = ends.bob.open(bytes, 0)
      assert.ok('refused' in result)
      assert.match(result.refused, codes)
    }
    assert.ok('payload' in ends.bob.open(packet, 0))
  })
})

describe('a channel', () => {
  it(`takes none of ${REPLAYED} packets twice, through many epochs`, () => {
    const random = seededRandom(11)
    const ends = channels({ limits: { ...channelLimits, rekeyPackets: 700 } })
    const seen: Uint8Array[] = []
    const came = new Set<string>()
    let replayed = 0
    for (let nowMs = 0; replayed < REPLAYED; nowMs += 7) {
      const text = `payload ${nowMs}`
      const packet = sealed(ends.ann, text, nowMs)
      seen.push(packet)
      const result = ends.bob.open(packet, nowMs)
      assert.ok('payload' in result)
      came.add(text)
      settle(ends, nowMs)
      for (let again = 0; again < 10; again += 1) {
        const recent = random.unit() < 0.5 ? Math.max(0, seen.length - 3_000) : 0
        const old = seen[recent + Math.floor(random.unit() * (seen.length - recent))] ?? assert.fail()
        const second = ends.bob.open(old, nowMs)
        assert.ok('refused' in second, 'a packet was taken twice')
        replayed += 1
      }
    }
    assert.ok(ends.bob.epoch > 10 && came.size === seen.length)
  })

  it('agrees on new keys over paths that lose, repeat and reorder; no payload comes twice', () => {
    for (let seed = 1; seed <= (process.env['NZ_FULL'] === undefined ? 20 : 500); seed += 1) {
      const random = seededRandom(seed)
      const loss = 0.05 + random.unit() * 0.4
      const ends = channels({ limits: { ...channelLimits, rekeyPackets: 40 } })
      const underWay: { readonly to: 'ann' | 'bob'; readonly packet: Uint8Array }[] = []
      const came = new Set<string>()
      for (let nowMs = 0; nowMs < 30_000; nowMs += 50) {
        for (const from of ['ann', 'bob'] as const) {
          const to = from === 'ann' ? 'bob' : 'ann'
          for (const packet of [...ends[from].due(nowMs), sealed(ends[from], `${from} ${nowMs}`, nowMs)]) {
            if (random.unit() < loss) continue
            underWay.push({ to, packet })
            if (random.unit() < 0.2) underWay.push({ to, packet })
          }
        }
        while (underWay.length > 6) {
          const [{ to, packet } = assert.fail()] = underWay.splice(Math.floor(random.unit() * underWay.length), 1)
          const result = ends[to].open(packet, nowMs)
          if (!('payload' in result)) continue
          const text = Buffer.from(result.payload).toString()
          assert.ok(!came.has(text), `seed ${seed}: ${text} came twice`)
          came.add(text)
        }
      }
      assert.ok(ends.ann.epoch > 1 && Math.abs(ends.ann.epoch - ends.bob.epoch) <= 1, `seed ${seed}`)
      assert.ok(came.size > 500, `seed ${seed}: ${came.size} came`)
    }
  })
})

describe('a message of 64 MiB', () => {
  it('comes whole while what is under way and what is held stay bounded', () => {
    const payload = Buffer.alloc(MAX_MESSAGE_BYTES)
    for (let at = 0; at < payload.length; at += 4_093) payload.writeUInt32LE(at, Math.min(at, payload.length - 4))
    const [from, to] = [new Messages({ codec: 'deflate' }), new Messages({ codec: 'none' })]
    from.sender.add(payload)
    const underWay: Uint8Array[] = []
    let came: Uint8Array | null = null
    while (came === null) {
      // The carrier has room for four frames; nothing else is pulled.
      while (underWay.length < 4) {
        const frame = from.next()
        if (frame === null) break
        assert.ok(frame.length <= MAX_CHUNK_BYTES + 16)
        underWay.push(frame)
      }
      const event = to.receive(underWay.shift() ?? assert.fail('the sender waits for credit that nobody gives'))
      assert.ok('event' in event)
      if (event.event === 'message') came = event.payload
      assert.ok(to.receiver.reservedBytes <= MAX_MESSAGE_BYTES + INITIAL_CREDIT_BYTES)
      for (let credit = to.next(); credit !== null; credit = to.next()) from.receive(credit)
    }
    assert.equal(Buffer.compare(came, payload), 0)
  })
})
