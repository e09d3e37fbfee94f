/**
 * spec/vectors/invite.json against the code: the vectors of NZ-INVITE-01 and NZ-FORWARD-01.
 * `NZ_WRITE_VECTORS=1 node --test test/unit/invite-vectors.test.ts` writes them anew.
 */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, it } from 'node:test'
import { isNzError } from '../../kernel/index.ts'
import { IdentityKeys } from '../../modules/identity/keys.ts'
import { verifyFor } from '../../protocols/identity/signature.ts'
import { encodeAnswer, encodeHeader } from '../../protocols/forward/header.ts'
import { decodeJoinMessage, encodeJoinMessage } from '../../protocols/invite/messages.ts'
import { displayName } from '../../protocols/invite/name.ts'
import { createTicket, inviteIdOf, openTicket, secretDigest } from '../../protocols/invite/ticket.ts'
import { commitmentOf, comparisonWords } from '../../protocols/invite/words.ts'
import { fromHex, specVectors, toHex } from '../vectors.ts'
import type { JoinMessage } from '../../protocols/invite/messages.ts'

const SECRET = Uint8Array.from({ length: 16 }, (_, at) => at)
const INVITER_NONCE = new Uint8Array(16).fill(0x11)
const JOINER_NONCE = new Uint8Array(16).fill(0x22)
const EXPIRES_AT_S = 1_800_000_000

const ticketCases = [
  { name: 'desk', addresses: ['/ip4/192.0.2.7/tcp/4001', '/ip4/192.0.2.7/tcp/4002/ws'] },
  { name: 'Zoë 🖥', addresses: ['/ip6/2001:db8::7/tcp/4001', '/dns4/desk.example/tcp/443/wss'] },
  { name: 'no-address', addresses: [] },
]

const messages: readonly JoinMessage[] = [
  {
    type: 'hello',
    secret: SECRET,
    commitment: new Uint8Array(32).fill(0x33),
    name: 'laptop',
    addresses: ['/ip4/192.0.2.8/tcp/4001'],
  },
  { type: 'challenge', nonce: INVITER_NONCE },
  { type: 'reveal', nonce: JOINER_NONCE },
  { type: 'accept' },
  { type: 'refuse', code: 'NZ_INVITE_USED' },
  { type: 'refuse', code: 'NZ_JOIN_DECLINED' },
]

const names = [
  'desk',
  '  my\tlaptop\n',
  'a\u202Eb\u2066c',
  '\u001b[31mred',
  '--yes',
  'nz1qqqq',
  '\u0007',
  'x'.repeat(40),
]

/** Changes one thing of a good ticket; its code is what a reader must answer with. */
function refusalsOf(text: string): ReadonlyArray<{ ticket: string; code: string }> {
  const other = text.endsWith('q') ? 'p' : 'q'
  return [
    { ticket: `${text.slice(0, -1)}${other}`, code: 'NZ_INVITE_ALTERED' },
    { ticket: `${text.slice(0, 10).toUpperCase()}${text.slice(10)}`, code: 'NZ_INVITE_ALTERED' },
    { ticket: text.slice(0, -20), code: 'NZ_INVITE_ALTERED' },
    { ticket: text.slice(4), code: 'NZ_INVITE_MALFORMED' },
    { ticket: `${text}b`, code: 'NZ_INVITE_MALFORMED' },
  ]
}

function codeOf(text: string): string {
  try {
    openTicket(text, verifyFor)
    return 'opened'
  } catch (error) {
    if (isNzError(error)) return error.code
    throw error
  }
}

async function makeVectors() {
  using inviter = await IdentityKeys.derive(new Uint8Array(32))
  using joiner = await IdentityKeys.derive(new Uint8Array(32).fill(0xff))
  const tickets = ticketCases.map((fields) => {
    const unsigned = {
      ...fields,
      inviter: inviter.self.nodePublicKey,
      secret: SECRET,
      expiresAtMs: EXPIRES_AT_S * 1_000,
    }
    const { text, digest } = createTicket(unsigned, (...toSign) => inviter.signAsNode(...toSign))
    return { ...fields, secret: toHex(SECRET), expiresAt: EXPIRES_AT_S, ticket: text, payloadDigest: toHex(digest) }
  })
  const binding = {
    inviter: inviter.self.nodePublicKey,
    joiner: joiner.self.nodePublicKey,
    ticket: secretDigest(SECRET),
  }
  return {
    source: 'NZ-INVITE-01 and NZ-FORWARD-01; written by test/unit/invite-vectors.test.ts. Bytes are hexadecimal.',
    inviter: toHex(inviter.self.nodePublicKey),
    joiner: toHex(joiner.self.nodePublicKey),
    inviteId: inviteIdOf(SECRET),
    secretDigest: toHex(binding.ticket),
    tickets,
    refused: refusalsOf(tickets[0]?.ticket ?? ''),
    messages: messages.map((message) => ({ type: message.type, bytes: toHex(encodeJoinMessage(message)) })),
    words: {
      inviterNonce: toHex(INVITER_NONCE),
      joinerNonce: toHex(JOINER_NONCE),
      commitment: toHex(commitmentOf(binding, JOINER_NONCE)),
      words: comparisonWords(binding, INVITER_NONCE, JOINER_NONCE),
    },
    names: names.map((proposed) => ({ proposed, shown: displayName(proposed) })),
    forward: {
      header: { service: 'web', bytes: toHex(encodeHeader('web')) },
      connected: toHex(encodeAnswer({ type: 'connected' })),
      refused: toHex(encodeAnswer({ type: 'refused', code: 'NZ_FORWARD_REFUSED' })),
    },
  }
}

type Vectors = Awaited<ReturnType<typeof makeVectors>>

describe('NZ-INVITE-01', () => {
  it('has the vectors of spec/vectors/invite.json', async () => {
    const made = await makeVectors()
    if (process.env['NZ_WRITE_VECTORS'] !== undefined) {
      const path = join(resolve(import.meta.dirname, '..', '..'), 'spec', 'vectors', 'invite.json')
      writeFileSync(path, `${JSON.stringify(made, null, 2)}\n`)
    }
    assert.deepEqual(made, specVectors<object>('invite.json'))
  })

  it('opens the good tickets of its vectors and refuses the others with their codes', () => {
    const { tickets, refused, inviter } = specVectors<Vectors>('invite.json')
    for (const { ticket, name, addresses, secret, expiresAt } of tickets) {
      const opened = openTicket(ticket, verifyFor)
      assert.equal(toHex(opened.inviter), inviter)
      assert.deepEqual([opened.name, opened.addresses, toHex(opened.secret)], [displayName(name), addresses, secret])
      assert.equal(opened.expiresAtMs, expiresAt * 1_000)
    }
    for (const { ticket, code } of refused) assert.equal(codeOf(ticket), code, ticket)
  })

  it('reads the messages of its vectors', () => {
    for (const { type, bytes } of specVectors<Vectors>('invite.json').messages) {
      assert.equal(decodeJoinMessage(fromHex(bytes))?.type, type)
    }
  })
})
