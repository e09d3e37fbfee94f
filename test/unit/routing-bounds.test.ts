/** Limits of routing and of channels, each at its bound (NZ-ROUTING-01 §1, NZ-CHANNEL-01). */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { SimulatedClock } from '../../kernel/index.ts'
import { ChannelKeys, MAX_PINNED_KEYS } from '../../modules/channels/keys.ts'
import { ChannelLedger, MAX_CHANNELS } from '../../modules/channels/ledger.ts'
import { StreamCarrier } from '../../modules/channels/stream-carrier.ts'
import { MAX_PURPOSE_BYTES } from '../../protocols/handshake/limits.ts'
import {
  decodeAnnouncements,
  encodeAnnouncements,
  encodeRequest,
  signOrigin,
} from '../../protocols/routing/announcement.ts'
import { MessageSplitter } from '../../protocols/routing/link-frames.ts'
import { messageTypes } from '../../protocols/routing/link-message.ts'
import { FlowTable } from '../../protocols/routing/flow-table.ts'
import {
  MAX_ANNOUNCED,
  MAX_FLOWS,
  MAX_FLOWS_PER_SOURCE,
  MAX_MESSAGE_BYTES,
  MAX_NEIGHBOURS,
  MAX_PAYLOAD_BYTES,
  MAX_REQUESTS,
  SETUP_TIMEOUT_MS,
} from '../../protocols/routing/limits.ts'
import { NEIGHBOUR_SETUP_RATE } from '../../protocols/routing/flows.ts'
import { CONTROL_RATE } from '../../protocols/routing/router.ts'
import { createSetup, passOn } from '../../protocols/routing/setup.ts'
import { fakeIdentity } from '../fake/identity.ts'
import { keyOfName, line, Mesh, signAs } from '../fake/routing.ts'
import { Victim, WALL_MS } from '../fake/routing-liar.ts'
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

  it('so many messages of a neighbour at once: more are refused, and taken again with time', () => {
    const victim = new Victim(keyOfName('victim'))
    const liar = victim.meet(keyOfName('liar'))
    const origin = signOrigin(liar.key, 1, signAs(liar.key))
    const say = (): readonly string[] => {
      liar.say(messageTypes.announce, encodeAnnouncements([{ origin, metric: 0 }]))
      return victim.takeRefused()
    }
    let taken = 0
    while (say().length === 0) assert.ok((taken += 1) <= CONTROL_RATE.burst)
    assert.ok(taken > CONTROL_RATE.burst - 10, 'the link took the rest')
    assert.deepEqual(say(), ['NZ_ROUTE_LIMITED'])
    victim.nowMs += 1_000
    for (let n = 0; n < CONTROL_RATE.perSecond; n++) assert.deepEqual(say(), [])
    assert.deepEqual(say(), ['NZ_ROUTE_LIMITED'])
  })

  it('so many setups of a neighbour whose signatures are looked at, whoever they claim to be of', () => {
    const victim = new Victim(keyOfName('victim'))
    const liar = victim.meet(keyOfName('liar'))
    const codes: string[] = []
    for (let n = 0; n <= NEIGHBOUR_SETUP_RATE.burst; n++) {
      const body = { source: keyOfName(`s ${n}`), destination: victim.key, flow: flowOf(n), sequence: WALL_MS }
      const forged = createSetup(body, { ttl: 2, next: liar.key }, signAs(liar.key))
      const passed = passOn(forged, { self: liar.key, next: victim.key }, signAs(liar.key))
      liar.say(messageTypes.setup, passed.bytes)
      codes.push(...victim.takeRefused())
    }
    assert.equal(codes.pop(), 'NZ_ROUTE_LIMITED')
    assert.deepEqual([codes.length, ...new Set(codes)], [NEIGHBOUR_SETUP_RATE.burst, 'NZ_ROUTE_FORGED'])
  })

  it('so many requests for a newer sequence that it passes on in a while', () => {
    const victim = new Victim(keyOfName('victim'))
    const [asker, announcer] = [victim.meet(keyOfName('asker')), victim.meet(keyOfName('announcer'))]
    const end = keyOfName('end')
    announcer.say(messageTypes.announce, encodeAnnouncements([{ origin: signOrigin(end, 1, signAs(end)), metric: 1 }]))
    for (let n = 0; n <= MAX_REQUESTS; n++) {
      victim.nowMs += 2
      asker.say(messageTypes.request, encodeRequest({ known: signOrigin(end, n + 1, signAs(end)), hopsLeft: 3 }))
    }
    assert.deepEqual(victim.takeRefused(), [])
    assert.equal(announcer.heard.filter(({ type }) => type === messageTypes.request).length, MAX_REQUESTS)
  })

  it('packets and messages of so many bytes', () => {
    const { mesh, keys } = line('abc')
    const [a = '', , c = ''] = keys
    mesh.advance(10_000)
    const opening = mesh.router(a).openFlow(c, mesh.nowMs)
    mesh.run(a, opening.effects)
    mesh.advance(SETUP_TIMEOUT_MS)
    for (const length of [MAX_PAYLOAD_BYTES, MAX_PAYLOAD_BYTES + 1])
      mesh.run(a, mesh.router(a).sendPacket(opening.flow ?? assert.fail(), new Uint8Array(length), mesh.nowMs))
    mesh.advance(1_000)
    assert.deepEqual(
      mesh.told(c, 'packet').map(({ payload }) => payload.length),
      [MAX_PAYLOAD_BYTES],
    )
    const split = (length: number) => {
      const head = Buffer.alloc(2)
      head.writeUInt16BE(length)
      return new MessageSplitter().push(Buffer.concat([head, new Uint8Array(length)]))
    }
    assert.equal(split(MAX_MESSAGE_BYTES)?.[0]?.length, MAX_MESSAGE_BYTES)
    assert.equal(split(MAX_MESSAGE_BYTES + 1), null)
  })
})

const flowOf = (n: number): string => n.toString(16).padStart(32, '0')

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
