/**
 * The channel of NZ-CHANNEL-01, sans-I/O: payloads become packets that may be lost, reordered, repeated or changed on
 * their way, and come out once or not at all. New keys are agreed by packets, bytes and time; what that takes, `due`
 * gives out.
 */
import { decodeFrame, frameType } from '../wire/frame.ts'
import { decodeControl, encodeControl } from './control.ts'
import { Epoch } from './epoch.ts'
import {
  channelLimits,
  EPOCH_OVERLAP_MS,
  FIRST_RESEND_MS,
  MAX_EPOCH,
  MAX_OVERLAP_MS,
  MAX_PAYLOAD_BYTES,
  MAX_RESEND_MS,
  RESERVED_PACKETS,
  RESPONDER_PATIENCE,
} from './limits.ts'
import { packetKind, placeOf } from './packet.ts'
import { Rekey } from './rekey.ts'
import type { Random } from '../../kernel/index.ts'
import type { Established } from '../handshake/established.ts'
import type { X25519KeyPair } from '../noise/x25519.ts'
import type { Control } from './control.ts'
import type { ChannelCode } from './errors.ts'
import type { ChannelLimits } from './limits.ts'
import type { PacketPlace } from './packet.ts'

export interface ChannelInit {
  /** Its secret is zeroed: derive tickets before. */
  readonly established: Established
  /** Of this side: mixed into every new epoch. */
  readonly staticKey: X25519KeyPair
  readonly random: Random
  /** Of one clock that never goes back. */
  readonly nowMs: number
  /** @default channelLimits */
  readonly limits?: ChannelLimits
}

export type Sealed = { readonly packet: Uint8Array } | { readonly refused: ChannelCode }
export type Opened =
  | { readonly payload: Uint8Array }
  /** The channel took it itself; look at `due`. */
  | { readonly control: Control['type'] }
  | { readonly refused: ChannelCode }

interface Resend {
  sends: number
  atMs: number
}

export class Channel {
  readonly #init: ChannelInit
  readonly #limits: ChannelLimits
  readonly #rekey: Rekey
  readonly #remoteIndex: number
  #current: Epoch
  /** Agreed by our answer to a proposal; used for sending once the peer was seen to use it. */
  #next: Epoch | null = null
  #old: { readonly epoch: Epoch; retireAtMs: number } | null = null
  /** Controls that wait for `due`; one of each type at most. */
  readonly #waiting = new Map<Control['type'], Control>()
  #ping: Resend
  #proposing: Resend | null = null
  #end: Exclude<Channel['state'], 'open'> | null = null
  #isConfirmed = false

  constructor(init: ChannelInit) {
    const { established, nowMs, limits = channelLimits } = init
    const { role, session, secret, remoteIndex } = established
    this.#init = init
    this.#limits = limits
    this.#rekey = new Rekey(init)
    this.#remoteIndex = remoteIndex
    this.#current = new Epoch({ number: 0, role, session, secret, startedAtMs: nowMs })
    this.#ping = { sends: 0, atMs: nowMs }
  }

  /** The epoch that this side seals with. */
  get epoch(): number {
    return this.#current.number
  }

  /** Whether a packet of the peer was opened: only then it is there, and no handshake was replayed to this side. */
  get isConfirmed(): boolean {
    return this.#isConfirmed
  }

  get state(): 'open' | 'closed' | 'closedByPeer' | 'expired' {
    return this.#end ?? 'open'
  }

  /** When `due` has something to do: at once when it is not in the future. `null` once closed. */
  get dueAtMs(): number | null {
    if (this.#end !== null) return null
    if (this.#waiting.size > 0) return 0
    const times = [this.#rekeyAtMs(), this.#current.startedAtMs + this.#limits.lastMs]
    if (this.#current.received === 0) times.push(this.#ping.atMs)
    if (this.#proposing !== null) times.push(this.#proposing.atMs)
    if (this.#old !== null) times.push(this.#old.retireAtMs)
    return Math.min(...times)
  }

  seal(payload: Uint8Array, nowMs: number): Sealed {
    if (payload.byteLength > MAX_PAYLOAD_BYTES) return { refused: 'NZ_CHANNEL_TOO_LARGE' }
    const refused = this.#endedOrExpired(nowMs)
    if (refused !== null) return { refused }
    const { sent, sentBytes } = this.#current
    const { lastPackets, lastBytes } = this.#limits
    if (sent >= lastPackets || sentBytes >= lastBytes) return { refused: 'NZ_CHANNEL_EXHAUSTED' }
    return { packet: this.#current.seal(this.#remoteIndex, 'data', payload) }
  }

  /** Takes a packet. One that is refused has changed nothing. */
  open(bytes: Uint8Array, nowMs: number): Opened {
    const refused = this.#endedOrExpired(nowMs)
    if (refused !== null) return { refused }
    const frame = decodeFrame(bytes)
    if (typeof frame === 'string' || frame.type !== frameType.packet) return { refused: 'NZ_CHANNEL_MALFORMED' }
    const place = placeOf(bytes)
    if (place === null) return { refused: 'NZ_CHANNEL_MALFORMED' }
    if (place.index !== this.#init.established.localIndex) return { refused: 'NZ_CHANNEL_UNKNOWN' }
    const epoch = this.#epochOf(place, nowMs)
    if (epoch === null) return { refused: 'NZ_CHANNEL_EPOCH' }
    if (place.counter >= this.#limits.lastPackets + RESERVED_PACKETS) return { refused: 'NZ_CHANNEL_EXHAUSTED' }
    const plain = epoch.open(bytes, place)
    if (typeof plain === 'string') return { refused: plain }
    this.#isConfirmed = true
    this.#seen(epoch, nowMs)
    if (plain[0] === packetKind.data) return { payload: plain.subarray(1) }
    const control = plain[0] === packetKind.control ? decodeControl(plain.subarray(1)) : null
    if (control === null) return { refused: 'NZ_CHANNEL_MALFORMED' }
    this.#onControl(epoch, control, nowMs)
    return { control: control.type }
  }

  /** Packets to send now for the channel's own sake: call it after `seal` and `open`, and when `dueAtMs` has come. */
  due(nowMs: number): Uint8Array[] {
    if (this.#endedOrExpired(nowMs) !== null) return []
    if (this.#old !== null && nowMs >= this.#old.retireAtMs) this.#old = null
    if (nowMs >= this.#rekeyAtMs()) this.#proposing = { sends: 0, atMs: nowMs }
    const packets: Uint8Array[] = []
    for (const control of this.#waiting.values()) this.#pushControl(packets, control)
    this.#waiting.clear()
    if (this.#proposing !== null && nowMs >= this.#proposing.atMs) {
      this.#pushControl(packets, this.#rekey.propose(this.#current))
      sentAgain(this.#proposing, nowMs)
    }
    if (this.#current.received === 0 && nowMs >= this.#ping.atMs) {
      this.#pushControl(packets, { type: 'ping' })
      sentAgain(this.#ping, nowMs)
    }
    return packets
  }

  /** Ends the channel and forgets its keys. @returns what tells the peer, to be sent once */
  close(): Uint8Array[] {
    const packets: Uint8Array[] = []
    if (this.#end === null) this.#pushControl(packets, { type: 'close' })
    this.#finish('closed')
    return packets
  }

  #endedOrExpired(nowMs: number): ChannelCode | null {
    if (nowMs - this.#current.startedAtMs >= this.#limits.lastMs) this.#finish('expired')
    if (this.#end === null) return null
    return this.#end === 'expired' ? 'NZ_CHANNEL_EXPIRED' : 'NZ_CHANNEL_CLOSED'
  }

  /** When new keys are due; Infinity while they cannot be asked for or are under way. */
  #rekeyAtMs(): number {
    const { number, sent, sentBytes, received, startedAtMs } = this.#current
    const isPossible = this.#proposing === null && this.#next === null && received > 0 && number < MAX_EPOCH
    if (!isPossible) return Infinity
    const patience = this.#init.established.role === 'initiator' ? 1 : RESPONDER_PATIENCE
    const { rekeyPackets, rekeyBytes, rekeyMs } = this.#limits
    const isUsedUp = sent >= rekeyPackets * patience || sentBytes >= rekeyBytes * patience
    return isUsedUp ? 0 : startedAtMs + rekeyMs * patience
  }

  #epochOf({ epoch }: PacketPlace, nowMs: number): Epoch | null {
    if (this.#old !== null && nowMs >= this.#old.retireAtMs) this.#old = null
    for (const candidate of [this.#current, this.#next, this.#old?.epoch ?? null]) {
      if (candidate?.number === epoch) return candidate
    }
    return null
  }

  /** An authentic packet of `epoch` came: the peer has its keys. */
  #seen(epoch: Epoch, nowMs: number): void {
    if (epoch === this.#next) {
      this.#next = null
      this.#switchTo(epoch, nowMs)
    }
    if (epoch === this.#current && this.#old !== null) {
      this.#old.retireAtMs = Math.min(this.#old.retireAtMs, nowMs + EPOCH_OVERLAP_MS)
    }
  }

  #switchTo(epoch: Epoch, nowMs: number): void {
    this.#old = { epoch: this.#current, retireAtMs: nowMs + MAX_OVERLAP_MS }
    // The old epoch opens what was under way; nothing grows from it any more.
    this.#current.wipe()
    this.#current = epoch
    this.#proposing = null
    this.#ping = { sends: 0, atMs: nowMs }
  }

  #onControl(epoch: Epoch, control: Control, nowMs: number): void {
    switch (control.type) {
      case 'ping':
        this.#waiting.set('pong', { type: 'pong' })
        return
      case 'pong':
        return
      case 'close':
        // A late one of an epoch before is as good: the peer has forgotten its keys.
        this.#finish('closedByPeer')
        return
      case 'propose': {
        const answer = epoch === this.#current ? this.#rekey.onPropose(epoch, control, nowMs) : null
        if (answer === null) return
        if (answer.next !== null) {
          this.#next = answer.next
          this.#proposing = null
        }
        this.#waiting.set('accept', answer.offer)
        return
      }
      case 'accept': {
        const next = epoch === this.#current ? this.#rekey.onAccept(epoch, control, nowMs) : null
        if (next !== null) this.#switchTo(next, nowMs)
      }
    }
  }

  #pushControl(packets: Uint8Array[], control: Control): void {
    if (this.#current.sent >= this.#limits.lastPackets + RESERVED_PACKETS) return
    packets.push(this.#current.seal(this.#remoteIndex, 'control', encodeControl(control)))
  }

  #finish(end: Exclude<Channel['state'], 'open'>): void {
    this.#end ??= end
    this.#current.wipe()
    this.#next?.wipe()
    this.#next = null
    this.#old = null
    this.#waiting.clear()
    this.#proposing = null
  }
}

function sentAgain(resend: Resend, nowMs: number): void {
  resend.atMs = nowMs + Math.min(FIRST_RESEND_MS * 2 ** resend.sends, MAX_RESEND_MS)
  resend.sends += 1
}
