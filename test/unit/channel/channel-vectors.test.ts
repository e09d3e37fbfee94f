/**
 * spec/vectors/channel.json against the code: the vectors of NZ-CHANNEL-01.
 * `NZ_WRITE_VECTORS=1 node --test test/unit/channel/channel-vectors.test.ts` writes them anew.
 */
import assert from 'node:assert/strict'
import { createCipheriv, createSecretKey } from 'node:crypto'
import { describe, it } from 'node:test'
import { Channel } from '../../../protocols/channel/channel.ts'
import { decodeControl, encodeControl } from '../../../protocols/channel/control.ts'
import { channelLimits } from '../../../protocols/channel/limits.ts'
import { openPacket, placeOf } from '../../../protocols/channel/packet.ts'
import { ReplayWindow } from '../../../protocols/channel/replay-window.ts'
import { expand } from '../../../protocols/handshake/established.ts'
import { x25519KeyPairFromSeed } from '../../../protocols/noise/x25519.ts'
import { encodeFrame, frameType } from '../../../protocols/wire/frame.ts'
import { uint32 } from '../../../protocols/wire/message-sender.ts'
import { ANN, BOB, handshake, plainRandom } from '../../fake/channel.ts'
import { fromHex, madeVectors, toHex } from '../../vectors.ts'
import type { Control } from '../../../protocols/channel/control.ts'
import type { Established } from '../../../protocols/handshake/handshake.ts'

type Role = 'initiator' | 'responder'
const other = { initiator: 'responder', responder: 'initiator' } as const
const STATIC = { initiator: ANN.staticKey, responder: BOB.staticKey }
const TAG = 16
const SEED = { initiator: 101, responder: 102 }

interface Sides {
  readonly facts: Record<string, unknown>
  readonly ends: Readonly<Record<Role, Channel>>
  /** Epoch 0, by who seals with it. */
  readonly keys: Readonly<Record<Role, Uint8Array>>
  readonly index: Readonly<Record<Role, number>>
}

/** Two ends of a session, everything they know written down; they agree on new keys after `rekeyPackets` packets. */
function sidesOf(first: number, rekeyPackets: number): Sides {
  const pair = handshake({ random: plainRandom(first) }, { random: plainRandom(first + 4) })
  const draws = { initiator: plainRandom(first + 8), responder: plainRandom(first + 12) }
  const { session, secret } = pair.initiator
  const index = { initiator: pair.initiator.localIndex, responder: pair.responder.localIndex }
  const sideOf = (role: Role) => ({
    index: index[role],
    staticSeed: toHex(Buffer.alloc(32, SEED[role])),
    random: draws[role].given,
  })
  const facts = { session: toHex(session), secret: toHex(secret) }
  const sides = { initiator: sideOf('initiator'), responder: sideOf('responder') }
  const keyOf = (role: Role): Uint8Array => expand(secret, session, role)
  const keys = { initiator: keyOf('initiator'), responder: keyOf('responder') }
  const limits = { ...channelLimits, rekeyPackets }
  const endOf = (established: Established, role: Role): Channel =>
    new Channel({ established, staticKey: STATIC[role], random: draws[role], nowMs: 0, limits })
  const ends = { initiator: endOf(pair.initiator, 'initiator'), responder: endOf(pair.responder, 'responder') }
  return { facts: { ...facts, ...sides }, ends, keys, index }
}

/** Packets of three epochs in the order in which they were sealed, all opened. */
function sessionOf(first: number) {
  const { facts, ends } = sidesOf(first, 6)
  const packets: { from: string; hex: string; kind: string; plain?: string }[] = []
  const pass = (from: Role, packet: Uint8Array, payload?: string): void => {
    const result = ends[other[from]].open(packet, 0)
    assert.ok(!('refused' in result), JSON.stringify(result))
    if ('payload' in result) assert.equal(Buffer.from(result.payload).toString(), payload)
    const kind = 'control' in result ? result.control : 'data'
    packets.push({ from, hex: toHex(packet), kind, ...(payload === undefined ? {} : { plain: payload }) })
  }
  for (let round = 0; round < 30 && ends.responder.epoch < 2; round += 1) {
    for (const from of ['initiator', 'responder'] as const) {
      for (const packet of ends[from].due(0)) pass(from, packet)
      const payload = `${from} ${round}`
      const sealed = ends[from].seal(Buffer.from(payload), 0)
      assert.ok('packet' in sealed)
      pass(from, sealed.packet, payload)
    }
  }
  assert.equal(ends.initiator.epoch, 2)
  return { ...facts, packets }
}

type Step =
  | { readonly peer: string; readonly answer: unknown }
  | { readonly own: string; readonly kind: string; readonly plain?: string }

/** One side that gets packets, and what its peer, or who has stolen the peer's key of epoch 0, can send it. */
class Scene {
  readonly steps: Step[] = []
  readonly peer: Channel
  readonly #sides: Sides
  readonly #reader: Role
  /** Sealed at this counter and above by the thief, out of the way of the peer's. */
  #counter = 100

  constructor(sides: Sides, reader: Role) {
    this.#sides = sides
    this.#reader = reader
    this.peer = sides.ends[other[reader]]
  }

  /** The reader gets the packet; then it sends what it has to. */
  hear(...packets: readonly Uint8Array[]): void {
    for (const packet of packets) {
      const result = this.#end.open(packet, 0)
      const answer =
        'payload' in result ? { payload: toHex(result.payload) } : 'refused' in result ? result.refused : result
      this.steps.push({ peer: toHex(packet), answer })
      this.due()
    }
  }

  /** What the reader sends for the channel's own sake comes to its peer at once. */
  due(): void {
    for (const packet of this.#end.due(0)) {
      const result = this.peer.open(packet, 0)
      const kind = 'control' in result ? result.control : this.#kindOf(packet)
      this.steps.push({ own: toHex(packet), kind })
    }
  }

  say(plain: string): void {
    const sealed = this.#end.seal(Buffer.from(plain), 0)
    assert.ok('packet' in sealed)
    this.steps.push({ own: toHex(sealed.packet), kind: 'data', plain })
    this.peer.open(sealed.packet, 0)
  }

  /** Until both are silent. */
  settle(): void {
    for (let turns = 0; turns < 20; turns += 1) {
      this.due()
      const answers = this.peer.due(0)
      if (answers.length === 0) return
      this.hear(...answers)
    }
    assert.fail('the ends do not come to rest')
  }

  said(payload: string): Uint8Array {
    const sealed = this.peer.seal(Buffer.from(payload), 0)
    assert.ok('packet' in sealed)
    return sealed.packet
  }

  forged(
    kind: number,
    payload: Uint8Array,
    place: { counter?: number; index?: number; epoch?: number } = {},
  ): Uint8Array {
    const { counter = this.#counter++, index = this.#sides.index[this.#reader], epoch = 0 } = place
    const head = Buffer.concat([uint32(index), uint32(epoch), Buffer.alloc(8)])
    head.writeBigUInt64BE(BigInt(counter), 8)
    const nonce = Buffer.alloc(12)
    nonce.writeBigUInt64LE(BigInt(counter), 4)
    const frame = encodeFrame(frameType.packet, [head, new Uint8Array(1 + payload.length + TAG)])
    const cipher = createCipheriv('chacha20-poly1305', this.#sides.keys[other[this.#reader]], nonce, {
      authTagLength: TAG,
    })
    cipher.setAAD(frame.subarray(0, 24), { plaintextLength: 1 + payload.length })
    const sealed = [cipher.update(Uint8Array.of(kind)), cipher.update(payload), cipher.final()]
    return Buffer.concat([frame.subarray(0, 24), ...sealed, cipher.getAuthTag()])
  }

  control(control: Control): Uint8Array {
    return this.forged(1, encodeControl(control))
  }

  get #end(): Channel {
    return this.#sides.ends[this.#reader]
  }

  #kindOf(packet: Uint8Array): string {
    const place = placeOf(packet) ?? assert.fail()
    assert.equal(place.epoch, 0, 'the peer has the keys of all others')
    const plain = openPacket(createSecretKey(this.#sides.keys[this.#reader]), place, packet) ?? assert.fail()
    return (decodeControl(plain.subarray(1)) ?? assert.fail()).type
  }
}

const changed = (packet: Uint8Array, at: number): Uint8Array =>
  packet.map((byte, n) => (n === (at + packet.length) % packet.length ? byte ^ 1 : byte))
const fresh = (fill: number): Uint8Array => x25519KeyPairFromSeed(Buffer.alloc(32, fill)).publicKey
const text = (payload: string): Uint8Array => Buffer.from(payload)
const propose = (epoch: number, publicKey: Uint8Array): Control => ({ type: 'propose', epoch, publicKey })

interface Reading {
  readonly what: string
  readonly reader: Role
  readonly rekeyPackets?: number
  readonly play: (scene: Scene) => void
}

const LAST = 2 ** 24 + 1_024
const READINGS: readonly Reading[] = [
  {
    what: 'what is refused, in the order in which it is looked at',
    reader: 'responder',
    play(scene) {
      const good = scene.forged(0, text('good'), { counter: 4 })
      scene.hear(good.subarray(0, 40), Buffer.concat([good, Uint8Array.of(0)]))
      scene.hear(encodeFrame(frameType.cancel, [new Uint8Array(4)]))
      scene.hear(scene.forged(0, text('x'), { counter: 2 ** 48, index: 1 }))
      scene.hear(scene.forged(0, text('x'), { index: 1, epoch: 9 }))
      scene.hear(scene.forged(0, text('x'), { epoch: 1, counter: LAST }))
      scene.hear(changed(scene.forged(0, text('x'), { counter: LAST }), -1))
      scene.hear(changed(good, -1), changed(good, 24), good, good, changed(good, -1))
      scene.hear(scene.forged(0, text('next'), { counter: 4 + 2_047 }), scene.forged(0, text('x'), { counter: 3 }))
      scene.hear(scene.forged(0, text('the last in the window'), { counter: 5 }))
      scene.hear(scene.forged(0, text('x'), { counter: 3 }))
      scene.hear(scene.forged(1, Uint8Array.of(0), { counter: LAST - 1 }), scene.said('now it is too old'))
    },
  },
  {
    what: 'what stands in packets that is not known',
    reader: 'initiator',
    play(scene) {
      scene.hear(scene.forged(0, new Uint8Array(0)))
      const malformed = [
        scene.forged(2, text('of no kind')),
        scene.forged(1, new Uint8Array(0)),
        scene.forged(1, Uint8Array.of(5)),
        scene.forged(1, Uint8Array.of(0, 0)),
        scene.forged(1, Uint8Array.of(1, 0)),
        scene.forged(1, Uint8Array.of(4, 0)),
        scene.forged(1, encodeControl(propose(1, fresh(1))).subarray(0, -1)),
        scene.forged(1, Buffer.concat([encodeControl(propose(1, fresh(1))), Uint8Array.of(0)])),
        scene.forged(1, Uint8Array.of(3, 0, 0, 0, 1)),
      ]
      for (const packet of malformed) scene.hear(packet, packet)
    },
  },
  {
    what: 'a proposal by a key of low order',
    reader: 'initiator',
    play(scene) {
      scene.settle()
      scene.hear(scene.control(propose(1, new Uint8Array(32))))
    },
  },
  {
    what: 'proposals: the same again, another, and of other epochs',
    reader: 'responder',
    play(scene) {
      scene.settle()
      scene.hear(scene.control(propose(2, fresh(7))), scene.control(propose(0, fresh(7))))
      const first = scene.control(propose(1, fresh(7)))
      scene.hear(first, first, scene.control(propose(1, fresh(7))), scene.control(propose(1, fresh(8))))
      scene.hear(scene.control(propose(2, fresh(7))), scene.said('still epoch 0'))
      scene.say('and so is this')
    },
  },
  {
    what: 'an acceptance that nobody asked for, and one whose confirmation is wrong',
    reader: 'initiator',
    rekeyPackets: 4,
    play(scene) {
      const confirmation = new Uint8Array(16)
      scene.hear(scene.control({ type: 'accept', epoch: 1, publicKey: fresh(9), confirmation }))
      scene.settle()
      for (let n = 0; n < 4; n += 1) scene.say(`payload ${n}`)
      const late = scene.said('late')
      scene.due()
      scene.hear(scene.control({ type: 'accept', epoch: 1, publicKey: fresh(9), confirmation }))
      scene.hear(scene.control({ type: 'accept', epoch: 1, publicKey: new Uint8Array(32), confirmation }))
      scene.hear(scene.control({ type: 'accept', epoch: 2, publicKey: fresh(9), confirmation }))
      scene.hear(...scene.peer.due(0))
      scene.say('now in epoch 1')
      scene.hear(late, late)
    },
  },
  {
    what: 'both propose, and the reader is the initiator: the proposal of the other is ignored',
    reader: 'initiator',
    rekeyPackets: 3,
    play(scene) {
      scene.settle()
      for (let n = 0; n < 3; n += 1) scene.say(`payload ${n}`)
      scene.due()
      scene.hear(scene.control(propose(1, fresh(7))))
    },
  },
  {
    what: 'both propose, and the reader is the responder: its own is forgotten',
    reader: 'responder',
    rekeyPackets: 3,
    play(scene) {
      scene.settle()
      for (let n = 0; n < 4; n += 1) scene.say(`payload ${n}`)
      scene.due()
      const confirmation = new Uint8Array(16)
      scene.hear(scene.control(propose(1, fresh(7))))
      scene.hear(scene.control({ type: 'accept', epoch: 1, publicKey: fresh(9), confirmation }))
    },
  },
  {
    what: 'packets of the epoch before, of the one before that, and a proposal that comes late',
    reader: 'responder',
    rekeyPackets: 4,
    play(scene) {
      scene.settle()
      const [old, older] = [scene.said('of epoch 0'), scene.said('of epoch 0, later')]
      scene.hear(scene.said('one more'))
      scene.settle()
      scene.hear(old, scene.control(propose(1, fresh(7))), scene.control(propose(2, fresh(7))))
      const between = scene.said('of epoch 1')
      scene.hear(...['a', 'b', 'c', 'd'].map((payload) => scene.said(payload)))
      scene.settle()
      scene.hear(older, between, scene.said('of epoch 2'))
      assert.equal(scene.peer.epoch, 2)
    },
  },
  {
    what: 'the end',
    reader: 'responder',
    play(scene) {
      scene.settle()
      const last = scene.said('never read')
      scene.hear(changed(scene.control({ type: 'close' }), -1))
      scene.hear(...scene.peer.close(), last, last.subarray(0, 20))
    },
  },
]

function readingOf({ what, reader, rekeyPackets = 1_000, play }: Reading, at: number) {
  const sides = sidesOf(0x20 + at * 16, rekeyPackets)
  const scene = new Scene(sides, reader)
  play(scene)
  return { what, reader, ...sides.facts, steps: scene.steps }
}

function windows() {
  const orders = [
    [0, 0, 1, 2_047, 0, 2_048, 0, 1, 3, 2, 2],
    [5_000, 2_952, 2_953, 2_952, 5_000, 4_999, 9_000, 6_953, 6_952],
    [31, 32, 33, 63, 64, 65, 31, 64, 2_111, 63, 64, 62],
    [2_048, 0, 1, 4_096, 2_048, 2_049, 16_778_239, 16_776_192, 16_776_191, 4_096],
  ]
  return orders.map((counters) => {
    const window = new ReplayWindow()
    const results = counters.map((counter) => {
      const was = window.test(counter)
      if (was === 'new') window.take(counter)
      return was
    })
    return { counters, results }
  })
}

function makeVectors() {
  return {
    source:
      'NZ-CHANNEL-01; written by test/unit/channel/channel-vectors.test.ts. Bytes are hexadecimal. random: the private ' +
      'halves of the keys that a side made for later epochs, in order. readings: what one side answers to each packet it ' +
      'gets (peer), and what it sends (own), in order. windows: a counter that is new is taken.',
    sessions: [sessionOf(0x10)],
    readings: READINGS.map(readingOf),
    windows: windows(),
  }
}

describe('NZ-CHANNEL-01', () => {
  it('has the vectors of spec/vectors/channel.json', () => {
    const { made, written } = madeVectors('channel.json', makeVectors())
    assert.deepEqual(made, written)
  })

  it('opens each packet of its vectors with its epoch, and none twice', () => {
    const { packets } = sessionOf(0x10)
    const epochs = packets.map(({ hex }) => placeOf(fromHex(hex))?.epoch)
    assert.deepEqual([...new Set(epochs)], [0, 1, 2])
    assert.equal(new Set(packets.map(({ hex }) => hex)).size, packets.length)
  })
})
