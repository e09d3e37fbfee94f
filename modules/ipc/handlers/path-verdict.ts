/** Why a peer is or is not reached: one verdict from what was tried, and one next step. Pure. */
import { MEANINGS, SILENT } from './attempt-meanings.ts'
import { explainRelayed } from './relayed-verdict.ts'
import type { PeerLookup } from '../../discovery/service.ts'
import type { DialAttempt, Peer, PeerPath } from '../../network/service.ts'
import type { RelayedFacts } from './relayed-verdict.ts'

export interface PathFacts {
  readonly peerId: string
  /** `null`: this node has never heard of it. */
  readonly peer: Peer | null
  /** Newest last. */
  readonly attempts: readonly DialAttempt[]
  readonly lookup: Pick<PeerLookup, 'asked' | 'addresses'> | null
  readonly isBlocked: boolean
  /** Whether other nodes can be asked. */
  readonly isLookupOn: boolean
  /** Whether this machine is on no network. */
  readonly isOffline: boolean
  /** Whether the address is one of a private network that this machine is not in. */
  readonly isElsewhere: (address: string) => boolean
  /** How the two sides are placed; asked for when the connection goes through a relay. */
  readonly relayed: RelayedFacts
}

export interface ExplainedAttempt extends DialAttempt {
  readonly says: string
}

export interface Verdict {
  readonly state: 'connected' | 'unreached' | 'untried'
  /** How it is connected; `punched`: directly, after both sides have dialled at once. `null`: it is not. */
  readonly path: 'direct' | 'punched' | 'relay' | 'route' | null
  readonly code: string | null
  readonly says: string
  readonly next: string | null
  /** When a relayed connection is tried directly again; `null`: not planned, or just now. */
  readonly nextTryAtMs: number | null
}

export interface ExplainedPath {
  readonly verdict: Verdict
  readonly attempts: readonly ExplainedAttempt[]
}

export function explainPath(facts: PathFacts): ExplainedPath {
  const { peer, attempts } = facts
  const isConnected = peer !== null && peer.paths.length > 0
  const lastSuccess = attempts.findLastIndex(({ code }) => code === null)
  // What led to the present connection is part of its answer; what went before an earlier one is not.
  const relevant = attempts.slice(isConnected ? Math.max(0, startOfLastTry(attempts, lastSuccess)) : lastSuccess + 1)
  return {
    verdict: isConnected ? connected(facts, peer) : notConnected(facts, relevant),
    attempts: relevant.map((attempt) => ({ ...attempt, says: meaningOf(attempt) })),
  }
}

function connected({ attempts, relayed }: PathFacts, { paths: [path], rttMs }: Peer): Verdict {
  if (path === undefined) throw new RangeError('a connected peer has a path')
  const rtt = rttMs === null ? '' : `, ${rttMs.toFixed(rttMs < 10 ? 1 : 0)} ms there and back`
  const who = path.direction === 'outbound' ? 'this node has dialled it' : 'it has dialled this node'
  const stack = `moved by ${path.backend}${rtt}`
  if (path.transport === 'relay') {
    const { says, ...rest } = explainRelayed(relayed)
    return { state: 'connected', path: 'relay', says: `connected by a relay because ${says}; ${stack}`, ...rest }
  }
  const direct = { state: 'connected', code: null, next: null, nextTryAtMs: null } as const
  if (path.transport === 'route')
    return { ...direct, path: 'route', says: `connected through other nodes, ${stack}; ${who}` }
  if (isPunched(path, attempts))
    return { ...direct, path: 'punched', says: `connected direct by ${path.transport}, ${stack}; ${PUNCHED}` }
  return { ...direct, path: 'direct', says: `connected direct by ${path.transport}, ${stack}; ${who}` }
}

const PUNCHED = 'both have dialled at once, through their NATs'

/** Its own dial has opened it, or the one of the peer came in where such a dial had gone out. */
function isPunched({ address, direction }: PeerPath, attempts: readonly DialAttempt[]): boolean {
  if (direction === 'inbound') return attempts.some((each) => each.isPunch && hostOf(each.address) === hostOf(address))
  return attempts.findLast((each) => each.code === null && plain(each.address) === plain(address))?.isPunch ?? false
}

function plain(address: string): string {
  return address.replace(/\/p2p\/[^/]+$/, '')
}

function hostOf(address: string): string | undefined {
  return address.split('/')[2]
}

function notConnected(facts: PathFacts, tried: readonly DialAttempt[]): Verdict {
  const { peerId, lookup, isBlocked, isLookupOn, isOffline } = facts
  const unreached = { state: 'unreached', path: null, nextTryAtMs: null } as const
  if (isBlocked)
    return {
      ...unreached,
      code: 'NZ_NETWORK_BLOCKED',
      says: 'this node blocks the peer',
      next: `nzcore unblock ${peerId}`,
    }
  const { attempts, isAllElsewhere } = telling(facts, tried)
  if (isOffline && attempts.every(({ code }) => SILENT.has(code)))
    return {
      ...unreached,
      code: 'NZ_NETWORK_OFFLINE',
      says: 'this machine is on no network',
      next: 'connect this machine to a network',
    }
  const searched = lookup?.addresses === null ? `; ${lookup.asked} other nodes know no other address` : ''
  if (isAllElsewhere && attempts.every(({ code }) => SILENT.has(code)))
    return {
      ...unreached,
      code: 'NZ_NAT_NO_RELAY',
      says: `it is known at addresses of a private network alone, which this machine is not in${searched}`,
      next: 'let it use a relay: nzcore config set network.relay.use (on its machine)',
    }
  const codes = new Set(attempts.map(({ code }) => code))
  const decided = [...MEANINGS].find(([code]) => codes.has(code))
  if (decided !== undefined) {
    const [code, { verdict, next }] = decided
    return { ...unreached, code, says: `${verdict}${searched}`, next }
  }
  if (lookup?.addresses === null)
    return {
      ...unreached,
      code: 'NZ_DISCOVERY_NOT_FOUND',
      says: `no address of it is known here, nor to ${lookup.asked} other nodes`,
      next: 'ask its owner for a ticket: nzcore invite (on its machine)',
    }
  return {
    ...unreached,
    state: 'untried',
    code: 'NZ_NETWORK_NOT_CONNECTED',
    says: isLookupOn ? 'nothing was tried' : 'nothing was tried, and other nodes may not be asked',
    next: `nzcore connect ${peerId}`,
  }
}

/**
 * The attempts that say something of the peer as it is now: of each address the newest. Who answers at a private address of another network, if anybody, is some
 * machine that happens to have the same address here.
 */
function telling(
  { isElsewhere }: PathFacts,
  tried: readonly DialAttempt[],
): { readonly attempts: readonly DialAttempt[]; readonly isAllElsewhere: boolean } {
  const newest = [...new Map(tried.map((attempt) => [plain(attempt.address), attempt])).values()]
  const here = newest.filter(({ address, transport }) => transport === 'relay' || !isElsewhere(address))
  const isAllElsewhere = here.length === 0 && newest.length > 0
  return { attempts: isAllElsewhere ? newest : here, isAllElsewhere }
}

/** The attempts of one call stand together: those before the success that failed since the success before it. */
function startOfLastTry(attempts: readonly DialAttempt[], lastSuccess: number): number {
  return attempts.slice(0, Math.max(0, lastSuccess)).findLastIndex(({ code }) => code === null) + 1
}

function meaningOf({ code, isPunch }: DialAttempt): string {
  if (code === null) return isPunch ? 'connected, both dialled at once' : 'connected'
  // What NATs do with packets that nobody has asked for says nothing of who is behind them.
  if (isPunch && SILENT.has(code)) return 'nothing came through'
  return MEANINGS.get(code)?.attempt ?? code
}
