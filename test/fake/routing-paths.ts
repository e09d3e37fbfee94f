/** Setups and answers as they come to nodes, good and bad, and what the nodes do: for the vectors of NZ-ROUTING-01. */
import assert from 'node:assert/strict'
import { verifyFor } from '../../protocols/identity/signature.ts'
import { decodeCanonical, encodeCanonical } from '../../protocols/framing/canonical-cbor.ts'
import { checkAnswer, createAnswer, passBack, readAnswer } from '../../protocols/routing/answer.ts'
import { encodeClosed } from '../../protocols/routing/closed.ts'
import { Flows } from '../../protocols/routing/flows.ts'
import { messageTypes } from '../../protocols/routing/link-message.ts'
import { MAX_SEQUENCE } from '../../protocols/routing/limits.ts'
import { createSetup, passOn } from '../../protocols/routing/setup.ts'
import { bytesOf } from '../../protocols/routing/signing.ts'
import { toHex } from '../vectors.ts'
import { pathOf, seedOf } from './routing-parties.ts'
import type { Effect } from '../../protocols/routing/router.ts'
import type { Setup } from '../../protocols/routing/setup.ts'
import type { Key } from '../../protocols/routing/signing.ts'
import type { Name, Parties, Party } from './routing-parties.ts'

interface Knowing {
  readonly clockMs?: number
  readonly mayReach?: boolean
  readonly mayRelay?: boolean
  readonly next?: Key | null
}

const CLOCK = 1_800_000_000_000

/** The paths of one node, and what it sends because of what it gets. */
function flowsOf(self: Party, knows: Knowing = {}) {
  const sent: { to: Key; type: number; body: string }[] = []
  const effects: Effect[] = []
  const flows = new Flows({
    self: self.key,
    random: { bytes: (length) => new Uint8Array(length).fill(0xc3) },
    sign: self.sign,
    verify: verifyFor,
    policy: {
      mayRelayFor: () => knows.mayRelay ?? true,
      mayRouteThrough: () => true,
      mayReachHere: () => knows.mayReach ?? true,
    },
    wallClockMs: () => knows.clockMs ?? CLOCK,
    relayBytesPerSecond: 1_000_000,
    nextHops: (_destination, avoid) => (knows.next == null || avoid.has(knows.next) ? [] : [knows.next]),
    isLinked: () => true,
    send: (to, type, parts) => void sent.push({ to, type, body: toHex(Buffer.concat(parts)) }),
    emit: (effect) => void effects.push(effect),
  })
  return {
    flows,
    /** What `act` led to: the code of what was refused, and what was sent. */
    after: (act: () => void) => {
      sent.length = 0
      effects.length = 0
      act()
      const [refused] = effects.flatMap((effect) => (effect.kind === 'refused' ? [effect.code] : []))
      const [ended] = effects.flatMap((effect) => (effect.kind === 'flowClosed' ? [effect.code] : []))
      const [opened] = effects.flatMap((effect) => (effect.kind === 'flowOpened' ? [effect] : []))
      return { code: refused ?? ended ?? 'taken', sent: sent[0] ?? null, opened }
    },
  }
}

/** Setups that come to one node, one after another; it knows what stands beside them. */
export function receiversOf(by: Parties) {
  const { source, first, second, end } = by
  const { body } = pathOf(by)
  const to = (sequence: number, ttl = 9, flow = sequence): Setup =>
    passOn(
      createSetup(
        { ...body, sequence, flow: (flow % 2 ** 32).toString(16).padStart(32, '0') },
        { ttl, next: first.key },
        source.sign,
      ),
      { self: first.key, next: second.key },
      first.sign,
    )
  const toEnd = (setup: Setup): Setup => passOn(setup, { self: second.key, next: end.key }, second.sign)
  const floor = CLOCK - 300_000
  const cases: ReadonlyArray<{
    readonly what: string
    readonly receiver: Name
    readonly knows: Knowing
    readonly setups: readonly Setup[]
  }> = [
    {
      what: 'a relay: once, and again; the same path with another sequence; an older sequence',
      receiver: 'second',
      knows: { next: end.key },
      setups: [to(CLOCK), to(CLOCK), to(CLOCK + 1, 9, CLOCK), to(CLOCK - 1), to(CLOCK + 9)],
    },
    {
      what: 'the floor',
      receiver: 'second',
      knows: { next: end.key },
      setups: [to(floor), to(floor + 1), to(1)],
    },
    {
      what: 'no next hop but one that is there',
      receiver: 'second',
      knows: { next: first.key },
      setups: [to(CLOCK), to(CLOCK)],
    },
    {
      what: 'no hops left at a relay',
      receiver: 'second',
      knows: { next: end.key },
      setups: [to(CLOCK, 1), to(CLOCK, 1)],
    },
    { what: 'no hops left at the end', receiver: 'end', knows: {}, setups: [toEnd(to(CLOCK, 2)), toEnd(to(CLOCK, 2))] },
    {
      what: 'a relay that lets nobody through',
      receiver: 'second',
      knows: { next: end.key, mayRelay: false },
      setups: [to(CLOCK), { ...to(CLOCK), bytes: flipLast(to(CLOCK).bytes) }],
    },
    { what: 'an end that lets nobody in', receiver: 'end', knows: { mayReach: false }, setups: [toEnd(to(CLOCK))] },
    {
      what: 'a forged one is not held against its source',
      receiver: 'second',
      knows: { next: end.key },
      setups: [{ ...to(CLOCK), bytes: flipLast(to(CLOCK).bytes) }, to(CLOCK)],
    },
  ]
  return cases.map(({ what, receiver, knows, setups }) => {
    const { flows, after } = flowsOf(by[receiver], knows)
    return {
      what,
      receiver,
      clockMs: knows.clockMs ?? CLOCK,
      mayReach: knows.mayReach ?? true,
      mayRelay: knows.mayRelay ?? true,
      next: knows.next ?? null,
      steps: setups.map(({ bytes }, at) => {
        const from = receiver === 'end' ? second.key : first.key
        // Far enough from each other that no rate is reached.
        const { code, sent } = after(() => flows.receiveSetup(from, bytes, at * 1_000))
        return { from, setup: toHex(bytes), code, sent: sent === null ? null : { ...sent } }
      }),
    }
  })
}

/** One path through `first`: what it passes on in both directions, and what it drops. */
export function relayOf(by: Parties) {
  const { source, first, second, end } = by
  const { sent, back } = pathOf(by)
  const { flows, after } = flowsOf(first, { next: second.key })
  const path = bytesOf(sent.flow)
  const packet = Buffer.concat([path, Buffer.from('a packet')])
  const closed = encodeClosed({ flow: sent.flow, code: 'NZ_ROUTE_IDLE', by: end.key, latest: 0 })
  const { setup, answer, packet: packetType, closed: closedType } = messageTypes
  const messages: ReadonlyArray<readonly [from: Key, type: number, body: Uint8Array]> = [
    [source.key, packetType, packet],
    [source.key, setup, sent.bytes],
    [source.key, packetType, packet],
    [source.key, answer, back],
    [second.key, answer, back.subarray(1)],
    [second.key, answer, back],
    [second.key, answer, back],
    [source.key, packetType, packet],
    [second.key, packetType, packet],
    [end.key, packetType, packet],
    [source.key, packetType, path],
    [source.key, packetType, path.subarray(1)],
    [second.key, packetType, Buffer.concat([path, new Uint8Array(17_409)])],
    [source.key, packetType, flipLast(path)],
    [end.key, closedType, closed],
    [second.key, closedType, flipLast(closed)],
    [second.key, closedType, closed],
    [source.key, packetType, packet],
  ]
  const steps = messages.map(([from, type, body], atMs) => {
    const { sent: out } = after(() => {
      if (type === setup) flows.receiveSetup(from, body, atMs)
      else if (type === answer) flows.receiveAnswer(from, body, atMs)
      else if (type === closedType) flows.receiveClosed(from, body, atMs)
      else flows.receivePacket(from, body, atMs)
    })
    return { from, type, body: toHex(body), atMs, sent: out === null ? null : { ...out } }
  })
  return { node: 'first', clockMs: CLOCK, mayRelay: true, next: second.key, steps }
}

/** The last byte of a setup is of the last signature. */
const flipLast = (bytes: Uint8Array): Uint8Array => bytes.map((byte, at) => (at === bytes.length - 1 ? byte ^ 1 : byte))

/** What a source does when it is told that its sequence is too low, and by what answers its path is open. */
export function sourcesOf(by: Parties) {
  const { source, first, end } = by
  const renewals = [
    [CLOCK + 5],
    [CLOCK + 5, CLOCK + 9_000_000, CLOCK + 90_000_000],
    [CLOCK + 604_799_000],
    [CLOCK + 604_800_000],
    [1, 1, 1, 1, 1, 1, 1],
  ].map((refusals) => {
    const { flows, after } = flowsOf(source, { next: first.key })
    const opened = after(() => void flows.open(end.key, 0, { avoid: new Set(), ttl: 9 }))
    const steps = refusals.map((latest) => {
      const closed = { flow: 'c3'.repeat(16), code: 'NZ_ROUTE_REPLAYED', by: first.key, latest } as const
      const { code, sent } = after(() => void flows.receiveClosed(first.key, encodeClosed(closed), 0))
      return { latest, code, setup: sent?.body ?? null }
    })
    return { clockMs: CLOCK, ttl: 9, next: first.key, setup: opened.sent?.body ?? null, steps }
  })
  return { renewals, answers: answersOf(by) }
}

/** Answers that come to the source, 3.5 ms after its setup. */
function answersOf(by: Parties) {
  const { source, first, second } = by
  const { sent, home, back, answered, arrived } = pathOf(by)
  const other = createSetup({ ...sent, sequence: sent.sequence + 1 }, { ttl: 9, next: first.key }, source.sign)
  const otherArrived = passOn(
    passOn(other, { self: first.key, next: second.key }, first.sign),
    { self: second.key, next: by.end.key },
    second.sign,
  )
  type Items = [string, Uint8Array, Uint8Array, [Uint8Array, number, Uint8Array][]]
  const lie = (change: (items: Items) => void): Uint8Array => {
    const items = decodeCanonical(home) as Items
    change(items)
    return encodeCanonical(items)
  }
  const resigned = (body: readonly unknown[]): Uint8Array => {
    const encoded = encodeCanonical(body as [])
    return encodeCanonical(['nzcore/route-answer/1', encoded, by.end.sign('nzcore/route-answer/1', encoded), []])
  }
  const passed = (answer: Uint8Array, secondWaits = 900, firstWaits = 2_000): Uint8Array =>
    passBack(
      passBack(answer, { self: second.key, waitedUs: secondWaits }, second.sign),
      { self: first.key, waitedUs: firstWaits },
      first.sign,
    )
  const path = bytesOf(sent.flow)
  const cases: readonly (readonly [what: string, answer: Uint8Array])[] = [
    ['good', home],
    ['hops that say they waited longer than the whole took', passed(answered, 9_000, 2_000)],
    ['cut short', home.subarray(0, -1)],
    ['for another purpose', lie((items) => void (items[0] = 'nzcore/route-setup/1'))],
    ['of version 2', resigned([2, path, arrived.bytes])],
    ['of another path than its setup', resigned([1, new Uint8Array(16).fill(0xc3, 1), arrived.bytes])],
    ['with a setup that is none', resigned([1, path, arrived.bytes.subarray(1)])],
    ['of another setup of the source', passed(createAnswer(otherArrived, by.end.sign))],
    ['without its hops', answered],
    ['without its last hop', back],
    ['its hops in another order', lie(([, , , hops]) => void hops.reverse())],
    ['a changed delay', lie(([, , , hops]) => void ((hops[0] ?? [])[1] = 901))],
    ['a changed signature of the destination', lie((items) => void (items[2] = flipLast(items[2])))],
    ['a changed signature of a hop', lie(([, , , hops]) => hops.forEach((hop) => (hop[2] = flipLast(hop[2]))))],
    [
      'with a setup whose hop did not sign',
      passed(createAnswer({ ...arrived, bytes: flipLast(arrived.bytes) }, by.end.sign)),
    ],
    ['signed by another', passed(createAnswer(arrived, second.sign))],
  ]
  return cases.map(([what, answer]) => {
    const read = readAnswer(answer)
    const hops = read === null ? null : checkAnswer(sent, read, { roundTripUs: 3_500, verify: verifyFor })
    const isGood = hops !== null && hops.every((hop) => hop.isAnswerSigned && hop.isSetupSigned)
    return {
      what,
      answer: toHex(answer),
      code: read === null ? 'NZ_ROUTE_MALFORMED' : isGood ? 'taken' : 'NZ_ROUTE_FORGED',
      hops: isGood ? hops.map(({ key, roundTripUs }) => ({ key, roundTripUs })) : null,
    }
  })
}

/** One thing wrong in each, said to `second`, a relay, by `first`. */
export function refusedOf(
  by: Parties,
): ReadonlyArray<{ what: string; bytes: string; receiver: Key; from: Key; code: string }> {
  const { sent, passed } = pathOf(by)
  const { source, first, second, end } = by
  type Items = [string, Uint8Array, Uint8Array, [Uint8Array, number, Uint8Array, Uint8Array][]]
  const lie = (what: string, code: string, change: (items: Items) => Uint8Array | void, from: Key = first.key) => {
    const items = decodeCanonical(passed.bytes) as Items
    const bytes = change(items) ?? encodeCanonical(items)
    const { flows, after } = flowsOf(second, { next: end.key })
    const said = after(() => flows.receiveSetup(from, bytes, 0))
    assert.equal(said.code, code, what)
    return { what, bytes: toHex(bytes), receiver: second.key, from, code }
  }
  const flip = (bytes: Uint8Array): Uint8Array => bytes.map((byte, at) => (at === 9 ? byte ^ 4 : byte))
  const resigned = (items: Items, body: Uint8Array): void => {
    items[1] = body
    items[2] = source.signAny('nzcore/route-setup/1', body)
  }
  const bodyWith = (at: number, value: unknown): Uint8Array => {
    const items = [1, bytesOf(source.key), bytesOf(end.key), bytesOf(sent.flow), sent.sequence]
    return encodeCanonical(items.map((item, n) => (n === at ? value : item)) as [])
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
    lie(
      'a next that was exchanged',
      'NZ_ROUTE_FORGED',
      ([, , , hops]) => {
        hops.splice(1, 1, [bytesOf(end.key), 8, bytesOf(second.key), hops[1]?.[3] ?? seedOf(0)])
        for (const hop of hops.slice(0, 1)) hop[2] = bytesOf(end.key)
      },
      end.key,
    ),
    lie('a byte behind', 'NZ_ROUTE_MALFORMED', (items) => Buffer.concat([encodeCanonical(items), Uint8Array.of(0)])),
    lie('a fifth item', 'NZ_ROUTE_MALFORMED', (items) => encodeCanonical([...items, 1])),
    lie('a body that is text', 'NZ_ROUTE_MALFORMED', (items) => encodeCanonical([items[0], 'x', items[2], items[3]])),
    lie('an empty purpose', 'NZ_ROUTE_MALFORMED', (items) => void (items[0] = '')),
    lie('a purpose of 65 characters', 'NZ_ROUTE_MALFORMED', (items) => void (items[0] = 'p'.repeat(65))),
    lie(
      '17 hops',
      'NZ_ROUTE_MALFORMED',
      (items) => void (items[3] = Array.from({ length: 17 }, () => items[3][0] ?? assert.fail())),
    ),
    lie('a hop of five items', 'NZ_ROUTE_MALFORMED', (items) => {
      const [body, signature, hops] = [items[1], items[2], items[3].map((hop) => [...hop, 0])]
      return encodeCanonical([items[0], body, signature, hops])
    }),
    lie('a ttl below 0', 'NZ_ROUTE_MALFORMED', ([, , , hops]) => void ((hops[1] ?? [])[1] = -1)),
    lie('sequence 0', 'NZ_ROUTE_MALFORMED', (items) => resigned(items, bodyWith(4, 0))),
    lie('a sequence above 2^48', 'NZ_ROUTE_MALFORMED', (items) => resigned(items, bodyWith(4, MAX_SEQUENCE + 1))),
    lie('a path of 15 bytes', 'NZ_ROUTE_MALFORMED', (items) => resigned(items, bodyWith(3, new Uint8Array(15)))),
    lie('a body that is no array', 'NZ_ROUTE_MALFORMED', (items) => resigned(items, encodeCanonical(7))),
    lie('a body that begins with text', 'NZ_ROUTE_MALFORMED', (items) => resigned(items, bodyWith(0, '1'))),
    lie('a body that is no array, for another purpose', 'NZ_ROUTE_PURPOSE', (items) => {
      resigned(items, encodeCanonical(7))
      items[0] = 'nzcore/invite/1'
    }),
    lie('of version 2, for another purpose', 'NZ_ROUTE_VERSION', (items) => {
      resigned(items, encodeCanonical([2, 'whatever']))
      items[0] = 'nzcore/invite/1'
    }),
    lie('of version 0', 'NZ_ROUTE_VERSION', (items) => resigned(items, bodyWith(0, 0))),
    lie('of version 2, without hops', 'NZ_ROUTE_MALFORMED', (items) => {
      resigned(items, encodeCanonical([2, 'whatever']))
      items[3] = []
    }),
    lie('from another neighbour', 'NZ_ROUTE_CHAIN', () => undefined, end.key),
    lie(
      'a receiver that is among the hops',
      'NZ_ROUTE_CHAIN',
      ([, , , hops]) => void ((hops[0] ?? [])[0] = bytesOf(second.key)),
    ),
    lie(
      'a first hop that is not the source',
      'NZ_ROUTE_CHAIN',
      ([, , , hops]) => void ((hops[0] ?? [])[0] = bytesOf(end.key)),
    ),
  ]
}
