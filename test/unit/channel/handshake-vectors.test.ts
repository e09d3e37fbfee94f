/**
 * spec/vectors/handshake.json against the code: the vectors of NZ-HANDSHAKE-01.
 * `NZ_WRITE_VECTORS=1 node --test test/unit/channel/handshake-vectors.test.ts` writes them anew.
 */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { encodeCanonical } from '../../../protocols/framing/canonical-cbor.ts'
import { handshakeCodes } from '../../../protocols/handshake/errors.ts'
import { startHandshake } from '../../../protocols/handshake/handshake.ts'
import { encodeHello, encodeReply, prologueOf } from '../../../protocols/handshake/messages.ts'
import { TicketStore } from '../../../protocols/handshake/tickets.ts'
import { Handshake, IK, IKpsk1, XX } from '../../../protocols/noise/handshake.ts'
import { x25519KeyPairFromSeed } from '../../../protocols/noise/x25519.ts'
import { encodeFrame, frameType } from '../../../protocols/wire/frame.ts'
import { ANN, BOB, EVE, identityOf, initiatorInit, plainRandom, PURPOSE, responderInit } from '../../fake/channel.ts'
import { madeVectors, toHex } from '../../vectors.ts'
import type { InitiatorInit, LocalIdentity, ResponderInit } from '../../../protocols/handshake/handshake.ts'
import type { PatternName } from '../../../protocols/handshake/messages.ts'
import type { Ticket } from '../../../protocols/handshake/tickets.ts'

const who = { ann: ANN, bob: BOB, eve: EVE }
type Name = keyof typeof who
const SEEDS: Readonly<Record<Name, number>> = { ann: 1, bob: 2, eve: 3 }
const patterns = { XX, IK, IKpsk1 }
const NOTHING = new Uint8Array(0)
const HEADER = 8
const numberAt = (bytes: Uint8Array, at: number): number => Buffer.from(bytes).readUInt32BE(at)
const nth = (frames: readonly Uint8Array[], at: number): Uint8Array => frames[at] ?? assert.fail()

interface Setup {
  readonly name: string
  readonly pattern: PatternName
  readonly purpose: string
  readonly cookie?: string
  readonly initiator: { readonly is: Name; readonly features: readonly string[] }
  readonly responder: { readonly is: Name; readonly features: readonly string[] }
}

const SETUPS: readonly Setup[] = [
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
  {
    name: 'strangers with a cookie',
    pattern: 'XX',
    purpose: '!'.repeat(64),
    cookie: 'c0'.repeat(16),
    initiator: { is: 'bob', features: ['unknown'] },
    responder: { is: 'eve', features: ['other', 'unknown'] },
  },
  {
    name: 'resumed with a cookie',
    pattern: 'IKpsk1',
    purpose: 'x',
    cookie: 'c1'.repeat(16),
    initiator: { is: 'eve', features: [] },
    responder: { is: 'bob', features: [] },
  },
]

/** A ticket of `ann` for `bob`, who keeps his in `atBob`. */
function resumable(ann: LocalIdentity, bob: LocalIdentity, purpose: string, atBob: TicketStore): Ticket {
  const calling = startHandshake({
    ...initiatorInit({ identity: ann, purpose, random: plainRandom(1) }),
    expectedPeer: bob.publicKey,
  })
  const called = startHandshake(responderInit({ identity: bob, purpose, random: plainRandom(9) }))
  const step = calling.receive(nth(called.receive(nth(calling.due(0).send, 0), 0).send, 0), 0)
  const atAnn = new TicketStore()
  atAnn.keep(step.done ?? assert.fail(), 0)
  atBob.keep(called.receive(nth(step.send, 0), 0).done ?? assert.fail(), 0)
  return atAnn.take(bob.publicKey, purpose, 0) ?? assert.fail()
}

/** One handshake with known randomness. */
function handshakeOf(setup: Setup, first: number) {
  const { pattern, purpose, cookie, initiator, responder } = setup
  const [ann, bob] = [who[initiator.is], who[responder.is]]
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
  const frames: Uint8Array[] = [nth(calling.due(0).send, 0)]
  if (cookie !== undefined) {
    const index = nth(frames, 0).subarray(HEADER + 1, HEADER + 5)
    frames.push(encodeFrame(frameType.retry, [index, Buffer.from(cookie, 'hex')]))
    frames.push(nth(calling.receive(nth(frames, 1), 0).send, 0))
  }
  const answered = called.receive(nth(frames, frames.length - 1), 0)
  frames.push(nth(answered.send, 0))
  const step = calling.receive(nth(frames, frames.length - 1), 0)
  frames.push(...step.send)
  const established = step.done ?? assert.fail()
  const atBob = answered.done ?? called.receive(nth(step.send, 0), 0).done ?? assert.fail()
  assert.deepEqual([toHex(established.secret), established.session], [toHex(atBob.secret), atBob.session])
  return {
    ...setup,
    ...(pattern === 'IKpsk1' ? { ticket: ticketOf(earlier) } : {}),
    random: { initiator: annRandom.given, responder: bobRandom.given },
    frames: frames.map(toHex),
    session: toHex(established.session),
    secret: toHex(established.secret),
    common: established.features,
    tickets: { initiator: nextTicket(established, bob, purpose), responder: nextTicket(atBob, ann, purpose) },
  }
}

const ticketOf = ({ id, preSharedKey }: Ticket) => ({ id: toHex(id), key: toHex(preSharedKey) })

/** By which this side may be initiator next. */
function nextTicket(established: Parameters<TicketStore['keep']>[0], peer: LocalIdentity, purpose: string) {
  const store = new TicketStore()
  store.keep(established, 0)
  return ticketOf(store.take(peer.publicKey, purpose, 1) ?? assert.fail())
}

type Items = [unknown, unknown, unknown, unknown, unknown, unknown]
/** What a liar says instead: other items, or other bytes. */
type Say = (items: Items) => readonly unknown[] | Uint8Array

interface Lie {
  readonly what: string
  readonly pattern: PatternName
  readonly reader: 'initiator' | 'responder'
  readonly own?: Partial<Omit<InitiatorInit, 'role'> & Omit<ResponderInit, 'role'>>
  readonly isRefusedByPolicy?: boolean
  readonly say?: Say
  /** Whose static key the liar has; its identity stays who it should be. */
  readonly static?: LocalIdentity
  /** The static key that an initiator calls. */
  readonly calls?: LocalIdentity
  readonly changeHello?: (frame: Uint8Array) => Uint8Array
  readonly changeLast?: (frame: Uint8Array) => Uint8Array
  readonly hasNoTicket?: boolean
}

const put =
  (at: number, value: unknown): Say =>
  (items) =>
    items.map((item, n) => (n === at ? value : item))
const proofOf = ({ publicKey }: LocalIdentity, signature: Uint8Array) => [publicKey, signature]
const flipAt =
  (at: number) =>
  (frame: Uint8Array): Uint8Array =>
    frame.map((byte, n) => (n === (at + frame.length) % frame.length ? byte ^ 1 : byte))
const bodyOf =
  (change: (body: Uint8Array) => Uint8Array) =>
  (frame: Uint8Array): Uint8Array =>
    encodeFrame(frame[1] as 1 | 2 | 3, [change(frame.subarray(HEADER))])
const LOW_ORDER = new Uint8Array(32)
const lowOrderAt = (at: number) =>
  bodyOf((body) => Buffer.concat([body.subarray(0, at), LOW_ORDER, body.subarray(at + 32)]))

/** What holds for the payload of every message; said in an ANSWER of XX. */
const MALFORMED: Readonly<Record<string, Say>> = {
  'a payload of five items': (items) => items.slice(0, 5),
  'a payload of seven items': (items) => [...items, null],
  'a payload that is no array': () => encodeCanonical(7),
  'no payload': () => NOTHING,
  'a byte behind the payload': (items) => Buffer.concat([encodeCanonical(items), Uint8Array.of(0)]),
  'a number that is not in its shortest form': (items) => {
    const bytes = encodeCanonical(items)
    return Buffer.concat([bytes.subarray(0, 2), Uint8Array.of(0x18), bytes.subarray(2)])
  },
  'no versions': put(0, []),
  'version 0': put(0, [0, 1]),
  'version 256': put(0, [1, 256]),
  'a version twice': put(0, [1, 1]),
  'versions that descend': put(0, [2, 1]),
  'nine versions': put(0, [1, 2, 3, 4, 5, 6, 7, 8, 9]),
  'an empty purpose': put(1, ''),
  'a purpose of 65 characters': put(1, 'p'.repeat(65)),
  'a purpose with a space': put(1, 'nzcore/test/1 '),
  'a purpose that is not ASCII': put(1, 'nzcore/täst/1'),
  'a purpose in bytes': put(1, Buffer.from(PURPOSE)),
  'features that descend': put(2, ['zstd', 'deflate']),
  'a feature twice': put(2, ['zstd', 'zstd']),
  'a feature in capitals': put(2, ['Zstd']),
  '33 features': put(
    2,
    Array.from({ length: 33 }, (_, at) => `f${at + 10}`),
  ),
  'an index of 33 bits': put(3, 2 ** 32),
  'an index below 0': put(3, -1),
  'a peer of 31 bytes': put(4, new Uint8Array(31)),
  'a proof with a third item': (items) => put(5, [...(items[5] as unknown[]), 1])(items),
  'a proof with a short signature': put(5, [BOB.publicKey, new Uint8Array(63)]),
}

const LIES: readonly Lie[] = [
  ...Object.entries(MALFORMED).map(([what, say]): Lie => ({ what, pattern: 'XX', reader: 'initiator', say })),
  { what: 'nothing wrong', pattern: 'XX', reader: 'initiator' },
  { what: 'a feature nobody knows', pattern: 'XX', reader: 'initiator', say: put(2, ['a.b-c']) },
  { what: 'versions to come', pattern: 'XX', reader: 'initiator', say: put(0, [1, 2, 255]) },
  { what: 'both know version 2', pattern: 'XX', reader: 'initiator', own: { versions: [1, 2] }, say: put(0, [1, 2]) },
  { what: 'no version in common', pattern: 'XX', reader: 'initiator', say: put(0, [2]) },
  { what: 'another purpose', pattern: 'XX', reader: 'initiator', own: { purpose: 'nzcore/other/1' } },
  { what: 'meant for somebody else', pattern: 'XX', reader: 'initiator', say: put(4, EVE.publicKey) },
  { what: 'no proof', pattern: 'XX', reader: 'initiator', say: put(5, null) },
  {
    what: 'a signature of another key',
    pattern: 'XX',
    reader: 'initiator',
    say: put(5, proofOf(BOB, EVE.signature)),
  },
  { what: 'a static key of another', pattern: 'XX', reader: 'initiator', static: EVE },
  { what: 'another identity', pattern: 'XX', reader: 'initiator', own: { expectedPeer: EVE.publicKey } },
  { what: 'a feature that is missing', pattern: 'XX', reader: 'initiator', own: { requiredFeatures: ['zstd'] } },
  { what: 'a feature that is there', pattern: 'XX', reader: 'initiator', own: { requiredFeatures: ['deflate'] } },
  { what: 'a changed tag', pattern: 'XX', reader: 'initiator', changeLast: flipAt(-1) },
  { what: 'a changed key', pattern: 'XX', reader: 'initiator', changeLast: flipAt(HEADER + 4) },
  { what: 'a key of low order', pattern: 'XX', reader: 'initiator', changeLast: lowOrderAt(4) },
  {
    what: 'cut behind its first key',
    pattern: 'XX',
    reader: 'initiator',
    changeLast: bodyOf((body) => body.subarray(0, 36)),
  },
  {
    what: 'cut within its tag',
    pattern: 'XX',
    reader: 'initiator',
    changeLast: bodyOf((body) => body.subarray(0, 90)),
  },
  { what: 'for another index', pattern: 'XX', reader: 'initiator', changeLast: flipAt(HEADER) },
  { what: 'a frame of another type', pattern: 'XX', reader: 'initiator', changeLast: flipAt(1) },
  // What is checked first is told.
  {
    what: 'a downgrade for another purpose',
    pattern: 'XX',
    reader: 'initiator',
    own: { versions: [1, 2] },
    say: (items) => [[1, 2], 'nzcore/other/1', ...items.slice(2)],
  },
  {
    what: 'another purpose, meant for another',
    pattern: 'XX',
    reader: 'initiator',
    say: ([versions, , features, index, , proof]) => [
      versions,
      'nzcore/other/1',
      features,
      index,
      EVE.publicKey,
      proof,
    ],
  },
  {
    what: 'meant for another, and no proof',
    pattern: 'XX',
    reader: 'initiator',
    say: (items) => [...items.slice(0, 4), EVE.publicKey, null],
  },
  {
    what: 'forged by another identity than the expected one',
    pattern: 'XX',
    reader: 'initiator',
    own: { expectedPeer: EVE.publicKey, requiredFeatures: ['zstd'] },
    say: put(5, proofOf(BOB, EVE.signature)),
  },
  {
    what: 'another identity without the feature',
    pattern: 'XX',
    reader: 'initiator',
    own: { expectedPeer: EVE.publicKey, requiredFeatures: ['zstd'] },
  },
  { what: 'an answer by a known key', pattern: 'IK', reader: 'initiator' },
  { what: 'an answer by a known key without proof', pattern: 'IK', reader: 'initiator', say: put(5, null) },
  { what: 'an answer by a ticket', pattern: 'IKpsk1', reader: 'initiator' },
  {
    what: 'an answer by a ticket with a proof',
    pattern: 'IKpsk1',
    reader: 'initiator',
    say: put(5, proofOf(BOB, BOB.signature)),
  },
  { what: 'a call', pattern: 'IK', reader: 'responder' },
  { what: 'a call for another purpose', pattern: 'IK', reader: 'responder', own: { purpose: 'nzcore/other/1' } },
  { what: 'a call with another index inside', pattern: 'IK', reader: 'responder', say: put(3, 7) },
  { what: 'a call that is malformed', pattern: 'IK', reader: 'responder', say: put(0, []) },
  { what: 'a call to nobody', pattern: 'IK', reader: 'responder', say: put(4, null) },
  {
    what: 'a call for another identity with the same static key',
    pattern: 'IK',
    reader: 'responder',
    own: { identity: { ...identityOf(9), staticKey: BOB.staticKey } },
  },
  {
    what: 'a call whose signature is of another key',
    pattern: 'IK',
    reader: 'responder',
    say: put(5, proofOf(ANN, EVE.signature)),
  },
  { what: 'a call by who may not', pattern: 'IK', reader: 'responder', isRefusedByPolicy: true },
  { what: 'a call of another static key', pattern: 'IK', reader: 'responder', calls: EVE },
  { what: 'a call by a key of low order', pattern: 'IK', reader: 'responder', changeLast: lowOrderAt(6) },
  {
    what: 'a call cut behind its first key',
    pattern: 'IK',
    reader: 'responder',
    changeLast: bodyOf((body) => body.subarray(0, 38)),
  },
  { what: 'a call whose index was changed', pattern: 'IK', reader: 'responder', changeLast: flipAt(HEADER + 1) },
  { what: 'a call of an unknown pattern', pattern: 'IK', reader: 'responder', changeLast: flipAt(HEADER + 5) },
  {
    what: 'pattern 3',
    pattern: 'IK',
    reader: 'responder',
    changeLast: bodyOf((body) => body.map((byte, at) => (at === 0 ? 3 : byte))),
  },
  { what: 'a frame of version 0', pattern: 'IK', reader: 'responder', changeLast: flipAt(0) },
  { what: 'a call by a ticket', pattern: 'IKpsk1', reader: 'responder' },
  { what: 'a call by a ticket that is not known', pattern: 'IKpsk1', reader: 'responder', hasNoTicket: true },
  { what: 'a call by a ticket for another purpose', pattern: 'IKpsk1', reader: 'responder', own: { purpose: 'x' } },
  { what: 'a call by a stolen ticket', pattern: 'IKpsk1', reader: 'responder', static: EVE },
  {
    what: 'a call by a ticket with a proof',
    pattern: 'IKpsk1',
    reader: 'responder',
    say: put(5, proofOf(ANN, ANN.signature)),
  },
  {
    what: 'a first message of XX that says something',
    pattern: 'XX',
    reader: 'responder',
    changeHello: bodyOf((body) => Buffer.concat([body, Uint8Array.of(0)])),
  },
  {
    what: 'a first message of XX with a key of low order',
    pattern: 'XX',
    reader: 'responder',
    changeHello: lowOrderAt(6),
  },
  { what: 'a finish', pattern: 'XX', reader: 'responder' },
  { what: 'a finish with another index', pattern: 'XX', reader: 'responder', say: put(3, 7) },
  { what: 'a finish that is malformed', pattern: 'XX', reader: 'responder', say: put(2, ['b', 'a']) },
  { what: 'a finish meant for nobody', pattern: 'XX', reader: 'responder', say: put(4, null) },
  { what: 'a finish meant for another', pattern: 'XX', reader: 'responder', say: put(4, EVE.publicKey) },
  { what: 'a finish by who may not', pattern: 'XX', reader: 'responder', isRefusedByPolicy: true },
  {
    what: 'a finish without a feature that is needed',
    pattern: 'XX',
    reader: 'responder',
    own: { requiredFeatures: ['other'] },
  },
  { what: 'a changed finish', pattern: 'XX', reader: 'responder', changeLast: flipAt(-1) },
]

const key = (fill: number) => x25519KeyPairFromSeed(Buffer.alloc(32, fill))

/** What the side that reads the last frame says; all that it needs to know for it is told. */
function told(lie: Lie, first: number) {
  const { what, pattern, reader } = lie
  const random = plainRandom(first)
  const tickets = new TicketStore()
  const earlier = resumable(ANN, BOB, PURPOSE, tickets)
  const own = { ...lie.own, random }
  const calls = initiatorInit({
    ...own,
    ...(pattern === 'IK' ? { pinnedStatic: BOB.staticKey.publicKey } : {}),
    ...(pattern === 'IKpsk1' ? { ticket: earlier } : {}),
  })
  const answers = responderInit({
    ...own,
    tickets: lie.hasNoTicket === true ? new TicketStore() : tickets,
    isAllowed: () => lie.isRefusedByPolicy !== true,
  })
  const init = reader === 'initiator' ? calls : answers
  const { frames, step } = reader === 'initiator' ? answered(lie, calls, earlier) : called(lie, answers, earlier)
  const code = step.refused ?? step.failed ?? (step.done === undefined ? null : 'taken')
  const peer = reader === 'initiator' ? BOB : ANN
  return {
    what,
    pattern,
    reader: {
      role: reader,
      identity: toHex(init.identity.publicKey),
      staticSeed: toHex(Buffer.alloc(32, reader === 'initiator' ? 101 : 102)),
      signature: toHex(init.identity.signature),
      expected: init.role === 'initiator' ? toHex(init.expectedPeer ?? assert.fail()) : null,
      calls: init.role === 'initiator' ? toHex(BOB.staticKey.publicKey) : null,
      ticket:
        pattern === 'IKpsk1' && lie.hasNoTicket !== true
          ? {
              ...ticketOf(earlier),
              purpose: PURPOSE,
              identity: toHex(peer.publicKey),
              static: toHex(peer.staticKey.publicKey),
            }
          : null,
      purpose: init.purpose,
      features: init.features,
      required: init.requiredFeatures ?? [],
      versions: init.versions ?? [1],
      isAllowed: lie.isRefusedByPolicy !== true,
      random: random.given,
    },
    frames: frames.map(toHex),
    code,
    refuse: code === 'taken' ? null : (step.send.map(toHex)[0] ?? null),
  }
}

const bytesOf = (said: readonly unknown[] | Uint8Array): Uint8Array =>
  said instanceof Uint8Array ? said : encodeCanonical(said as Items)

/** A caller, who reads the ANSWER of a liar. */
function answered({ pattern, say = (items) => items, ...lie }: Lie, calls: InitiatorInit, ticket: Ticket) {
  const calling = startHandshake(calls)
  const hello = nth(calling.due(0).send, 0)
  const index = numberAt(hello, HEADER + 1)
  const isResumed = pattern === 'IKpsk1'
  const ticketId = isResumed ? ticket.id : NOTHING
  const noise = new Handshake({
    pattern: patterns[pattern],
    role: 'responder',
    prologue: prologueOf(1, pattern, index, ticketId),
    staticKey: (lie.static ?? BOB).staticKey,
    ephemeralKey: key(0xb0),
    ...(isResumed ? { preSharedKeys: [ticket.preSharedKey] } : {}),
  })
  noise.readMessage(hello.subarray(HEADER + 6 + ticketId.length))
  const peer = pattern === 'XX' ? null : ANN.publicKey
  const proof = isResumed ? null : proofOf(BOB, BOB.signature)
  const said = bytesOf(say([[1], PURPOSE, ['deflate', 'other'], 0x0b0b0b0b, peer, proof]))
  const answer = (lie.changeLast ?? ((frame) => frame))(encodeReply('answer', index, noise.writeMessage(said)))
  return { frames: [hello, answer], step: { ...calling.receive(answer, 0), send: [] } }
}

/** Who is called, and reads the HELLO or FINISH of a liar. */
function called({ pattern, say = (items) => items, ...lie }: Lie, answers: ResponderInit, ticket: Ticket) {
  const responder = startHandshake(answers)
  const [index, isResumed] = [0x0a0a0a0a, pattern === 'IKpsk1']
  const ticketId = isResumed ? ticket.id : NOTHING
  const noise = new Handshake({
    pattern: patterns[pattern],
    role: 'initiator',
    prologue: prologueOf(1, pattern, index, ticketId),
    staticKey: (lie.static ?? ANN).staticKey,
    ephemeralKey: key(0xa0),
    ...(pattern === 'XX' ? {} : { remoteStatic: (lie.calls ?? BOB).staticKey.publicKey }),
    ...(isResumed ? { preSharedKeys: [ticket.preSharedKey] } : {}),
  })
  const proof = isResumed ? null : proofOf(ANN, ANN.signature)
  const said = bytesOf(say([[1], PURPOSE, ['deflate', 'zstd'], index, BOB.publicKey, proof]))
  const message = noise.writeMessage(pattern === 'XX' ? NOTHING : said)
  const change = (pattern === 'XX' ? lie.changeHello : lie.changeLast) ?? ((frame: Uint8Array) => frame)
  const hello = change(encodeHello({ pattern, index, cookie: NOTHING, ticketId, message }))
  const first = responder.receive(hello, 0)
  if (pattern !== 'XX' || first.refused !== undefined) return { frames: [hello], step: first }
  const answer = nth(first.send, 0)
  noise.readMessage(answer.subarray(HEADER + 4))
  const finish = encodeReply('finish', responder.localIndex, noise.writeMessage(said))
  const changed = (lie.changeLast ?? ((frame: Uint8Array) => frame))(finish)
  return { frames: [hello, answer, changed], step: responder.receive(changed, 0) }
}

function makeVectors() {
  return {
    source:
      'NZ-HANDSHAKE-01; written by test/unit/channel/handshake-vectors.test.ts. Bytes are hexadecimal. random: what each ' +
      'side drew, in order: 4 bytes are an index, 32 the private half of an ephemeral key. tickets: by which each side may ' +
      'be initiator next. readings: what a side that knows what stands under reader says to the last of the frames: ' +
      'taken, a code, or nothing (null); refuse: what it sends then.',
    codes: handshakeCodes.slice(1),
    identities: Object.fromEntries(
      Object.entries(who).map(([name, identity]) => [
        name,
        {
          seed: toHex(Buffer.alloc(32, SEEDS[name as Name])),
          identity: toHex(identity.publicKey),
          staticSeed: toHex(Buffer.alloc(32, SEEDS[name as Name] + 100)),
          static: toHex(identity.staticKey.publicKey),
          signature: toHex(identity.signature),
        },
      ]),
    ),
    handshakes: SETUPS.map((setup, at) => handshakeOf(setup, 0x10 + at * 0x08)),
    readings: LIES.map((lie, at) => told(lie, 1 + at * 2)),
  }
}

describe('NZ-HANDSHAKE-01', () => {
  it('has the vectors of spec/vectors/handshake.json', () => {
    const { made, written } = madeVectors('handshake.json', makeVectors())
    assert.deepEqual(made, written)
  })
})
