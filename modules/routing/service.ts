/** What others may know of `routing`: paths to peers through other nodes. spec/NZ-ROUTING-01.md. Peers are peer ids. */
import { z } from 'zod'
import { defineEvents, defineService } from '../../kernel/index.ts'
import type { RouteCode } from '../../protocols/routing/errors.ts'

export { routeErrors } from '../../protocols/routing/errors.ts'

/** A node whose packets this node passes on, or that passes on its own. */
export interface RouteNeighbour {
  readonly peerId: string
  /** `false` while the two have not agreed on keys. */
  readonly isOpen: boolean
  /** Round trip in milliseconds; `null` before it was measured. */
  readonly rttMs: number | null
  /** Share of hellos that came, in both directions; `null` before the first. */
  readonly delivery: { readonly in: number; readonly out: number } | null
}

export interface RouteWay {
  readonly nextHop: string
  /** 256 for a hop that loses nothing, more for losses and delay. */
  readonly metric: number
  readonly ageMs: number
  readonly isSelected: boolean
  /** `false`: taking it could make a loop. */
  readonly isFeasible: boolean
}

export interface RouteTo {
  readonly destination: string
  /** The selected one first. */
  readonly ways: readonly RouteWay[]
}

/** A node on the way to a peer. */
export interface TracedHop {
  readonly peerId: string
  /** Round trip between it and the one before, in milliseconds, as the two say. */
  readonly rttMs: number
  /** It signed what it received on the way there. */
  readonly isSetupSigned: boolean
  /** It signed what it received on the way back. */
  readonly isAnswerSigned: boolean
}

export interface Trace {
  readonly peerId: string
  readonly isDirect: boolean
  /** The nodes behind this one, the peer last. Empty when the path did not come about. */
  readonly hops: readonly TracedHop[]
  readonly rttMs: number | null
  /** Why the path did not come about, and which node says so. */
  readonly failure: { readonly code: RouteCode; readonly by: string } | null
  /** The answer of the peer with all signatures (NZ-ROUTING-01 §6), to be checked elsewhere. */
  readonly evidence: Uint8Array | null
}

export interface RoutingStatus {
  readonly neighbours: readonly RouteNeighbour[]
  /** Paths that this node passes on for others. */
  readonly relayedPaths: number
  /** Streams over routes, of this node. */
  readonly streams: number
  /** Messages dropped because a neighbour read too slowly. */
  readonly dropped: number
  /** Messages that were not taken, by code. */
  readonly refused: Readonly<Record<string, number>>
}

export interface RoutingService {
  routes(): readonly RouteTo[]
  status(): RoutingStatus
  /** Sets up a path to the peer, and tells every node on it. */
  trace(peerId: string, options: { readonly signal: AbortSignal; readonly maxHops?: number }): Promise<Trace>
}

export const RoutingService = defineService<RoutingService>('routing')

export const routingEvents = defineEvents('routing', {
  /** A peer is reached through other nodes from now on. */
  reached: z.strictObject({ peerId: z.string(), via: z.string() }),
  /** The session with the peer is over. */
  left: z.strictObject({ peerId: z.string() }),
  /** A path of a session was lost, and why. */
  pathLost: z.strictObject({ peerId: z.string(), code: z.string(), by: z.string() }),
})
