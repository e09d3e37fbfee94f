/** Sessions over paths through relays: what relays see, and what happens when one vanishes (NZ-ROUTING-01 §9). */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { IDLE_MS, PROBE_AFTER_MS, Session, SILENCE_MS } from '../../protocols/flow/session.ts'
import { localIdentity, startHandshake } from '../../protocols/handshake/handshake.ts'
import { x25519KeyPairFromSeed } from '../../protocols/noise/x25519.ts'
import { messageTypes } from '../../protocols/routing/link-message.ts'
import { bytesOf } from '../../protocols/routing/signing.ts'
import { diamond, Mesh, signAs, verifyFake } from '../fake/routing.ts'
import type { Stream } from '../../protocols/flow/streams.ts'
import type { Key } from '../../protocols/routing/signing.ts'

class End {
  readonly session: Session
  readonly received: Uint8Array[] = []
  stream: Stream | null = null
  flow: string | null = null

  constructor(mesh: Mesh, own: Key, peer: Key, role: 'initiator' | 'responder') {
    const staticKey = x25519KeyPairFromSeed(mesh.random.bytes(32))
    const identity = localIdentity(bytesOf(own), staticKey, (purpose, message) =>
      signAs(own)(purpose as never, message),
    )
    const shared = {
      identity,
      verify: (...[purpose, ...rest]: [unknown, Uint8Array, Uint8Array, Uint8Array]) =>
        verifyFake(purpose as never, ...rest),
      purpose: 'nzcore/route-session/1',
      features: [],
      random: mesh.random,
      nowMs: mesh.nowMs,
    }
    const handshake = startHandshake(
      role === 'initiator' ? { ...shared, role, expectedPeer: bytesOf(peer) } : { ...shared, role },
    )
    this.session = new Session({
      role,
      handshake,
      staticKey,
      random: mesh.random,
      nowMs: mesh.nowMs,
      onEstablished: () => undefined,
      onOpened: (stream) => void (this.stream = stream),
      onProgress: ({ receiver }) => {
        for (let bytes = receiver.read(); bytes !== null; bytes = receiver.read()) this.received.push(bytes)
      },
      onReset: () => undefined,
    })
  }
}

/** a–b–c and a–d–c, with a session between a and c. */
function story() {
  const { mesh, a, b, c, d } = diamond({ delayMs: [1, 4] })
  mesh.advance(6_000)
  const ends = new Map([
    [a, new End(mesh, a, c, 'initiator')],
    [c, new End(mesh, c, a, 'responder')],
  ])
  const step = (ms: number): void => {
    mesh.advance(ms)
    for (const [key, end] of ends) {
      for (const fact of mesh.facts.get(key)?.splice(0) ?? []) {
        if (fact.kind === 'flowOpened') {
          end.flow = fact.flow
          end.session.changePath(mesh.nowMs)
        }
        if (fact.kind === 'flowClosed' && fact.flow === end.flow) end.flow = null
        if (fact.kind === 'packet') end.session.receive(fact.payload, mesh.nowMs)
      }
      const { flow } = end
      if (flow === null) continue
      for (const packet of end.session.take(mesh.nowMs))
        mesh.run(key, mesh.router(key).sendPacket(flow, packet, mesh.nowMs))
    }
  }
  const openPath = (avoid: ReadonlySet<Key> = new Set()): void => {
    const { effects, code } = mesh.router(a).openFlow(c, mesh.nowMs, { avoid })
    assert.equal(code, null)
    mesh.run(a, effects)
  }
  const [ann, cid] = [ends.get(a), ends.get(c)]
  assert.ok(ann !== undefined && cid !== undefined)
  return { mesh, a, b, c, d, ann, cid, step, openPath }
}

describe('a session over a path', () => {
  it('shows relays nothing of what is said, and cannot be spoken into by them', () => {
    const { mesh, a, b, d, ann, cid, step, openPath } = story()
    const passed: Uint8Array[] = []
    mesh.tamper = (from, to, message) => {
      if (from === b || to === b) passed.push(message)
      return message
    }
    openPath(new Set([d]))
    const text = Buffer.from('what only the two ends may read')
    const stream = ann.session.streams.open()
    assert.ok(stream !== null)
    for (let at = 0; at < 100; at++) stream.sender.write(text)
    for (let at = 0; at < 1_000 && !Buffer.concat(cid.received).includes(text); at++) step(10)
    assert.ok(Buffer.concat(cid.received).includes(text))
    assert.ok(passed.some((message) => message[0] === messageTypes.packet))
    assert.ok(!Buffer.concat(passed).includes(text))
    assert.ok(ann.session.isOpen && cid.session.isOpen)
    const before = Buffer.concat(cid.received).length
    // b makes up packets of the path, sealed for the hop as its own are.
    const { flow } = ann
    assert.ok(flow !== null && mesh.router(a).flowCount === 1)
    for (const payload of [passed.at(-1)?.subarray(41) ?? text, text])
      assert.equal(cid.session.receive(payload, mesh.nowMs), false)
    for (let at = 0; at < 10; at++) step(10)
    assert.equal(Buffer.concat(cid.received).length, before)
  })

  it('goes on over another relay when its own vanishes, without a byte lost or repeated', () => {
    const { mesh, a, b, c, d, ann, cid, step, openPath } = story()
    openPath(new Set([d]))
    const said = Buffer.from(mesh.random.bytes(600_000))
    const stream = ann.session.streams.open()
    assert.ok(stream !== null)
    stream.sender.write(said)
    stream.sender.end()
    while (Buffer.concat(cid.received).length < 100_000) step(2)
    mesh.cut(a, b)
    mesh.cut(b, c)
    step(10)
    assert.equal(ann.flow, null)
    openPath()
    for (let at = 0; at < 400 && Buffer.concat(cid.received).length < said.length; at++) step(5)
    assert.ok(Buffer.concat(cid.received).equals(said))
  })

  /** Both ends after their handshake at time 0; `carry` brings each what the other has to say. */
  function met() {
    const mesh = new Mesh()
    const [a, c] = [mesh.add('a'), mesh.add('c')]
    const [ann, cid] = [new End(mesh, a, c, 'initiator').session, new End(mesh, c, a, 'responder').session]
    const carry = (nowMs: number): void => {
      for (let isQuiet = false; !isQuiet;) {
        const [there, back] = [ann.take(nowMs), cid.take(nowMs)]
        for (const packet of there) cid.receive(packet, nowMs)
        for (const packet of back) ann.receive(packet, nowMs)
        isQuiet = there.length + back.length === 0
      }
    }
    carry(0)
    assert.ok(ann.isOpen && cid.isOpen)
    return { ann, cid, carry }
  }

  it('asks when nothing is heard for a while, and is over when that goes on for too long', () => {
    const { ann } = met()
    assert.equal(ann.dueAtMs, PROBE_AFTER_MS)
    assert.deepEqual([ann.take(PROBE_AFTER_MS - 1).length, ann.take(PROBE_AFTER_MS).length], [0, 1])
    ann.tick(SILENCE_MS)
    assert.equal(ann.end, null)
    ann.tick(SILENCE_MS + 1)
    assert.equal(ann.end, 'NZ_ROUTE_TIMEOUT')
  })

  it('is over at both ends when nobody has used it for so long, though both are there', () => {
    const { ann, cid, carry } = met()
    for (let nowMs = 1_000; nowMs <= IDLE_MS; nowMs += 1_000) {
      carry(nowMs)
      ann.tick(nowMs)
      assert.equal(ann.end, null)
    }
    ann.tick(IDLE_MS + 1)
    assert.equal(ann.end, 'closed')
    carry(IDLE_MS + 1)
    assert.equal(cid.end, 'closed')
  })
})
