/** Why a peer is or is not reached: one verdict from what was tried, and one next step. Pure. */
import type { PeerLookup } from '../../discovery/service.ts'
import type { DialAttempt, Peer } from '../../network/service.ts'

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
}

export interface ExplainedAttempt extends DialAttempt {
  readonly says: string
}

export interface Verdict {
  readonly state: 'connected' | 'unreached' | 'untried'
  readonly code: string | null
  readonly says: string
  readonly next: string | null
}

export interface ExplainedPath {
  readonly verdict: Verdict
  readonly attempts: readonly ExplainedAttempt[]
}

interface Meaning {
  /** Of one attempt. */
  readonly attempt: string
  readonly verdict: string
  readonly next: string
}

/** By how much a failure says: who answered tells more than who was silent. The first that occurred decides. */
const MEANINGS: ReadonlyMap<string, Meaning> = new Map([
  ['NZ_NETWORK_BLOCKED', { attempt: 'blocked here', verdict: 'this node blocks its address', next: 'nzcore blocked' }],
  [
    'NZ_NETWORK_RELAY_REFUSED',
    {
      attempt: 'the relay passed nothing on',
      verdict: 'its relay has no place for it, or no room: it is off, or has lost the relay',
      next: 'nzcore reachability (on its machine)',
    },
  ],
  [
    'NZ_NETWORK_WRONG_PEER',
    {
      attempt: 'another peer answered',
      verdict: 'another peer answers at its address: it has moved, or somebody took its place',
      next: 'ask its owner for a new ticket: nzcore invite (on its machine)',
    },
  ],
  [
    'NZ_NETWORK_PNET_MISMATCH',
    {
      attempt: 'no common cluster secret',
      verdict: 'the host answers without this node’s cluster secret',
      next: 'nzcore config explain network.clusterSecretFile',
    },
  ],
  [
    'NZ_NETWORK_HANDSHAKE_FAILED',
    {
      attempt: 'answered, no secure connection',
      verdict: 'something answers there, and no secure connection comes about: it blocks this node, or is no node',
      next: 'nzcore blocked (on its machine)',
    },
  ],
  [
    'NZ_NETWORK_LIMITED',
    { attempt: 'a limit was reached', verdict: 'a limit on connections was reached', next: 'nzcore peers' },
  ],
  [
    'NZ_NETWORK_REFUSED',
    {
      attempt: 'host up, nothing listening',
      verdict: 'its machine is up, and no node listens at the address',
      next: 'nzcore up (on its machine)',
    },
  ],
  [
    'NZ_NETWORK_TIMEOUT',
    {
      attempt: 'no packet back',
      verdict: 'nothing comes back from its address: its machine is off, or a firewall or router drops what arrives',
      next: 'open its port on the router in front of it, or start it: nzcore up (on its machine)',
    },
  ],
  [
    'NZ_NETWORK_NO_ROUTE',
    {
      attempt: 'no way there',
      verdict: 'this machine has no way to the address',
      next: 'nzcore doctor',
    },
  ],
  [
    'NZ_NETWORK_CONNECT_FAILED',
    { attempt: 'could not be opened', verdict: 'the connection cannot be opened', next: 'nzcore doctor' },
  ],
])

export function explainPath(facts: PathFacts): ExplainedPath {
  const { peer, attempts } = facts
  const isConnected = peer !== null && peer.paths.length > 0
  const lastSuccess = attempts.findLastIndex(({ code }) => code === null)
  // What led to the present connection is part of its answer; what went before an earlier one is not.
  const relevant = attempts.slice(isConnected ? Math.max(0, startOfLastTry(attempts, lastSuccess)) : lastSuccess + 1)
  return {
    verdict: isConnected ? connected(peer) : notConnected(facts, relevant),
    attempts: relevant.map((attempt) => ({ ...attempt, says: meaningOf(attempt) })),
  }
}

function connected({ paths: [path], rttMs }: Peer): Verdict {
  const rtt = rttMs === null ? '' : `, ${rttMs.toFixed(rttMs < 10 ? 1 : 0)} ms there and back`
  if (path === undefined) throw new RangeError('a connected peer has a path')
  const how = path.transport === 'relay' ? 'by a relay' : `direct by ${path.transport}`
  const who = path.direction === 'outbound' ? 'this node has dialled it' : 'it has dialled this node'
  return {
    state: 'connected',
    code: null,
    says: `connected ${how}, moved by ${path.backend}${rtt}; ${who}`,
    next: path.transport === 'relay' ? 'nzcore doctor' : null,
  }
}

function notConnected({ peerId, lookup, isBlocked, isLookupOn }: PathFacts, tried: readonly DialAttempt[]): Verdict {
  if (isBlocked)
    return {
      state: 'unreached',
      code: 'NZ_NETWORK_BLOCKED',
      says: 'this node blocks the peer',
      next: `nzcore unblock ${peerId}`,
    }
  const codes = new Set(tried.map(({ code }) => code))
  const decided = [...MEANINGS].find(([code]) => codes.has(code))
  if (decided !== undefined) {
    const [code, { verdict, next }] = decided
    const searched = lookup?.addresses === null ? `; ${lookup.asked} other nodes know no other address` : ''
    return { state: 'unreached', code, says: `${verdict}${searched}`, next }
  }
  if (lookup?.addresses === null)
    return {
      state: 'unreached',
      code: 'NZ_DISCOVERY_NOT_FOUND',
      says: `no address of it is known here, nor to ${lookup.asked} other nodes`,
      next: 'ask its owner for a ticket: nzcore invite (on its machine)',
    }
  return {
    state: 'untried',
    code: 'NZ_NETWORK_NOT_CONNECTED',
    says: isLookupOn ? 'nothing was tried' : 'nothing was tried, and other nodes may not be asked',
    next: `nzcore connect ${peerId}`,
  }
}

/** The attempts of one call stand together: those before the success that failed since the success before it. */
function startOfLastTry(attempts: readonly DialAttempt[], lastSuccess: number): number {
  return attempts.slice(0, Math.max(0, lastSuccess)).findLastIndex(({ code }) => code === null) + 1
}

function meaningOf({ code }: DialAttempt): string {
  return code === null ? 'connected' : (MEANINGS.get(code)?.attempt ?? code)
}
