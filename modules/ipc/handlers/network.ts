/** Handlers of the group `network`. */
import { deadline, isNzError, sleep } from '../../../kernel/index.ts'
import { publicKeyOfPeerId, idOf } from '../../../protocols/identity/id.ts'
import { networkErrors, networkEvents } from '../../network/service.ts'
import { resolvePeer } from './peer-reference.ts'
import { RoundTrips } from './round-trips.ts'
import type { Clock, EventBus } from '../../../kernel/index.ts'
import type { networkContract } from '../../../protocols/ipc/contract/network.ts'
import type { Handlers, ParamsOf, ResultOf } from '../../../protocols/ipc/endpoint.ts'
import type { ContactsService } from '../../contacts/service.ts'
import type { NetworkService, Peer } from '../../network/service.ts'

export interface NetworkHandlersServices {
  readonly network: NetworkService
  readonly contacts: Pick<ContactsService, 'resolve' | 'get'>
  readonly events: EventBus
  readonly clock: Clock
}

type PeerView = ResultOf<(typeof networkContract)['peersShow']>['peer']
type PingParams = ParamsOf<(typeof networkContract)['peersPing']>
type PingResult = ResultOf<(typeof networkContract)['peersPing']>

/** Changes within this time make one new list. */
const WATCH_PAUSE_MS = 100

export function networkHandlers(services: NetworkHandlersServices): Handlers<typeof networkContract> {
  const { network, contacts } = services
  const view = (peer: Peer): PeerView => viewOf(peer, contacts)
  const list = ({ all, limit }: { all: boolean; limit: number }): { peers: PeerView[] } => {
    const peers = network.peers().filter(({ state }) => all || state !== 'disconnected')
    return { peers: peers.slice(0, limit).map(view) }
  }
  const show = (peerId: string) => ({
    peer: view(network.peer(peerId) ?? unseen(peerId)),
    attempts: [...network.attempts(peerId)],
  })
  const subjectOf = (subject: string): string => {
    try {
      return resolvePeer(services, subject).peerId
    } catch (error) {
      if (isNzError(error, 'NZ_CONTACTS_NOT_FOUND')) return subject
      throw error
    }
  }
  return {
    peersList: async (params) => list(params),
    peersShow: async ({ peer }) => show(resolvePeer(services, peer).peerId),
    async *peersWatch(params, { signal }) {
      for await (const _ of changes(services, signal)) yield list(params)
    },
    networkReachability: async () => reachabilityView(services),
    async dnsResolve({ name }, { signal }) {
      const { addresses, ...found } = await network.findByName(name, { signal })
      return { name, addresses: [...addresses], ...found }
    },
    async peersAttempts({ peer }) {
      const { peerId } = resolvePeer(services, peer)
      return { peerId, attempts: [...network.attempts(peerId)] }
    },
    async peersConnect({ peer, addresses, timeoutMs }, { signal }) {
      const found = resolvePeer(services, peer)
      return { peer: view(await connect(services, found, { addresses, timeoutMs, signal })) }
    },
    async peersDisconnect({ peer }, { signal }) {
      const { peerId } = resolvePeer(services, peer)
      await network.disconnect(peerId, { signal })
      return show(peerId)
    },
    peersPing: (params, { signal }) => pings(services, params, signal),
    async peersBlock({ subject }) {
      await network.block(subjectOf(subject))
      return { blocked: [...network.blocked()] }
    },
    async peersUnblock({ subject }) {
      await network.unblock(subjectOf(subject))
      return { blocked: [...network.blocked()] }
    },
    peersBlocked: async () => ({ blocked: [...network.blocked()] }),
  }
}

function reachabilityView({
  network,
  contacts,
}: NetworkHandlersServices): ResultOf<(typeof networkContract)['networkReachability']> {
  const { relays, directTries, dialledBack, ...reachability } = network.reachability()
  const named = <View extends { readonly peerId: string }>(view: View) => ({
    ...view,
    name: contacts.get(view.peerId)?.name ?? null,
  })
  const { reached, unreached, helpers } = dialledBack
  return {
    ...reachability,
    dialledBack: { reached: [...reached], unreached: [...unreached], helpers },
    stun: reachability.stun.map((finding) => ({ ...finding })),
    observed: [...reachability.observed],
    addresses: [...network.addresses()],
    relays: relays.map(named),
    directTries: directTries.map(named),
  }
}

async function connect(
  { network, clock }: NetworkHandlersServices,
  { peerId, addresses: known }: { peerId: string; addresses: readonly string[] },
  { addresses, timeoutMs, signal }: { addresses: readonly string[]; timeoutMs: number; signal: AbortSignal },
): Promise<Peer> {
  using limit = deadline(clock, timeoutMs, {
    signal,
    reason: () => networkErrors.NZ_NETWORK_TIMEOUT({ data: { peerId, attempts: network.attempts(peerId) } }),
  })
  return await network.connect(peerId, { addresses: [...addresses, ...known], signal: limit.signal })
}

/** Once now, then once after every burst of changes. */
async function* changes({ events, clock }: NetworkHandlersServices, signal: AbortSignal): AsyncIterable<void> {
  let changed = Promise.withResolvers<void>()
  const note = (): void => changed.resolve()
  for (const event of [networkEvents.peerConnected, networkEvents.peerDisconnected]) events.on(event, note, { signal })
  signal.addEventListener('abort', note, { once: true })
  while (!signal.aborted) {
    changed = Promise.withResolvers()
    yield
    await changed.promise
    if (!signal.aborted) await sleep(clock, WATCH_PAUSE_MS, { signal })
  }
}

async function* pings(
  services: NetworkHandlersServices,
  { peer, count, intervalMs, timeoutMs }: PingParams,
  signal: AbortSignal,
): AsyncIterable<PingResult> {
  const { network, contacts, clock } = services
  const found = resolvePeer(services, peer)
  const { peerId } = found
  await connect(services, found, { addresses: [], timeoutMs: 30_000, signal })
  const roundTrips = new RoundTrips()
  let address: string | null = null
  let pathChanges = 0
  for (let sent = 1; sent <= count; sent += 1) {
    const lastMs = await pingOnce(services, peerId, { timeoutMs, signal })
    if (lastMs !== null) roundTrips.add(lastMs)
    const path = network.peer(peerId)?.paths[0]
    if (address !== null && path !== undefined && path.address !== address) pathChanges += 1
    address = path?.address ?? address
    yield {
      peerId,
      name: contacts.get(peerId)?.name ?? null,
      address,
      transport: path?.transport ?? null,
      sent,
      received: roundTrips.count,
      lastMs,
      ...roundTrips.summary(),
      pathChanges,
    }
    if (sent < count) await sleep(clock, intervalMs, { signal })
  }
}

/** `null` when no answer came in time or the connection is down just now. */
async function pingOnce(
  { network, clock }: NetworkHandlersServices,
  peerId: string,
  { timeoutMs, signal }: { readonly timeoutMs: number; readonly signal: AbortSignal },
): Promise<number | null> {
  using limit = deadline(clock, timeoutMs, { signal })
  try {
    return await network.ping(peerId, { signal: limit.signal })
  } catch (error) {
    signal.throwIfAborted()
    if (limit.isOver || isNzError(error)) return null
    throw error
  }
}

function viewOf(peer: Peer, contacts: Pick<ContactsService, 'get'>): PeerView {
  const key = publicKeyOfPeerId(peer.peerId)
  return {
    ...peer,
    id: key === null ? null : idOf(key),
    name: contacts.get(peer.peerId)?.name ?? null,
    paths: [...peer.paths],
  }
}

function unseen(peerId: string): Peer {
  return {
    peerId,
    state: 'disconnected',
    rttMs: null,
    connectedAtMs: null,
    paths: [],
    agent: null,
    isKept: false,
  }
}
