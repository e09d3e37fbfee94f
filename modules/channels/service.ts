/** What others may know of `channels`: encrypted channels between two identities, over any path. spec/NZ-CHANNEL-01.md. */
import { z } from 'zod'
import { defineErrors, defineEvents, defineService } from '../../kernel/index.ts'
import type { PatternName } from '../../protocols/handshake/messages.ts'
import type { TrustAct } from '../trust/service.ts'

export { channelErrors } from '../../protocols/channel/errors.ts'
export { handshakeErrors } from '../../protocols/handshake/errors.ts'
export { wireErrors } from '../../protocols/wire/errors.ts'

/** An open channel and what it has done. */
export interface ChannelStatus {
  readonly peerId: string
  readonly purpose: string
  readonly carrier: 'stream' | 'packets'
  readonly role: 'initiator' | 'responder'
  /** How it was opened: IKpsk1 resumes, IK calls a known key, XX asks who is there. */
  readonly pattern: PatternName
  /** How often its keys were changed. */
  readonly epoch: number
  readonly openedAtMs: number
  readonly txPackets: number
  readonly rxPackets: number
  /** Packets that were not taken, by code. */
  readonly refused: Readonly<Record<string, number>>
}

interface OpenChannel {
  readonly peerId: string
  readonly purpose: string
  /** What both sides have, ascending. */
  readonly features: readonly string[]
  /** Aborts when the channel ends in any way. */
  readonly signal: AbortSignal
  /** Tells the peer and forgets the keys. Idempotent. */
  close(): Promise<void>
}

/** Whole messages in order, lost only with the channel. */
export interface MessageChannel extends OpenChannel {
  /**
   * Sends up to 64 MiB; resolves when the peer has taken it. The bytes may not be changed meanwhile. Compress only what no
   * attacker has a part in.
   *
   * @throws NZ_CHANNEL_CLOSED, NZ_CHANNEL_TOO_LARGE
   */
  send(message: Uint8Array, options: { readonly signal: AbortSignal; readonly isCompressed?: boolean }): Promise<void>
  /** The next message; `null` once the peer has closed the channel. @throws NZ_CHANNEL_CLOSED when it was cut */
  receive(options: { readonly signal: AbortSignal }): Promise<Uint8Array | null>
}

/** Packets that may be lost or overtake each other, and come once or not at all. */
export interface PacketChannel extends OpenChannel {
  readonly maxPayloadBytes: number
  /** `false`: the path has no room now, or the channel has ended; nothing was sent. */
  send(payload: Uint8Array): boolean
  /** What came before is kept for the first handler, up to 64 payloads. */
  onPayload(handler: (payload: Uint8Array) => void): void
}

/** A way to one peer that keeps packets apart and promises nothing else, as routing makes them. */
export interface PacketPath {
  /** Whom the path says it leads to: a peer id, when it knows one. Proven by the handshake alone. */
  readonly source: string
  readonly maxPacketBytes: number
  /** Aborts when the path is gone. */
  readonly signal: AbortSignal
  /** `false`: no room now; the packet is dropped. */
  send(packet: Uint8Array): boolean
  onPacket(handler: (packet: Uint8Array) => void): void
}

export type AcceptMessages = (channel: MessageChannel, options: { readonly signal: AbortSignal }) => Promise<void>

export interface ChannelsService {
  /**
   * Opens a channel to a peer over a stream. @throws NZ_NETWORK_…, NZ_HANDSHAKE_…, NZ_CHANNEL_ENDED, NZ_CHANNEL_LIMITED
   */
  open(peerId: string, options: { readonly purpose: string; readonly signal: AbortSignal }): Promise<MessageChannel>
  /**
   * Serves a purpose to peers whom trust lets `act`, until `signal` aborts. When the handler returns or throws, the channel is
   * closed.
   */
  accept(
    purpose: string,
    handler: AcceptMessages,
    options: { readonly signal: AbortSignal; readonly act: TrustAct },
  ): void
  /**
   * A channel over a path of packets. As responder it waits for the initiator until `signal` aborts.
   *
   * @throws NZ_HANDSHAKE_…, NZ_CHANNEL_ENDED, NZ_CHANNEL_LIMITED
   */
  overPath(
    path: PacketPath,
    options: {
      readonly purpose: string
      readonly signal: AbortSignal
      /** Whom the initiator expects, or what trust must allow whoever calls. */
      readonly as:
        | { readonly role: 'initiator'; readonly peerId: string }
        | { readonly role: 'responder'; readonly act: TrustAct }
    },
  ): Promise<PacketChannel>
  /** Open channels, oldest first. */
  list(): readonly ChannelStatus[]
}

export const ChannelsService = defineService<ChannelsService>('channels')

export const channelsEvents = defineEvents('channels', {
  opened: z.strictObject({ peerId: z.string(), purpose: z.string(), pattern: z.enum(['XX', 'IK', 'IKpsk1']) }),
  closed: z.strictObject({ peerId: z.string(), purpose: z.string(), epoch: z.number().int() }),
  refused: z.strictObject({ peerId: z.string(), purpose: z.string(), code: z.string() }),
})

export const channelsErrors = defineErrors({
  NZ_CHANNEL_ENDED: {
    message: 'the path ended before the channel was open',
    fix: ['try again', 'update the node on the other machine: it may not serve the purpose'],
    status: 502,
    exit: 'unreachable',
    retryable: true,
  },
  NZ_CHANNEL_LIMITED: {
    message: 'too many channels are open',
    fix: ['close channels that are not needed'],
    status: 503,
    exit: 'unreachable',
    retryable: true,
  },
})
