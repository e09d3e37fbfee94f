/** What a node tells of how it is reached, of the relays it uses, and of what it does as one. */

import type { DialBackReport } from './dial-back.ts'
import type { StunFinding } from './stun-survey.ts'
import type { MappingProtocol } from './mapping-protocols.ts'

/** A relay at which this node has, or wants, a place. */
export interface RelayInUse {
  readonly peerId: string
  readonly state: 'reserved' | 'trying' | 'refused'
  /** Why there is no place; `null` when there is one, or at the first try. */
  readonly code: string | null
  readonly expiresAtMs: number | null
  /** Named by the configuration; else a contact that serves. */
  readonly isConfigured: boolean
  /** Bounds the relay sets to each relayed connection; `null`: none known. */
  readonly circuitSeconds: number | null
  readonly circuitBytes: number | null
}

/** What this node does for others as a relay. */
export interface RelayServing {
  readonly reservations: number
  readonly maxReservations: number
  readonly circuits: number
  readonly maxCircuits: number
  /** 0: no bound. */
  readonly circuitSeconds: number
  readonly circuitBytes: number
  readonly carriedBytes: number
  readonly refused: number
  readonly cutBySeconds: number
  readonly cutByBytes: number
}

/** What became of asking the router for a port. */
export interface PortMappingState {
  readonly state: 'mapped' | 'trying' | 'failed'
  /** Which the router gave it by; `null` without one. */
  readonly protocol: MappingProtocol | null
  /** Multiaddr of the router's port; `null` without one. */
  readonly address: string | null
  /** One sentence without trailing punctuation. */
  readonly why: string
}

/** What is done to reach a peer directly that is connected through a relay. */
export interface DirectTries {
  readonly peerId: string
  readonly tries: number
  /** `null` while one is under way. */
  readonly nextTryAtMs: number | null
}

/** How others can reach this node, and why so. */
export interface Reachability {
  /**
   * `direct`: somebody has come in from outside, or an address of this machine is public; `punchable`: behind a NAT that
   * can be pierced with the help of a relay; `relayed`: only through relays; `unreachable`: behind a NAT without a relay;
   * `unknown`: nobody has told enough.
   */
  readonly verdict: 'direct' | 'punchable' | 'relayed' | 'unreachable' | 'unknown'
  /** One sentence without trailing punctuation. */
  readonly why: string
  readonly mapping: 'none' | 'endpoint-independent' | 'endpoint-dependent' | 'unknown'
  /**
   * Whom a NAT or firewall lets in (RFC 4787 §5): anybody; `address-dependent-at-most`: at least those this node has spoken
   * to, from any port of theirs; only from the very port it has spoken to.
   */
  readonly filtering: 'endpoint-independent' | 'address-dependent-at-most' | 'address-and-port-dependent' | 'unknown'
  /** What came of asking peers to dial this node (AutoNAT v2). */
  readonly dialledBack: DialBackReport
  /** What the NAT does with datagrams, as STUN servers of the configuration show; connections may fare otherwise. */
  readonly stun: readonly StunFinding[]
  /** Public addresses others see this node at. */
  readonly observed: readonly string[]
  readonly observers: number
  /** Whether dials can leave from the listening port, which piercing a NAT needs. */
  readonly canPunch: boolean
  /** `null` when the router is not asked for a port. */
  readonly portMapping: PortMappingState | null
  readonly relays: readonly RelayInUse[]
  /** `null` when this node serves nobody as a relay. */
  readonly serving: RelayServing | null
  /** Relayed peers that this node leads to a direct connection; the others lead themselves. */
  readonly directTries: readonly DirectTries[]
}

/** Why nobody reaches a node whose machine has no address but its own. */
export const OFFLINE = 'this machine is on no network'

/** Of a node that has no network, or has heard nothing yet. */
export function unknownReach(why: string): Reachability {
  return {
    verdict: 'unknown',
    why,
    mapping: 'unknown',
    filtering: 'unknown',
    dialledBack: { reached: [], unreached: [], helpers: 0 },
    stun: [],
    observed: [],
    observers: 0,
    canPunch: false,
    portMapping: null,
    relays: [],
    serving: null,
    directTries: [],
  }
}
