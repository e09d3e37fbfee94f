import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { bech32m } from '@scure/base'
import { encode } from 'cborg'
import { decodeAddress, encodeAddress, MAX_ADDRESSES } from '../../protocols/invite/addresses.ts'
import {
  DECISION_TIMEOUT_MS,
  HANDSHAKE_TIMEOUT_MS,
  JoinMachine,
  PEER_DECISION_TIMEOUT_MS,
} from '../../protocols/invite/join.ts'
import { decodeJoinMessage, encodeJoinMessage } from '../../protocols/invite/messages.ts'
import { createTicket, inviteIdOf, MAX_TICKET_CHARACTERS, openTicket } from '../../protocols/invite/ticket.ts'
import { comparisonWords } from '../../protocols/invite/words.ts'
import { ShortFrames, shortFrame } from '../../protocols/framing/short-frames.ts'
import { fakeIdentity } from '../fake/identity.ts'
import type { JoinEffect } from '../../protocols/invite/join.ts'
import type { JoinMessage } from '../../protocols/invite/messages.ts'
import type { Ticket } from '../../protocols/invite/ticket.ts'

const identity = fakeIdentity(1)
const sign = identity.signAsNode.bind(identity)
const verify = identity.verify.bind(identity)
const ticket: Ticket = {
  inviter: identity.self.nodePublicKey,
  addresses: ['/ip4/192.0.2.7/tcp/4001', '/ip6/2001:db8::7/tcp/4002/ws'],
  secret: new Uint8Array(16).fill(9),
  expiresAtMs: 1_800_000_000_000,
  name: 'desk',
}
const { text } = createTicket(ticket, sign)
const wrap = (value: unknown) => bech32m.encode('nzi', bech32m.toWords(encode(value)), false)
const payload = (change: Partial<Record<0 | 1 | 2 | 3 | 4, unknown>> = {}) =>
  Object.assign([ticket.inviter, [], ticket.secret, 1_800_000_000, 'desk'], change)
const signed = (value: unknown) => {
  const bytes = encode(value)
  return wrap([1, bytes, sign('nzcore/invite/1', bytes)])
}

describe('ticket', () => {
  it('carries its fields through text, in lower and upper case and with white space', () => {
    for (const form of [text, text.toUpperCase(), ` ${text.slice(0, 50)}\n  ${text.slice(50)}\r\n`]) {
      const { digest, ...fields } = openTicket(form, verify)
      assert.deepEqual(fields, ticket)
      assert.equal(digest.length, 32)
    }
    assert.match(text, /^nzi1[02-9ac-hj-np-z]+$/)
    assert.ok(text.length < 300, `${text.length}`)
  })

  it('is refused as altered when a character, its signature or its signer is not right', () => {
    const other = text.endsWith('q') ? 'p' : 'q'
    assert.throws(() => openTicket(text.slice(0, -1) + other, verify), { code: 'NZ_INVITE_ALTERED' })
    assert.throws(() => openTicket(text.slice(0, 20).toUpperCase() + text.slice(20), verify), {
      code: 'NZ_INVITE_ALTERED',
    })
    const bytes = encode(payload())
    assert.throws(() => openTicket(wrap([1, bytes, new Uint8Array(64)]), verify), { code: 'NZ_INVITE_ALTERED' })
    const purpose = wrap([1, bytes, sign('nzcore/other/1', bytes)])
    assert.throws(() => openTicket(purpose, verify), { code: 'NZ_INVITE_ALTERED' })
    const foreign = wrap([1, bytes, fakeIdentity(2).signAsNode('nzcore/invite/1', bytes)])
    assert.throws(() => openTicket(foreign, verify), { code: 'NZ_INVITE_ALTERED' })
  })

  it('is refused as of another version before anything else of it is read', () => {
    assert.throws(() => openTicket(wrap([2, 'whatever']), verify), { code: 'NZ_INVITE_VERSION', exit: 'incompatible' })
  })

  it('is refused as malformed for every field out of its bounds, even when signed', () => {
    assert.equal(openTicket(signed(payload()), verify).name, 'desk')
    const wrong = [
      payload({ 0: new Uint8Array(31) }),
      payload({ 1: Array.from({ length: MAX_ADDRESSES + 1 }, () => Uint8Array.of(4, 1, 2, 3, 4, 6, 1, 1)) }),
      payload({ 1: [Uint8Array.of(1, 2, 3)] }),
      payload({ 2: new Uint8Array(17) }),
      payload({ 3: -1 }),
      payload({ 3: 1.5 }),
      payload({ 3: 2 ** 41 }),
      payload({ 4: 'x'.repeat(129) }),
      payload({ 4: new Uint8Array(4) }),
      [...payload(), 0],
      payload().slice(0, 4),
      { 0: 1 },
    ]
    for (const value of wrong) assert.throws(() => openTicket(signed(value), verify), { code: 'NZ_INVITE_MALFORMED' })
    for (const value of [[], {}, 1, [1], [1, new Uint8Array(8)], ['1', new Uint8Array(8), new Uint8Array(64)]]) {
      assert.throws(() => openTicket(wrap(value), verify), { code: 'NZ_INVITE_MALFORMED' })
    }
    for (const value of ['', 'nzi1', 'bc1qqqq', 'nzi1b', `nzi1${'q'.repeat(2_000)}`, 'x'.repeat(1_000_000)]) {
      assert.throws(() => openTicket(value, verify), { code: /NZ_INVITE_(MALFORMED|ALTERED)/ })
    }
  })

  it('is refused when it is not in the one deterministic form', () => {
    const bytes = encode(payload())
    // The array header in two bytes instead of one.
    const loose = Uint8Array.from([0x98, 5, ...bytes.slice(1)])
    assert.throws(() => openTicket(wrap([1, loose, sign('nzcore/invite/1', loose)]), verify), {
      code: 'NZ_INVITE_MALFORMED',
    })
  })

  it('shows a name from a stranger only when it is safe to show', () => {
    assert.equal(openTicket(signed(payload({ 4: '\u202Ede\u001b[2Jsk' })), verify).name, 'de2Jsk')
    assert.equal(openTicket(signed(payload({ 4: '\n' })), verify).name, 'peer')
  })

  it('leaves out addresses that do not fit, and stays within its length', () => {
    const host = `${'a'.repeat(60)}.${'b'.repeat(40)}.example`
    const addresses = Array.from({ length: 8 }, (_, i) => `/dns4/${host}/tcp/${4_000 + i}`)
    const long = createTicket({ ...ticket, addresses }, sign)
    assert.ok(long.text.length <= MAX_TICKET_CHARACTERS)
    const opened = openTicket(long.text, verify)
    assert.ok(opened.addresses.length > 0 && opened.addresses.length < 8)
    assert.deepEqual(opened.addresses, addresses.slice(0, opened.addresses.length))
  })

  it('is named by an id that is not its secret', () => {
    assert.match(inviteIdOf(ticket.secret), /^inv_[0-9a-f]{12}$/)
    assert.notEqual(inviteIdOf(ticket.secret), inviteIdOf(new Uint8Array(16)))
  })
})

describe('addresses from strangers', () => {
  it('are IP or DNS hosts with TCP or UDP on top, nothing else', () => {
    for (const good of ['/ip4/192.0.2.1/tcp/1', '/ip6/::1/tcp/4002/ws', '/dns6/a.example/tcp/443/wss']) {
      const bytes = encodeAddress(`${good}/p2p/${identity.self.peerId}`)
      assert.ok(bytes)
      assert.equal(decodeAddress(bytes), good)
    }
    for (const bad of [
      '/unix/tmp%2Fsocket',
      '/memory/1',
      '/ip4/192.0.2.1',
      '',
      'x',
      `/dns4/${'a'.repeat(200)}/tcp/1`,
      // 118 bytes that read as 683 characters: more than an address book takes.
      `/ip4/192.0.2.1/tcp/4001${'/p2p-circuit'.repeat(55)}`,
    ]) {
      assert.equal(encodeAddress(bad), null, bad)
    }
  })
})

describe('join machine', () => {
  const other = fakeIdentity(2)
  const start = () => ({
    inviter: new JoinMachine({
      role: 'inviter',
      selfKey: identity.self.nodePublicKey,
      peerKey: other.self.nodePublicKey,
      nonce: new Uint8Array(16).fill(3),
      nowMs: 0,
    }),
    joiner: new JoinMachine({
      role: 'joiner',
      selfKey: other.self.nodePublicKey,
      peerKey: identity.self.nodePublicKey,
      nonce: new Uint8Array(16).fill(4),
      nowMs: 0,
      secret: ticket.secret,
      self: { name: 'laptop', addresses: [] },
      inviter: { name: 'desk', addresses: ticket.addresses },
    }),
  })
  const sent = (effects: readonly JoinEffect[]): JoinMessage | null =>
    effects.flatMap((effect) => (effect.kind === 'send' ? [effect.message] : []))[0] ?? null
  const kinds = (effects: readonly JoinEffect[]) => effects.map(({ kind }) => kind)
  const compared = () => {
    const { inviter, joiner } = start()
    assert.deepEqual(kinds(inviter.receive(sent(joiner.begin()), 0)), ['claim'])
    const answer = joiner.receive(sent(inviter.claimed(0)), 0)
    const words = inviter.receive(sent(answer), 0)
    return { inviter, joiner, answer, words }
  }

  it('gives both sides the same words', () => {
    const { answer, words } = compared()
    assert.deepEqual(kinds(answer), ['send', 'words'])
    assert.deepEqual(words, answer.slice(1))
  })

  it('stores on both sides when both accepted, in either order, and only then', () => {
    for (const first of ['inviter', 'joiner'] as const) {
      const machines = compared()
      const second = first === 'inviter' ? 'joiner' : 'inviter'
      const accepted = machines[first].accept('words', 1)
      assert.deepEqual(kinds(accepted), ['send'])
      assert.deepEqual(machines[second].receive(sent(accepted), 1), [])
      const last = machines[second].accept('invite', 2)
      assert.deepEqual(kinds(last), ['send', 'store'])
      const stored = machines[first].receive(sent(last), 2)
      assert.deepEqual(kinds(stored), ['store'])
      assert.equal(stored[0]?.kind === 'store' && stored[0].contact.verifiedBy, 'words')
    }
  })

  it('lets a decline win over an acceptance under way', () => {
    const { inviter, joiner } = compared()
    const accepted = inviter.accept('words', 1)
    const declined = joiner.decline()
    assert.deepEqual(joiner.receive(sent(accepted), 1), [])
    assert.deepEqual(inviter.receive(sent(declined), 1), [{ kind: 'end', code: 'NZ_JOIN_DECLINED' }])
    assert.deepEqual([inviter.phase, joiner.phase], ['over', 'over'])
  })

  it('ends when a nonce is revealed that was not committed to', () => {
    const { inviter, joiner } = start()
    inviter.receive(sent(joiner.begin()), 0)
    inviter.claimed(0)
    const effects = inviter.receive({ type: 'reveal', nonce: new Uint8Array(16).fill(5) }, 0)
    assert.deepEqual(effects.at(-1), { kind: 'end', code: 'NZ_JOIN_PROTOCOL' })
  })

  it('ends at the deadline of each phase, and gives the other person a little longer', () => {
    const { inviter } = start()
    assert.deepEqual(inviter.tick(HANDSHAKE_TIMEOUT_MS - 1), [])
    assert.deepEqual(inviter.tick(HANDSHAKE_TIMEOUT_MS).at(-1), { kind: 'end', code: 'NZ_JOIN_TIMEOUT' })
    const machines = compared()
    assert.equal(machines.joiner.deadlineMs, DECISION_TIMEOUT_MS)
    machines.joiner.accept('words', 5)
    assert.equal(machines.joiner.deadlineMs, PEER_DECISION_TIMEOUT_MS)
    assert.equal(sent(machines.inviter.tick(DECISION_TIMEOUT_MS))?.type, 'refuse')
  })

  it('ends on any message out of turn, and does nothing once over', () => {
    const all: readonly JoinMessage[] = [
      { type: 'challenge', nonce: new Uint8Array(16) },
      { type: 'reveal', nonce: new Uint8Array(16) },
      { type: 'accept' },
    ]
    for (const message of all) {
      const { inviter } = start()
      assert.deepEqual(inviter.receive(message, 0).at(-1), { kind: 'end', code: 'NZ_JOIN_PROTOCOL' })
      assert.deepEqual([...inviter.receive(message, 0), ...inviter.accept('words', 0), ...inviter.lost()], [])
    }
    const { inviter } = compared()
    inviter.receive({ type: 'accept' }, 0)
    assert.deepEqual(inviter.receive({ type: 'accept' }, 0).at(-1), { kind: 'end', code: 'NZ_JOIN_PROTOCOL' })
  })
})

describe('comparison words', () => {
  it('change with every input', () => {
    const binding = { inviter: ticket.inviter, joiner: ticket.inviter, ticket: new Uint8Array(32) }
    const [a, b] = [new Uint8Array(16), new Uint8Array(16).fill(1)]
    const variants = [
      comparisonWords(binding, a, b),
      comparisonWords(binding, b, a),
      comparisonWords({ ...binding, joiner: new Uint8Array(32) }, a, b),
      comparisonWords({ ...binding, ticket: new Uint8Array(32).fill(1) }, a, b),
    ]
    assert.equal(new Set(variants.map((words) => words.join())).size, variants.length)
    for (const words of variants) assert.match(words.join(' '), /^[A-Z]+( [A-Z]+){3}$/)
  })
})

describe('join messages', () => {
  it('round-trip, and everything else is null', () => {
    const messages: readonly JoinMessage[] = [
      {
        type: 'hello',
        secret: new Uint8Array(16),
        commitment: new Uint8Array(32),
        name: 'a',
        addresses: ['/ip4/192.0.2.1/tcp/1'],
      },
      { type: 'challenge', nonce: new Uint8Array(16) },
      { type: 'reveal', nonce: new Uint8Array(16) },
      { type: 'accept' },
      { type: 'refuse', code: 'NZ_JOIN_DECLINED' },
    ]
    for (const message of messages) assert.deepEqual(decodeJoinMessage(encodeJoinMessage(message)), message)
    for (const wrong of [[], [0], [6], [4, 1], [2, new Uint8Array(15)], [5, 'x'], 'x', null]) {
      assert.equal(decodeJoinMessage(encode(wrong)), null)
    }
    assert.equal(decodeJoinMessage(new Uint8Array(4_096)), null)
    assert.deepEqual(decodeJoinMessage(encode([5, 200])), { type: 'refuse', code: 'NZ_JOIN_PROTOCOL' })
  })
})

describe('short frames', () => {
  it('come out as they went in, however they are cut, and leave what follows', () => {
    const frames = new ShortFrames({ maxBytes: 8 })
    const bytes = [...shortFrame(Uint8Array.of(1, 2, 3)), ...shortFrame(new Uint8Array(8)), 9, 9]
    const bodies: number[][] = []
    for (const byte of bytes) {
      frames.push(Uint8Array.of(byte))
      for (let next = frames.next(); next.state === 'frame' && bodies.length < 2; next = frames.next()) {
        bodies.push([...next.body])
      }
    }
    assert.deepEqual(bodies, [
      [1, 2, 3],
      [0, 0, 0, 0, 0, 0, 0, 0],
    ])
    assert.deepEqual([...frames.rest()], [9, 9])
    frames.push(Uint8Array.of(0, 9))
    assert.equal(frames.next().state, 'tooLarge')
    assert.throws(() => shortFrame(new Uint8Array(65_536)), RangeError)
  })
})
