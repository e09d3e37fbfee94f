/** Introductions: signed by a contact of both, nothing without the consent of both, refused when they are anybody else's. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { SimulatedClock } from '../../kernel/index.ts'
import { MAX_WAITING_PER_INTRODUCER } from '../../modules/discovery/introductions.ts'
import { createIntroduction, OFFER_METHOD, readIntroduction } from '../../protocols/discovery/introduction.ts'
import { contactNamed, startDiscoveryNode, whileTimePasses } from '../fake/discovery.ts'
import { fakeIdentity } from '../fake/identity.ts'
import { createFakeNetwork } from '../fake/network.ts'
import type { IdentityService } from '../../modules/identity/service.ts'
import type { IntroducedPeer } from '../../protocols/discovery/introduction.ts'

const { signal } = new AbortController()
const keyOf = ({ self }: IdentityService): string => Buffer.from(self.nodePublicKey).toString('hex')
const peerOf = (identity: IdentityService, name: string): IntroducedPeer => ({
  key: keyOf(identity),
  name,
  addresses: [],
})

async function three(trust = {}) {
  const clock = new SimulatedClock()
  const mesh = createFakeNetwork({ clock })
  const [ida, idb, idc] = [1, 2, 3].map((seed) => fakeIdentity(seed).self.peerId) as [string, string, string]
  const node = async (seed: number, contacts: Parameters<typeof contactNamed>[]) =>
    await startDiscoveryNode({ mesh, seed, clock, trust, contacts: contacts.map((each) => contactNamed(...each)) })
  const common = await node(2, [
    ['anna', ida],
    ['ben', idc],
  ])
  const anna = await node(1, [['common', idb, common.network.addresses()]])
  const ben = await node(3, [['common', idb, common.network.addresses()]])
  for (const each of [anna, ben]) await each.network.connect(idb, { addresses: common.network.addresses(), signal })
  await clock.advance(5_000)
  return { clock, mesh, common, anna, ben, all: [common, anna, ben] }
}

describe('an introduction', () => {
  it('makes two peers contacts of each other when both have accepted', async () => {
    const { clock, common, anna, ben, all } = await three()
    const id = await common.introductions.make('anna', 'ben', { signal })
    assert.deepEqual(
      anna.introductions.list().map(({ name, state }) => [name, state]),
      [['ben', 'pending']],
    )
    const first = await whileTimePasses(clock, anna.introductions.accept(id, { signal }))
    assert.equal(first.state, 'accepted')
    assert.equal(anna.contacts.get(ben.peerId), undefined)
    assert.equal(ben.introductions.list()[0]?.isAcceptedThere, true)
    const second = await whileTimePasses(clock, ben.introductions.accept(id, { signal }))
    assert.equal(second.state, 'joined')
    assert.equal(anna.contacts.get(ben.peerId)?.name, 'ben')
    assert.equal(ben.contacts.get(anna.peerId)?.name, 'anna')
    assert.deepEqual([anna.introductions.list(), ben.introductions.list()], [[], []])
    for (const node of all) await node[Symbol.asyncDispose]()
  })

  it('comes to nothing when one side declines, or its time is over', async () => {
    const { clock, common, anna, ben, all } = await three()
    const id = await common.introductions.make('anna', 'ben', { signal })
    await ben.introductions.decline(id)
    await assert.rejects(ben.introductions.decline(id), { code: 'NZ_INTRODUCTION_UNKNOWN' })
    await assert.rejects(common.introductions.make('anna', 'anna', { signal }), { code: 'NZ_INTRODUCTION_SAME' })
    assert.equal(anna.introductions.list().length, 1)
    clock.jumpWallClock(604_800_000)
    assert.deepEqual(anna.introductions.list(), [])
    for (const node of all) await node[Symbol.asyncDispose]()
  })

  it('is refused of a stranger, of who did not sign it, for others, and beyond the bound', async () => {
    const { clock, mesh, common, anna, ben, all } = await three()
    const stranger = fakeIdentity(8)
    const theirs = mesh.add(stranger.self.peerId)
    await theirs.connect(anna.peerId, { addresses: anna.network.addresses(), signal })
    const by = (
      signer: IdentityService,
      introducer: IdentityService,
      peers: readonly [IntroducedPeer, IntroducedPeer],
    ) =>
      createIntroduction(
        { introducer: keyOf(introducer), peers, issuedMs: clock.nowMs(), ttlS: 60 },
        (purpose, message) => signer.signAsNode(purpose, message),
      ).bytes
    const both = [peerOf(anna.identity, 'anna'), peerOf(ben.identity, 'ben')] as const
    const offer = async (bytes: Uint8Array, from = theirs) =>
      await from.request(anna.peerId, OFFER_METHOD, bytes, { signal })
    await assert.rejects(offer(by(stranger, stranger, both)), { code: 'NZ_INTRODUCTION_REFUSED' })
    await assert.rejects(offer(by(stranger, common.identity, both)), { code: 'NZ_INTRODUCTION_INVALID' })
    await assert.rejects(offer(by(common.identity, common.identity, both)), { code: 'NZ_INTRODUCTION_INVALID' })
    const others = [peerOf(stranger, 'x'), peerOf(ben.identity, 'ben')] as const
    await assert.rejects(offer(by(common.identity, common.identity, others), common.network), {
      code: 'NZ_INTRODUCTION_INVALID',
    })
    for (let n = 0; n < MAX_WAITING_PER_INTRODUCER; n++)
      await offer(
        by(common.identity, common.identity, [both[0], peerOf(fakeIdentity(20 + n), `p${n}`)]),
        common.network,
      )
    await assert.rejects(offer(by(common.identity, common.identity, both), common.network), {
      code: 'NZ_INTRODUCTION_FULL',
    })
    for (const node of all) await node[Symbol.asyncDispose]()
  })

  it('is read back as it was written, and not when a byte of it is another', () => {
    const signer = fakeIdentity(1)
    const made = createIntroduction(
      {
        introducer: keyOf(signer),
        peers: [
          peerOf(fakeIdentity(2), 'anna'),
          { ...peerOf(fakeIdentity(3), 'ben'), addresses: ['/ip4/192.0.2.1/tcp/1'] },
        ],
        issuedMs: 1_000,
        ttlS: 60,
      },
      (purpose, message) => signer.signAsNode(purpose, message),
    )
    const verify: Parameters<typeof readIntroduction>[1]['verify'] = (...args) => signer.verify(...args)
    assert.deepEqual(readIntroduction(made.bytes, { verify, nowMs: 2_000 }), made)
    assert.equal(readIntroduction(made.bytes, { verify, nowMs: 61_000 }), null)
    for (let at = 0; at < made.bytes.length; at += 7) {
      const altered = made.bytes.map((byte, index) => (index === at ? byte ^ 1 : byte))
      assert.equal(readIntroduction(altered, { verify, nowMs: 2_000 }), null)
    }
  })
})
