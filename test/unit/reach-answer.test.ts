/** What a peer tells of how it is placed (NZ-REACH-01), and what is made of it. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { SimulatedClock } from '../../kernel/index.ts'
import { explainRelayed } from '../../modules/ipc/handlers/relayed-verdict.ts'
import { placeOfMachine } from '../../modules/ipc/handlers/place-of-machine.ts'
import { MAX_PIERCED_HOSTS, PiercedHosts } from '../../modules/network/reach/pierced-hosts.ts'
import { decodeReachAnswer, encodeReachAnswer } from '../../protocols/reach/answer.ts'
import { specVectors } from '../vectors.ts'
import type { RelayedFacts } from '../../modules/ipc/handlers/relayed-verdict.ts'
import type { ReachAnswer } from '../../protocols/reach/answer.ts'

interface Vectors {
  readonly valid: ReadonlyArray<{ readonly name: string; readonly hex: string; readonly answer: ReachAnswer }>
  readonly invalid: ReadonlyArray<{ readonly name: string; readonly hex: string }>
}

const { valid, invalid } = specVectors<Vectors>('reach.json')
const bytesOf = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, 'hex'))

describe('an answer to reach.tell', () => {
  for (const { name, hex, answer } of valid)
    it(`is ${hex}: ${name}`, () => {
      assert.equal(Buffer.from(encodeReachAnswer(answer)).toString('hex'), hex)
      assert.deepEqual(decodeReachAnswer(bytesOf(hex)), answer)
    })
  for (const { name, hex } of invalid) it(`is not: ${name}`, () => assert.equal(decodeReachAnswer(bytesOf(hex)), null))

  it('comes back as it was, and nothing else is read as one', () => {
    const answers = fc.record(
      {
        mapping: fc.constantFrom(...(['unknown', 'none', 'endpoint-independent', 'endpoint-dependent'] as const)),
        canPunch: fc.boolean(),
        tries: fc.nat(255),
        nextTryInMs: fc.option(fc.nat(0xff_ff_ff_ff)),
      },
      { noNullPrototype: true },
    )
    fc.assert(fc.property(answers, (answer) => assert.deepEqual(decodeReachAnswer(encodeReachAnswer(answer)), answer)))
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 12 }), (bytes) => {
        const answer = decodeReachAnswer(bytes)
        if (answer !== null) assert.deepEqual([...encodeReachAnswer(answer)], [...bytes])
      }),
    )
  })

  it('is bounded, whatever is counted', () => {
    const many = { mapping: 'none', canPunch: true, tries: 1_000, nextTryInMs: 2 ** 40 } as const
    assert.deepEqual(decodeReachAnswer(encodeReachAnswer(many)), { ...many, tries: 255, nextTryInMs: 0xff_ff_ff_ff })
    assert.equal(decodeReachAnswer(encodeReachAnswer({ ...many, nextTryInMs: -5 }))?.nextTryInMs, 0)
  })
})

describe('why a connection is relayed', () => {
  const [here, there] = [
    (mapping: ReachAnswer['mapping'], canPunch = true): RelayedFacts['own'] => ({ mapping, canPunch }),
    (mapping: ReachAnswer['mapping'], nextTryInMs: number | null = 300_000, canPunch = true): ReachAnswer => ({
      mapping,
      canPunch,
      tries: 2,
      nextTryInMs,
    }),
  ]
  const [same, other] = ['endpoint-independent', 'endpoint-dependent'] as const
  const told: ReadonlyArray<readonly [string, Partial<RelayedFacts>, string]> = [
    ['both change the port', { own: here(other), theirs: there(other, 0) }, 'NZ_NAT_BOTH_SYMMETRIC'],
    ['one does, here', { own: here(other), theirs: there(same) }, 'NZ_NAT_SYMMETRIC_AND_CLOSED'],
    ['one does, there', { own: here(same), theirs: there(other) }, 'NZ_NAT_SYMMETRIC_AND_CLOSED'],
    ['a try is under way', { own: here(same), theirs: there(other, 0) }, 'NZ_NAT_PUNCH_PENDING'],
    ['neither does, and yet', { own: here(same), theirs: there(same) }, 'NZ_NAT_PUNCH_FAILED'],
    ['too little is known here', { own: here('unknown'), theirs: there(same) }, 'NZ_NAT_UNKNOWN'],
    ['too little is known there', { own: here(other), theirs: there('unknown') }, 'NZ_NAT_UNKNOWN'],
    [
      'too little is known, and a try is under way',
      { own: here('unknown'), theirs: there(same, 0) },
      'NZ_NAT_PUNCH_PENDING',
    ],
    ['no addon here', { own: here(same, false), theirs: there(same) }, 'NZ_NAT_NO_ADDON'],
    ['no addon there', { own: here(same), theirs: there(same, null, false) }, 'NZ_NAT_NO_ADDON'],
    ['it does not say', { own: here(same), theirs: null }, 'NZ_NAT_UNTOLD'],
  ]
  for (const [name, facts, code] of told)
    it(`is ${code}: ${name}`, () => {
      const verdict = explainRelayed({ own: here('none'), theirs: null, directTries: null, nowMs: 0, ...facts })
      assert.equal(verdict.code, code)
      assert.equal(verdict.next === null, code === 'NZ_NAT_PUNCH_PENDING')
    })

  it('says when the next direct try is, by whoever leads', () => {
    const facts = { own: here(other), theirs: there(other, 60_000), nowMs: 1_000 }
    assert.equal(explainRelayed({ ...facts, directTries: null }).nextTryAtMs, 61_000)
    const directTries = { peerId: 'p', tries: 2, nextTryAtMs: 5_000 }
    assert.equal(explainRelayed({ ...facts, directTries }).nextTryAtMs, 5_000)
    assert.equal(explainRelayed({ ...facts, theirs: null, directTries: null }).nextTryAtMs, null)
  })
})

describe('hosts a NAT lets in because this node has sent to them', () => {
  it('are remembered for ten minutes, and only so many', async () => {
    const clock = new SimulatedClock()
    const pierced = new PiercedHosts(clock)
    pierced.dialled('/ip4/192.0.2.1/tcp/4001')
    assert.ok(pierced.has('/ip4/192.0.2.1/tcp/999/p2p/x'))
    assert.ok(!pierced.has('/ip4/192.0.2.2/tcp/4001'))
    await clock.advance(600_000)
    assert.ok(!pierced.has('/ip4/192.0.2.1/tcp/4001'))
    for (let at = 0; at <= MAX_PIERCED_HOSTS; at += 1) pierced.dialled(`/ip4/10.0.${at >> 8}.${at & 255}/tcp/1`)
    assert.deepEqual(
      [0, 1, MAX_PIERCED_HOSTS].map((at) => pierced.has(`/ip4/10.0.${at >> 8}.${at & 255}/tcp/1`)),
      [false, true, true],
    )
  })
})

describe('the place of this machine', () => {
  const entry = (address: string, cidr: string, internal = false) =>
    ({ address, cidr, internal, family: address.includes(':') ? 'IPv6' : 'IPv4', mac: '', netmask: '' }) as never

  it('is offline with nothing but addresses that every machine has', () => {
    const lo = [entry('127.0.0.1', '127.0.0.1/8', true)]
    assert.equal(placeOfMachine({ lo, eth0: [entry('fe80::1', 'fe80::1/64')] }).isOffline, true)
    assert.equal(placeOfMachine({ lo, eth0: [entry('192.168.1.5', '192.168.1.5/24')] }).isOffline, false)
  })

  it('tells private addresses of other networks from those of its own', () => {
    const { isElsewhere } = placeOfMachine({
      eth0: [entry('192.168.1.5', '192.168.1.5/24'), entry('fd00::5', 'fd00::5/64')],
    })
    const elsewhere = ['/ip4/192.168.2.5/tcp/1', '/ip4/10.0.0.1/tcp/1/p2p/x', '/ip6/fd00:1::5/tcp/1']
    const here = [
      '/ip4/192.168.1.9/tcp/1',
      '/ip6/fd00::9/tcp/1',
      '/ip4/45.0.0.1/tcp/1',
      '/ip4/127.0.0.1/tcp/1',
      '/dns4/a.b/tcp/1',
    ]
    assert.deepEqual([...elsewhere, ...here].map(isElsewhere), [true, true, true, false, false, false, false, false])
  })
})
