/** Ends of channels on a simulated node, over datagrams that a neighbour may pass on. */
import { Endpoint } from '../../channel/endpoint.ts'
import { channelLimits } from '../../channel/limits.ts'
import { decodeFrame, frameType } from '../../wire/frame.ts'
import { decodeAddressed, encodeAddressed } from './call.ts'
import type { EndpointStep } from '../../channel/endpoint.ts'
import type { ChannelLimits } from '../../channel/limits.ts'
import type { HandshakeInit } from '../../handshake/running.ts'
import type { Host, Process } from '../part.ts'

/** New keys after a second or so of use; without them a channel ends within a run. */
const limits: ChannelLimits = { ...channelLimits, rekeyPackets: 8, lastPackets: 192, lastMs: 18_000 }
const PURPOSE = 'nzcore/simulation/1'
const TICK_MS = 100
/** A call that does not open, and an open one in which nothing new came, are given up after so long. */
const OPENING_MS = 2_500
const SILENCE_MS = 5_000
/** Ends that a node keeps; a HELLO beyond them is not answered. */
const MAX_CALLS = 64

export interface Call {
  readonly number: number
  readonly peer: number
  /** The neighbour that frames go through: the peer itself, or who passes them on. */
  readonly via: number
  readonly endpoint: Endpoint
  readonly isOutgoing: boolean
  /** When the newest payload that came was sent; before the first, when the call began or opened. */
  heardAtMs: number
}

type Identity = HandshakeInit['identity']

export interface ChannelNodeInit {
  readonly host: Host
  readonly identity: Identity
  readonly verify: HandshakeInit['verify']
  /** What to send next in an open call. */
  readonly nextPayload: (node: number, call: Call) => Uint8Array
  /** @returns when it was sent: one that was held back on its way shows nothing of the peer */
  readonly onPayload: (node: number, call: Call, payload: Uint8Array) => number
  readonly onOpened: (node: number, call: Call) => void
  readonly onRefused: (code: string) => void
  readonly onEnded: (node: number, call: Call, why: string) => void
}

export interface CallInit {
  readonly number: number
  readonly peer: number
  readonly via: number
  readonly expected: Identity
  /** Whether the static key of the peer is known from before. */
  readonly isPinned: boolean
}

export class ChannelNode implements Process {
  readonly #init: ChannelNodeInit
  readonly #calls = new Map<number, Call>()

  constructor(init: ChannelNodeInit) {
    this.#init = init
    this.#tick(Math.floor(init.host.random.unit() * TICK_MS))
  }

  call(number: number): Call | undefined {
    return this.#calls.get(number)
  }

  open({ number, peer, via, expected, isPinned }: CallInit): void {
    const pinned = isPinned ? { pinnedStatic: expected.staticKey.publicKey } : {}
    const handshake: HandshakeInit = {
      ...this.#shared(),
      role: 'initiator',
      expectedPeer: expected.publicKey,
      ...pinned,
    }
    this.#keep({ number, peer, via, isOutgoing: true }, handshake)
  }

  connected(): void {}

  disconnected(): void {}

  receive(neighbour: number, bytes: Uint8Array): void {
    const { host } = this.#init
    const { from, to, call: number, frame } = decodeAddressed(bytes)
    if (to !== host.node) {
      host.sendDatagram(to, bytes)
      return
    }
    const call = this.#calls.get(number) ?? this.#answer({ number, peer: from, via: neighbour }, frame)
    if (call !== null) this.#take(call, call.endpoint.receive(frame, this.#nowMs()))
  }

  /** Nothing is kept for what is no HELLO. */
  #answer(whom: Pick<Call, 'number' | 'peer' | 'via'>, frame: Uint8Array): Call | null {
    const decoded = decodeFrame(frame)
    if (typeof decoded === 'string' || decoded.type !== frameType.hello || this.#calls.size >= MAX_CALLS) return null
    return this.#keep({ ...whom, isOutgoing: false }, { ...this.#shared(), role: 'responder' })
  }

  #shared(): Omit<HandshakeInit, 'role'> {
    const { identity, verify, host } = this.#init
    return { identity, verify, purpose: PURPOSE, features: [], random: host.random, nowMs: this.#nowMs() }
  }

  #keep(call: Omit<Call, 'endpoint' | 'heardAtMs'>, handshake: HandshakeInit): Call {
    const kept = { ...call, endpoint: new Endpoint({ handshake, limits }), heardAtMs: this.#nowMs() }
    this.#calls.set(call.number, kept)
    return kept
  }

  #tick(delayMs: number): void {
    this.#init.host.clock.setTimer(delayMs, () => {
      for (const call of this.#calls.values()) this.#work(call)
      this.#tick(TICK_MS)
    })
  }

  #work(call: Call): void {
    const { host, nextPayload } = this.#init
    const { endpoint } = call
    const nowMs = this.#nowMs()
    const patienceMs = endpoint.session === null ? OPENING_MS : SILENCE_MS
    if (nowMs - call.heardAtMs > patienceMs) return this.#end(call, 'silence', endpoint.close())
    if (endpoint.dueAtMs !== null && endpoint.dueAtMs <= nowMs) this.#take(call, endpoint.due(nowMs))
    if (endpoint.state === 'expired') return this.#end(call, 'NZ_CHANNEL_EXPIRED')
    if (endpoint.state !== 'open') return
    const sealed = endpoint.seal(nextPayload(host.node, call), nowMs)
    if ('refused' in sealed) this.#end(call, sealed.refused)
    else this.#send(call, [sealed.packet, ...endpoint.due(nowMs).send])
  }

  #take(call: Call, step: EndpointStep): void {
    const { host, onPayload, onOpened, onRefused } = this.#init
    this.#send(call, step.send)
    if (step.refused !== undefined) return onRefused(step.refused)
    if (step.opened !== undefined) {
      call.heardAtMs = this.#nowMs()
      onOpened(host.node, call)
    }
    if (step.payload !== undefined) {
      call.heardAtMs = Math.max(call.heardAtMs, onPayload(host.node, call, step.payload))
    }
    if (step.failed !== undefined) this.#end(call, step.failed)
    else if (step.isClosed === true) this.#end(call, 'closed by the peer')
  }

  #end(call: Call, why: string, goodbye: readonly Uint8Array[] = []): void {
    this.#send(call, goodbye)
    this.#calls.delete(call.number)
    this.#init.onEnded(this.#init.host.node, call, why)
  }

  #send({ number, peer, via }: Call, frames: readonly Uint8Array[]): void {
    const { host } = this.#init
    for (const frame of frames)
      host.sendDatagram(via, encodeAddressed({ from: host.node, to: peer, call: number, frame }))
  }

  #nowMs(): number {
    return this.#init.host.clock.monotonicMs()
  }
}
