/** Handlers of the group `discovery`. */
import { deadline, isNzError } from '../../../kernel/index.ts'
import { idOf, publicKeyOfPeerId } from '../../../protocols/identity/id.ts'
import { decodeReachAnswer, REACH_METHOD } from '../../../protocols/reach/answer.ts'
import { discoveryErrors } from '../../discovery/service.ts'
import { resolvePeer } from './peer-reference.ts'
import { explainPath } from './path-verdict.ts'
import { placeOfMachine } from './place-of-machine.ts'
import type { Clock } from '../../../kernel/index.ts'
import type { RelayedFacts } from './relayed-verdict.ts'
import type { discoveryContract } from '../../../protocols/ipc/contract/discovery.ts'
import type { Handlers, ResultOf } from '../../../protocols/ipc/endpoint.ts'
import type { ContactsService } from '../../contacts/service.ts'
import type { DiscoveryService, FoundService, OwnService, PeerLookup } from '../../discovery/service.ts'
import type { NetworkService } from '../../network/service.ts'

export interface DiscoveryHandlersServices {
  readonly discovery: DiscoveryService
  readonly network: NetworkService
  readonly contacts: Pick<ContactsService, 'resolve' | 'get'>
  readonly clock: Clock
}

type OwnView = ResultOf<(typeof discoveryContract)['serviceList']>['services'][number]
type FoundView = ResultOf<(typeof discoveryContract)['serviceFind']>['services'][number]
type WhyResult = ResultOf<(typeof discoveryContract)['peersWhy']>
type LookupView = ResultOf<(typeof discoveryContract)['discoveryFind']>['lookup']

export function discoveryHandlers(services: DiscoveryHandlersServices): Handlers<typeof discoveryContract> {
  const { discovery, network, contacts } = services
  const named = (peerId: string) => ({ peerId, name: contacts.get(peerId)?.name ?? null })
  const own = (): { services: OwnView[] } => ({ services: discovery.offers().map(ownView) })
  return {
    discoveryStatus: async () => ({ discovery: discovery.status() }),
    async discoveryFind({ peer }, { signal }) {
      const { peerId } = resolvePeer(services, peer)
      const lookup = await discovery.findPeer(peerId, { signal })
      if (lookup.addresses === null)
        throw discoveryErrors.NZ_DISCOVERY_NOT_FOUND({ why: `${lookup.asked} nodes were asked`, data: { peerId } })
      return { peer: named(peerId), lookup: lookupView(lookup) }
    },
    async discoveryPut({ name, value, ttlS }, { signal }) {
      const { holders } = await discovery.putValue(name, Buffer.from(value, 'utf8'), { ttlS, signal })
      return { name, holders }
    },
    async discoveryGet({ peer, name }, { signal }) {
      const peerId = peer === network.peerId ? peer : resolvePeer(services, peer).peerId
      const record = await discovery.getValue(peerId, name, { signal })
      if (record?.content.kind !== 'value') throw discoveryErrors.NZ_DISCOVERY_NOT_FOUND({ data: { peerId, name } })
      const bytes = Buffer.from(record.content.value)
      return {
        peer: named(peerId),
        name,
        value: bytes.toString('utf8'),
        base64: bytes.toString('base64'),
        signedAtMs: record.sequence,
      }
    },
    serviceList: async () => own(),
    async serviceAnnounce(offer, { signal }) {
      return { service: ownView(await discovery.announce(offer, { signal })) }
    },
    async serviceWithdraw({ name }, { signal }) {
      await discovery.withdraw(name, { signal })
      return own()
    },
    async serviceFind({ name, capabilities, check }, { signal }) {
      const query = { capabilities, isChecked: check, signal, ...(name === undefined ? {} : { name }) }
      const found = await discovery.findServices(query)
      return {
        services: found.map((each) => foundView(each, capabilities, named)),
      }
    },
    peersWhy: async ({ peer }, { signal }) => await why(services, resolvePeer(services, peer).peerId, signal),
  }
}

async function why(services: DiscoveryHandlersServices, peerId: string, signal: AbortSignal): Promise<WhyResult> {
  const { discovery, network, contacts } = services
  const key = publicKeyOfPeerId(peerId)
  const relayed = await relayedFacts(services, peerId, signal)
  const peer = network.peer(peerId) ?? null
  const lookup = discovery.lastLookup(peerId)
  const place = placeOfMachine()
  const { verdict, attempts } = explainPath({
    peerId,
    peer,
    attempts: network.attempts(peerId),
    lookup: lookup ?? null,
    isBlocked: network.blocked().includes(peerId),
    isLookupOn: discovery.status().mode !== 'off',
    isOffline: place.isOffline,
    isElsewhere: place.isElsewhere,
    relayed,
  })
  return {
    peer: {
      ...(peer ?? UNSEEN),
      peerId,
      id: key === null ? null : idOf(key),
      name: contacts.get(peerId)?.name ?? null,
      paths: [...(peer?.paths ?? [])],
    },
    verdict,
    attempts: [...attempts],
    lookup: lookup === undefined ? null : lookupView(lookup),
  }
}

/** For the answer of a peer that is connected; `why` does not wait longer for what makes it only clearer. */
const ASK_TIMEOUT_MS = 3_000

/** How this node is placed, and how a peer says it is that is connected through a relay. */
async function relayedFacts(
  { network, clock }: DiscoveryHandlersServices,
  peerId: string,
  signal: AbortSignal,
): Promise<RelayedFacts> {
  const { mapping, canPunch, directTries } = network.reachability()
  const facts = {
    own: { mapping, canPunch },
    directTries: directTries.find((each) => each.peerId === peerId) ?? null,
    theirs: null,
    nowMs: clock.nowMs(),
  }
  if (network.peer(peerId)?.paths[0]?.transport !== 'relay') return facts
  using limit = deadline(clock, ASK_TIMEOUT_MS, { signal })
  try {
    const answer = await network.request(peerId, REACH_METHOD, new Uint8Array(), { signal: limit.signal })
    return { ...facts, theirs: decodeReachAnswer(answer) }
  } catch (error) {
    signal.throwIfAborted()
    if (!isNzError(error) && !limit.isOver) throw error
    return facts
  }
}

const UNSEEN = { state: 'disconnected', rttMs: null, connectedAtMs: null, agent: null, isKept: false } as const

function ownView({ capabilities, ...rest }: OwnService): OwnView {
  return { ...rest, capabilities: [...capabilities] }
}

function foundView(
  found: FoundService,
  asked: readonly string[],
  named: (peerId: string) => FoundView['peer'],
): FoundView {
  const { peerId, name, version, health, capabilities, state, rttMs, trust, expiresAtMs } = found
  return {
    peer: named(peerId),
    name,
    version,
    health,
    capabilities: [...capabilities],
    agreed: capabilities.filter((each) => asked.includes(each)),
    state,
    rttMs,
    trust,
    expiresAtMs,
  }
}

function lookupView({ atMs, durationMs, asked, hops, addresses }: PeerLookup): LookupView {
  return { atMs, durationMs, asked, hops, addresses: addresses === null ? null : [...addresses] }
}
