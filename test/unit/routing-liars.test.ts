/** What a router takes from neighbours that lie: nothing, and each lie is refused with its own code (NZ-ROUTING-01). */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { decodeCanonical, encodeCanonical } from '../../protocols/framing/canonical-cbor.ts'
import { encodeAnnouncements, encodeRequest, signOrigin } from '../../protocols/routing/announcement.ts'
import { checkAnswer, createAnswer, passBack, readAnswer } from '../../protocols/routing/answer.ts'
import { decodeClosed } from '../../protocols/routing/closed.ts'
import {
  LINK_WINDOW,
  MAX_DESTINATIONS,
  MAX_FLOWS_PER_SOURCE,
  MAX_SEQUENCES_PER_SOURCE,
} from '../../protocols/routing/limits.ts'
import { CounterWindow } from '../../protocols/routing/counter-window.ts'
import { messageTypes } from '../../protocols/routing/link-message.ts'
import { Rates } from '../../protocols/routing/rate.ts'
import { createSetup, passOn, readSetup } from '../../protocols/routing/setup.ts'
import { bytesOf } from '../../protocols/routing/signing.ts'
import { SourceSequences } from '../../protocols/routing/source-sequences.ts'
import { keyOfName, signAs, verifyFake } from '../fake/routing.ts'
import { Victim, WALL_MS } from '../fake/routing-liar.ts'
import type { Key } from '../../protocols/routing/signing.ts'
import type { Setup, SetupBody } from '../../protocols/routing/setup.ts'

const [source, relay, victimKey, end] = ['source', 'relay', 'victim', 'end'].map(keyOfName) as [Key, Key, Key, Key]

function setup(changes: Partial<SetupBody> = {}, { ttl = 8, signer = source } = {}): Setup {
  const body = { source, destination: end, flow: '11'.repeat(16), sequence: WALL_MS, ...changes }
  return createSetup(body, { ttl, next: relay }, signAs(signer))
}

const relayed = (from: Setup = setup(), next: Key = victimKey): Setup =>
  passOn(from, { self: relay, next }, signAs(relay))

/** The items of a setup, changed. */
function changed(
  bytes: Uint8Array,
  change: (items: [string, Uint8Array, Uint8Array, unknown[][]]) => void,
): Uint8Array {
  const items = decodeCanonical(bytes) as [string, Uint8Array, Uint8Array, unknown[][]]
  change(items)
  return encodeCanonical(items)
}

function flipped(bytes: Uint8Array): Uint8Array {
  return Uint8Array.from(bytes, (byte, at) => (at === 0 ? byte ^ 1 : byte))
}

describe('a setup', () => {
  const lies: Readonly<Record<string, readonly [bytes: Uint8Array, code: string]>> = {
    'that is no CBOR': [Uint8Array.of(0xff, 0x00), 'NZ_ROUTE_MALFORMED'],
    'of another version': [
      changed(relayed().bytes, (items) => {
        const body = decodeCanonical(items[1]) as unknown[]
        items[1] = encodeCanonical([2, ...body.slice(1)])
      }),
      'NZ_ROUTE_VERSION',
    ],
    'for another purpose': [changed(relayed().bytes, (items) => (items[0] = 'nzcore/invite/1')), 'NZ_ROUTE_PURPOSE'],
    'to its own source': [relayed(setup({ destination: source })).bytes, 'NZ_ROUTE_MALFORMED'],
    'that its source did not sign': [
      changed(relayed().bytes, (items) => (items[2] = flipped(items[2]))),
      'NZ_ROUTE_FORGED',
    ],
    'with the signature of the source for another one': [
      changed(
        relayed().bytes,
        (items) =>
          (items[1] =
            (decodeCanonical(relayed(setup({ sequence: WALL_MS + 1 })).bytes) as Uint8Array[])[1] ?? items[1]),
      ),
      'NZ_ROUTE_FORGED',
    ],
    'with a hop that did not sign': [
      changed(
        relayed().bytes,
        ([, , , hops]) => (hops[0] = [...(hops[0] ?? []).slice(0, 3), flipped(hops[0]?.[3] as Uint8Array)]),
      ),
      'NZ_ROUTE_FORGED',
    ],
    'whose TTL was raised': [
      changed(relayed().bytes, ([, , , hops]) => {
        for (const hop of hops) hop[1] = (hop[1] as number) + 2
      }),
      'NZ_ROUTE_FORGED',
    ],
    'whose hops do not count down': [
      changed(relayed().bytes, ([, , , hops]) => ((hops[1] ?? [])[1] = 8)),
      'NZ_ROUTE_CHAIN',
    ],
    'from which a hop was taken out': [changed(relayed().bytes, ([, , , hops]) => hops.shift()), 'NZ_ROUTE_CHAIN'],
    'given to somebody else': [relayed(setup(), keyOfName('other')).bytes, 'NZ_ROUTE_CHAIN'],
    'that was here before': [
      changed(relayed(setup()).bytes, ([, , , hops]) => ((hops[0] ?? [])[0] = bytesOf(victimKey))),
      'NZ_ROUTE_CHAIN',
    ],
    'of long ago': [relayed(setup({ sequence: WALL_MS - 400_000 })).bytes, 'NZ_ROUTE_REPLAYED'],
  }

  for (const [what, [bytes, code]] of Object.entries(lies))
    it(`${what} is refused: ${code}`, () => {
      const victim = new Victim(victimKey)
      const liar = victim.meet(relay)
      liar.say(messageTypes.setup, bytes)
      assert.deepEqual(victim.takeRefused().slice(-1), [code])
      assert.equal(victim.router.flowCount, 0)
    })

  it('sent by a neighbour that is not its last hop is refused', () => {
    const victim = new Victim(victimKey)
    victim.meet(keyOfName('other')).say(messageTypes.setup, relayed().bytes)
    assert.deepEqual(victim.takeRefused(), ['NZ_ROUTE_CHAIN'])
  })

  it('is taken once: not again from the same neighbour, nor by another way, nor with its sequence under another id', () => {
    const victim = new Victim(victimKey)
    const [first, second] = [victim.meet(relay), victim.meet(source)]
    const mine = setup({ destination: victimKey })
    first.say(messageTypes.setup, relayed(mine).bytes)
    assert.deepEqual(victim.takeRefused(), [])
    assert.equal(victim.router.flowCount, 1)
    first.say(messageTypes.setup, relayed(mine).bytes)
    const direct = createSetup({ ...mine, flow: '22'.repeat(16) }, { ttl: 3, next: victimKey }, signAs(source))
    second.say(messageTypes.setup, direct.bytes)
    assert.deepEqual(victim.takeRefused(), ['NZ_ROUTE_REPLAYED', 'NZ_ROUTE_REPLAYED'])
    const told = decodeClosed(second.heard.find(({ type }) => type === messageTypes.closed)?.body ?? new Uint8Array())
    assert.deepEqual([told?.code, told?.latest], ['NZ_ROUTE_REPLAYED', mine.sequence])
  })

  it('is not held against a source that has not signed it', () => {
    const victim = new Victim(victimKey)
    const liar = victim.meet(relay)
    for (let at = 0; at < 80; at++) {
      const forged = setup({ destination: victimKey, sequence: WALL_MS + at }, { signer: relay })
      liar.say(messageTypes.setup, relayed(forged).bytes)
    }
    assert.ok(victim.takeRefused().every((code) => code === 'NZ_ROUTE_FORGED'))
    liar.say(messageTypes.setup, relayed(setup({ destination: victimKey, sequence: WALL_MS })).bytes)
    assert.deepEqual(victim.takeRefused(), [])
  })

  it('is taken only so often of one source, and only so many stay open', () => {
    const victim = new Victim(victimKey)
    const liar = victim.meet(relay)
    let taken = 0
    const refused = new Set<string>()
    for (let at = 0; at < MAX_FLOWS_PER_SOURCE + 80; at++) {
      if (at > 100) victim.nowMs += 100
      const flow = at.toString(16).padStart(32, '0')
      liar.say(messageTypes.setup, relayed(setup({ destination: victimKey, sequence: WALL_MS + at, flow })).bytes)
      const codes = victim.takeRefused()
      for (const code of codes) refused.add(code)
      if (codes.length === 0) taken += 1
      if (at === 80) assert.equal(taken, 60)
    }
    assert.deepEqual([...refused], ['NZ_ROUTE_LIMITED'])
    assert.equal(victim.router.flowCount, MAX_FLOWS_PER_SOURCE)
  })
})

describe('an announcement', () => {
  it('of a destination that has not signed it is refused, and so is one that was made newer', () => {
    const victim = new Victim(victimKey)
    const liar = victim.meet(relay)
    const genuine = signOrigin(end, 5, signAs(end))
    liar.say(messageTypes.announce, encodeAnnouncements([{ origin: genuine, metric: 10 }]))
    assert.equal(victim.router.nextHop(end), relay)
    const forged = [signOrigin(end, 6, signAs(relay)), { ...genuine, sequence: 6 }, { ...genuine, destination: source }]
    for (const origin of forged) liar.say(messageTypes.announce, encodeAnnouncements([{ origin, metric: 0 }]))
    assert.deepEqual(victim.takeRefused(), ['NZ_ROUTE_FORGED', 'NZ_ROUTE_FORGED', 'NZ_ROUTE_FORGED'])
    assert.deepEqual(
      victim.router.routes(0).map(({ routes }) => routes[0]?.sequence),
      [5],
    )
  })

  it('finds room only up to the bound', () => {
    const victim = new Victim(victimKey)
    const liar = victim.meet(relay)
    for (let at = 0; at < MAX_DESTINATIONS + 10; at += 64) {
      victim.nowMs += 1_000
      const announced = Array.from({ length: 64 }, (_, n) => {
        const key = keyOfName(`end ${at + n}`)
        return { origin: signOrigin(key, 1, signAs(key)), metric: 1 }
      })
      liar.say(messageTypes.announce, encodeAnnouncements(announced))
    }
    assert.ok(victim.router.routes(victim.nowMs).length <= MAX_DESTINATIONS)
  })

  it('that asks for a newer sequence has to show the latest one', () => {
    const victim = new Victim(victimKey)
    const liar = victim.meet(relay)
    liar.say(messageTypes.request, encodeRequest({ known: signOrigin(victimKey, 2 ** 47, signAs(relay)), hopsLeft: 3 }))
    assert.deepEqual(victim.takeRefused(), ['NZ_ROUTE_FORGED'])
  })
})

describe('an answer', () => {
  const sent = createSetup(
    { source, destination: end, flow: '33'.repeat(16), sequence: 9 },
    { ttl: 4, next: relay },
    signAs(source),
  )
  const arrived = passOn(sent, { self: relay, next: end }, signAs(relay))
  const back = (bytes: Uint8Array): Uint8Array => passBack(bytes, { self: relay, waitedUs: 700 }, signAs(relay))
  const check = (bytes: Uint8Array) => {
    const answer = readAnswer(bytes)
    return answer === null ? 'none' : checkAnswer(sent, answer, { roundTripUs: 1_000, verify: verifyFake })
  }

  it('tells each hop with its delay and two signatures', () => {
    assert.deepEqual(check(back(createAnswer(arrived, signAs(end)))), [
      { key: relay, roundTripUs: 300, isSetupSigned: true, isAnswerSigned: true },
      { key: end, roundTripUs: 700, isSetupSigned: true, isAnswerSigned: true },
    ])
  })

  it('shows which signature is wrong', () => {
    const wrongEnd = check(back(createAnswer(arrived, signAs(relay))))
    assert.deepEqual(typeof wrongEnd === 'string' ? wrongEnd : wrongEnd?.map((hop) => hop.isAnswerSigned), [
      true,
      false,
    ])
    const wrongRelay = check(passBack(createAnswer(arrived, signAs(end)), { self: relay, waitedUs: 1 }, signAs(end)))
    assert.deepEqual(typeof wrongRelay === 'string' ? wrongRelay : wrongRelay?.map((hop) => hop.isAnswerSigned), [
      false,
      true,
    ])
    const wrongSetup = passOn(sent, { self: relay, next: end }, signAs(end))
    const unsigned = check(back(createAnswer(wrongSetup, signAs(end))))
    assert.deepEqual(typeof unsigned === 'string' ? unsigned : unsigned?.map((hop) => hop.isSetupSigned), [false, true])
  })

  it('to another setup is none, nor one whose way back is another', () => {
    const other = createSetup({ ...sent, sequence: 10 }, { ttl: 4, next: relay }, signAs(source))
    assert.equal(check(back(createAnswer(passOn(other, { self: relay, next: end }, signAs(relay)), signAs(end)))), null)
    assert.equal(check(createAnswer(arrived, signAs(end))), null)
    assert.equal(typeof readSetup(arrived.bytes), 'object')
  })
})

describe('what is remembered against replays', () => {
  it('of a link: each counter once, none behind the window', () => {
    const window = new CounterWindow()
    assert.deepEqual([window.take(5), window.take(5), window.take(3), window.take(3)], [true, false, true, false])
    assert.ok(window.take(5 + LINK_WINDOW))
    assert.deepEqual([window.take(5), window.take(6), window.take(6)], [false, true, false])
  })

  it('of sources: each sequence once, none below those that are remembered, none forgotten', () => {
    const sequences = new SourceSequences({ floor: 100 })
    assert.deepEqual(
      [sequences.take('a', 100), sequences.take('a', 101), sequences.take('a', 101)],
      [false, true, false],
    )
    for (let at = 0; at < MAX_SEQUENCES_PER_SOURCE; at++) sequences.take('a', 200 + at)
    assert.deepEqual(
      [sequences.isNew('a', 150), sequences.isNew('a', 199), sequences.isNew('a', 300)],
      [false, false, true],
    )
    assert.equal(sequences.latest('a'), 200 + MAX_SEQUENCES_PER_SOURCE - 1)
    for (let at = 0; at < 4_096; at++) sequences.take(`source ${at}`, 1_000 + at)
    assert.equal(sequences.size, 4_096)
    assert.equal(sequences.isNew('a', 200 + MAX_SEQUENCES_PER_SOURCE - 1), false)
  })

  it('of rates: a share for each, refilled with time, bounded in number', () => {
    const rates = new Rates({ perSecond: 10, burst: 2, maxKeys: 2 })
    assert.deepEqual(
      [rates.take('a', 0), rates.take('a', 0), rates.take('a', 0), rates.take('b', 0)],
      [true, true, false, true],
    )
    assert.deepEqual([rates.take('a', 100), rates.take('a', 100)], [true, false])
    assert.equal(rates.take('b', 0, 3), false)
  })
})
