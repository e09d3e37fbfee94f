/** NZ-HANDSHAKE-01: patterns, what is bound, what is refused with which code, lossy paths, tickets. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { seededRandom } from '../../../kernel/index.ts'
import { startHandshake } from '../../../protocols/handshake/handshake.ts'
import {
  FIRST_RESEND_MS,
  HANDSHAKE_TIMEOUT_MS,
  MAX_ANSWERED,
  MAX_TRIES,
  TRY_EVERY_MS,
} from '../../../protocols/handshake/limits.ts'
import { encodeRefuse } from '../../../protocols/handshake/messages.ts'
import { TicketStore, TICKET_LIFETIME_MS } from '../../../protocols/handshake/tickets.ts'
import { ANN, BOB, EVE, handshake, identityOf, initiatorInit, responderInit } from '../../fake/channel.ts'
import type { InitiatorInit, ResponderInit, Step } from '../../../protocols/handshake/handshake.ts'

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

/** Every code that either side says while everything is delivered at once. */
function codes(initiator: Partial<InitiatorInit>, responder: Partial<ResponderInit>): readonly string[] {
  const [calling, called] = [startHandshake(initiatorInit(initiator)), startHandshake(responderInit(responder))]
  const said: string[] = []
  const note = ({ refused, failed }: Step): void => {
    for (const code of [refused, failed]) if (code !== undefined) said.push(code)
  }
  let toCalled = [...calling.due(0).send]
  while (toCalled.length > 0) {
    const answers = toCalled.map((frame) => called.receive(frame, 0))
    answers.forEach(note)
    const steps = answers.flatMap(({ send }) => send).map((frame) => calling.receive(frame, 0))
    steps.forEach(note)
    toCalled = steps.flatMap(({ send }) => [...send])
  }
  return said
}

describe('a handshake', () => {
  it('gives both sides one session, one secret, each other’s identity and the features both have', () => {
    const { initiator, responder } = handshake()
    assert.equal(hex(initiator.session), hex(responder.session))
    assert.equal(hex(initiator.secret), hex(responder.secret))
    assert.deepEqual([initiator.pattern, responder.pattern], ['XX', 'XX'])
    assert.deepEqual([initiator.peerKey, responder.peerKey], [BOB.publicKey, ANN.publicKey])
    assert.deepEqual([initiator.peerStatic, responder.peerStatic], [BOB.staticKey.publicKey, ANN.staticKey.publicKey])
    assert.deepEqual([initiator.features, responder.features], [['deflate'], ['deflate']])
    assert.deepEqual([initiator.remoteIndex, initiator.localIndex], [responder.localIndex, responder.remoteIndex])
  })

  it('calls a known key in one round trip, and asks who is there when the key is no longer that peer’s', () => {
    const known = handshake({ pinnedStatic: BOB.staticKey.publicKey })
    assert.deepEqual([known.initiator.pattern, known.responder.pattern], ['IK', 'IK'])
    assert.equal(hex(known.initiator.secret), hex(known.responder.secret))
    assert.equal(handshake({ pinnedStatic: EVE.staticKey.publicKey }).initiator.pattern, 'XX')
  })

  it('has other secrets for other purposes, features and peers', () => {
    const made = [
      handshake(),
      handshake({ features: [] }),
      handshake({ purpose: 'other/1' }, { purpose: 'other/1' }),
      handshake({}, { features: ['deflate'] }),
      handshake({ identity: EVE }),
    ]
    assert.equal(new Set(made.map(({ initiator }) => hex(initiator.session))).size, made.length)
    assert.equal(new Set(made.map(({ initiator }) => hex(initiator.secret))).size, made.length)
  })

  const forged = { ...EVE, publicKey: BOB.publicKey }
  const cases: ReadonlyArray<readonly [string, Partial<InitiatorInit>, Partial<ResponderInit>]> = [
    ['NZ_HANDSHAKE_PURPOSE', { purpose: 'other/1' }, {}],
    ['NZ_HANDSHAKE_DOWNGRADE', { versions: [1, 2] }, { versions: [1, 2] }],
    ['NZ_HANDSHAKE_WRONG_PEER', { expectedPeer: EVE.publicKey }, {}],
    ['NZ_HANDSHAKE_FORGED', {}, { identity: forged }],
    ['NZ_HANDSHAKE_FEATURE_MISSING', { requiredFeatures: ['zstd'] }, {}],
    ['NZ_HANDSHAKE_FEATURE_MISSING', {}, { requiredFeatures: ['other'] }],
    ['NZ_HANDSHAKE_NOT_ALLOWED', {}, { isAllowed: () => false }],
    ['NZ_HANDSHAKE_FORGED', { identity: { ...EVE, publicKey: ANN.publicKey } }, {}],
  ]
  for (const [code, initiator, responder] of cases) {
    it(`ends with ${code} for ${JSON.stringify(Object.keys({ ...initiator, ...responder }))}`, () => {
      assert.equal(codes(initiator, responder)[0], code)
      if (code === 'NZ_HANDSHAKE_WRONG_PEER') return // With IK the peer is named in the first message: MISBOUND.
      const known = { ...initiator, pinnedStatic: (responder.identity ?? BOB).staticKey.publicKey }
      assert.equal(codes(known, responder)[0], code)
    })
  }

  it('is refused by a peer it was not meant for, though that peer has the same static key', () => {
    const twin = { ...identityOf(9), staticKey: BOB.staticKey }
    assert.equal(codes({ pinnedStatic: BOB.staticKey.publicKey }, { identity: twin })[0], 'NZ_HANDSHAKE_MISBOUND')
  })

  it('notices every changed bit of every message, and ends all the same when the true one comes', () => {
    for (const pinnedStatic of [undefined, BOB.staticKey.publicKey]) {
      const calling = startHandshake(initiatorInit(pinnedStatic === undefined ? {} : { pinnedStatic }))
      const hello = calling.due(0).send[0] ?? assert.fail()
      const called = startHandshake(responderInit())
      const answer = called.receive(hello, 0).send[0] ?? assert.fail()
      for (let at = 12; at < answer.length; at += 37) {
        const changed = Uint8Array.from(answer)
        changed[at] = (changed[at] ?? 0) ^ 1
        const again = startHandshake(initiatorInit(pinnedStatic === undefined ? {} : { pinnedStatic }))
        again.due(0)
        const step = again.receive(changed, 0)
        assert.deepEqual([step.done, step.refused], [undefined, 'NZ_HANDSHAKE_UNAUTHENTIC'])
        const second = again.receive(answer, 0)
        assert.ok(
          second.done !== undefined,
          `${String(pinnedStatic === undefined)} ${at} ${second.refused} ${hex(answer)}`,
        )
      }
      for (let at = 8; at < hello.length; at += 3) {
        const changed = Uint8Array.from(hello)
        changed[at] = (changed[at] ?? 0) ^ 1
        const answered = startHandshake(responderInit()).receive(changed, 0)
        const again = startHandshake(initiatorInit(pinnedStatic === undefined ? {} : { pinnedStatic }))
        again.due(0)
        for (const frame of answered.send) assert.equal(again.receive(frame, 0).done, undefined)
      }
    }
  })

  it('is refused by name when it is of a version that the other does not know', () => {
    const calling = startHandshake(initiatorInit())
    const hello = Uint8Array.from(calling.due(0).send[0] ?? assert.fail())
    hello[0] = 2
    const { send, refused } = startHandshake(responderInit()).receive(hello, 0)
    assert.equal(refused, 'NZ_HANDSHAKE_VERSION')
    assert.equal(calling.receive(send[0] ?? assert.fail(), 0).refused, 'NZ_HANDSHAKE_VERSION')
    assert.deepEqual(startHandshake(responderInit()).receive(Uint8Array.of(2, 1, 0), 0).send, [])
  })

  it('tries a bounded number of false answers', () => {
    const calling = startHandshake(initiatorInit())
    const hello = calling.due(0).send[0] ?? assert.fail()
    const answer = startHandshake(responderInit()).receive(hello, 0).send[0] ?? assert.fail()
    const changed = Uint8Array.from(answer)
    changed[60] = (changed[60] ?? 0) ^ 1
    for (let tries = 0; tries < MAX_TRIES; tries += 1) {
      assert.equal(calling.receive(changed, 0).refused, 'NZ_HANDSHAKE_UNAUTHENTIC')
    }
    // No more of them are looked at now, not even the true one: that is after a while, when it comes again.
    assert.equal(calling.receive(answer, 0).refused, 'NZ_HANDSHAKE_UNAUTHENTIC')
    assert.equal(calling.receive(answer, TRY_EVERY_MS - 1).done, undefined)
    assert.ok(calling.receive(answer, TRY_EVERY_MS).done !== undefined)
  })

  it('a HELLO that somebody changed on the way does not displace the true one', () => {
    const [calling, called] = [startHandshake(initiatorInit()), startHandshake(responderInit())]
    const hello = calling.due(0).send[0] ?? assert.fail()
    const answer = called.receive(hello, 0).send[0] ?? assert.fail()
    for (let count = 0; count < MAX_ANSWERED + 2; count += 1) {
      const changed = Uint8Array.from(hello)
      changed[changed.length - 1 - count] = (changed[changed.length - 1 - count] ?? 0) ^ 1
      called.receive(changed, count * TRY_EVERY_MS)
    }
    const finish = calling.receive(answer, 2_000).send[0] ?? assert.fail()
    assert.ok(called.receive(finish, 2_000).done !== undefined)
  })
})

describe('over a path that loses packets', () => {
  it('each message is sent again until it is answered', () => {
    const calling = startHandshake(initiatorInit())
    const called = startHandshake(responderInit())
    const first = calling.due(0).send
    assert.deepEqual(calling.due(0).send, [])
    assert.equal(calling.dueAtMs, FIRST_RESEND_MS)
    const second = calling.due(FIRST_RESEND_MS).send
    assert.deepEqual(second, first)
    const answer = called.receive(second[0] ?? assert.fail(), FIRST_RESEND_MS).send[0] ?? assert.fail()
    assert.deepEqual(called.receive(first[0] ?? assert.fail(), FIRST_RESEND_MS).send, [answer], 'a repeated HELLO')
    const step = calling.receive(answer, FIRST_RESEND_MS)
    const finish = step.send[0] ?? assert.fail()
    assert.ok(step.done !== undefined)
    const again = calling.due(calling.dueAtMs ?? assert.fail()).send[0] ?? assert.fail()
    assert.deepEqual(again, finish, 'FINISH goes on until a packet of the channel came')
    assert.ok(called.receive(again, 3_000).done !== undefined)
    assert.deepEqual(called.receive(finish, 3_000), { send: [], isRepeated: true })
    calling.confirm()
    assert.equal(calling.dueAtMs, null)
  })

  it('goes on to XX when nobody answers the call by a known key', () => {
    const calling = startHandshake(initiatorInit({ pinnedStatic: EVE.staticKey.publicKey }))
    const patterns: number[] = []
    while ((calling.dueAtMs ?? Infinity) < HANDSHAKE_TIMEOUT_MS) {
      for (const frame of calling.due(calling.dueAtMs ?? 0).send) patterns.push(frame[8] ?? -1)
    }
    assert.deepEqual([patterns.slice(0, 4), patterns.at(-1)], [[1, 1, 1, 0], 0])
    assert.equal(calling.due(HANDSHAKE_TIMEOUT_MS).failed, 'NZ_HANDSHAKE_TIMEOUT')
  })

  it('ends when its time is over, on both sides', () => {
    const called = startHandshake(responderInit())
    called.receive(startHandshake(initiatorInit()).due(0).send[0] ?? assert.fail(), 0)
    assert.equal(called.due(HANDSHAKE_TIMEOUT_MS).failed, 'NZ_HANDSHAKE_TIMEOUT')
    const calling = startHandshake(initiatorInit())
    calling.due(0)
    assert.equal(calling.receive(encodeRefuse(calling.localIndex, 'NZ_HANDSHAKE_BUSY'), 1).refused, 'NZ_HANDSHAKE_BUSY')
    assert.equal(calling.due(HANDSHAKE_TIMEOUT_MS).failed, 'NZ_HANDSHAKE_BUSY', 'names the last refusal')
  })
})

describe('a ticket', () => {
  function stores(): { readonly ann: TicketStore; readonly bob: TicketStore } {
    const { initiator, responder } = handshake()
    const [ann, bob] = [new TicketStore(), new TicketStore()]
    ann.keep(initiator, 0)
    bob.keep(responder, 0)
    return { ann, bob }
  }

  it('resumes in one round trip with fresh keys, once, in either direction', () => {
    const { ann, bob } = stores()
    const ticket = ann.take(BOB.publicKey, handshake().initiator.purpose, 1) ?? assert.fail()
    const resumed = handshake({ ticket, random: seededRandom(7) }, { tickets: bob })
    assert.deepEqual([resumed.initiator.pattern, resumed.responder.pattern], ['IKpsk1', 'IKpsk1'])
    assert.equal(hex(resumed.initiator.secret), hex(resumed.responder.secret))
    assert.deepEqual(resumed.responder.peerKey, ANN.publicKey)
    assert.equal(ann.take(BOB.publicKey, resumed.initiator.purpose, 1), null, 'taken once')
    assert.equal(handshake({ ticket, random: seededRandom(8) }, { tickets: bob }).initiator.pattern, 'XX', 'used up')
    const back = bob.take(ANN.publicKey, resumed.initiator.purpose, 1) ?? assert.fail()
    const reverse = handshake(
      { identity: BOB, expectedPeer: ANN.publicKey, ticket: back },
      { identity: ANN, tickets: ann },
    )
    assert.equal(reverse.initiator.pattern, 'IKpsk1')
  })

  it('is not used up by somebody who saw only its id', () => {
    const { ann, bob } = stores()
    const ticket = ann.take(BOB.publicKey, 'nzcore/test/1', 1) ?? assert.fail()
    const stolen = { ...ticket, preSharedKey: new Uint8Array(32) }
    const thief = startHandshake(initiatorInit({ identity: EVE, ticket: stolen }))
    const step = startHandshake(responderInit({ tickets: bob })).receive(thief.due(0).send[0] ?? assert.fail(), 0)
    assert.equal(step.refused, 'NZ_HANDSHAKE_KEY')
    assert.equal(handshake({ ticket }, { tickets: bob }).initiator.pattern, 'IKpsk1')
  })

  it('is refused when it is replayed, over, or of another purpose', () => {
    const { ann, bob } = stores()
    const ticket = ann.take(BOB.publicKey, 'nzcore/test/1', 1) ?? assert.fail()
    const hello = startHandshake(initiatorInit({ ticket })).due(0).send[0] ?? assert.fail()
    assert.ok(startHandshake(responderInit({ tickets: bob })).receive(hello, 0).done !== undefined)
    assert.equal(startHandshake(responderInit({ tickets: bob })).receive(hello, 0).refused, 'NZ_HANDSHAKE_TICKET')
    const old = stores()
    assert.equal(old.bob.granted(ticket.id, 'nzcore/other/1', 1), null)
    assert.ok(old.bob.granted(ticket.id, 'nzcore/test/1', 1) !== null)
    assert.equal(old.bob.granted(ticket.id, 'nzcore/test/1', TICKET_LIFETIME_MS), null)
    assert.equal(old.ann.take(BOB.publicKey, 'nzcore/test/1', TICKET_LIFETIME_MS), null)
    assert.equal(old.bob.size + old.ann.size, 0)
  })

  it('needs the identity it was given to', () => {
    const { ann, bob } = stores()
    const ticket = ann.take(BOB.publicKey, 'nzcore/test/1', 1) ?? assert.fail()
    const said = codes({ identity: EVE, ticket }, { tickets: bob })
    assert.equal(said[0], 'NZ_HANDSHAKE_FORGED')
  })
})
