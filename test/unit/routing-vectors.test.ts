/**
 * spec/vectors/routing.json against the code: the vectors of NZ-ROUTING-01.
 * `NZ_WRITE_VECTORS=1 node --test test/unit/routing-vectors.test.ts` writes them anew.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { verifyFor } from '../../protocols/identity/signature.ts'
import { Receiver } from '../../protocols/flow/receiver.ts'
import { decodeSegment, encodeSegment } from '../../protocols/flow/segment.ts'
import { decodeCanonical, encodeCanonical } from '../../protocols/framing/canonical-cbor.ts'
import { x25519KeyPairFromSeed } from '../../protocols/noise/x25519.ts'
import {
  decodeAnnouncements,
  decodeHello,
  decodeRequest,
  encodeAnnouncements,
  encodeHello,
  encodeRequest,
  isSigned,
  signOrigin,
} from '../../protocols/routing/announcement.ts'
import { checkAnswer, readAnswer } from '../../protocols/routing/answer.ts'
import { decodeClosed, encodeClosed } from '../../protocols/routing/closed.ts'
import { routeCodes } from '../../protocols/routing/errors.ts'
import { Link } from '../../protocols/routing/link.ts'
import {
  decodeConfirmation,
  encodeConfirmation,
  encodeOpen,
  isConfirmed,
  linkKeys,
  messageTypes,
  seal,
  unseal,
} from '../../protocols/routing/link-message.ts'
import { MAX_METRIC } from '../../protocols/routing/limits.ts'
import { RouteTable } from '../../protocols/routing/route-table.ts'
import { checkSetup, isChain, readSetup } from '../../protocols/routing/setup.ts'
import { bytesOf, hexOf } from '../../protocols/routing/signing.ts'
import { SourceSequences } from '../../protocols/routing/source-sequences.ts'
import { NAMES, parties, pathOf, SEEDS, seedOf } from '../fake/routing-parties.ts'
import { receiversOf, refusedOf, relayOf, sourcesOf } from '../fake/routing-paths.ts'
import { fromHex, madeVectors, specVectors, toHex } from '../vectors.ts'
import type { Segment } from '../../protocols/flow/segment.ts'
import type { MessageType } from '../../protocols/routing/link-message.ts'
import type { Key } from '../../protocols/routing/signing.ts'
import type { Name, Parties, Party } from '../fake/routing-parties.ts'

function linksOf({ source, first, end }: Parties) {
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
  const refusedOffers = refusedOffersOf(fromHex(offers[0]?.message ?? ''))
  return { offers, seeds, send: toHex(keys.send), receive: toHex(keys.receive), sealed, confirmation, refusedOffers }

  /** Said to `first`, whose neighbour is `source`. */
  function refusedOffersOf(good: Uint8Array): readonly string[] {
    const [purpose, body, signature] = decodeCanonical(good.subarray(1)) as [string, Uint8Array, Uint8Array]
    const items = decodeCanonical(body) as unknown[]
    const told = (value: unknown): Uint8Array => Buffer.concat([Uint8Array.of(0), encodeCanonical(value as [])])
    const signed = (at: number, value: unknown, by: Party = source): Uint8Array => {
      const changed = encodeCanonical(items.map((item, n) => (n === at ? value : item)) as [])
      return told([purpose, changed, by.sign('nzcore/route-link/1', changed)])
    }
    const messages = [
      good.subarray(0, -1),
      Buffer.concat([good, Uint8Array.of(0)]),
      told([purpose, body, signature.map((byte, at) => (at === 5 ? byte ^ 1 : byte))]),
      told([purpose, body, source.signAny('nzcore/route-setup/1', body)]),
      told(['nzcore/route-setup/1', body, source.signAny('nzcore/route-setup/1', body)]),
      signed(0, 2),
      signed(1, bytesOf(first.key), first),
      signed(2, bytesOf(end.key)),
      signed(3, new Uint8Array(31)),
      signed(4, new Uint8Array(31)),
    ]
    const link = new Link({
      self: first.key,
      neighbour: source.key,
      random: { bytes: () => seedOf(8) },
      sign: first.sign,
      verify: verifyFor,
    })
    for (const message of messages) assert.equal(link.receiveOpen(message), null, toHex(message))
    return messages.map(toHex)
  }
}

/** How a link is opened, and what it takes then: one end that hears (peer) and says (own) offers, and gets messages. */
function linkCourse({ source, first }: Parties) {
  let drawn = 0x50
  const random = { bytes: () => seedOf(drawn++) }
  const link = new Link({ self: source.key, neighbour: first.key, random, sign: source.sign, verify: verifyFor })
  const steps: unknown[] = []
  const say = (message: Uint8Array): number => steps.push({ own: toHex(message) })
  const hear = (fill: number, heard: Uint8Array): void => {
    const offer = { from: first.key, to: source.key, ephemeral: x25519KeyPairFromSeed(seedOf(fill)).publicKey, heard }
    const message = encodeOpen(offer, first.sign)
    const state = link.receiveOpen(message)
    steps.push({ peer: toHex(message), isTaken: state !== null, isNew: state?.isNew ?? false })
    for (const reply of state?.replies ?? []) say(reply)
  }
  const own = (fill: number): Uint8Array => x25519KeyPairFromSeed(seedOf(fill)).publicKey
  const nothing = new Uint8Array(0)
  say(link.offer())
  hear(0x60, nothing)
  hear(0x60, own(0x50))
  hear(0x60, own(0x50))
  say(link.offer())
  // Its other end was restarted; then an offer is repeated that is of no link any more.
  hear(0x61, nothing)
  hear(0x61, own(0x51))
  hear(0x62, own(0x50))
  hear(0x61, nothing)
  return { seeds: [0x50, 0x51, 0x52].map((fill) => toHex(seedOf(fill))), steps, messages: receivedBy(link, own(0x51)) }

  /** Messages that the peer sealed, and others, in the order in which they come. */
  function receivedBy(end: Link, ephemeral: Uint8Array) {
    const pair = x25519KeyPairFromSeed(seedOf(0x61))
    const { send, receive } = linkKeys(
      { key: first.key, ephemeral: pair.publicKey, privateKey: pair.privateKey },
      { key: source.key, ephemeral },
    )
    const body = Buffer.from('body')
    const of = (type: number, counter: number): Uint8Array => seal(send, type as MessageType, counter, body)
    const { announce, hello, packet, setup, confirm } = messageTypes
    const messages = [
      of(hello, 1),
      of(hello, 1),
      of(packet, 1),
      of(packet, 1),
      of(announce, 2),
      of(announce, 2),
      of(setup, 1_025),
      of(hello, 3),
      of(hello, 2),
      of(hello, 1),
      of(hello, 1_026),
      of(setup, 2),
      of(packet, 5_000),
      of(packet, 3_976),
      of(packet, 3_977),
      of(packet, 3_977),
      of(confirm, 1_027),
      of(9, 2_000),
      of(0x41, 2_001),
      seal(receive, hello, 2_002, body),
      of(hello, 2_003).map((byte, at) => (at === 8 ? byte ^ 1 : byte)),
      of(hello, 2_003).map((byte, at, all) => (at === all.length - 1 ? byte ^ 1 : byte)),
      of(hello, 2_003).subarray(0, 24),
      seal(send, setup, 2_003),
      of(hello, 2 ** 53 - 1),
    ]
    return messages.map((message) => {
      const unsealed = end.unseal(message)
      const isOwed = unsealed !== null && isConfirmed(unsealed.type)
      return {
        message: toHex(message),
        result: unsealed === null ? 'NZ_ROUTE_FORGED' : unsealed.isNew ? 'taken' : 'NZ_ROUTE_REPLAYED',
        confirms: isOwed ? unsealed.counter : null,
      }
    })
  }
}

/** What is measured by hellos that come, and what a hop costs then. */
function costVectors({ source, first }: Parties) {
  const cases = [
    { sequences: [1], theirs: [1, 1], roundTripsMs: [] },
    { sequences: [1, 2, 3, 5], theirs: [3, 4], roundTripsMs: [10] },
    { sequences: [7, 6, 9, 7], theirs: [1, 16], roundTripsMs: [100, 20] },
    { sequences: [20, 1, 4], theirs: [16, 16], roundTripsMs: [3, 4, 5] },
    { sequences: [1, 20, 36], theirs: [16, 16], roundTripsMs: [20_000] },
    { sequences: [1, 2], theirs: [0, 2], roundTripsMs: [1] },
    { sequences: [5, 4, 3, 2, 1], theirs: [5, 7], roundTripsMs: [] },
  ] as const
  return cases.map(({ sequences, theirs: [heard, expected], roundTripsMs }) => {
    const link = new Link({
      self: source.key,
      neighbour: first.key,
      random: { bytes: () => seedOf(7) },
      sign: source.sign,
      verify: verifyFor,
    })
    openLink(link, source, first)
    sequences.forEach((sequence, at) => {
      const roundTripMs = roundTripsMs[at]
      // Held for 5 ms at the other end.
      const echo = roundTripMs === undefined ? null : { stampMs: 1_000, heldMs: 5 }
      link.hear({ sequence, stampMs: 0, heard, expected, echo }, 1_005 + (roundTripMs ?? 0))
    })
    const next = link.nextHello(2_000)
    return {
      sequences,
      theirs: { heard, expected },
      roundTripsMs,
      heard: next.heard,
      expected: next.expected,
      cost: link.cost,
    }
  })
}

function openLink(link: Link, self: Party, neighbour: Party): void {
  link.offer()
  const heard = x25519KeyPairFromSeed(seedOf(7)).publicKey
  const ephemeral = x25519KeyPairFromSeed(seedOf(8)).publicKey
  const offer = encodeOpen({ from: neighbour.key, to: self.key, ephemeral, heard }, neighbour.sign)
  assert.equal(link.receiveOpen(offer)?.isNew, true)
}

/** Bodies that are refused for their form. */
function malformedOf({ end }: Parties) {
  const { destination, sequence, signature } = signOrigin(end.key, 5, end.sign)
  const route = [bytesOf(destination), sequence, signature, 7]
  const path = new Uint8Array(16)
  const put = (items: readonly unknown[], at: number, value: unknown): readonly unknown[] =>
    items.map((item, n) => (n === at ? value : item))
  const [hello, closed] = [
    [1, 2, 3, 4, [5, 6]],
    [path, 1, bytesOf(end.key), 0],
  ]
  const bodies: Readonly<Record<string, readonly unknown[]>> = {
    hello: [
      [1, 2, 3, 4],
      put(hello, 0, 2 ** 48 + 1),
      put(hello, 2, 5),
      put(hello, 3, 17),
      put(hello, 4, [1]),
      put(hello, 1, -1),
    ],
    announcement: [
      [],
      [route.slice(0, 3)],
      [put(route, 3, 2 ** 24)],
      [put(route, 1, 2 ** 48 + 1)],
      [put(route, 0, new Uint8Array(31))],
      [put(route, 2, new Uint8Array(63))],
      [put(route, 3, '7')],
    ],
    request: [route.slice(0, 3), put(route, 3, 17), put(route, 1, -1), [...route, 1]],
    closed: [
      closed.slice(0, 3),
      put(closed, 0, new Uint8Array(15)),
      put(closed, 1, 0),
      put(closed, 1, 15),
      put(closed, 2, new Uint8Array(33)),
      put(closed, 3, 2 ** 48 + 1),
    ],
  }
  const decoders: Readonly<Record<string, (bytes: Uint8Array) => unknown>> = {
    hello: decodeHello,
    announcement: decodeAnnouncements,
    request: decodeRequest,
    closed: decodeClosed,
  }
  return Object.entries(bodies).flatMap(([type, all]) =>
    all.map((items) => {
      const body = encodeCanonical(items as [])
      assert.equal(decoders[type]?.(body), null, `${type} ${toHex(body)}`)
      return { type, body: toHex(body) }
    }),
  )
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

type Event =
  | { readonly hear: Name; readonly counter: number; readonly sequence: number; readonly metric: number }
  | { readonly cost: Name; readonly is: number | null }
  | { readonly forget: Name }
  | { readonly announceTo: Name }

/** The routes of `source` to `end`, by what its neighbours say; the metrics are those of the hops. */
const TABLES: readonly (readonly Event[])[] = [
  [
    { hear: 'first', counter: 1, sequence: 10, metric: 100 },
    { hear: 'second', counter: 1, sequence: 10, metric: 90 },
    { announceTo: 'first' },
    { announceTo: 'second' },
    { hear: 'first', counter: 2, sequence: 10, metric: 400 },
    { hear: 'first', counter: 3, sequence: 11, metric: 400 },
    { forget: 'second' },
    { announceTo: 'second' },
  ],
  [
    { hear: 'first', counter: 1, sequence: 10, metric: 0 },
    { announceTo: 'second' },
    // It was told of the route before: not feasible, whatever becomes of the first.
    { hear: 'second', counter: 1, sequence: 10, metric: 512 },
    { hear: 'second', counter: 2, sequence: 10, metric: 256 },
    { hear: 'first', counter: 2, sequence: 10, metric: MAX_METRIC },
    { announceTo: 'second' },
    { hear: 'second', counter: 3, sequence: 10, metric: 255 },
    { hear: 'second', counter: 4, sequence: 9, metric: 1 },
    { announceTo: 'first' },
  ],
  [
    { hear: 'first', counter: 5, sequence: 10, metric: 1_000 },
    { hear: 'first', counter: 4, sequence: 12, metric: 1 },
    { announceTo: 'second' },
    { hear: 'second', counter: 1, sequence: 10, metric: 800 },
    { hear: 'second', counter: 2, sequence: 10, metric: 791 },
    { hear: 'first', counter: 6, sequence: 10, metric: 600 },
    { cost: 'first', is: null },
    { cost: 'first', is: 1 },
    { cost: 'second', is: 0 },
    { hear: 'second', counter: 3, sequence: 10, metric: MAX_METRIC - 1 },
  ],
]

function tablesOf({ source, first, second, end }: Parties) {
  const keys = { source: source.key, first: first.key, second: second.key, end: end.key }
  return TABLES.map((events) => {
    const costs: Record<string, number | null> = { [first.key]: 256, [second.key]: 256 }
    const costOf = (neighbour: Key): number | null => costs[neighbour] ?? null
    const table = new RouteTable({ self: source.key, sign: source.sign, verify: verifyFor, firstSequence: 1, costOf })
    const steps = events.map((event, at) => {
      const nowMs = at * 1_000
      let announces: unknown
      if ('hear' in event) {
        const origin = signOrigin(end.key, event.sequence, end.sign)
        const { counter: said, metric } = event
        assert.ok(table.learn(keys[event.hear], { origin, metric }, { said, nowMs }))
      } else if ('cost' in event) costs[keys[event.cost]] = event.is
      else if ('forget' in event) table.forget(keys[event.forget], nowMs)
      else {
        const [told] = table.announcements(keys[event.announceTo], nowMs)
        announces = told === undefined ? null : { sequence: told.origin.sequence, metric: told.metric }
      }
      table.tick(nowMs)
      const [starving] = table.starving(nowMs)
      return {
        ...event,
        ...(announces === undefined ? {} : { announces }),
        hops: table.nextHops(end.key).map((hop) => NAMES.find((name) => keys[name] === hop)),
        asks: starving?.known.sequence ?? null,
      }
    })
    return { costs: { first: 256, second: 256 }, steps }
  })
}

/** Which sequence a node announces itself with, by what it meets of its own. */
function ownOf({ source, first }: Parties) {
  const init = { self: source.key, sign: source.sign, verify: verifyFor, costOf: () => 256 }
  const table = new RouteTable({ ...init, firstSequence: 1_800_000_000 })
  const events = [
    { meets: 'request', sequence: 1_799_999_999 },
    { meets: 'request', sequence: 1_800_000_000 },
    { meets: 'request', sequence: 1_900_000_000 },
    { meets: 'announcement', sequence: 1_900_000_001 },
    { meets: 'announcement', sequence: 1_950_000_000 },
    { meets: 'announcement', sequence: 1_800_000_000 },
  ] as const
  return {
    clockMs: 1_800_000_000_999,
    steps: events.map(({ meets, sequence }) => {
      const origin = signOrigin(source.key, sequence, source.sign)
      if (meets === 'request') assert.ok(table.renew(origin))
      else assert.ok(table.learn(first.key, { origin, metric: 9 }, { said: 1, nowMs: 0 }))
      return { meets, sequence, own: table.own.sequence }
    }),
  }
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

/** Of a segment of each type, what is none. */
const NO_SEGMENTS = [
  ['', '00', '06000000000000', 'ff00000006'],
  // Data: cut, another flag, a byte too many.
  ['0000000006000000000000', '000000000602000000000000', `000000000600000000000000${'00'.repeat(16_385)}`],
  // Acknowledgements: cut, more and fewer ranges than said, 17, not apart, not ascending, empty.
  ['0100000007000000000005000000100005'],
  ['010000000700000000000500000010000501', '01000000070000000000050000001000050000'],
  [
    `010000000700000000000500000010000511${Array.from({ length: 17 }, (_, at) => rangeOf(9 + 3 * at, 10 + 3 * at)).join('')}`,
  ],
  [`010000000700000000000500000010000501${rangeOf(5, 6)}`, `010000000700000000000500000010000501${rangeOf(9, 9)}`],
  [`010000000700000000000500000010000502${rangeOf(9, 12)}${rangeOf(12, 13)}`],
  [`010000000700000000000500000010000502${rangeOf(9, 12)}${rangeOf(7, 8)}`],
  ['02000000', '020000000800', '0300000009ff', '0400000001e2', '0400000001e24000', '050000'],
].flat()

function rangeOf(from: number, to: number): string {
  return from.toString(16).padStart(12, '0') + to.toString(16).padStart(12, '0')
}

/** What a receiver says of a stream when these segments have come, and what it has to read. */
function acknowledgementsOf() {
  const data = (offset: number, text: string, isLast = false): Segment => {
    return { type: 'data', stream: 4, offset, isLast, bytes: Buffer.from(text) }
  }
  const cases: ReadonlyArray<readonly Segment[]> = [
    [],
    [data(0, 'abc'), data(3, 'de')],
    [data(3, 'de'), data(0, 'abc')],
    [data(0, 'abc'), data(0, 'abc'), data(1, 'bcde')],
    [data(3, 'de'), data(7, 'hi'), data(0, 'a')],
    [data(3, 'de'), data(5, 'fg'), data(9, 'j')],
    [data(0, 'abc', true)],
    [data(3, 'de', true), data(0, 'abc')],
    [data(3, 'de', true)],
    [data(0, '', true)],
    [data(0, 'abc', true), data(3, 'd'), data(0, 'ab', true)],
    [data(0, 'abcde'), data(0, 'abc', true)],
    [data(7, 'hi'), data(5, '', true), data(0, 'a')],
    [data(1_048_575, 'a'), data(1_048_576, 'b'), data(2, 'c')],
    Array.from({ length: 18 }, (_, at) => data(2 + 2 * at, 'x')),
  ]
  return cases.map((segments) => {
    const receiver = new Receiver()
    for (const each of segments) if (each.type === 'data') receiver.receive(each.offset, each.bytes, each.isLast)
    const unread = toHex(encodeSegment(receiver.acknowledgement(4)))
    const read: Uint8Array[] = []
    for (let bytes = receiver.read(); bytes !== null; bytes = receiver.read()) read.push(bytes)
    return {
      segments: segments.map((segment) => toHex(encodeSegment(segment))),
      acknowledgement: unread,
      read: toHex(Buffer.concat(read)),
      afterReading: toHex(encodeSegment(receiver.acknowledgement(4))),
    }
  })
}

/** Whether each sequence of a source is taken, and what it is told that it must be above. */
function sequencesOf({ source, first }: Parties) {
  const sequences = new SourceSequences({ floor: 1_000 })
  const order = [1_000, 1_001, 1_001, 5_000, 2_000, 1_002, 999]
  const many = Array.from({ length: 62 }, (_, at) => 10_000 + 10 * at)
  const steps = [
    ...[...order, ...many, 1_003, 1_002, 1_001, 4_999, 2_000, 2_001, 5_001].map((sequence) => ({
      of: source,
      sequence,
    })),
    ...[900, 1_001, 2 ** 48, 2 ** 48 - 1].map((sequence) => ({ of: first, sequence })),
  ]
  return {
    floor: 1_000,
    steps: steps.map(({ of, sequence }) => ({
      source: of.key,
      sequence,
      isTaken: sequences.take(of.key, sequence),
      latest: sequences.latest(of.key),
    })),
  }
}

function makeVectors() {
  const by = parties()
  const { body, sent, passed, arrived, answered, back, home } = pathOf(by)
  const answer = readAnswer(home)
  assert.ok(answer !== null)
  const hops = checkAnswer(sent, answer, { roundTripUs: 3_500, verify: verifyFor })
  const { flow: path, ...ends } = body
  return {
    source:
      'NZ-ROUTING-01; written by test/unit/routing-vectors.test.ts. Bytes are hexadecimal. seeds: of node keys. course: the ' +
      'offers that one end says (own) and hears (peer), drawing the private halves under seeds, then sealed messages that ' +
      'it gets. receivers: what a node does with setups that come to it (a second apart), and sends. tables: what source ' +
      'knows of end after each event: the next hops that it may take, the best first, what it announces, and above which ' +
      'sequence it asks for a newer one.',
    keys: Object.fromEntries(NAMES.map((name) => [name, by[name].key])),
    seeds: Object.fromEntries(NAMES.map((name) => [name, toHex(seedOf(SEEDS[name]))])),
    codes: routeCodes,
    link: linksOf(by),
    course: linkCourse(by),
    ...spokenOf(by),
    costs: costVectors(by),
    malformed: malformedOf(by),
    setup: {
      ...ends,
      path,
      sent: toHex(sent.bytes),
      passed: toHex(passed.bytes),
      arrived: toHex(arrived.bytes),
      hops: arrived.hops.map(({ key, ttl, next }) => ({ key, ttl, next })),
    },
    refused: refusedOf(by),
    sequences: sequencesOf(by),
    receivers: receiversOf(by),
    relay: relayOf(by),
    sources: sourcesOf(by),
    answer: {
      created: toHex(answered),
      back: toHex(back),
      home: toHex(home),
      roundTripUs: 3_500,
      waitedUs: [900, 2_000],
      hops: hops?.map(({ key, roundTripUs }) => ({ key, roundTripUs })) ?? [],
    },
    distances: DISTANCES,
    tables: tablesOf(by),
    own: ownOf(by),
    segments: SEGMENTS.map((segment) => ({
      ...segment,
      ...(segment.type === 'data' ? { bytes: toHex(segment.bytes) } : {}),
      segment: toHex(encodeSegment(segment)),
    })),
    acknowledgements: acknowledgementsOf(),
    noSegments: NO_SEGMENTS.map((segment) => {
      assert.equal(decodeSegment(fromHex(segment)), null, segment.slice(0, 80))
      return segment
    }),
  }
}

type Vectors = ReturnType<typeof makeVectors>

describe('NZ-ROUTING-01', () => {
  it('has the vectors of spec/vectors/routing.json', () => {
    const { made, written } = madeVectors('routing.json', makeVectors())
    assert.deepEqual(made, written)
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
