/**
 * One end of a channel from its first message to its last, sans-I/O: the handshake, then the channel, over any path. It
 * is open once the peer has shown by a packet that it is there: a replayed handshake opens nothing.
 */
import { startHandshake } from '../handshake/handshake.ts'
import { decodeFrame, frameType } from '../wire/frame.ts'
import { Channel } from './channel.ts'
import type { HandshakeCode } from '../handshake/errors.ts'
import type { Established, HandshakeInit, RunningHandshake, Step } from '../handshake/handshake.ts'
import type { TicketStore } from '../handshake/tickets.ts'
import type { Sealed } from './channel.ts'
import type { ChannelCode } from './errors.ts'
import type { ChannelLimits } from './limits.ts'

export interface EndpointInit {
  readonly handshake: HandshakeInit
  /** Keeps the tickets of the session. @default none are kept */
  readonly tickets?: TicketStore
  readonly limits?: ChannelLimits
}

/** What of a session is no secret. */
export type Session = Omit<Established, 'secret'>

export interface EndpointStep {
  /** Frames to send, in this order. */
  readonly send: readonly Uint8Array[]
  readonly payload?: Uint8Array
  /** The channel has just opened: the peer is who it says, and it is there. */
  readonly opened?: Session
  /** Why what came was not taken; nothing has changed by it. */
  readonly refused?: HandshakeCode | ChannelCode
  /** Why there will be no channel. */
  readonly failed?: HandshakeCode
  /** The peer has closed the channel. */
  readonly isClosed?: true
}

export class Endpoint {
  readonly #init: EndpointInit
  readonly #handshake: RunningHandshake
  #channel: Channel | null = null
  #session: Session | null = null
  #isOpen = false
  /** Waits for the session to be open. */
  #keepTickets: (() => void) | null = null

  constructor(init: EndpointInit) {
    this.#init = init
    this.#handshake = startHandshake(init.handshake)
  }

  /** Where this end receives packets, and with a session where the peer does. */
  get localIndex(): number {
    return this.#session?.localIndex ?? this.#handshake.localIndex
  }

  /** `null` before the channel is open. */
  get session(): Session | null {
    return this.#isOpen ? this.#session : null
  }

  get epoch(): number {
    return this.#channel?.epoch ?? 0
  }

  get state(): 'opening' | Channel['state'] {
    return this.#isOpen && this.#channel !== null ? this.#channel.state : 'opening'
  }

  get dueAtMs(): number | null {
    const times = [this.#handshake.dueAtMs, this.#channel?.dueAtMs ?? null].filter((time) => time !== null)
    return times.length === 0 ? null : Math.min(...times)
  }

  due(nowMs: number): EndpointStep {
    const step = this.#handshake.due(nowMs)
    if (step.failed !== undefined) return step
    return { send: [...step.send, ...(this.#channel?.due(nowMs) ?? [])] }
  }

  receive(bytes: Uint8Array, nowMs: number): EndpointStep {
    const frame = decodeFrame(bytes)
    if (typeof frame === 'string') return { send: [], refused: 'NZ_CHANNEL_MALFORMED' }
    if (frame.type !== frameType.packet) return this.#onHandshake(this.#handshake.receive(bytes, nowMs), nowMs)
    const channel = this.#channel
    if (channel === null) return { send: [], refused: 'NZ_CHANNEL_UNKNOWN' }
    const result = channel.open(bytes, nowMs)
    if ('refused' in result) return { send: [], refused: result.refused }
    const opened = this.#openOnce()
    return {
      send: channel.due(nowMs),
      ...('payload' in result ? { payload: result.payload } : {}),
      ...(opened === null ? {} : { opened }),
      ...(channel.state === 'closedByPeer' ? { isClosed: true as const } : {}),
    }
  }

  /** Throws a TypeError before the handshake is done. */
  seal(payload: Uint8Array, nowMs: number): Sealed {
    if (this.#channel === null) throw new TypeError('the handshake is not done')
    return this.#channel.seal(payload, nowMs)
  }

  /** Ends the channel and forgets its keys. @returns what tells the peer, to be sent once */
  close(): readonly Uint8Array[] {
    return this.#channel?.close() ?? []
  }

  #onHandshake({ send, done, refused, failed }: Step, nowMs: number): EndpointStep {
    if (done === undefined) {
      return { send, ...(refused === undefined ? {} : { refused }), ...(failed === undefined ? {} : { failed }) }
    }
    const { handshake, tickets, limits } = this.#init
    // One before it was answered in vain: the peer began anew.
    this.#channel?.close()
    this.#keepTickets = tickets?.prepare(done, nowMs) ?? null
    const { secret: _, ...session } = done
    this.#session = session
    const { identity, random } = handshake
    const shared = { established: done, staticKey: identity.staticKey, random, nowMs }
    this.#channel = new Channel(limits === undefined ? shared : { ...shared, limits })
    return { send: [...send, ...this.#channel.due(nowMs)] }
  }

  #openOnce(): Session | null {
    if (this.#isOpen) return null
    this.#isOpen = true
    this.#keepTickets?.()
    this.#handshake.confirm()
    return this.#session
  }
}
