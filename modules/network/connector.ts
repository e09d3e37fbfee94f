/** Gets a connection to a peer: one dial at a time for each peer, joined by all who ask for it. */
import { multiaddr } from '@multiformats/multiaddr'
import { deadline, isNzError, orAbort } from '../../kernel/index.ts'
import { hostOf, mostReachableFirst, peerIdOf, transportOf, withPeerId } from './address.ts'
import { AddressSources } from './address-sources.ts'
import { AttemptLedger } from './attempt-ledger.ts'
import { Dialer } from './dialer.ts'
import { dnsOptionsOf } from './config.ts'
import { NodeNames } from './dns/names.ts'
import { nameIn } from './dns/node-names.ts'
import { networkErrors } from './service.ts'
import type { Connection } from '@libp2p/interface'
import type { DialChoice } from './dialer.ts'
import type { Swarm } from './transport-dials.ts'
import type { NetworkServices } from './network.ts'
import type { OpenPath, Paths } from './paths.ts'
import type { PeerBook } from './peer-book.ts'
import type { DialAttempt } from './service.ts'

/** For all addresses of a peer together. */
const CONNECT_TIMEOUT_MS = 30_000
/** Addresses tried for one peer at a time. */
const MAX_ADDRESSES_TO_DIAL = 16

export interface ConnectorServices extends Pick<
  NetworkServices,
  'peerId' | 'clock' | 'random' | 'gate' | 'blockList' | 'config'
> {
  readonly paths: Paths
  readonly book: PeerBook
}

export class Connector {
  readonly sources = new AddressSources()
  readonly names: NodeNames
  readonly #services: ConnectorServices
  readonly #ledger = new AttemptLedger()
  readonly #dialling = new Map<string, Promise<void>>()
  #dialer: Dialer | null = null
  #listening: () => readonly string[] = () => []
  #stopped = new AbortController()

  constructor(services: ConnectorServices) {
    this.#services = services
    this.names = new NodeNames(services, dnsOptionsOf(services.config))
  }

  start(swarm: Swarm): void {
    const { clock, config } = this.#services
    this.#stopped = new AbortController()
    this.#listening = () => swarm.services.dials.listening()
    this.#dialer = new Dialer(
      { swarm, ledger: this.#ledger, clock, isBlocked: (address) => this.isBlockedAddress(address) },
      {
        dialTimeoutMs: config.dialTimeoutMs,
        handshakeTimeoutMs: config.handshakeTimeoutMs,
        hasClusterSecret: config.clusterSecret !== undefined || config.clusterSecretFile !== undefined,
      },
    )
  }

  stop(): void {
    this.#dialer = null
    this.#stopped.abort(networkErrors.NZ_NETWORK_STOPPED())
  }

  attempts(peerId: string): readonly DialAttempt[] {
    return this.#ledger.of(peerId)
  }

  /** The peer has ended a connection this node opened before it answered anything: it does not want it. */
  letGo({ remotePeer, remoteAddr }: Connection, openMs: number): void {
    const peerId = remotePeer.toString()
    const address = remoteAddr.toString()
    if (this.#dialer === null || this.#services.paths.of(peerId).length > 0) return
    this.#ledger.record(peerId, {
      atMs: this.#services.clock.nowMs(),
      address,
      transport: transportOf(address),
      stage: 'identify',
      durationMs: Math.round(openMs * 100) / 100,
      code: 'NZ_NETWORK_PEER_CLOSED',
      isPunch: false,
    })
  }

  isBlockedAddress(address: string): boolean {
    const host = hostOf(address)
    return host !== null && this.#services.blockList.hasIp(host)
  }

  /** @throws NZ_NETWORK_UNREACHABLE, NZ_NETWORK_BLOCKED, NZ_NETWORK_PEER_INVALID, NZ_NETWORK_ADDRESS_INVALID */
  async connect(
    peerId: string,
    addresses: readonly string[],
    signal: AbortSignal,
    { isDirect = false }: { readonly isDirect?: boolean } = {},
  ): Promise<void> {
    const { paths, book } = this.#services
    this.#check(peerId)
    const given = usableOf(addresses, peerId)
    if (given.length > 0) book.learn(peerId, given)
    while (paths.best(peerId) === undefined) {
      const joined = this.#dialling.get(peerId)
      if (joined === undefined) return await orAbort(this.#dial(peerId, given, isDirect), signal)
      // Whoever dials already may not have known the addresses given here.
      await orAbort(
        joined.catch(() => undefined),
        signal,
      )
    }
  }

  /** For streams and requests: connects when an address is known. @throws NZ_NETWORK_NOT_CONNECTED */
  async connectKnown(peerId: string, signal: AbortSignal): Promise<OpenPath> {
    const { paths, book } = this.#services
    if (book.addresses(peerId).length === 0 && this.sources.isEmpty)
      throw networkErrors.NZ_NETWORK_NOT_CONNECTED({ data: { peerId } })
    await this.connect(peerId, [], signal)
    const path = paths.best(peerId)
    if (path === undefined) throw networkErrors.NZ_NETWORK_NOT_CONNECTED({ data: { peerId } })
    return path
  }

  /**
   * One more connection, whatever there is already: of those given, or of those known, the first that comes about.
   *
   * @throws NZ_NETWORK_UNREACHABLE, NZ_NETWORK_BLOCKED, NZ_NETWORK_PEER_INVALID
   */
  async dialAnother(
    peerId: string,
    addresses: readonly string[],
    signal: AbortSignal,
    choice: DialChoice = {},
  ): Promise<Connection> {
    this.#check(peerId)
    const { book } = this.#services
    const candidates = addresses.length > 0 ? addresses : mostReachableFirst(book.addresses(peerId))
    if (this.#dialer === null) throw networkErrors.NZ_NETWORK_STOPPED()
    return await this.#dialPlaces(this.#dialer, peerId, candidates.slice(0, MAX_ADDRESSES_TO_DIAL), signal, choice)
  }

  async #dial(peerId: string, given: readonly string[], isDirect: boolean): Promise<void> {
    const dial = this.#dialNow(peerId, given, isDirect)
    this.#dialling.set(peerId, dial)
    try {
      await dial
    } finally {
      this.#dialling.delete(peerId)
    }
  }

  async #dialNow(peerId: string, given: readonly string[], isDirect: boolean): Promise<void> {
    const { clock, book, paths, config } = this.#services
    const dialer = this.#dialer
    if (dialer === null) throw networkErrors.NZ_NETWORK_STOPPED()
    if (paths.all().length >= config.limits.maxConnections)
      throw networkErrors.NZ_NETWORK_LIMITED({ why: 'as many connections are open as may be' })
    using limit = deadline(clock, CONNECT_TIMEOUT_MS, {
      signal: this.#stopped.signal,
      reason: () => networkErrors.NZ_NETWORK_UNREACHABLE({ data: { peerId, attempts: this.attempts(peerId) } }),
    })
    const known = mostReachableFirst(book.addresses(peerId).filter((address) => !given.includes(address)))
    const own = new Set(this.#listening())
    // Whoever answers at an address of this node is this node, and tells nothing of the peer.
    const candidates = [...mostReachableFirst(given), ...known]
      .filter((address) => !own.has(address.replace(/\/p2p\/[^/]+$/, '')))
      .slice(0, MAX_ADDRESSES_TO_DIAL)
    const dial = async (addresses: readonly string[]): Promise<Connection> =>
      await this.#dialPlaces(dialer, peerId, addresses, limit.signal)
    const { remoteAddr } = await dial(candidates).catch(async (failure: unknown) => {
      const others = isDirect ? [] : await this.#moreAddresses(peerId, candidates, limit.signal)
      const more = [...stalledOf(failure), ...others]
      if (more.length === 0) throw failure
      return await dial(more)
    })
    book.learn(peerId, [remoteAddr.toString()])
  }

  /** Names stand for the addresses behind them; one that leads nowhere is an attempt that failed. */
  async #dialPlaces(
    dialer: Dialer,
    peerId: string,
    addresses: readonly string[],
    signal: AbortSignal,
    choice: DialChoice = {},
  ): Promise<Connection> {
    const places: string[] = []
    const codes = new Set<string>()
    for (const address of addresses) {
      const name = nameIn(address)?.name
      const found = name === undefined ? [address] : await this.#placesAt(name, address, peerId, signal)
      if (typeof found === 'string') codes.add(found)
      else places.push(...found)
    }
    if (places.length > 0 || codes.size === 0)
      return await dialer.dial(peerId, places.slice(0, MAX_ADDRESSES_TO_DIAL), signal, choice)
    const why = `the name in its address leads nowhere: ${[...codes].join(', ')}`
    throw networkErrors.NZ_NETWORK_UNREACHABLE({ why, data: { peerId, attempts: this.attempts(peerId) } })
  }

  /** A code when there are none. */
  async #placesAt(
    name: string,
    address: string,
    peerId: string,
    signal: AbortSignal,
  ): Promise<readonly string[] | string> {
    const { clock } = this.#services
    const begunMs = clock.monotonicMs()
    try {
      return (await this.names.find(name, peerId, signal)).addresses.map((each) => each.address)
    } catch (error) {
      signal.throwIfAborted()
      const code = isNzError(error) ? error.code : 'NZ_DNS_FAILED'
      const durationMs = Math.round((clock.monotonicMs() - begunMs) * 100) / 100
      const tried = { atMs: clock.nowMs(), address, transport: 'tcp', stage: 'resolve', isPunch: false } as const
      this.#ledger.record(peerId, { ...tried, durationMs, code })
      return code
    }
  }

  /** What others say beyond what was tried. */
  async #moreAddresses(peerId: string, tried: readonly string[], signal: AbortSignal): Promise<readonly string[]> {
    const told = await this.sources.ask(peerId, { signal })
    const isTried = new Set(tried.map((address) => withPeerId(address, peerId)))
    // Names are asked for only when somebody of this node has given them: others shall not choose what it asks.
    return mostReachableFirst(told.flatMap((address) => usableIfAny(address, peerId)))
      .filter((address) => nameIn(address) === null && !isTried.has(withPeerId(address, peerId)))
      .slice(0, MAX_ADDRESSES_TO_DIAL)
  }

  #check(peerId: string): void {
    const { blockList, peerId: own } = this.#services
    if (!/^[1-9A-HJ-NP-Za-km-z]{32,64}$/.test(peerId))
      throw networkErrors.NZ_NETWORK_PEER_INVALID({ why: 'not a peer id', data: { peerId: peerId.slice(0, 64) } })
    if (peerId === own) throw networkErrors.NZ_NETWORK_PEER_INVALID({ why: 'that is this node itself' })
    blockList.requireReadable()
    if (blockList.hasPeer(peerId)) throw networkErrors.NZ_NETWORK_BLOCKED({ data: { peerId } })
  }
}

/**
 * Addresses that answered and then were silent: on a link that loses much a new connection often comes about sooner than
 * TCP sends again what an old one has lost.
 */
function stalledOf(failure: unknown): readonly string[] {
  if (!isNzError(failure, 'NZ_NETWORK_UNREACHABLE')) return []
  const attempts = (failure.data['attempts'] ?? []) as readonly DialAttempt[]
  const isStalled = ({ stage, code }: DialAttempt): boolean =>
    code === 'NZ_NETWORK_TIMEOUT' && (stage === 'secure' || stage === 'mux')
  return attempts.filter(isStalled).map(({ address }) => address)
}

/**
 * The addresses that can be dialled: what a peer tells of itself may hold kinds this node does not dial.
 *
 * @throws NZ_NETWORK_ADDRESS_INVALID when addresses were given and none can be
 */
function usableOf(addresses: readonly string[], peerId: string): string[] {
  let refusal: unknown = null
  const usable = addresses.flatMap((address) => {
    try {
      return [addressOf(address, peerId)]
    } catch (error) {
      refusal ??= error
      return []
    }
  })
  if (usable.length === 0 && refusal !== null) throw refusal as Error
  return usable
}

function usableIfAny(address: string, peerId: string): string[] {
  try {
    return usableOf([address], peerId)
  } catch {
    // Not one that this node can dial.
    return []
  }
}

/** @throws NZ_NETWORK_ADDRESS_INVALID for text that is no multiaddr, or one of another peer */
function addressOf(text: string, peerId: string): string {
  const data = { address: text.slice(0, 256) }
  try {
    const address = multiaddr(text).toString()
    const named = peerIdOf(address)
    const isOfRelay = transportOf(address) === 'relay' && address.endsWith('/p2p-circuit')
    if (transportOf(address) === 'relay' && !RELAY_ADDRESS.test(address))
      throw networkErrors.NZ_NETWORK_ADDRESS_INVALID({ why: 'not an address of a peer at a relay', data })
    if (!isOfRelay && named !== null && named !== peerId)
      throw networkErrors.NZ_NETWORK_ADDRESS_INVALID({ why: 'the address names another peer', data })
    return address
  } catch (cause) {
    throw networkErrors.NZ_NETWORK_ADDRESS_INVALID({ cause, data })
  }
}

/** `/ip4/192.0.2.7/tcp/4001/p2p/<relay>/p2p-circuit`, with or without `/p2p/<peer>` at its end. */
const RELAY_ADDRESS = /^\/(?:ip4|ip6|dns|dns4|dns6)\/[^/]+\/tcp\/\d+(?:\/wss?)?\/p2p\/\w+\/p2p-circuit(?:\/p2p\/\w+)?$/
