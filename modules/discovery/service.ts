/** What others may know of `discovery`: finding peers, services and small values without a server. spec/NZ-DISCOVERY-01.md. */
import { z } from 'zod'
import { defineErrors, defineEvents, defineService } from '../../kernel/index.ts'
import type { DiscoveryRecord, ServiceHealth } from '../../protocols/discovery/record.ts'

export { discoveryRecordErrors } from '../../protocols/discovery/errors.ts'
export type { ServiceHealth } from '../../protocols/discovery/record.ts'

export interface DiscoveryCounters {
  readonly lookups: number
  /** Of all lookups together. */
  readonly hops: number
  readonly queries: number
  readonly queriesFailed: number
  readonly answered: number
  /** Requests that were not answered because the peer asked too often. */
  readonly limited: number
  /** Records that were not taken, by code. */
  readonly refused: Readonly<Record<string, number>>
}

export interface DiscoveryStatus {
  /** `client`: asks and is not asked; `off`: neither. */
  readonly mode: 'server' | 'client' | 'off'
  readonly tableSize: number
  /** Of them, those that answered where they said they are. */
  readonly proven: number
  /** A guess from how dense they stand. */
  readonly estimatedNodes: number
  /** Kept for others. */
  readonly records: number
  readonly recordBytes: number
  readonly counters: DiscoveryCounters
}

/** How a search for a peer went. */
export interface PeerLookup {
  readonly peerId: string
  readonly atMs: number
  readonly durationMs: number
  readonly asked: number
  /** Answers between this node and the one that knew. */
  readonly hops: number
  /** `null`: nobody knew the peer. */
  readonly addresses: readonly string[] | null
}

/** An offer of this node. */
export interface ServiceOffer {
  readonly name: string
  readonly version: string
  readonly health: ServiceHealth
  readonly capabilities: readonly string[]
}

export interface OwnService extends ServiceOffer {
  /** Nodes that took it the last time. */
  readonly holders: number
  readonly announcedAtMs: number | null
}

/** An offer of some peer, as it was found. */
export interface FoundService extends ServiceOffer {
  readonly peerId: string
  readonly sequence: number
  readonly expiresAtMs: number
  /** `silent`: it did not answer when it was asked just now; `unasked`: it was not asked. */
  readonly state: 'answers' | 'silent' | 'unasked'
  readonly rttMs: number | null
  readonly trust: string
}

export interface ServiceQuery {
  readonly name?: string
  /** All of them are required; without a name at least one. */
  readonly capabilities: readonly string[]
  /** Whether those found are asked if they are there. */
  readonly isChecked: boolean
  readonly signal: AbortSignal
}

export interface DiscoveryService {
  status(): DiscoveryStatus
  /** Asks the network where a peer is. `addresses` is `null` when nobody knows. @throws NZ_DISCOVERY_ALONE, NZ_DISCOVERY_OFF */
  findPeer(peerId: string, options: { readonly signal: AbortSignal }): Promise<PeerLookup>
  /** The last search for a peer, if it was lately. */
  lastLookup(peerId: string): PeerLookup | undefined
  /** Publishes a value of at most 1,024 bytes under this node's name, until it is replaced or `ttlS` is over. @throws NZ_DISCOVERY_ALONE, NZ_DISCOVERY_VALUE_INVALID */
  putValue(
    name: string,
    value: Uint8Array,
    options: { readonly ttlS: number; readonly signal: AbortSignal },
  ): Promise<{ readonly holders: number }>
  /** The newest value that a peer has published by that name; `null` when nobody has it. @throws NZ_DISCOVERY_ALONE */
  getValue(peerId: string, name: string, options: { readonly signal: AbortSignal }): Promise<DiscoveryRecord | null>
  /** Offers a service until it is withdrawn, also after a restart. @throws NZ_DISCOVERY_SERVICE_INVALID, NZ_DISCOVERY_SERVICES_FULL */
  announce(offer: ServiceOffer, options: { readonly signal: AbortSignal }): Promise<OwnService>
  /** @throws NZ_DISCOVERY_SERVICE_UNKNOWN */
  withdraw(name: string, options: { readonly signal: AbortSignal }): Promise<void>
  offers(): readonly OwnService[]
  /** The best first: healthy before failing, answering before silent, trusted before unknown, near before far. @throws NZ_DISCOVERY_ALONE */
  findServices(query: ServiceQuery): Promise<readonly FoundService[]>
}

export const DiscoveryService = defineService<DiscoveryService>('discovery')

/** An introduction that was offered to this node and is not over. */
export interface IntroductionView {
  readonly id: string
  /** Peer ids: who introduces, and whom. */
  readonly introducer: string
  readonly peerId: string
  /** How the introducer calls the peer. */
  readonly name: string
  /** `accepted`: here, not yet there; `joined`: both are contacts of each other now. */
  readonly state: 'pending' | 'accepted' | 'joined'
  readonly isAcceptedThere: boolean
  readonly expiresAtMs: number
}

export interface IntroductionsService {
  /** Introduces two contacts to each other. @returns its id. @throws NZ_CONTACTS_NOT_FOUND, NZ_INTRODUCTION_SAME, NZ_NETWORK_…, and what they refuse */
  make(first: string, second: string, options: { readonly signal: AbortSignal }): Promise<string>
  list(): readonly IntroductionView[]
  /** The person here agrees; when both did, they are contacts. Again: tells the peer again. @throws NZ_INTRODUCTION_UNKNOWN */
  accept(id: string, options: { readonly signal: AbortSignal }): Promise<IntroductionView>
  /** @throws NZ_INTRODUCTION_UNKNOWN */
  decline(id: string): Promise<void>
}

export const IntroductionsService = defineService<IntroductionsService>('introductions')

export const introductionErrors = defineErrors({
  NZ_INTRODUCTION_SAME: {
    message: 'nobody needs to be introduced to himself',
    fix: ['name two contacts: nzcore contacts'],
    status: 400,
    exit: 'usage',
    retryable: false,
  },
  NZ_INTRODUCTION_INVALID: {
    message: 'the introduction is not signed by who brings it, is over, or is for others',
    fix: ['ask for a new one: nzcore introductions make <contact> <contact> (on the introducer’s machine)'],
    status: 422,
    exit: 'refusedByTrust',
    retryable: false,
  },
  NZ_INTRODUCTION_REFUSED: {
    message: 'the introducer is no contact that is trusted enough',
    fix: ['nzcore trust explain <peer> (on the machine of who was to be introduced)'],
    status: 403,
    exit: 'refusedByTrust',
    retryable: false,
  },
  NZ_INTRODUCTION_FULL: {
    message: 'as many introductions wait there as may',
    fix: ['nzcore introductions accept <id>', 'nzcore introductions decline <id> (on that machine)'],
    status: 507,
    exit: 'failed',
    retryable: true,
  },
  NZ_INTRODUCTION_UNKNOWN: {
    message: 'no introduction of that id waits here',
    fix: ['nzcore introductions'],
    status: 404,
    exit: 'notFound',
    retryable: false,
  },
})

export const discoveryEvents = defineEvents('discovery', {
  joined: z.strictObject({ tableSize: z.number().int() }),
  peerFound: z.strictObject({ peerId: z.string(), addresses: z.number().int(), by: z.enum(['dht', 'lan', 'dns']) }),
  introduced: z.strictObject({ id: z.string(), introducer: z.string(), peerId: z.string(), name: z.string() }),
  recordRefused: z.strictObject({ peerId: z.string(), code: z.string(), count: z.number().int() }),
})

export const discoveryErrors = defineErrors({
  NZ_DISCOVERY_OFF: {
    message: 'finding peers through others is switched off',
    fix: ['nzcore config set discovery.mode server', 'nzcore config set discovery.mode client'],
    status: 409,
    exit: 'failed',
    retryable: false,
  },
  NZ_DISCOVERY_ALONE: {
    message: 'no other node that could be asked is known',
    fix: ['nzcore join <ticket>', 'nzcore config set discovery.bootstrap <address>'],
    status: 503,
    exit: 'unreachable',
    retryable: true,
  },
  NZ_DISCOVERY_NOT_FOUND: {
    message: 'nobody who was asked knows it',
    fix: ['check that the other node runs: nzcore discovery status (on its machine)', 'nzcore discovery status'],
    status: 404,
    exit: 'notFound',
    retryable: true,
  },
  NZ_DISCOVERY_NOT_STORED: {
    message: 'no node took the record',
    fix: ['nzcore discovery status', 'try again'],
    status: 503,
    exit: 'unreachable',
    retryable: true,
  },
  NZ_DISCOVERY_BUSY: {
    message: 'the peer asks for more than this node answers in that time',
    fix: ['wait ten seconds'],
    status: 429,
    exit: 'failed',
    retryable: true,
  },
  NZ_DISCOVERY_PROTOCOL: {
    message: 'the peer did not keep to the protocol of discovery',
    fix: ['run the same version of nzcore on both machines: nzcore version'],
    status: 502,
    exit: 'incompatible',
    retryable: false,
  },
  NZ_DISCOVERY_PEER_INVALID: {
    message: 'that is no peer one can look for',
    fix: ['copy the id again: nzcore id (on the other machine)'],
    status: 400,
    exit: 'usage',
    retryable: false,
  },
  NZ_DISCOVERY_SERVICE_INVALID: {
    message: 'that cannot be announced',
    fix: ['names and capabilities have at most 64 of a-z 0-9 . _ - /, at most 8 capabilities: spec/NZ-DISCOVERY-01.md'],
    status: 400,
    exit: 'usage',
    retryable: false,
  },
  NZ_DISCOVERY_VALUE_INVALID: {
    message: 'that cannot be published',
    fix: ['a name has at most 64 of a-z 0-9 . _ - /, a value at most 1,024 bytes'],
    status: 400,
    exit: 'usage',
    retryable: false,
  },
  NZ_DISCOVERY_SERVICE_UNKNOWN: {
    message: 'this node announces no service of that name',
    fix: ['nzcore service list'],
    status: 404,
    exit: 'notFound',
    retryable: false,
  },
  NZ_DISCOVERY_SERVICES_FULL: {
    message: 'this node announces as many services as it may',
    fix: ['nzcore service withdraw <name>'],
    status: 507,
    exit: 'conflict',
    retryable: false,
  },
})
