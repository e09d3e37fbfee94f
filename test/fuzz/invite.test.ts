/** Mutated tickets and join messages: every one is refused with a code; none crashes, hangs or verifies. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { bech32m } from '@scure/base'
import { isNzError, seededRandom } from '../../kernel/index.ts'
import { decodeAddressList, encodeAddressList } from '../../protocols/invite/address-list.ts'
import { decodeAddress } from '../../protocols/invite/addresses.ts'
import { decodeJoinMessage, encodeJoinMessage } from '../../protocols/invite/messages.ts'
import { createTicket, openTicket } from '../../protocols/invite/ticket.ts'
import { fakeIdentity } from '../fake/identity.ts'
import type { Random } from '../../kernel/index.ts'

const seed = Number(process.env['NZ_FUZZ_SEED'] ?? Math.floor(Math.random() * 2 ** 31))
const runs = Number(process.env['NZ_FUZZ_RUNS'] ?? 20_000)
const identity = fakeIdentity(1)
const { text } = createTicket(
  {
    inviter: identity.self.nodePublicKey,
    addresses: ['/ip4/192.0.2.7/tcp/4001', '/ip6/2001:db8::7/tcp/4002/ws', '/dns4/desk.example/tcp/4001'],
    secret: new Uint8Array(16).fill(9),
    expiresAtMs: 1_800_000_000_000,
    name: 'desk',
  },
  (...signed) => identity.signAsNode(...signed),
)
const envelope = Uint8Array.from(bech32m.decodeToBytes(text, false).bytes)

function below(random: Random, limit: number): number {
  return Math.floor(random.unit() * limit)
}

function mutate(random: Random, bytes: Uint8Array): Uint8Array {
  let out: Uint8Array = bytes.slice()
  for (let count = 1 + below(random, 4); count > 0; count--) {
    const at = below(random, out.length + 1)
    switch (below(random, 5)) {
      case 0:
        if (at < out.length) out[at] = (out[at] ?? 0) ^ (1 << below(random, 8))
        break
      case 1:
        out = out.slice(0, at)
        break
      case 2:
        out = Uint8Array.from([...out.slice(0, at), ...random.bytes(1 + below(random, 8)), ...out.slice(at)])
        break
      case 3:
        out = Uint8Array.from([...out.slice(0, at), ...out.slice(at + 1 + below(random, 16))])
        break
      default:
        if (at < out.length) out[at] = [0x00, 0x1b, 0x5f, 0x7f, 0x9b, 0x9f, 0xbf, 0xff][below(random, 8)] ?? 0
    }
  }
  return out
}

function open(ticket: string): string {
  try {
    openTicket(ticket, (...signed) => identity.verify(...signed))
    return 'opened'
  } catch (error) {
    if (isNzError(error)) return error.code
    throw error
  }
}

describe(`fuzz: invite decoders (NZ_FUZZ_SEED=${seed})`, () => {
  it('never opens a ticket whose bytes were changed, however its checksum was repaired', () => {
    const random = seededRandom(seed)
    const seen = new Set<string>()
    for (let run = 0; run < runs; run++) {
      const mutated = mutate(random, envelope)
      if (Buffer.compare(mutated, envelope) === 0) continue
      const started = performance.now()
      const code = open(bech32m.encode('nzi', bech32m.toWords(mutated), false))
      assert.ok(performance.now() - started < 100)
      seen.add(code)
      assert.match(code, /^NZ_INVITE_(MALFORMED|ALTERED|VERSION)$/)
    }
    assert.ok(seen.size >= 2, [...seen].join())
  })

  it('never opens a ticket whose text was changed', () => {
    const random = seededRandom(seed + 1)
    for (let run = 0; run < runs; run++) {
      const mutated = new TextDecoder('latin1').decode(mutate(random, new TextEncoder().encode(text)))
      if (mutated.replace(/\s+/g, '') === text) continue
      assert.match(open(mutated), /^NZ_INVITE_(MALFORMED|ALTERED)$/)
    }
  })

  it('refuses every single flipped bit', () => {
    for (let bit = 0; bit < envelope.length * 8; bit++) {
      const flipped = envelope.slice()
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      assert.notEqual(open(bech32m.encode('nzi', bech32m.toWords(flipped), false)), 'opened', `bit ${bit}`)
    }
  })

  it('decodes a join message to null or to one that encodes again', () => {
    const random = seededRandom(seed + 2)
    const hello = encodeJoinMessage({
      type: 'hello',
      secret: new Uint8Array(16),
      commitment: new Uint8Array(32),
      name: 'laptop',
      addresses: ['/ip4/192.0.2.8/tcp/4001'],
    })
    for (let run = 0; run < runs; run++) {
      const message = decodeJoinMessage(run % 2 === 0 ? mutate(random, hello) : random.bytes(below(random, 64)))
      if (message !== null) assert.ok(encodeJoinMessage(message).length <= 2_048)
    }
  })

  it('decodes a list of addresses to null or to one that fits again', () => {
    const random = seededRandom(seed + 4)
    const list = encodeAddressList(['/ip4/192.0.2.7/tcp/4001', '/ip6/2001:db8::7/tcp/4002/ws'])
    for (let run = 0; run < runs; run++) {
      const addresses = decodeAddressList(mutate(random, list))
      if (addresses !== null) assert.deepEqual(decodeAddressList(encodeAddressList(addresses)), addresses)
    }
  })

  it('decodes an address to null or to text that stands for the same bytes', () => {
    const random = seededRandom(seed + 3)
    const address = Uint8Array.from([4, 192, 0, 2, 7, 6, 0x0f, 0xa1])
    assert.equal(decodeAddress(address), '/ip4/192.0.2.7/tcp/4001')
    for (let run = 0; run < runs; run++) {
      const text = decodeAddress(mutate(random, address))
      if (text !== null) assert.match(text, /^\/(ip4|ip6|dns|dns4|dns6)\/[\x21-\x7e]+$/)
    }
  })
})
