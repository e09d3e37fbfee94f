/** Why a setup or a flow ends (NZ-ROUTING-01 §8): one code and one number on the wire for each reason. */
import { defineErrors } from '../../kernel/index.ts'

const forged = ['look at who relays: nzcore trace <peer> --verify', 'do not route through the node that sent it']

export const routeErrors = defineErrors({
  NZ_ROUTE_MALFORMED: {
    message: 'that is no message of the routing protocol',
    fix: ['update nzcore on all machines of the route: nzcore version'],
    status: 400,
    exit: 'incompatible',
    retryable: false,
  },
  NZ_ROUTE_VERSION: {
    message: 'the route was set up by a version this node does not know',
    fix: ['update nzcore on all machines of the route: nzcore version'],
    status: 422,
    exit: 'incompatible',
    retryable: false,
  },
  NZ_ROUTE_PURPOSE: {
    message: 'the signature was made for something else than a route',
    fix: forged,
    status: 422,
    exit: 'refusedByTrust',
    retryable: false,
  },
  NZ_ROUTE_FORGED: {
    message: 'a signature of the route is not that of the node it names',
    fix: forged,
    status: 422,
    exit: 'refusedByTrust',
    retryable: false,
  },
  NZ_ROUTE_CHAIN: {
    message: 'the hops of the route do not follow each other',
    fix: forged,
    status: 422,
    exit: 'refusedByTrust',
    retryable: false,
  },
  NZ_ROUTE_REPLAYED: {
    message: 'the route was set up before, or out of its time',
    fix: ['try again', 'check the clocks of both machines: date -u'],
    status: 409,
    exit: 'conflict',
    retryable: true,
  },
  NZ_ROUTE_TTL: {
    message: 'the route has more hops than it may',
    fix: ['connect to a node nearer to the peer: nzcore connect <peer>'],
    status: 502,
    exit: 'unreachable',
    retryable: false,
  },
  NZ_ROUTE_REFUSED: {
    message: 'a node on the route does not let it through',
    fix: ['nzcore trust explain <peer> (on the machine that refused): it needs the permission to route'],
    status: 403,
    exit: 'refusedByTrust',
    retryable: false,
  },
  NZ_ROUTE_LIMITED: {
    message: 'a node on the route has no room for it',
    fix: ['try again in a minute'],
    status: 503,
    exit: 'unreachable',
    retryable: true,
  },
  NZ_ROUTE_NONE: {
    message: 'no route to the peer is known',
    fix: ['nzcore route', 'connect to a node that is connected to the peer, and trust it MEDIUM: nzcore trust set'],
    status: 502,
    exit: 'unreachable',
    retryable: true,
  },
  NZ_ROUTE_BROKEN: {
    message: 'a connection on the route was lost',
    fix: ['try again: another route is taken when there is one', 'nzcore route'],
    status: 502,
    exit: 'unreachable',
    retryable: true,
  },
  NZ_ROUTE_TIMEOUT: {
    message: 'the route was not answered in time',
    fix: ['try again', 'nzcore trace <peer>'],
    status: 504,
    exit: 'timedOut',
    retryable: true,
  },
  NZ_ROUTE_IDLE: {
    message: 'nothing moved on the route for a minute',
    fix: ['nothing has to be done: a new one is set up when it is needed'],
    status: 410,
    exit: 'unreachable',
    retryable: true,
  },
  NZ_ROUTE_CLOSED: {
    message: 'the route was closed by its end',
    fix: ['nothing has to be done'],
    status: 410,
    exit: 'unreachable',
    retryable: true,
  },
})

export type RouteCode = keyof typeof routeErrors

/** By their number on the wire, from 1. */
export const routeCodes: readonly RouteCode[] = [
  'NZ_ROUTE_MALFORMED',
  'NZ_ROUTE_VERSION',
  'NZ_ROUTE_PURPOSE',
  'NZ_ROUTE_FORGED',
  'NZ_ROUTE_CHAIN',
  'NZ_ROUTE_REPLAYED',
  'NZ_ROUTE_TTL',
  'NZ_ROUTE_REFUSED',
  'NZ_ROUTE_LIMITED',
  'NZ_ROUTE_NONE',
  'NZ_ROUTE_BROKEN',
  'NZ_ROUTE_TIMEOUT',
  'NZ_ROUTE_IDLE',
  'NZ_ROUTE_CLOSED',
]

export function numberOf(code: RouteCode): number {
  return routeCodes.indexOf(code) + 1
}
