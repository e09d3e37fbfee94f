/**
 * spec/vectors/routing.json against the code: the vectors of NZ-ROUTING-01.
 * `NZ_WRITE_VECTORS=1 node --test test/unit/routing-vectors.test.ts` writes them anew.
 */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, it } from 'node:test'
import { IdentityKeys } from '../../modules/identity/keys.ts'
import { verifyFor } from '../../protocols/identity/signature.ts'
import { encodeSegment } from '../../protocols/flow/segment.ts'
import { decodeCanonical, encodeCanonical } from '../../protocols/framing/canonical-cbor.ts'
import { x25519KeyPairFromSeed } from '../../protocols/noise/x25519.ts'
import {
  encodeAnnouncements,
  encodeHello,
  encodeRequest,
  isSigned,
  signOrigin,
} from '../../protocols/routing/announcement.ts'
import { checkAnswer, createAnswer, passBack, readAnswer } from '../../protocols/routing/answer.ts'
import { encodeClosed } from '../../protocols/routing/closed.ts'
import { routeCodes } from '../../protocols/routing/errors.ts'
import {
  decodeConfirmation,
  encodeConfirmation,
  encodeOpen,
  linkKeys,
  seal,
  unseal,
} from '../../protocols/routing/link-message.ts'
import { MAX_METRIC } from '../../protocols/routing/limits.ts'
import { checkSetup, createSetup, isChain, passOn, readSetup } from '../../protocols/routing/setup.ts'
import { bytesOf, hexOf } from '../../protocols/routing/signing.ts'
import { fromHex, specVectors, toHex } from '../vectors.ts'
import type { SigningPurpose } from '../../modules/identity/service.ts'
import type { Segment } from '../../protocols/flow/segment.ts'
import type { Key, Sign } from '../../protocols/routing/signing.ts'

const NAMES = ['source', 'first', 'second', 'end'] as const
type Name = (typeof NAMES)[number]
type Party = {
  readonly key: Key
  readonly sign: Sign
  readonly signAny: (p: SigningPurpose, m: Uint8Array) => Uint8Array
}
type Parties = Readonly<Record<Name, Party>>

async function parties(): Promise<Parties> {
  const made = await Promise.all(
    NAMES.map(async (name, at) => {
      const keys = await IdentityKeys.derive(new Uint8Array(32).fill(at + 40), ['A', 'B', 'C', 'D'])
      const signAny = (purpose: SigningPurpose, message: Uint8Array): Uint8Array => keys.signAsNode(purpose, message)
      return [name, { key: hexOf(keys.self.nodePublicKey), sign: signAny, signAny }] as const
    }),
  )
  return Object.fromEntries(made) as Readonly<Record<string, Party>> as Parties
}

const seedOf = (fill: number): Uint8Array => new Uint8Array(32).fill(fill)

function linksOf({ source, first }: Parties) {
  const [own, theirs] = [x25519KeyPairFromSeed(seedOf(7)), x25519KeyPairFromSeed(seedOf(8))]
  const offers = [
    { from: source.key, to: first.key, ephemeral: own.publicKey, heard: new Uint8Array(0) },
    { from: first.key, to: source.key, ephemeral: theirs.publicKey, heard: own.publicKey },
  ].map((offer, at) => ({
    from: offer.from,
    to: offer.to,
    ephemeral: toHex(offer.ephemeral),
    heard: toHex(offer.heard),
    message: toHex(encodeOpen(offer, (at === 0 ? source : first).sign)),
  }))
  const keys = linkKeys(
    { key: source.key, ephemeral: own.publicKey, privateKey: own.privateKey },
    { key: first.key, ephemeral: theirs.publicKey },
  )
  const body = Buffer.from('body of a message')
  const sealed = [1, 4, 7].map((type, counter) => ({
    type,
    counter: counter + 1,
    body: toHex(body),
    message: toHex(seal(keys.send, type as 1 | 4 | 7, counter + 1, body)),
  }))
  const seeds = [toHex(seedOf(7)), toHex(seedOf(8))]
  const confirmation = { counter: 66_000, body: toHex(encodeConfirmation(66_000)) }
  return { offers, seeds, send: toHex(keys.send), receive: toHex(keys.receive), sealed, confirmation }
}

function spokenOf({ end }: Parties) {
  const origin = signOrigin(end.key, 1_800_000_000, end.sign)
  const hellos = [
    { sequence: 1, stampMs: 5, heard: 0, expected: 0, echo: null },
    { sequence: 70_000, stampMs: 123_456_789, heard: 15, expected: 16, echo: { stampMs: 77, heldMs: 1_001 } },
  ]
  return {
    hellos: hellos.map((hello) => ({ ...hello, body: toHex(encodeHello(hello)) })),
    announcement: {
      routes: [0, 300, MAX_METRIC].map((metric) => ({ destination: end.key, sequence: origin.sequence, metric })),
      body: toHex(encodeAnnouncements([0, 300, MAX_METRIC].map((metric) => ({ origin, metric })))),
    },
    request: {
      destination: end.key,
      sequence: origin.sequence,
      hops: 9,
      body: toHex(encodeRequest({ known: origin, hopsLeft: 9 })),
    },
    closed: {
      path: '5a'.repeat(16),
      code: 'NZ_ROUTE_REPLAYED',
      by: end.key,
      latest: 1_800_000_000_123,
      body: toHex(
        encodeClosed({ flow: '5a'.repeat(16), code: 'NZ_ROUTE_REPLAYED', by: end.key, latest: 1_800_000_000_123 }),
      ),
    },
  }
}

function pathOf({ source, first, second, end }: Parties) {
  const body = { source: source.key, destination: end.key, flow: 'c3'.repeat(16), sequence: 1_800_000_000_000 }
  const sent = createSetup(body, { ttl: 9, next: first.key }, source.sign)
  const passed = passOn(sent, { self: first.key, next: second.key }, first.sign)
  const arrived = passOn(passed, { self: second.key, next: end.key }, second.sign)
  const answered = createAnswer(arrived, end.sign)
  const back = passBack(answered, { self: second.key, waitedUs: 900 }, second.sign)
  const home = passBack(back, { self: first.key, waitedUs: 2_000 }, first.sign)
  return { body, sent, passed, arrived, answered, back, home }
}

/** One thing wrong in each. */
function refusedOf(
  by: Parties,
): ReadonlyArray<{ what: string; bytes: string; receiver: Key; from: Key; code: string }> {
  const { sent, passed } = pathOf(by)
  const { source, first, second, end } = by
  type Items = [string, Uint8Array, Uint8Array, [Uint8Array, number, Uint8Array, Uint8Array][]]
  const lie = (what: string, code: string, change: (items: Items) => Uint8Array | void) => {
    const items = decodeCanonical(passed.bytes) as Items
    const bytes = change(items) ?? encodeCanonical(items)
    return { what, bytes: toHex(bytes), receiver: second.key, from: first.key, code }
  }
  const flip = (bytes: Uint8Array): Uint8Array => bytes.map((byte, at) => (at === 9 ? byte ^ 4 : byte))
  const resigned = (items: Items, body: Uint8Array): void => {
    items[1] = body
    items[2] = source.signAny('nzcore/route-setup/1', body)
  }
  return [
    lie('cut short', 'NZ_ROUTE_MALFORMED', () => passed.bytes.subarray(0, -1)),
    lie('no hops', 'NZ_ROUTE_MALFORMED', (items) => void (items[3] = [])),
    lie('a ttl above the limit', 'NZ_ROUTE_MALFORMED', ([, , , hops]) => void ((hops[0] ?? [])[1] = 17)),
    lie('to its own source', 'NZ_ROUTE_MALFORMED', (items) => {
      resigned(items, encodeCanonical([1, bytesOf(source.key), bytesOf(source.key), bytesOf(sent.flow), sent.sequence]))
    }),
    lie('of version 2', 'NZ_ROUTE_VERSION', (items) => resigned(items, encodeCanonical([2, 'whatever']))),
    lie('for another purpose', 'NZ_ROUTE_PURPOSE', (items) => void (items[0] = 'nzcore/invite/1')),
    lie('a hop taken out', 'NZ_ROUTE_CHAIN', ([, , , hops]) => void hops.shift()),
    lie('a hop twice', 'NZ_ROUTE_CHAIN', ([, , , hops]) => void ((hops[1] ?? [])[0] = bytesOf(source.key))),
    lie('a ttl that stays', 'NZ_ROUTE_CHAIN', ([, , , hops]) => void ((hops[1] ?? [])[1] = 9)),
    lie('for another receiver', 'NZ_ROUTE_CHAIN', ([, , , hops]) => void ((hops[1] ?? [])[2] = bytesOf(end.key))),
    lie('another signature of the source', 'NZ_ROUTE_FORGED', (items) => void (items[2] = flip(items[2]))),
    lie(
      'signed for another purpose',
      'NZ_ROUTE_FORGED',
      (items) => void (items[2] = source.signAny('nzcore/invite/1', items[1])),
    ),
    lie('a hop that did not sign', 'NZ_ROUTE_FORGED', ([, , , hops]) => {
      const last = hops[1]
      if (last !== undefined) last[3] = flip(last[3])
    }),
    lie('a ttl that was raised', 'NZ_ROUTE_FORGED', ([, , , hops]) => {
      for (const hop of hops) hop[1] += 1
    }),
  ]
}

const DISTANCES = [
  { announced: [5, 100], feasible: null, isFeasible: true },
  { announced: [5, 100], feasible: [5, 101], isFeasible: true },
  { announced: [5, 100], feasible: [5, 100], isFeasible: false },
  { announced: [4, 1], feasible: [5, 900], isFeasible: false },
  { announced: [6, 9_000], feasible: [5, 1], isFeasible: true },
] as const

const SEGMENTS: readonly Segment[] = [
  { type: 'data', stream: 6, offset: 70_000_000_000, isLast: true, bytes: Uint8Array.of(1, 2, 3) },
  {
    type: 'ack',
    stream: 7,
    next: 5,
    limit: 1_048_581,
    ranges: [
      { from: 9, to: 12 },
      { from: 20, to: 21 },
    ],
  },
  { type: 'reset', stream: 8 },
  { type: 'resetSeen', stream: 9 },
  { type: 'probe', stamp: 123_456 },
  { type: 'echo', stamp: 123_456 },
]

async function makeVectors() {
  const by = await parties()
  const { body, sent, passed, arrived, answered, back, home } = pathOf(by)
  const answer = readAnswer(home)
  assert.ok(answer !== null)
  const hops = checkAnswer(sent, answer, { roundTripUs: 3_500, verify: verifyFor })
  const { flow: path, ...ends } = body
  return {
    source: 'NZ-ROUTING-01; written by test/unit/routing-vectors.test.ts. Bytes are hexadecimal.',
    keys: Object.fromEntries(NAMES.map((name) => [name, by[name].key])),
    codes: routeCodes,
    link: linksOf(by),
    ...spokenOf(by),
    setup: {
      ...ends,
      path,
      sent: toHex(sent.bytes),
      passed: toHex(passed.bytes),
      arrived: toHex(arrived.bytes),
      hops: arrived.hops.map(({ key, ttl, next }) => ({ key, ttl, next })),
    },
    refused: refusedOf(by),
    answer: {
      created: toHex(answered),
      back: toHex(back),
      home: toHex(home),
      roundTripUs: 3_500,
      hops: hops?.map(({ key, roundTripUs }) => ({ key, roundTripUs })) ?? [],
    },
    distances: DISTANCES,
    segments: SEGMENTS.map((segment) => ({
      ...segment,
      ...(segment.type === 'data' ? { bytes: toHex(segment.bytes) } : {}),
      segment: toHex(encodeSegment(segment)),
    })),
  }
}

type Vectors = Awaited<ReturnType<typeof makeVectors>>

describe('NZ-ROUTING-01', () => {
  it('has the vectors of spec/vectors/routing.json', async () => {
    const made = await makeVectors()
    if (process.env['NZ_WRITE_VECTORS'] !== undefined) {
      const path = join(resolve(import.meta.dirname, '..', '..'), 'spec', 'vectors', 'routing.json')
      writeFileSync(path, `${JSON.stringify(made, null, 1)}\n`)
    }
    assert.deepEqual(JSON.parse(JSON.stringify(made)), specVectors<object>('routing.json'))
  })

  it('refuses each bad setup of its vectors with its own code', () => {
    for (const { what, bytes, receiver, from, code } of specVectors<Vectors>('routing.json').refused) {
      const setup = readSetup(fromHex(bytes))
      if (typeof setup === 'string') assert.equal(setup, code, what)
      else if (!isChain(setup, receiver) || setup.hops.at(-1)?.key !== from) assert.equal('NZ_ROUTE_CHAIN', code, what)
      else {
        const { source, hops } = checkSetup(setup, verifyFor)
        assert.ok(code === 'NZ_ROUTE_FORGED' && (!source || hops.includes(false)), what)
      }
    }
  })

  it('reads no setup, answer or sealed message in which anything was changed as a good one', () => {
    const { setup, answer, link, keys } = specVectors<Vectors>('routing.json')
    const verify = verifyFor
    const [arrived, home] = [fromHex(setup.arrived), fromHex(answer.home)]
    const sent = readSetup(fromHex(setup.sent))
    assert.ok(typeof sent !== 'string')
    const isGoodSetup = (bytes: Uint8Array): boolean => {
      const read = readSetup(bytes)
      if (typeof read === 'string' || !isChain(read, keys['end'] ?? '')) return false
      const check = checkSetup(read, verify)
      return check.source && !check.hops.includes(false)
    }
    const isGoodAnswer = (bytes: Uint8Array): boolean => {
      const read = readAnswer(bytes)
      const hops = read === null ? null : checkAnswer(sent, read, { roundTripUs: 1, verify })
      return hops !== null && hops.every((hop) => hop.isAnswerSigned && hop.isSetupSigned)
    }
    const changed = (bytes: Uint8Array, at: number): Uint8Array => bytes.map((byte, n) => (n === at ? byte ^ 1 : byte))
    assert.ok(isGoodSetup(arrived) && isGoodAnswer(home))
    for (let at = 0; at < arrived.length; at += 5) assert.ok(!isGoodSetup(changed(arrived, at)), `setup at ${at}`)
    for (let at = 0; at < home.length; at += 11) assert.ok(!isGoodAnswer(changed(home, at)), `answer at ${at}`)
    const message = fromHex(link.sealed[0]?.message ?? '')
    assert.ok(unseal(fromHex(link.send), message) !== null)
    assert.equal(decodeConfirmation(fromHex(link.confirmation.body)), link.confirmation.counter)
    assert.equal(decodeConfirmation(fromHex(`${link.confirmation.body}00`)), null)
    for (let at = 0; at < message.length; at++) assert.equal(unseal(fromHex(link.send), changed(message, at)), null)
  })

  it('has origins that are signed', () => {
    const { announcement } = specVectors<Vectors>('routing.json')
    const [[destination, sequence, signature]] = decodeCanonical(fromHex(announcement.body)) as [
      [Uint8Array, number, Uint8Array],
    ]
    assert.ok(isSigned({ destination: hexOf(destination), sequence, signature }, verifyFor))
    assert.ok(!isSigned({ destination: hexOf(destination), sequence: sequence + 1, signature }, verifyFor))
  })
})
