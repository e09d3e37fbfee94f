/** From what is known to how others reach this node, in words. */
import { OFFLINE } from './report.ts'
import type { Reachability } from './report.ts'

export interface ReachFacts {
  readonly mapping: Reachability['mapping']
  /** Whether this machine has no address but its own. */
  readonly isOffline: boolean
  /** Whether somebody has come in directly from a public address. */
  readonly cameIn: boolean
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
  hasPublicAddress,
  isPortMapped,
  isServedByRelay,
  canPunch,
}: ReachFacts): Pick<Reachability, 'verdict' | 'why'> {
  if (isOffline) return { verdict: 'unreachable', why: OFFLINE }
  if (cameIn) return { verdict: 'direct', why: 'peers have connected from outside' }
  if (mapping === 'none') return { verdict: 'direct', why: 'peers outside see an address of this machine' }
  if (isPortMapped) return { verdict: 'direct', why: 'the router passes a port of its own on to this node' }
  const isBehindNat = mapping !== 'unknown' || !hasPublicAddress
  if (!isBehindNat) return { verdict: 'unknown', why: 'an address is public, and nobody outside has used it yet' }
  const nat = {
    'endpoint-independent': 'a NAT maps the port alike for all peers',
    'endpoint-dependent': 'a NAT maps the port anew for each peer',
    unknown: 'all addresses are private',
  }[mapping]
  if (!isServedByRelay)
    return mapping === 'unknown'
      ? { verdict: 'unknown', why: `${nat}, and too few peers outside have said what they see` }
      : { verdict: 'unreachable', why: `${nat}, and no relay brings peers together with this node` }
  if (mapping === 'endpoint-dependent')
    return { verdict: 'relayed', why: `${nat}: only peers without such a NAT of their own connect directly` }
  if (!canPunch)
    return { verdict: 'relayed', why: `${nat}, and dialling from the listening port needs the native addon` }
  return { verdict: 'punchable', why: `${nat}; a relay brings peers together, who then connect directly` }
}
