/** What a handshake is given and what it answers, for both roles. */
import type { Random } from '../../kernel/index.ts'
import type { HandshakeCode } from './errors.ts'
import type { Established } from './established.ts'
import type { LocalIdentity, VerifyStaticKey } from './identity.ts'
import type { Ticket, TicketStore } from './tickets.ts'

interface SharedInit {
  readonly identity: LocalIdentity
  readonly verify: VerifyStaticKey
  /** What the channel is for; both sides must say the same. 1 to 64 visible ASCII characters. */
  readonly purpose: string
  /** Ascending, each once (NZ-WIRE-01 §7). */
  readonly features: readonly string[]
  /** Features without which the handshake fails. @default none */
  readonly requiredFeatures?: readonly string[]
  /** For indexes and ephemeral keys: `systemRandom` but in simulations. */
  readonly random: Random
  /** Of one clock that never goes back. */
  readonly nowMs: number
  /** `false` over a stream: nothing is sent twice. @default true */
  readonly resends?: boolean
  /** Where this side is to receive packets, unused so far; asked once for each attempt. @default at random */
  readonly newIndex?: () => number
  /** @default HANDSHAKE_VERSIONS; others only to test what a later version will do */
  readonly versions?: readonly number[]
}

export interface InitiatorInit extends SharedInit {
  readonly role: 'initiator'
  /** Identity that must answer. @default whoever answers; then only `XX` is possible */
  readonly expectedPeer?: Uint8Array
  /** Static key of the expected peer, from an earlier session: `IK` is tried before `XX`. */
  readonly pinnedStatic?: Uint8Array
  /** From `TicketStore.take`: tried before all. */
  readonly ticket?: Ticket
}

export interface ResponderInit extends SharedInit {
  readonly role: 'responder'
  /** Whether the policy lets this identity have the channel. @default everybody */
  readonly isAllowed?: (peerKey: Uint8Array) => boolean
  /** Where tickets are looked up. @default none is known */
  readonly tickets?: TicketStore
}

export type HandshakeInit = InitiatorInit | ResponderInit

/** What follows from one call. */
export interface Step {
  /** Frames to send, in this order. */
  readonly send: readonly Uint8Array[]
  /** The session, once. The peer is proven; that it is there now is proven by its first packet in the channel. */
  readonly done?: Established
  /** Why the frame was not taken. The handshake goes on; over a stream, which loses nothing, it should be ended. */
  readonly refused?: HandshakeCode
  /** Why the handshake is over without a session. */
  readonly failed?: HandshakeCode
  /** The peer repeated its last message: it has not seen a packet of the channel yet. */
  readonly isRepeated?: true
}

export interface RunningHandshake {
  /** Where this side receives. */
  readonly localIndex: number
  /** When `due` has something to do; `null` when nothing is awaited. */
  readonly dueAtMs: number | null
  /** Takes a frame of the peer: HELLO, ANSWER, FINISH, RETRY or REFUSE. */
  receive(frame: Uint8Array, nowMs: number): Step
  /** Sends again what was not answered; ends the handshake when its time is over. */
  due(nowMs: number): Step
  /** The first packet of the peer was opened: nothing is sent again. */
  confirm(): void
}

/** Nothing came of it. */
export const QUIET: Step = { send: [] }
