/** The core of routing between simulated neighbours: routes, paths, and what is refused (NZ-ROUTING-01). */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { signOrigin } from '../../protocols/routing/announcement.ts'
import { messageTypes } from '../../protocols/routing/link-message.ts'
import { MAX_HOPS, MAX_METRIC } from '../../protocols/routing/limits.ts'
import { RouteTable } from '../../protocols/routing/route-table.ts'
import { diamond, keyOfName, line, signAs, verifyFake } from '../fake/routing.ts'
import type { Mesh } from '../fake/routing.ts'
import type { Key } from '../../protocols/routing/signing.ts'

function openFlow(mesh: Mesh, from: Key, to: Key, options?: { ttl?: number; avoid?: ReadonlySet<Key> }): string {
  const { flow, effects, code } = mesh.router(from).openFlow(to, mesh.nowMs, options)
  mesh.run(from, effects)
  assert.equal(code, null)
  return flow
}

describe('routes', () => {
  it('are found over several hops, each with a next hop nearer to the end', () => {
    const { mesh, keys } = line('abcdef')
    mesh.advance(10_000)
    const [a, b, , , , f] = keys as [Key, Key, Key, Key, Key, Key]
    assert.equal(mesh.router(a).nextHop(f), b)
    assert.equal(mesh.router(f).nextHop(a), keys[4])
  })

  it('change to the other way at once when a link is lost', () => {
    const { mesh, a, b, c, d } = diamond()
    mesh.advance(10_000)
    const first = mesh.router(a).nextHop(c)
    const other = first === b ? d : b
    assert.ok(first === b || first === d)
    mesh.cut(a, first)
    assert.equal(mesh.router(a).nextHop(c), other)
  })

  it('are withdrawn when nothing leads there any more, and come back', () => {
    const { mesh, keys } = line('abc')
    const [a, b, c] = keys as [Key, Key, Key]
    mesh.advance(10_000)
    mesh.cut(b, c)
    mesh.advance(100)
    assert.equal(mesh.router(a).nextHop(c), null)
    mesh.link(b, c)
    mesh.advance(10_000)
    assert.equal(mesh.router(a).nextHop(c), b)
  })

  it('stay withdrawn when what the withdrawal took back comes behind it', () => {
    const [self, neighbour, far] = [keyOfName('a'), keyOfName('b'), keyOfName('c')]
    const table = new RouteTable({ self, sign: signAs(self), verify: verifyFake, firstSequence: 1, costOf: () => 1 })
    const origin = signOrigin(far, 5, signAs(far))
    const hear = (said: number, metric: number): Key | null => {
      assert.equal(table.learn(neighbour, { origin, metric }, { said, nowMs: said }), true)
      return table.nextHop(far)
    }
    assert.equal(hear(1, 100), neighbour)
    assert.equal(hear(3, MAX_METRIC), null)
    assert.equal(hear(2, 10), null, 'the message before the withdrawal')
    assert.equal(hear(4, 10), neighbour, 'one behind it')
    // A new link counts from 1 again.
    table.forget(neighbour, 5)
    assert.equal(hear(1, 10), neighbour)
  })

  it('are taken only from who has announced less than this node ever did, or something newer', () => {
    const [self, near, other, far] = [keyOfName('a'), keyOfName('b'), keyOfName('c'), keyOfName('d')]
    const table = new RouteTable({ self, sign: signAs(self), verify: verifyFake, firstSequence: 1, costOf: () => 10 })
    let said = 0
    const hear = (neighbour: Key, sequence: number, metric: number): Key | null => {
      said += 1
      const origin = signOrigin(far, sequence, signAs(far))
      table.learn(neighbour, { origin, metric }, { said, nowMs: 0 })
      return table.nextHop(far)
    }
    assert.equal(hear(near, 5, 100), near)
    assert.deepEqual(
      table.announcements(other, 0).map(({ metric }) => metric),
      [110],
    )
    assert.equal(hear(near, 5, MAX_METRIC), null)
    assert.equal(hear(other, 5, 110), null, 'it may lead through this node')
    assert.deepEqual(
      table.starving(5_000).map(({ neighbours }) => neighbours),
      [[other]],
    )
    assert.equal(hear(other, 5, 109), other)
    assert.equal(hear(other, 6, 500), other)
  })

  it('lead around a neighbour that has fallen silent', () => {
    const { mesh, a, b, c, d } = diamond()
    mesh.advance(10_000)
    const first = mesh.router(a).nextHop(c) === b ? b : d
    mesh.cut(a, first, { isTold: false })
    mesh.advance(10_000)
    assert.equal(mesh.router(a).nextHop(c), first === b ? d : b)
  })

  it('prefer links that lose less', () => {
    const { mesh, a, b, c, d } = diamond()
    mesh.tamper = (from, to, message) => ([from, to].includes(b) && mesh.random.unit() < 0.4 ? null : message)
    mesh.advance(40_000)
    assert.equal(mesh.router(a).nextHop(c), d)
  })

  it('lead through none that the policy excludes, nor for anybody it excludes', () => {
    const b = keyOfName('b')
    const through = diamond({ policy: () => ({ mayRouteThrough: (key) => key !== b }) })
    through.mesh.advance(10_000)
    assert.deepEqual(
      through.mesh
        .router(through.a)
        .routes(through.mesh.nowMs)
        .find(({ destination }) => destination === through.c)?.routes.length,
      1,
    )
    assert.equal(through.mesh.router(through.a).nextHop(through.c), through.d)
    const a = keyOfName('a')
    const relaying = line('abc', { policy: () => ({ mayRelayFor: (source) => source !== a }) })
    relaying.mesh.advance(10_000)
    assert.equal(relaying.mesh.router(a).nextHop(keyOfName('c')), null)
  })

  it('survive a destination whose clock was set back while it was off', () => {
    const { mesh, keys } = line('abc')
    const [a, b, c] = keys as [Key, Key, Key]
    mesh.advance(10_000)
    mesh.cut(b, c)
    mesh.add('c', () => 1_000_000)
    mesh.link(b, c)
    mesh.advance(10_000)
    assert.equal(mesh.router(a).nextHop(c), b)
  })
})

describe('a path', () => {
  it('is set up with the signature of every hop, and carries packets both ways', () => {
    const { mesh, keys } = line('abcd')
    const [a, b, c, d] = keys as [Key, Key, Key, Key]
    mesh.advance(10_000)
    const flow = openFlow(mesh, a, d)
    mesh.advance(100)
    const [opened] = mesh.told(a, 'flowOpened')
    assert.deepEqual(
      opened?.hops?.map(({ key }) => key),
      [b, c, d],
    )
    assert.ok(opened?.hops?.every(({ isSetupSigned, isAnswerSigned }) => isSetupSigned && isAnswerSigned))
    assert.ok(opened?.hops?.every(({ roundTripUs }) => roundTripUs === 2_000))
    assert.equal(mesh.told(d, 'flowOpened')[0]?.peer, a)
    mesh.run(a, mesh.router(a).sendPacket(flow, Buffer.from('there'), mesh.nowMs))
    mesh.run(d, mesh.router(d).sendPacket(flow, Buffer.from('back'), mesh.nowMs))
    mesh.advance(100)
    assert.equal(Buffer.from(mesh.told(d, 'packet')[0]?.payload ?? []).toString(), 'there')
    assert.equal(Buffer.from(mesh.told(a, 'packet')[0]?.payload ?? []).toString(), 'back')
    assert.deepEqual([mesh.router(b).relayedCount, mesh.router(c).flowCount], [1, 1])
  })

  it('ends at both ends when a hop is lost, and can be set up around it', () => {
    const { mesh, a, b, c, d } = diamond()
    mesh.advance(10_000)
    openFlow(mesh, a, c, { avoid: new Set([d]) })
    mesh.advance(100)
    mesh.cut(b, c)
    mesh.advance(100)
    assert.deepEqual([mesh.told(a, 'flowClosed')[0]?.code, mesh.told(a, 'flowClosed')[0]?.by], ['NZ_ROUTE_BROKEN', b])
    assert.equal(mesh.told(c, 'flowClosed')[0]?.code, 'NZ_ROUTE_BROKEN')
    openFlow(mesh, a, c)
    mesh.advance(100)
    assert.equal(mesh.told(a, 'flowOpened').at(-1)?.nextHop, d)
    assert.equal(mesh.router(b).flowCount, 0)
  })

  it('dies where its hops are at an end', () => {
    const { mesh, keys } = line('abcd')
    const [a, , c, d] = keys as [Key, Key, Key, Key]
    mesh.advance(10_000)
    openFlow(mesh, a, d, { ttl: 1 })
    mesh.advance(100)
    assert.deepEqual([mesh.told(a, 'flowClosed')[0]?.code, mesh.told(a, 'flowClosed')[0]?.by], ['NZ_ROUTE_TTL', c])
    openFlow(mesh, a, d, { ttl: 2 })
    mesh.advance(100)
    assert.equal(mesh.told(a, 'flowOpened').length, 1)
  })

  it('is not longer than MAX_HOPS', () => {
    const { mesh, keys } = line('abcdefghijklmnopqrs')
    mesh.advance(4_000)
    const [a, last] = [keys[0] ?? '', keys[MAX_HOPS + 1] ?? '']
    openFlow(mesh, a, keys[MAX_HOPS] ?? '')
    mesh.advance(100)
    assert.equal(mesh.told(a, 'flowOpened').length, 1)
    openFlow(mesh, a, last)
    mesh.advance(100)
    assert.equal(mesh.told(a, 'flowClosed')[0]?.code, 'NZ_ROUTE_TTL')
  })

  it('is closed by its end, and for want of use', () => {
    const { mesh, keys } = line('abc')
    const [a, b, c] = keys as [Key, Key, Key]
    mesh.advance(10_000)
    const flow = openFlow(mesh, a, c)
    mesh.advance(100)
    mesh.run(a, mesh.router(a).closeFlow(flow, mesh.nowMs))
    mesh.advance(100)
    assert.equal(mesh.told(c, 'flowClosed')[0]?.code, 'NZ_ROUTE_CLOSED')
    openFlow(mesh, a, c)
    mesh.advance(61_000)
    assert.equal(mesh.told(c, 'flowClosed')[1]?.code, 'NZ_ROUTE_IDLE')
    assert.equal(mesh.router(b).flowCount, 0)
  })

  it('is cut when the policy of any node on it no longer lets it through', () => {
    const refused = new Set<Key>()
    const { mesh, keys } = line('abc', { policy: () => ({ mayRelayFor: (source) => !refused.has(source) }) })
    const [a, b, c] = keys as [Key, Key, Key]
    mesh.advance(10_000)
    openFlow(mesh, a, c)
    mesh.advance(100)
    refused.add(a)
    mesh.run(b, mesh.router(b).recheckPolicy(mesh.nowMs))
    mesh.advance(100)
    assert.deepEqual([mesh.told(a, 'flowClosed')[0]?.code, mesh.told(c, 'flowClosed').length], ['NZ_ROUTE_REFUSED', 1])
  })
})

describe('a liar', () => {
  /** Changes what `liar` sends inside of its own, correctly sealed messages. */
  function setupsSeenBy(mesh: Mesh, from: Key): Uint8Array[] {
    const seen: Uint8Array[] = []
    mesh.tamper = (sender, _to, message) => {
      if (sender === from && message[0] === messageTypes.setup) seen.push(message)
      return message
    }
    return seen
  }

  it('cannot change a bit of any message between neighbours, nor repeat one', () => {
    const { mesh, keys } = line('abc')
    const [a, b, c] = keys as [Key, Key, Key]
    mesh.advance(10_000)
    const seen = setupsSeenBy(mesh, a)
    openFlow(mesh, a, c)
    mesh.advance(100)
    const [setup] = seen
    assert.ok(setup !== undefined)
    for (let at = 1; at < setup.length; at += 7) {
      const changed = Uint8Array.from(setup)
      changed[at] = (changed[at] ?? 0) ^ 1
      mesh.inject(a, b, changed)
    }
    mesh.inject(a, b, setup)
    mesh.advance(100)
    const codes = mesh.told(b, 'refused').map(({ code }) => code)
    assert.equal(codes.pop(), 'NZ_ROUTE_REPLAYED')
    assert.equal(codes.length, Math.ceil((setup.length - 1) / 7))
    assert.ok(codes.every((code) => code === 'NZ_ROUTE_FORGED'))
    assert.equal(mesh.told(c, 'flowOpened').length, 1)
  })
})
