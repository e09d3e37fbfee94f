/** Why a connection goes through a relay, and when it is tried directly again (NZ-REACH-01 §3). Pure. */
import type { ReachAnswer } from '../../../protocols/reach/answer.ts'
import type { DirectTries, Reachability } from '../../network/service.ts'

export interface RelayedFacts {
  readonly own: Pick<Reachability, 'mapping' | 'canPunch'>
  /** What the peer says of itself; `null`: it does not. */
  readonly theirs: ReachAnswer | null
  /** Of this node, when it is the one that leads. */
  readonly directTries: DirectTries | null
  readonly nowMs: number
}

export interface RelayedVerdict {
  readonly code: string
  /** After “by a relay because”. */
  readonly says: string
  readonly next: string | null
  /** `null` when none is planned, or one is under way. */
  readonly nextTryAtMs: number | null
}

const FORWARD = 'forward the TCP port on one of the two routers, or: nzcore config set network.portMapping true'

export function explainRelayed({ own, theirs, directTries, nowMs }: RelayedFacts): RelayedVerdict {
  const theirNextMs = theirs?.nextTryInMs ? nowMs + theirs.nextTryInMs : null
  const nextTryAtMs = directTries === null ? theirNextMs : directTries.nextTryAtMs
  return { ...reasonOf(own, theirs, nextTryAtMs !== null), nextTryAtMs }
}

/** `hasTried`: a whole round of direct tries has failed, so the next one has a time. */
function reasonOf(
  own: RelayedFacts['own'],
  theirs: ReachAnswer | null,
  hasTried: boolean,
): Omit<RelayedVerdict, 'nextTryAtMs'> {
  const isHere = own.mapping === 'endpoint-dependent'
  const isThere = theirs?.mapping === 'endpoint-dependent'
  if (isHere && isThere)
    return {
      code: 'NZ_NAT_BOTH_SYMMETRIC',
      says: 'both NATs change the port for each destination',
      next: FORWARD,
    }
  if (theirs === null)
    return {
      code: 'NZ_NAT_UNTOLD',
      says: 'the peer does not say what NAT it is behind',
      next: 'nzcore version (on its machine)',
    }
  if (!own.canPunch || !theirs.canPunch)
    return {
      code: 'NZ_NAT_NO_ADDON',
      says: `${own.canPunch ? 'its' : 'this'} node cannot dial from its listening port without the native addon`,
      next: `npm run native (in the folder of nzcore${own.canPunch ? ', on its machine' : ''})`,
    }
  if (!hasTried)
    return { code: 'NZ_NAT_PUNCH_PENDING', says: 'a direct connection is being tried just now', next: null }
  if (own.mapping === 'unknown' || theirs.mapping === 'unknown') {
    const isOwn = own.mapping === 'unknown'
    return {
      code: 'NZ_NAT_UNKNOWN',
      says: `direct tries do not come through; too few nodes outside have told what ${isOwn ? 'the NAT here' : 'its NAT'} does`,
      next: `name a second relay: nzcore config explain network.relay.use${isOwn ? '' : ' (on its machine)'}`,
    }
  }
  if (isHere !== isThere)
    return {
      code: 'NZ_NAT_SYMMETRIC_AND_CLOSED',
      says: isHere
        ? 'the NAT here changes the port for each destination, and the one there lets in answers alone'
        : 'its NAT changes the port for each destination, and the one here lets in answers alone',
      next: FORWARD,
    }
  return {
    code: 'NZ_NAT_PUNCH_FAILED',
    says: 'direct tries do not come through, though the NATs allow for them: a firewall drops them',
    next: 'open the TCP port of either node in its firewall',
  }
}
