/** Handlers of the group `route`. */
import { routeErrors } from '../../routing/service.ts'
import { resolvePeer } from './peer-reference.ts'
import type { routeContract } from '../../../protocols/ipc/contract/route.ts'
import type { Handlers } from '../../../protocols/ipc/endpoint.ts'
import type { ContactsService } from '../../contacts/service.ts'
import type { NetworkService } from '../../network/service.ts'
import type { RoutingService } from '../../routing/service.ts'

export interface RouteHandlersServices {
  readonly routing: RoutingService
  readonly network: Pick<NetworkService, 'peers'>
  readonly contacts: Pick<ContactsService, 'resolve' | 'get'>
}

export function routeHandlers(services: RouteHandlersServices): Handlers<typeof routeContract> {
  const { routing, contacts } = services
  const named = (peerId: string): { peerId: string; name: string | null } => ({
    peerId,
    name: contacts.get(peerId)?.name ?? null,
  })
  return {
    routeList: async () => ({
      routes: routing.routes().map(({ destination, ways }) => ({
        destination: named(destination),
        ways: ways.map(({ nextHop, ...way }) => ({ ...way, nextHop: named(nextHop) })),
      })),
    }),
    async routeStatus() {
      const { neighbours, refused, ...status } = routing.status()
      return {
        routing: {
          ...status,
          neighbours: neighbours.map(({ peerId, ...neighbour }) => ({ ...neighbour, peer: named(peerId) })),
          refused: { ...refused },
        },
      }
    },
    async routeTrace({ peer, maxHops }, { signal }) {
      const { peerId } = resolvePeer(services, peer)
      const trace = await routing.trace(peerId, { signal, ...(maxHops === undefined ? {} : { maxHops }) })
      const { hops, rttMs, failure, evidence } = trace
      if (failure !== null && hops.length === 0) {
        const by = named(failure.by)
        throw routeErrors[failure.code]({ why: `as ${by.name ?? by.peerId} says`, data: { peerId, by: by.peerId } })
      }
      const isVerified = failure === null && hops.every((hop) => hop.isSetupSigned && hop.isAnswerSigned)
      return {
        trace: {
          peer: named(peerId),
          hops: hops.map(({ peerId: hop, ...facts }) => ({ ...facts, peer: named(hop) })),
          rttMs,
          isVerified,
          evidence: evidence === null ? null : Buffer.from(evidence).toString('base64'),
        },
      }
    },
  }
}
