/** From what is known to how others reach this node, in words. */
import { OFFLINE } from './report.ts'
import type { Reachability } from './report.ts'

export interface ReachFacts {
  readonly mapping: Reachability['mapping']
  /** Whether this machine has no address but its own. */
  readonly isOffline: boolean
  /** Whether somebody has come in directly from a public address. */
  readonly cameIn: boolean
  /** Whether a peer that was asked to has dialled this node at an address of its own or of the router. */
  readonly isReached: boolean
  /** Whether several were asked to, and none came through. */
  readonly isShut: boolean
  readonly hasPublicAddress: boolean
  /** Whether the router has given a port that is reached from outside. */
  readonly isPortMapped: boolean
  readonly isServedByRelay: boolean
  readonly canPunch: boolean
}

export function judge({
  mapping,
  isOffline,
  cameIn,
  isReached,
  isShut,
  hasPublicAddress,
  isPortMapped,
  isServedByRelay,
  canPunch,
}: ReachFacts): Pick<Reachability, 'verdict' | 'why'> {
  if (isOffline) return { verdict: 'unreachable', why: OFFLINE }
  if (cameIn) return { verdict: 'direct', why: 'peers have connected from outside' }
  if (mapping === 'none' && !isShut) return { verdict: 'direct', why: 'peers outside see an address of this machine' }
  if (isPortMapped && !isShut) return { verdict: 'direct', why: 'the router passes a port of its own on to this node' }
  const isBehindNat = mapping !== 'unknown' || !hasPublicAddress || isShut
  if (!isBehindNat && isReached) return { verdict: 'direct', why: 'peers that were asked to have connected to it' }
  if (!isBehindNat) return { verdict: 'unknown', why: 'an address is public, and nobody outside has used it yet' }
  const nat = {
    none: 'a firewall keeps out peers that dial a public address of this machine',
    'endpoint-independent': 'a NAT maps the port alike for all peers',
    'endpoint-dependent': 'a NAT maps the port anew for each peer',
    unknown: hasPublicAddress ? 'a firewall keeps out peers that dial a public address' : 'all addresses are private',
  }[mapping]
  if (!isServedByRelay)
    return mapping === 'unknown' && !isShut
      ? { verdict: 'unknown', why: `${nat}, and too few peers outside have said what they see` }
      : { verdict: 'unreachable', why: `${nat}, and no relay brings peers together with this node` }
  if (mapping === 'endpoint-dependent')
    return { verdict: 'relayed', why: `${nat}: only peers without such a NAT of their own connect directly` }
  if (!canPunch)
    return { verdict: 'relayed', why: `${nat}, and dialling from the listening port needs the native addon` }
  const isKnown = mapping !== 'unknown'
  const then = isKnown
    ? 'who then connect directly'
    : 'who try to connect directly; a second one would tell what the NAT does'
  return { verdict: 'punchable', why: `${nat}; a relay brings peers together, ${then}` }
}

/** Whom a NAT lets in at the listening port (RFC 4787 §5), as far as anybody has tried. */
export function filteringOf({
  cameIn,
  isReached,
  isShut,
}: Pick<ReachFacts, 'cameIn' | 'isReached' | 'isShut'>): Reachability['filtering'] {
  if (cameIn) return 'endpoint-independent'
  // Those who dial back are ones this node has spoken to, at another port of theirs.
  if (isReached) return 'address-dependent-at-most'
  return isShut ? 'address-and-port-dependent' : 'unknown'
}
