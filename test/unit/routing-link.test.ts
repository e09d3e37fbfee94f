/** What links between neighbours do about loss: offers, hellos and messages come again (NZ-ROUTING-01 §2, §3). */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { seededRandom } from '../../kernel/index.ts'
import { encodeClosed } from '../../protocols/routing/closed.ts'
import { Flows } from '../../protocols/routing/flows.ts'
import { Link } from '../../protocols/routing/link.ts'
import { messageTypes } from '../../protocols/routing/link-message.ts'
import {
  MAX_RENEWALS,
  MAX_REPEATS,
  MAX_SEQUENCE_LEAD_MS,
  MAX_UNCONFIRMED,
  MAX_UNCONFIRMED_BYTES,
  REPEAT_AFTER_MS,
} from '../../protocols/routing/limits.ts'
import { Repeats } from '../../protocols/routing/repeats.ts'
import { keyOfName, line, Mesh, signAs, verifyFake } from '../fake/routing.ts'
import type { MessageType } from '../../protocols/routing/link-message.ts'
import type { Key } from '../../protocols/routing/signing.ts'

function openLinks(): readonly [Link, Link] {
  const random = seededRandom(7)
  const [a, b] = [keyOfName('a'), keyOfName('b')]
  const ends = [
    new Link({ self: a, neighbour: b, random, sign: signAs(a), verify: verifyFake }),
    new Link({ self: b, neighbour: a, random, sign: signAs(b), verify: verifyFake }),
  ] as const
  let messages: readonly Uint8Array[] = [ends[0].offer()]
  for (let at = 1; messages.length > 0; at++)
    messages = messages.flatMap((each) => ends[at % 2]?.receiveOpen(each)?.replies ?? [])
  assert.ok(ends[0].isOpen && ends[1].isOpen)
  return ends
}

/** A line of nodes that have routes. */
function routed(names: string, clocks: Readonly<Record<string, () => number>> = {}): ReturnType<typeof line> {
  const { mesh, keys } = line(names, { clocks })
  mesh.advance(10_000)
  return { mesh, keys }
}

describe('a message that has to arrive', () => {
  it('is repeated later each time until it is confirmed, or often enough', () => {
    const repeats = new Repeats()
    repeats.keep(1, Uint8Array.of(1))
    repeats.keep(2, Uint8Array.of(2))
    assert.deepEqual(repeats.due(0, 0), [])
    assert.deepEqual(repeats.due(REPEAT_AFTER_MS - 1, 0), [])
    assert.deepEqual(repeats.due(REPEAT_AFTER_MS, 0), [Uint8Array.of(1), Uint8Array.of(2)])
    repeats.confirm(1)
    let nowMs = REPEAT_AFTER_MS
    for (let count = 2; count <= MAX_REPEATS; count++) {
      nowMs += REPEAT_AFTER_MS * 2 ** (count - 1)
      assert.deepEqual(repeats.due(nowMs - 1, 0), [])
      assert.deepEqual(repeats.due(nowMs, 0), [Uint8Array.of(2)])
    }
    assert.deepEqual(repeats.due(Infinity, 0), [])
    assert.equal(repeats.size, 0)
  })

  it('is not repeated before two round trips have passed', () => {
    const repeats = new Repeats()
    repeats.keep(1, Uint8Array.of(1))
    repeats.due(0, 1_000)
    assert.deepEqual(repeats.due(1_999, 1_000), [])
    assert.equal(repeats.due(2_000, 1_000).length, 1)
  })

  it('finds room up to the bounds: in number and in bytes', () => {
    const many = new Repeats()
    for (let counter = 0; counter <= MAX_UNCONFIRMED; counter++) many.keep(counter, Uint8Array.of(1))
    assert.equal(many.size, MAX_UNCONFIRMED)
    const large = new Repeats()
    large.keep(1, new Uint8Array(MAX_UNCONFIRMED_BYTES))
    large.keep(2, Uint8Array.of(1))
    assert.equal(large.size, 1)
    large.confirm(1)
    large.keep(2, Uint8Array.of(1))
    assert.equal(large.size, 1)
    assert.equal(large.due(0, 0).length, 0)
    assert.deepEqual(large.due(REPEAT_AFTER_MS, 0), [Uint8Array.of(1)])
  })

  it('arrives over a link that loses every second message: a path is set up, used and told to be over', () => {
    const { mesh, keys } = routed('abc')
    const [a, , c] = keys as [Key, Key, Key]
    let count = 0
    mesh.tamper = (_from, _to, message) => {
      const isPath =
        message[0] === messageTypes.setup || message[0] === messageTypes.answer || message[0] === messageTypes.closed
      return isPath && count++ % 2 === 0 ? null : message
    }
    const { flow, effects } = mesh.router(a).openFlow(c, mesh.nowMs)
    mesh.run(a, effects)
    mesh.advance(4_000)
    assert.equal(mesh.told(a, 'flowOpened').length, 1)
    mesh.run(a, mesh.router(a).closeFlow(flow ?? '', mesh.nowMs))
    mesh.advance(2_000)
    assert.equal(mesh.told(c, 'flowClosed')[0]?.code, 'NZ_ROUTE_CLOSED')
  })

  it('is taken once, however often it comes', () => {
    const [one, other] = openLinks()
    const message = one.seal(messageTypes.setup, Uint8Array.of(1, 2, 3))
    assert.deepEqual([other.unseal(message)?.isNew, other.unseal(message)?.isNew], [true, false])
  })

  it('is not pushed out of the window by packets', () => {
    const [one, other] = openLinks()
    const first = one.seal(messageTypes.setup, Uint8Array.of(1))
    for (let at = 0; at < 3_000; at++) other.unseal(one.seal(messageTypes.packet, Uint8Array.of(2)))
    assert.equal(other.unseal(first)?.isNew, true)
  })
})

describe('a hello', () => {
  it('that was overtaken before any other came counts as sent, and as heard', () => {
    const [one, other] = openLinks()
    const [first, second] = [one.nextHello(0), one.nextHello(10)]
    other.hear(second, 20)
    other.hear(first, 25)
    const { heard, expected } = other.nextHello(30)
    assert.deepEqual([heard, expected], [2, 2])
  })
})

describe('an offer', () => {
  it('comes again until the neighbour is heard: the last step of agreeing on a link may be lost', () => {
    const mesh = new Mesh()
    const [a, b] = [mesh.add('a'), mesh.add('b')]
    let lost = 0
    mesh.tamper = (from, _to, message) => {
      const isLast = from === a && message[0] === messageTypes.open && (mesh.router(a).neighbours()[0]?.isOpen ?? false)
      return isLast && lost++ < 1 ? null : message
    }
    mesh.link(a, b)
    mesh.advance(3_000)
    assert.ok(lost > 0)
    assert.equal(mesh.router(a).nextHop(b), b)
    assert.equal(mesh.router(b).nextHop(a), a)
  })
})

describe('a source whose clock is behind', () => {
  const day = 86_400_000
  const at = (offsetMs: number) => () => 1_700_000_000_000 + offsetMs
  const opened = (clocks: Readonly<Record<string, () => number>>): string | undefined => {
    const { mesh, keys } = routed('abcd', clocks)
    const [a, , , d] = keys as [Key, Key, Key, Key]
    mesh.run(a, mesh.router(a).openFlow(d, mesh.nowMs).effects)
    mesh.advance(4_000)
    return mesh.told(a, 'flowClosed')[0]?.code ?? (mesh.told(a, 'flowOpened').length === 1 ? 'opened' : undefined)
  }

  it('gets its path all the same, each node on it being further ahead than the one before', () => {
    assert.equal(opened({ b: at(3_600_000), c: at(day), d: at(2 * day) }), 'opened')
  })

  it('does not follow a node that is ahead by more than the bound', () => {
    assert.equal(opened({ c: at(MAX_SEQUENCE_LEAD_MS + day) }), 'NZ_ROUTE_REPLAYED')
  })

  it('asks few times although every node ahead of it would refuse it by a clock of its own', () => {
    // Each is ahead of the one before, by less than their clocks are apart: a step above one refusal meets the next.
    const names = 'abcdefgh'
    const clocks = Object.fromEntries(names.split('').map((name, n) => [name, at(n * 1_000_000 - 3_500_000)]))
    const { mesh, keys } = routed(names, clocks)
    const [a = '', b] = keys
    let setups = 0
    mesh.tamper = (from, to, message) => {
      if (from === a && to === b && message[0] === messageTypes.setup) setups += 1
      return message
    }
    mesh.run(a, mesh.router(a).openFlow(keys.at(-1) ?? '', mesh.nowMs).effects)
    mesh.advance(REPEAT_AFTER_MS)
    assert.equal(mesh.told(a, 'flowOpened').length, 1)
    assert.ok(setups <= 2, `${setups} setups`)
  })

  it('tries again only so often', () => {
    const [self, liar, far] = [keyOfName('a'), keyOfName('b'), keyOfName('c')]
    const sent: MessageType[] = []
    const ended: string[] = []
    const flows = new Flows({
      self,
      random: seededRandom(1),
      sign: signAs(self),
      verify: verifyFake,
      policy: { mayRelayFor: () => true, mayRouteThrough: () => true, mayReachHere: () => true },
      wallClockMs: at(0),
      relayBytesPerSecond: 1,
      nextHops: () => [liar],
      isLinked: () => true,
      send: (_to, type) => void sent.push(type),
      emit: (effect) => effect.kind === 'flowClosed' && ended.push(effect.code),
    })
    const { flow } = flows.open(far, 0, { avoid: new Set(), ttl: 3 })
    const refusal = encodeClosed({ flow: flow ?? '', code: 'NZ_ROUTE_REPLAYED', by: liar, latest: 1 })
    for (let count = 0; count <= MAX_RENEWALS + 1; count++) flows.receiveClosed(liar, refusal, 0)
    assert.deepEqual(
      sent,
      Array.from({ length: 1 + MAX_RENEWALS }, () => messageTypes.setup),
    )
    assert.deepEqual(ended, ['NZ_ROUTE_REPLAYED'])
  })
})
