/** Endpoints over a path that loses and repeats, the gate against half-open handshakes, and the store of tickets. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { seededRandom } from '../../../kernel/index.ts'
import { Endpoint } from '../../../protocols/channel/endpoint.ts'
import {
  COOKIE_LIFETIME_MS,
  COOKIES_FROM,
  HandshakeGate,
  MAX_HALF_OPEN,
  MAX_HALF_OPEN_PER_SOURCE,
} from '../../../protocols/handshake/gate.ts'
import { startHandshake } from '../../../protocols/handshake/handshake.ts'
import { MAX_TICKETS, MAX_TICKETS_PER_PEER, TicketStore } from '../../../protocols/handshake/tickets.ts'
import { ANN, BOB, handshake, initiatorInit, responderInit } from '../../fake/channel.ts'
import type { EndpointStep } from '../../../protocols/channel/endpoint.ts'

const helloOf = (seed: number): Uint8Array =>
  startHandshake(initiatorInit({ random: seededRandom(seed) })).due(0).send[0] ?? assert.fail()

describe('two endpoints', () => {
  it('open over a path that loses a third and repeats a tenth, with every pattern', () => {
    const patterns = new Set<string>()
    for (let seed = 1; seed <= 9; seed += 1) {
      const random = seededRandom(seed)
      const [annTickets, bobTickets] = [new TicketStore(), new TicketStore()]
      const before = handshake({}, {})
      if (seed % 3 === 0) {
        annTickets.keep(before.initiator, 0)
        bobTickets.keep(before.responder, 0)
      }
      const ticket = annTickets.take(BOB.publicKey, 'nzcore/test/1', 0)
      const known = {
        ...(seed % 3 === 1 ? { pinnedStatic: BOB.staticKey.publicKey } : {}),
        ...(ticket === null ? {} : { ticket }),
      }
      const ann = new Endpoint({ handshake: initiatorInit({ ...known, random: seededRandom(seed * 7) }) })
      const bob = new Endpoint({ handshake: responderInit({ tickets: bobTickets, random: seededRandom(seed * 9) }) })
      const steps: EndpointStep[] = []
      const deliver = (frames: readonly Uint8Array[], to: Endpoint, nowMs: number): void => {
        for (const frame of frames) {
          const copies = random.unit() < 0.33 ? 0 : random.unit() < 0.1 ? 2 : 1
          for (let copy = 0; copy < copies; copy += 1) {
            const step = to.receive(frame, nowMs)
            steps.push(step)
            deliver(step.send, to === ann ? bob : ann, nowMs)
          }
        }
      }
      let nowMs = 0
      for (; nowMs < 15_000 && (ann.session === null || bob.session === null); nowMs += 100) {
        deliver(ann.due(nowMs).send, bob, nowMs)
        deliver(bob.due(nowMs).send, ann, nowMs)
      }
      assert.ok(ann.session !== null && bob.session !== null, `seed ${seed} opens`)
      assert.deepEqual(ann.session.session, bob.session.session)
      patterns.add(ann.session.pattern)
      assert.equal(steps.filter(({ opened }) => opened !== undefined).length, 2, 'each opens once')
      const sealed = ann.seal(Buffer.from('there'), nowMs)
      assert.ok('packet' in sealed)
      assert.deepEqual(bob.receive(sealed.packet, nowMs).payload, Buffer.from('there'))
      const [bye = assert.fail()] = ann.close()
      assert.equal(bob.receive(bye, nowMs).isClosed, true)
    }
    assert.equal(patterns.size, 3)
  })

  it('stay open, and take nothing twice, when handshake frames come again, changed or not', () => {
    const ann = new Endpoint({ handshake: initiatorInit({}) })
    const bob = new Endpoint({ handshake: responderInit({}) })
    const [hello = assert.fail()] = ann.due(0).send
    const [answer = assert.fail()] = bob.receive(hello, 0).send
    const [finish = assert.fail()] = ann.receive(answer, 0).send
    const [ping = assert.fail()] = bob.receive(finish, 0).send
    const changed = Uint8Array.from(hello)
    changed[changed.length - 1] = (changed.at(-1) ?? 0) ^ 1
    changed[8] = 0xff
    bob.receive(changed, 0)
    ann.receive(ping, 0)
    const sealed = ann.seal(Buffer.from('once'), 0)
    assert.ok('packet' in sealed)
    assert.deepEqual(bob.receive(sealed.packet, 0).payload, Buffer.from('once'))
    bob.receive(finish, 0)
    assert.equal(bob.receive(sealed.packet, 0).refused, 'NZ_CHANNEL_REPLAYED')
    assert.equal(bob.due(15_000).failed, undefined)
    assert.equal(bob.state, 'open')
  })

  it('do not open for a handshake that was only replayed', () => {
    const calling = new Endpoint({ handshake: initiatorInit({ pinnedStatic: BOB.staticKey.publicKey }) })
    const [hello = assert.fail()] = calling.due(0).send
    const tickets = new TicketStore()
    const bob = new Endpoint({ handshake: responderInit(), tickets })
    const step = bob.receive(hello, 0)
    assert.ok(step.send.length > 0)
    for (let nowMs = 0; nowMs < 60_000; nowMs += 500) bob.due(nowMs)
    assert.deepEqual([bob.session, bob.state, tickets.size], [null, 'opening', 0])
  })
})

describe('a gate against half-open handshakes', () => {
  it('lets a source with a cookie in while others flood, and never holds more than its bounds', () => {
    const gate = new HandshakeGate({ random: seededRandom(1), nowMs: 0 })
    const hello = helloOf(1)
    const releases: (() => void)[] = []
    for (let flood = 0; flood < 2_000; flood += 1) {
      const admission = gate.admit(`flooder ${flood}`, hello, 0)
      if ('release' in admission) releases.push(admission.release)
      else assert.equal(admission.refused, 'NZ_HANDSHAKE_COOKIE')
    }
    assert.deepEqual([gate.halfOpen, releases.length], [COOKIES_FROM, COOKIES_FROM])
    const honest = startHandshake(initiatorInit())
    const first = gate.admit('honest', honest.due(0).send[0] ?? assert.fail(), 1)
    assert.ok('send' in first)
    const [again = assert.fail()] = honest.receive(first.send[0] ?? assert.fail(), 1).send
    assert.equal('refused' in gate.admit('thief of the cookie', again, 1), true)
    assert.equal('release' in gate.admit('honest', again, COOKIE_LIFETIME_MS - 1), true)
    assert.equal('release' in gate.admit('honest', again, 3 * COOKIE_LIFETIME_MS), false, 'a cookie does not last')
    assert.ok(
      startHandshake(responderInit()).receive(again, 1).send.length > 0,
      'the cookie is no part of the handshake',
    )
    for (const release of [...releases, ...releases]) release()
    assert.equal(gate.halfOpen, 1)
  })

  it('gives one source a part and nobody more than there is', () => {
    const gate = new HandshakeGate({ random: seededRandom(1), nowMs: 0 })
    const withCookie = (source: string, seed: number): Uint8Array => {
      const calling = startHandshake(initiatorInit({ random: seededRandom(seed) }))
      const [hello = assert.fail()] = calling.due(0).send
      const admission = gate.admit(source, hello, 0)
      if (!('release' in admission)) return calling.receive(admission.send[0] ?? assert.fail(), 0).send[0] ?? hello
      admission.release()
      return hello
    }
    let admitted = 0
    let busy = 0
    for (let count = 0; count < 400; count += 1) {
      const source = `source ${count % 20}`
      const admission = gate.admit(source, withCookie(source, count + 1), 0)
      if ('release' in admission) admitted += 1
      else if (admission.refused === 'NZ_HANDSHAKE_BUSY') busy += 1
    }
    assert.deepEqual([admitted, busy], [MAX_HALF_OPEN, 400 - MAX_HALF_OPEN])
    const alone = new HandshakeGate({ random: seededRandom(1), nowMs: 0 })
    for (let count = 0; count < MAX_HALF_OPEN_PER_SOURCE; count += 1) alone.admit('one', helloOf(1), 0)
    const over = alone.admit('one', helloOf(1), 0)
    assert.ok('refused' in over && over.refused === 'NZ_HANDSHAKE_BUSY')
    assert.ok('release' in alone.admit('other', helloOf(1), 0))
  })
})

describe('a store of tickets', () => {
  it('keeps few of one peer and a bounded number in all, the newest', () => {
    const store = new TicketStore()
    const { initiator } = handshake()
    const made = (peer: number, session: number): typeof initiator => ({
      ...initiator,
      peerKey: new Uint8Array(32).fill(peer & 0xff).fill(peer >> 8, 16),
      session: new Uint8Array(32).fill(session & 0xff).fill(session >> 8, 16),
    })
    for (let session = 0; session < MAX_TICKETS_PER_PEER + 3; session += 1) store.keep(made(1, session), 0)
    assert.equal(store.size, 2 * MAX_TICKETS_PER_PEER)
    for (let peer = 2; peer < MAX_TICKETS + 10; peer += 1) store.keep(made(peer, peer), 0)
    assert.equal(store.size, 2 * MAX_TICKETS)
    assert.equal(store.take(made(1, 0).peerKey, initiator.purpose, 1), null, 'the oldest made room')
    const last = MAX_TICKETS + 9
    assert.ok(store.take(made(last, 0).peerKey, initiator.purpose, 1) !== null)
    store.forget(made(last - 1, 0).peerKey)
    assert.equal(store.take(made(last - 1, 0).peerKey, initiator.purpose, 1), null)
    store.clear()
    assert.equal(store.size, 0)
    assert.ok(ANN.publicKey.length === 32)
  })
})
