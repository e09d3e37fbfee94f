/**
 * spec/vectors/channel.json against the code: the vectors of NZ-WIRE-01, NZ-HANDSHAKE-01 and NZ-CHANNEL-01.
 * `NZ_WRITE_VECTORS=1 node --test test/unit/channel/vectors.test.ts` writes them anew.
 */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, it } from 'node:test'
import { Channel } from '../../../protocols/channel/channel.ts'
import { channelLimits } from '../../../protocols/channel/limits.ts'
import { ReplayWindow } from '../../../protocols/channel/replay-window.ts'
import { startHandshake } from '../../../protocols/handshake/handshake.ts'
import { TicketStore } from '../../../protocols/handshake/tickets.ts'
import { codecs, compress, decompress } from '../../../protocols/wire/compression.ts'
import { commonFeatures, isFeatureList } from '../../../protocols/wire/features.ts'
import { decodeFrame, encodeFrame, FLAG_COMPRESSED, frameType } from '../../../protocols/wire/frame.ts'
import { uint32 } from '../../../protocols/wire/message-sender.ts'
import { Messages } from '../../../protocols/wire/messages.ts'
import { ANN, BOB, EVE, identityOf, initiatorInit, responderInit } from '../../fake/channel.ts'
import { fromHex, specVectors, toHex } from '../../vectors.ts'
import type { Random } from '../../../kernel/index.ts'
import type { InitiatorInit, LocalIdentity, ResponderInit } from '../../../protocols/handshake/handshake.ts'

const who: Readonly<Record<string, LocalIdentity>> = { ann: ANN, bob: BOB, eve: EVE }
const SEEDS: Readonly<Record<string, number>> = { ann: 1, bob: 2, eve: 3 }

/** Call k gives bytes of value `first` + k; what was given is written down. */
function plainRandom(first: number): Random & { readonly given: string[] } {
  const given: string[] = []
  return {
    given,
    unit: () => 0,
    bytes(length) {
      const bytes = new Uint8Array(length).fill(first + given.length)
      given.push(toHex(bytes))
      return bytes
    },
  }
}

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
  const frames = names.map((name) => {
    const hex = toHex(encodeFrame(frameType[name], [bodies[name]]))
    return { name, type: frameType[name], flags: 0, body: toHex(bodies[name]), hex }
  })
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
    changed([4, 1]),
    changed([7, 9]),
    changed([7, 7]),
    good.subarray(0, 15),
    Buffer.concat([good, Uint8Array.of(0)]),
    good.subarray(0, 7),
    encodeFrame(frameType.hello, [new Uint8Array(37)]),
    encodeFrame(frameType.hello, [new Uint8Array(2_049)]),
  ].map((bytes) => ({ hex: toHex(bytes), code: decodeFrame(bytes) }))
  return { frames, refused }
}

function chunkVectors() {
  const plain = Buffer.from('frames carry messages, messages carry what people say. '.repeat(12))
  const cases = (['deflate', 'zstd'] as const).flatMap((codec) => {
    const { bytes } = compress(codec, plain) ?? assert.fail()
    return [
      { codec, bytes, plainBytes: plain.length },
      { codec, bytes, plainBytes: plain.length - 1 },
      { codec, bytes, plainBytes: plain.length + 1 },
      { codec, bytes: bytes.subarray(0, -2), plainBytes: plain.length },
      { codec, bytes: Buffer.concat([bytes, Uint8Array.of(0)]), plainBytes: plain.length },
      { codec, bytes: Uint8Array.of(1, 2, 3, 4), plainBytes: 4_097 },
    ]
  })
  return cases.map(({ codec, bytes, plainBytes }) => {
    const result = decompress(codec, bytes, plainBytes)
    return {
      codec,
      bytes: toHex(bytes),
      plain: plainBytes,
      result: typeof result === 'string' ? result : toHex(result),
    }
  })
}

/** What a side that reads messages says to these frames, one after another. */
function conversations() {
  const open = (id: number, totalBytes: number, codec = 0): Uint8Array =>
    encodeFrame(frameType.open, [uint32(id), uint32(totalBytes), Uint8Array.of(codec)])
  const chunk = (id: number, plainBytes: number, bytes: Uint8Array, flags = 0): Uint8Array =>
    encodeFrame(frameType.chunk, [uint32(id), uint32(plainBytes), bytes], flags)
  const small = compress('deflate', Buffer.alloc(400, 'ab')) ?? assert.fail()
  const talks: readonly (readonly Uint8Array[])[] = [
    [open(0, 5), chunk(0, 2, Buffer.from('he')), open(1, 0), chunk(0, 3, Buffer.from('llo'))],
    [open(0, 400, 1), chunk(0, 400, small.bytes, FLAG_COMPRESSED)],
    [open(0, 9), encodeFrame(frameType.cancel, [uint32(0)]), open(1, 1), chunk(1, 1, Uint8Array.of(65))],
    [open(0, 67_108_864)],
    [open(0, 67_108_865)],
    [open(1, 5)],
    [open(0, 5, 3)],
    [open(0, 5), chunk(0, 6, new Uint8Array(6))],
    [open(0, 5), chunk(0, 4, new Uint8Array(5))],
    [open(0, 5), chunk(0, 0, new Uint8Array(5))],
    [open(0, 5), chunk(0, 5, new Uint8Array(2), FLAG_COMPRESSED)],
    [open(0, 5), chunk(1, 5, new Uint8Array(5))],
    [encodeFrame(frameType.cancel, [uint32(0)])],
    [encodeFrame(frameType.credit, [uint32(0), uint32(1)])],
    [encodeFrame(frameType.done, [Uint8Array.of(0, 0, 0, 1, 2)])],
    Array.from({ length: 65 }, (_, id) => open(id, 1)),
    [encodeFrame(frameType.retry, [new Uint8Array(20)])],
  ]
  return talks.map((frames) => {
    const messages = new Messages({ codec: 'none' })
    const answers = frames.map((frame) => {
      const event = messages.receive(frame)
      if ('refused' in event) return event.refused
      return event.event === 'message' ? { id: event.id, payload: toHex(event.payload) } : event.event
    })
    return { frames: frames.map(toHex), answers }
  })
}

interface Side {
  readonly is: string
  readonly features: readonly string[]
}

interface Setup {
  readonly name: string
  readonly pattern: 'XX' | 'IK' | 'IKpsk1'
  readonly purpose: string
  readonly initiator: Side
  readonly responder: Side
}

const setups: readonly Setup[] = [
  {
    name: 'strangers',
    pattern: 'XX',
    purpose: 'nzcore/messages/1',
    initiator: { is: 'ann', features: ['deflate', 'zstd'] },
    responder: { is: 'bob', features: ['deflate'] },
  },
  {
    name: 'known key',
    pattern: 'IK',
    purpose: 'nzcore/routes/1',
    initiator: { is: 'eve', features: [] },
    responder: { is: 'ann', features: ['x.y-1'] },
  },
  {
    name: 'resumed',
    pattern: 'IKpsk1',
    purpose: 'nzcore/messages/1',
    initiator: { is: 'ann', features: ['zstd'] },
    responder: { is: 'bob', features: ['zstd'] },
  },
]

/** One handshake with known randomness, and the channel that follows, through two agreements on new keys. */
function run(setup: Setup, first: number) {
  const { pattern, purpose, initiator, responder } = setup
  const [ann, bob] = [who[initiator.is] ?? assert.fail(), who[responder.is] ?? assert.fail()]
  const [annRandom, bobRandom] = [plainRandom(first), plainRandom(first + 0x40)]
  const tickets = new TicketStore()
  const earlier = resumable(ann, bob, purpose, tickets)
  const calling = startHandshake({
    ...initiatorInit({ identity: ann, purpose, features: initiator.features, random: annRandom }),
    expectedPeer: bob.publicKey,
    ...(pattern === 'IK' ? { pinnedStatic: bob.staticKey.publicKey } : {}),
    ...(pattern === 'IKpsk1' ? { ticket: earlier } : {}),
  })
  const called = startHandshake(
    responderInit({ identity: bob, purpose, features: responder.features, random: bobRandom, tickets }),
  )
  const ticket = { id: toHex(earlier.id), key: toHex(earlier.preSharedKey) }
  const [hello = assert.fail()] = calling.due(0).send
  const answered = called.receive(hello, 0)
  const [answer = assert.fail()] = answered.send
  const step = calling.receive(answer, 0)
  const frames = [hello, answer, ...step.send]
  const established = step.done ?? assert.fail()
  const atBob = answered.done ?? called.receive(step.send[0] ?? assert.fail(), 0).done ?? assert.fail()
  assert.equal(toHex(established.secret), toHex(atBob.secret))
  const session = { session: toHex(established.session), secret: toHex(established.secret) }
  const kept = new TicketStore()
  kept.keep(established, 0)
  const own = kept.take(bob.publicKey, purpose, 1) ?? assert.fail()
  const channel = channelOf({ established, atBob, ann, bob }, [annRandom, bobRandom])
  return {
    ...setup,
    ...(pattern === 'IKpsk1' ? { ticket } : {}),
    random: { initiator: annRandom.given, responder: bobRandom.given },
    frames: frames.map(toHex),
    ...session,
    common: established.features,
    nextTicket: { id: toHex(own.id), key: toHex(own.preSharedKey) },
    ...channel,
  }
}

function resumable(ann: LocalIdentity, bob: LocalIdentity, purpose: string, atBob: TicketStore) {
  const calling = startHandshake({
    ...initiatorInit({ identity: ann, purpose, random: plainRandom(1) }),
    expectedPeer: bob.publicKey,
  })
  const called = startHandshake(responderInit({ identity: bob, purpose, random: plainRandom(9) }))
  const step = calling.receive(called.receive(calling.due(0).send[0] ?? assert.fail(), 0).send[0] ?? assert.fail(), 0)
  const atAnn = new TicketStore()
  atAnn.keep(step.done ?? assert.fail(), 0)
  atBob.keep(called.receive(step.send[0] ?? assert.fail(), 0).done ?? assert.fail(), 0)
  return atAnn.take(bob.publicKey, purpose, 0) ?? assert.fail()
}

type Done = Exclude<ReturnType<ReturnType<typeof startHandshake>['receive']>['done'], undefined>
interface Ended {
  readonly established: Done
  readonly atBob: Done
  readonly ann: LocalIdentity
  readonly bob: LocalIdentity
}

/** Packets of three epochs in the order in which they were sealed, all opened. */
function channelOf({ established, atBob, ann, bob }: Ended, [annRandom, bobRandom]: readonly [Random, Random]) {
  const limits = { ...channelLimits, rekeyPackets: 6 }
  const sides = {
    initiator: new Channel({ established, staticKey: ann.staticKey, random: annRandom, nowMs: 0, limits }),
    responder: new Channel({ established: atBob, staticKey: bob.staticKey, random: bobRandom, nowMs: 0, limits }),
  }
  const packets: { from: string; hex: string; kind: string; plain?: string }[] = []
  const pass = (from: 'initiator' | 'responder', hex: string, payload?: string): void => {
    const result = sides[from === 'initiator' ? 'responder' : 'initiator'].open(fromHex(hex), 0)
    assert.ok(!('refused' in result), JSON.stringify(result))
    if ('payload' in result) assert.equal(Buffer.from(result.payload).toString(), payload)
    packets.push({
      from,
      hex,
      kind: 'control' in result ? result.control : 'data',
      ...(payload === undefined ? {} : { plain: payload }),
    })
  }
  for (let round = 0; round < 30 && sides.responder.epoch < 2; round += 1) {
    for (const from of ['initiator', 'responder'] as const) {
      for (const packet of sides[from].due(0)) pass(from, toHex(packet))
      const payload = `${from} ${round}`
      const sealed = sides[from].seal(Buffer.from(payload), 0)
      assert.ok('packet' in sealed)
      pass(from, toHex(sealed.packet), payload)
    }
  }
  assert.equal(sides.initiator.epoch, 2)
  return { packets }
}

/** What the side that reads the last frame says; it knows its keys, and the randomness of both is known. */
function refusals() {
  const twin = { ...identityOf(9), staticKey: BOB.staticKey }
  const cases: ReadonlyArray<{
    readonly what: string
    readonly initiator?: Partial<InitiatorInit>
    readonly responder?: Partial<ResponderInit>
  }> = [
    { what: 'another purpose', initiator: { purpose: 'nzcore/other/1' } },
    { what: 'both know version 2', initiator: { versions: [1, 2] }, responder: { versions: [1, 2] } },
    { what: 'another identity', initiator: { expectedPeer: EVE.publicKey } },
    { what: 'a signature of another key', responder: { identity: { ...BOB, signature: EVE.signature } } },
    { what: 'a feature that is missing', initiator: { requiredFeatures: ['zstd'] } },
    {
      what: 'a caller whose signature is of another key',
      initiator: { identity: { ...ANN, signature: EVE.signature }, pinnedStatic: BOB.staticKey.publicKey },
    },
    {
      what: 'a call for another identity with the same static key',
      initiator: { pinnedStatic: BOB.staticKey.publicKey },
      responder: { identity: twin },
    },
    {
      what: 'a call for another purpose',
      initiator: { pinnedStatic: BOB.staticKey.publicKey, purpose: 'nzcore/other/1' },
    },
  ]
  return cases.map(({ what, initiator = {}, responder = {} }, at) => {
    const [annRandom, bobRandom] = [plainRandom(1 + at), plainRandom(0x61 + at)]
    const calls = initiatorInit({ random: annRandom, ...initiator })
    const answers = responderInit({ random: bobRandom, ...responder })
    const calling = startHandshake(calls)
    const [hello = assert.fail()] = calling.due(0).send
    const answered = startHandshake(answers).receive(hello, 0)
    const frames = [hello]
    let { refused } = answered
    if (refused === undefined) {
      frames.push(answered.send[0] ?? assert.fail())
      refused = calling.receive(frames[1] ?? assert.fail(), 0).refused
    }
    const reader = frames.length === 1 ? answers : calls
    return {
      what,
      pattern: initiator.pinnedStatic === undefined ? 'XX' : 'IK',
      reader: {
        role: reader.role,
        identity: toHex(reader.identity.publicKey),
        staticSeed: toHex(Buffer.alloc(32, reader === answers ? 102 : 101)),
        expected: reader.role === 'initiator' ? toHex(reader.expectedPeer ?? assert.fail()) : null,
        purpose: reader.purpose,
        features: reader.features,
        required: reader.requiredFeatures ?? [],
        versions: reader.versions ?? [1],
        random: (reader === answers ? bobRandom : annRandom).given,
      },
      frames: frames.map(toHex),
      code: refused ?? assert.fail(),
    }
  })
}

function windows() {
  const orders = [
    [0, 0, 1, 2_047, 0, 2_048, 0, 1, 3, 2, 2],
    [5_000, 2_952, 2_953, 2_952, 5_000, 4_999, 9_000, 6_953, 6_952],
    [31, 32, 33, 63, 64, 65, 31, 64, 2_111, 63, 64, 62],
  ]
  return orders.map((counters) => {
    const window = new ReplayWindow()
    const results = counters.map((counter) => {
      const was = window.test(counter)
      if (was === 'new') window.take(counter)
      return was
    })
    return { counters, results }
  })
}

function featureVectors() {
  const lists = [
    [],
    ['a'],
    ['a', 'b'],
    ['b', 'a'],
    ['a', 'a'],
    ['A'],
    ['.a'],
    ['a.-1'],
    ['a'.repeat(32)],
    ['a'.repeat(33)],
    [''],
  ]
  const pairs = [
    [
      ['a', 'b', 'd'],
      ['b', 'c', 'd'],
    ],
    [[], ['a']],
    [['zstd'], ['zstd']],
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
      'NZ-WIRE-01, NZ-HANDSHAKE-01, NZ-CHANNEL-01; written by test/unit/channel/vectors.test.ts. Bytes are hexadecimal. ' +
      'random: what each side drew, in order: 4 bytes are an index, 32 the private half of an ephemeral key.',
    identities: Object.fromEntries(
      Object.entries(who).map(([name, identity]) => [
        name,
        {
          seed: toHex(Buffer.alloc(32, SEEDS[name])),
          identity: toHex(identity.publicKey),
          staticSeed: toHex(Buffer.alloc(32, (SEEDS[name] ?? 0) + 100)),
          static: toHex(identity.staticKey.publicKey),
          signature: toHex(identity.signature),
        },
      ]),
    ),
    frames,
    refusedFrames: refused,
    chunks: chunkVectors(),
    conversations: conversations(),
    features: featureVectors(),
    handshakes: setups.map((setup, at) => run(setup, 0x10 + at * 0x08)),
    refusals: refusals(),
    windows: windows(),
  }
}

type Vectors = ReturnType<typeof makeVectors>

describe('NZ-WIRE-01, NZ-HANDSHAKE-01 and NZ-CHANNEL-01', () => {
  it('have the vectors of spec/vectors/channel.json', () => {
    const made = makeVectors()
    if (process.env['NZ_WRITE_VECTORS'] !== undefined) {
      const path = join(resolve(import.meta.dirname, '..', '..', '..'), 'spec', 'vectors', 'channel.json')
      writeFileSync(path, `${JSON.stringify(made, null, 1)}\n`)
    }
    const written = specVectors<Vectors>('channel.json')
    // Other versions of zlib may compress to other bytes; what they give back is fixed.
    const { chunks: _, conversations: __, ...rest } = JSON.parse(JSON.stringify(made)) as Vectors
    const { chunks: ___, conversations: ____, ...expected } = written
    assert.deepEqual(rest, expected)
  })

  it('say what comes out of compressed bytes and of messages', () => {
    const { chunks, conversations: talks } = specVectors<Vectors>('channel.json')
    for (const { codec, bytes, plain, result } of chunks) {
      assert.ok(codecs.includes(codec))
      const out = decompress(codec, fromHex(bytes), plain)
      assert.equal(typeof out === 'string' ? out : toHex(out), result)
    }
    for (const { frames, answers } of talks) {
      const messages = new Messages({ codec: 'none' })
      frames.forEach((frame, at) => {
        const event = messages.receive(fromHex(frame))
        const said = 'refused' in event ? event.refused : event.event
        const expected = answers[at]
        assert.equal(said, typeof expected === 'string' ? expected : 'message')
      })
    }
  })
})
