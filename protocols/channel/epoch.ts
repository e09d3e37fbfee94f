/** One epoch of a channel (NZ-CHANNEL-01 §5): its keys, what was sealed with them, and what was received. */
import { createSecretKey } from 'node:crypto'
import { expand } from '../handshake/established.ts'
import { CONFIRMATION_BYTES } from './control.ts'
import { openPacket, sealPacket } from './packet.ts'
import { ReplayWindow } from './replay-window.ts'
import type { KeyObject } from 'node:crypto'
import type { ChannelCode } from './errors.ts'
import type { PacketKind, PacketPlace } from './packet.ts'

export interface EpochInit {
  readonly number: number
  readonly role: 'initiator' | 'responder'
  readonly session: Uint8Array
  /** Zeroed. */
  readonly secret: Uint8Array
  readonly startedAtMs: number
}

export class Epoch {
  readonly number: number
  readonly startedAtMs: number
  readonly #sendKey: KeyObject
  readonly #receiveKey: KeyObject
  readonly #window = new ReplayWindow()
  /** What the secret of the next epoch grows from; zeroed when it was taken. */
  readonly #chain: Uint8Array
  readonly #confirmation: Uint8Array
  #sent = 0
  #sentBytes = 0
  #received = 0

  constructor({ number, role, session, secret, startedAtMs }: EpochInit) {
    this.number = number
    this.startedAtMs = startedAtMs
    const forward = expand(secret, session, 'initiator')
    const backward = expand(secret, session, 'responder')
    this.#chain = expand(secret, session, 'chain')
    this.#confirmation = expand(secret, session, 'confirm', { byteLength: CONFIRMATION_BYTES })
    const [send, receive] = role === 'initiator' ? [forward, backward] : [backward, forward]
    this.#sendKey = createSecretKey(send)
    this.#receiveKey = createSecretKey(receive)
    for (const key of [secret, forward, backward]) key.fill(0)
  }

  /** Packets sealed: the next counter. */
  get sent(): number {
    return this.#sent
  }

  get sentBytes(): number {
    return this.#sentBytes
  }

  get received(): number {
    return this.#received
  }

  /** What only those who have the secret know, and that tells nothing of it. */
  get confirmation(): Uint8Array {
    return this.#confirmation
  }

  get chain(): Uint8Array {
    return this.#chain
  }

  seal(index: number, kind: PacketKind, payload: Uint8Array): Uint8Array {
    const packet = sealPacket(this.#sendKey, { index, epoch: this.number, counter: this.#sent }, kind, payload)
    this.#sent += 1
    this.#sentBytes += payload.byteLength
    return packet
  }

  /** What was sealed, its kind first. A packet that is not taken changes nothing. */
  open(frame: Uint8Array, place: PacketPlace): Uint8Array | ChannelCode {
    const was = this.#window.test(place.counter)
    if (was !== 'new') return was === 'replayed' ? 'NZ_CHANNEL_REPLAYED' : 'NZ_CHANNEL_TOO_OLD'
    const plain = openPacket(this.#receiveKey, place, frame)
    if (plain === null) return 'NZ_CHANNEL_FORGED'
    this.#window.take(place.counter)
    this.#received += 1
    return plain
  }

  /** Zeroes what can be zeroed; keys in use go with this object. */
  wipe(): void {
    this.#chain.fill(0)
  }
}
