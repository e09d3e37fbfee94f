/** Limits of routing and of channels, each at its bound (NZ-ROUTING-01 §1, NZ-CHANNEL-01). */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { SimulatedClock } from '../../kernel/index.ts'
import { ChannelKeys, MAX_PINNED_KEYS } from '../../modules/channels/keys.ts'
import { ChannelLedger, MAX_CHANNELS } from '../../modules/channels/ledger.ts'
import { StreamCarrier } from '../../modules/channels/stream-carrier.ts'
import { MAX_PURPOSE_BYTES } from '../../protocols/handshake/limits.ts'
import { decodeAnnouncements, encodeAnnouncements, signOrigin } from '../../protocols/routing/announcement.ts'
import { FlowTable } from '../../protocols/routing/flow-table.ts'
import { MAX_ANNOUNCED, MAX_FLOWS, MAX_FLOWS_PER_SOURCE, MAX_NEIGHBOURS } from '../../protocols/routing/limits.ts'
import { createSetup } from '../../protocols/routing/setup.ts'
import { fakeIdentity } from '../fake/identity.ts'
import { keyOfName, Mesh, signAs } from '../fake/routing.ts'
import { fakeStreamPair } from '../fake/stream.ts'
import type { Session } from '../../protocols/channel/endpoint.ts'

const { signal } = new AbortController()

describe('a node routes with', () => {
  it('so many neighbours, and no further one', () => {
    const mesh = new Mesh()
    const router = mesh.router(mesh.add('a'))
    for (let n = 0; n < MAX_NEIGHBOURS; n++) assert.equal(router.neighbourUp(keyOfName(`n ${n}`), 0).length, 1)
    assert.deepEqual(router.neighbourUp(keyOfName('one too many'), 0), [])
    assert.equal(router.neighbours().length, MAX_NEIGHBOURS)
    router.neighbourDown(keyOfName('n 0'), 0)
    assert.equal(router.neighbourUp(keyOfName('one too many'), 0).length, 1)
  })

  it('so many paths of a source, and so many in all', () => {
    const flows = new FlowTable()
    const sign = signAs(keyOfName('any'))
    const body = { source: keyOfName('a'), destination: keyOfName('b'), flow: '00'.repeat(16), sequence: 1 }
    const setup = createSetup(body, { ttl: 1, next: keyOfName('b') }, sign)
    const ends = { destination: body.destination, upstream: null, downstream: null, setup }
    for (let n = 0; n < MAX_FLOWS; n++) {
      const source = `source ${Math.floor(n / MAX_FLOWS_PER_SOURCE)}`
      assert.ok(flows.hasRoom(source))
      flows.add({ ...ends, id: `${n}`, source, startedAtMs: 0, renewals: 0, isOpen: false, movedAtMs: 0 })
      if ((n + 1) % MAX_FLOWS_PER_SOURCE === 0) assert.equal(flows.hasRoom(source), false)
    }
    assert.equal(flows.hasRoom('another'), false)
  })

  it('so many routes in one announcement', () => {
    const origin = signOrigin(keyOfName('a'), 1, signAs(keyOfName('a')))
    const announced = Array.from({ length: MAX_ANNOUNCED }, () => ({ origin, metric: 1 }))
    assert.equal(decodeAnnouncements(encodeAnnouncements(announced))?.length, MAX_ANNOUNCED)
    assert.equal(decodeAnnouncements(encodeAnnouncements([...announced, { origin, metric: 1 }])), null)
  })
})

describe('a node has', () => {
  it('so many channels that are open or being opened', () => {
    const ledger = new ChannelLedger()
    const rooms = Array.from({ length: MAX_CHANNELS - 1 }, () => ledger.reserve())
    const entry = ledger.add({ endpoint: { session: null } as never, carrier: 'stream', openedAtMs: 0, peerId: 'a' })
    assert.throws(() => ledger.reserve(), { code: 'NZ_CHANNEL_LIMITED' })
    rooms.pop()?.[Symbol.dispose]()
    const room = ledger.reserve()
    assert.throws(() => ledger.reserve(), { code: 'NZ_CHANNEL_LIMITED' })
    room[Symbol.dispose]()
    ledger.remove(entry)
    assert.ok(ledger.reserve())
  })

  it('so many static keys of peers in mind: who was not seen for longest makes room', () => {
    const keys = new ChannelKeys({ ...fakeIdentity(3), deriveKey: () => new Uint8Array(32).fill(3) })
    const session = { peerStatic: new Uint8Array(32) } as Session
    for (let n = 0; n < MAX_PINNED_KEYS; n++) keys.pin(`peer ${n}`, session)
    keys.pin('peer 0', session)
    keys.pin('one more', session)
    assert.deepEqual(
      ['peer 0', 'peer 1', 'one more'].map((peerId) => keys.pinned(peerId) !== undefined),
      [true, false, true],
    )
  })

  it('purposes of so many bytes on a stream, and reads no longer one', async () => {
    const carriers = (): readonly StreamCarrier[] =>
      fakeStreamPair({
        clock: new SimulatedClock(),
        peerIds: ['a', 'b'],
        protocol: 'x',
        latencyMs: 0,
        windowBytes: 4_096,
      }).map((stream) => new StreamCarrier(stream))
    for (const [length, isTaken] of [
      [MAX_PURPOSE_BYTES, true],
      [MAX_PURPOSE_BYTES + 1, false],
    ] as const) {
      const [near, far] = carriers()
      await near?.stream.write(Buffer.concat([Uint8Array.of(length), Buffer.from('p'.repeat(length))]))
      const purpose = await far?.readPurpose({ signal })
      assert.equal(purpose, isTaken ? 'p'.repeat(length) : null)
    }
  })
})
