/** How others reach this node: relays, what observers say, piercing NATs. Puts the parts of reach/ and relay/ together. */
import { networkInterfaces } from 'node:os'
import { multiaddr } from '@multiformats/multiaddr'
import { DIAL_REQUEST_PROTOCOL } from '../../../protocols/autonat/messages.ts'
import { HOP_PROTOCOL } from '../../../protocols/circuit/messages.ts'
import { encodeReachAnswer, REACH_METHOD } from '../../../protocols/reach/answer.ts'
import { RPC_PROTOCOL } from '../../../protocols/rpc/frame.ts'
import { hostOf, peerIdOf, relayOf, withPeerId } from '../address.ts'
import { orAbort } from '../../../kernel/index.ts'
import { isRelayed, isSilent, limitOf } from '../paths.ts'
import { isPublic } from '../public-hosts.ts'
import { RelayServer } from '../relay/server.ts'
import { Reservations, RELAYS_OF_CONTACTS } from '../relay/reservations.ts'
import { networkErrors, networkEvents } from '../service.ts'
import { DialBack } from './dial-back.ts'
import { HolePuncher } from './hole-puncher.ts'
import { ListeningPorts } from './listening-port.ts'
import { ObservedAddresses } from './observed-addresses.ts'
import { PiercedHosts } from './pierced-hosts.ts'
import { PortMapping } from './port-mapping.ts'
import { StunSurvey } from './stun-survey.ts'
import { filteringOf, judge } from './verdict.ts'
import { retire } from './retire.ts'
import type { IdentifyResult } from '@libp2p/interface'
import type { EventBus } from '../../../kernel/index.ts'
import type { Connector } from '../connector.ts'
import type { NetworkServices } from '../network.ts'
import type { OpenPath, Paths } from '../paths.ts'
import type { NetworkService, PeerStream, Reachability } from '../service.ts'
import type { Swarm } from '../transport-dials.ts'
import type { PunchDial } from './hole-puncher.ts'

export interface ReachServices
  extends
    Pick<NetworkServices, 'peerId' | 'clock' | 'random' | 'log' | 'config'>,
    Pick<NetworkService, 'openStream' | 'handleStreams' | 'handleRequests'> {
  readonly events: EventBus
  readonly paths: Paths
  readonly connector: Connector
  readonly openStreamOn: (path: OpenPath, protocol: string, signal: AbortSignal) => Promise<PeerStream>
  readonly isKept: (peerId: string) => boolean
  readonly knownAddresses: (peerId: string) => readonly string[]
}

export class Reach {
  readonly ports: ListeningPorts
  readonly #services: ReachServices
  readonly #observed = new ObservedAddresses()
  readonly #reservations: Reservations
  readonly #puncher: HolePuncher
  readonly #dialBack: DialBack
  readonly #stun: StunSurvey
  readonly #server: RelayServer | null
  readonly #portMapping: PortMapping | null
  readonly #pierced: PiercedHosts
  readonly #stopped = new AbortController()
  readonly #retiring = new WeakSet<OpenPath>()
  #swarm: Swarm | null = null
  /** The addresses this machine had when somebody came in directly from a public address; none: nobody has. */
  #cameInAt: readonly string[] = []

  constructor(services: ReachServices, ports = new ListeningPorts()) {
    const { config, paths } = services
    const direct = (peerId: string): boolean => paths.hasDirect(peerId)
    this.#services = services
    this.ports = ports
    this.#pierced = new PiercedHosts(services.clock)
    this.#reservations = new Reservations({
      ...services,
      connect: async (...args) => await this.#connectRelay(...args),
      lost: async (peerId, signal) => await this.#lost(peerId, signal),
      addressOf: (peerId) => this.#directPath(peerId)?.connection.remoteAddr.toString() ?? null,
      textsOf,
      onChange: () => undefined,
    })
    this.#puncher = new HolePuncher({
      ...services,
      pathToUpgrade: (peerId) => this.#pathToUpgrade(peerId),
      dial: async (peerId, addresses, choice) => await this.#dialAtOnce(peerId, addresses, choice),
      ownAddresses: () => this.#outsideAddresses(),
      bytesOf,
      textsOf,
    })
    this.#dialBack = new DialBack({
      ...services,
      dial: async (...args) => await this.#dialBackTo(...args),
      retire: (path) => this.#retireProbe(path),
      hostOfPeer: (peerId) => this.#publicHostOf(peerId),
      candidates: () => this.#candidates(),
      bytesOf,
      textsOf,
    })
    this.#stun = new StunSurvey(services, config.stun)
    this.#server = config.relay.serve
      ? new RelayServer({ ...services, isDirect: direct, addresses: () => bytesOf(this.#listening()) }, config.relay)
      : null
    const mapping = { protocols: config.portMappingBy, lifetimeS: config.portMappingSeconds }
    this.#portMapping = config.portMapping ? new PortMapping({ ...services, port: () => this.#port() }, mapping) : null
  }

  /** The port of the TCP listener of IPv4. */
  #port(): number | null {
    const address = this.#listening().find((each) => /^\/ip4\/(?!127\.)[^/]+\/tcp\/\d+$/.test(each))
    return address === undefined ? null : Number(address.split('/')[4])
  }

  start(swarm: Swarm): void {
    this.#swarm = swarm
    const { signal } = this.#stopped
    this.#puncher.start(signal)
    const changed = (peerId: string): void => this.#puncher.pathsChanged(peerId)
    this.#services.events.on(networkEvents.connectionClosed, ({ peerId }) => changed(peerId), { signal })
    this.#dialBack.start(signal)
    this.#server?.start(signal)
    this.#services.handleRequests(REACH_METHOD, async (_payload, { peerId }) => this.#tell(peerId), { signal })
  }

  /** The node listens: a port of the router and places at relays are asked for from now on. */
  started(): void {
    this.#portMapping?.start()
    this.#stun.start(this.#stopped.signal)
    for (const address of this.#services.config.relay.use) {
      const peerId = peerIdOf(address)
      if (peerId !== null && peerId !== this.#services.peerId)
        this.#reservations.hold(peerId, [address], { isConfigured: true })
    }
  }

  /** Bounded: the port of the router is given back, or left to expire. */
  async stop(): Promise<void> {
    this.#reservations.stop()
    this.#stopped.abort(networkErrors.NZ_NETWORK_STOPPED())
    this.#swarm = null
    await this.#portMapping?.stop()
  }

  /**
   * Where this node is reached beyond what libp2p tells by itself: at public addresses of this machine (libp2p tells none
   * that no stranger has tried), through the router, through relays. With its peer id.
   */
  otherAddresses(): readonly string[] {
    const { peerId, config } = this.#services
    const own = config.announce.length > 0 ? [] : this.#listening().filter(isAtPublicHost)
    const mapped = this.#portMapping?.state.address ?? null
    const addresses = [...own, ...(mapped === null ? [] : [mapped]), ...this.#reservations.addresses()]
    return addresses.map((address) => withPeerId(address, peerId))
  }

  hasPlaceAt(relayPeerId: string): boolean {
    return this.#reservations.has(relayPeerId)
  }

  opened(peerId: string, path: OpenPath): void {
    const { connection } = path
    const address = connection.remoteAddr.toString()
    this.#puncher.pathsChanged(peerId)
    if (isRelayed(path)) return
    const isUnasked =
      connection.direction === 'inbound' &&
      !this.ports.has(connection) &&
      !this.#pierced.has(address) &&
      !this.#hasSpokenTo(address)
    if (isUnasked && isAtPublicHost(address)) this.#cameInAt = ownHosts()
    this.#retireRelayed(peerId)
  }

  /** A ping over the path was answered: relayed connections beside it, also younger ones, have no use. */
  answered(path: OpenPath): void {
    if (!isRelayed(path)) this.#retireRelayed(path.connection.remotePeer.toString())
  }

  /** A ping over the path was not answered: another is looked for before it is given up. */
  missed(path: OpenPath): void {
    const { paths, connector, log, isKept } = this.#services
    const peerId = path.connection.remotePeer.toString()
    const others = paths.of(peerId).filter((each) => each !== path && !isSilent(each))
    const isWanted = isKept(peerId) || path.streams.size > 0
    if (path.connection.direction !== 'outbound' || !isWanted || others.length > 0) return
    void connector.dialAnother(peerId, [], this.#stopped.signal).catch((error: unknown) => {
      log.debug('network.noOtherPath', { peerId, error })
    })
  }

  identified({ peerId: peer, observedAddr, protocols, connection }: IdentifyResult): void {
    const peerId = peer.toString()
    const address = connection.remoteAddr.toString()
    if (relayOf(address) !== null) return
    if (observedAddr !== undefined && this.ports.has(connection))
      this.#observed.note(peerId, address, observedAddr.toString())
    if (protocols.includes(DIAL_REQUEST_PROTOCOL)) this.#dialBack.met(peerId)
    const { config, isKept, knownAddresses } = this.#services
    const isWanted = config.relay.useContacts && isKept(peerId) && this.#reservations.ofContacts < RELAYS_OF_CONTACTS
    if (isWanted && protocols.includes(HOP_PROTOCOL) && this.reachability().verdict !== 'direct')
      this.#reservations.hold(peerId, knownAddresses(peerId), { isConfigured: false })
  }

  /** The relay of a path will cut it soon: look for another way while this one still carries. */
  limitNear(peerId: string, path: OpenPath): void {
    const { events, connector, log, knownAddresses } = this.#services
    const address = path.connection.remoteAddr.toString()
    const limit = limitOf(path) ?? { bytesLeft: null, secondsLeft: null }
    log.warn('network.relayLimitNear', { peerId, address, ...limit })
    events.emit(networkEvents.relayLimitNear, { peerId, address, ...limit })
    // By another relay where there is one: this one may cut the next connection as soon.
    const others = knownAddresses(peerId).filter((each) => relayOf(each) !== relayOf(address))
    if (path.connection.direction === 'outbound')
      void connector.dialAnother(peerId, others, this.#stopped.signal).catch((error: unknown) => {
        log.debug('network.noOtherPath', { peerId, error })
      })
  }

  reachability(): Reachability {
    const listening = this.#swarm === null ? [] : this.#listening()
    const own = ownHosts()
    const relays = this.#reservations.report()
    const { reached, unreached, helpers } = this.#dialBack.report()
    const mapped = this.#portMapping?.state.address ?? null
    const facts = {
      isReached: reached.length > 0,
      // With a port of the router it is that which strangers come in by.
      isShut: reached.length === 0 && unreached.some((address) => address === (mapped ?? address)),
      mapping: this.#observed.mapping(own),
      // On another network nothing is known of who comes in.
      cameIn: this.#cameInAt.some((host) => own.includes(host)),
      isOffline: own.length === 0,
      isPortMapped: this.#portMapping?.state.state === 'mapped',
      hasPublicAddress: listening.some(isAtPublicHost),
      isServedByRelay: relays.some(({ state }) => state === 'reserved'),
      canPunch: this.ports.canShare,
    }
    return {
      ...judge(facts),
      mapping: facts.mapping,
      filtering: filteringOf(facts),
      dialledBack: { reached, unreached, helpers },
      stun: this.#stun.report(),
      observed: this.#observed.addresses(),
      observers: this.#observed.observers,
      canPunch: facts.canPunch,
      portMapping: this.#portMapping?.state ?? null,
      relays,
      serving: this.#server?.report() ?? null,
      directTries: this.#puncher.upgrades(),
    }
  }

  /** What a peer is told that asks how this node is placed (NZ-REACH-01). */
  #tell(peerId: string): Uint8Array {
    const { mapping, canPunch, directTries } = this.reachability()
    const state = directTries.find((each) => each.peerId === peerId)
    const atMs = state?.nextTryAtMs ?? null
    const nextTryInMs = state === undefined ? null : atMs === null ? 0 : atMs - this.#services.clock.nowMs()
    return encodeReachAnswer({ mapping, canPunch, tries: state?.tries ?? 0, nextTryInMs })
  }

  #listening(): readonly string[] {
    return this.#swarm?.services.dials.listening() ?? []
  }

  /** What a peer is told that is about to dial: where others see this node, and its own public addresses. */
  #outsideAddresses(): readonly string[] {
    const announced = (this.#swarm?.getMultiaddrs() ?? []).map((address) => plain(address.toString()))
    return [...new Set([...this.#observed.addresses(), ...announced])]
  }

  /** Addresses at which strangers should get in, that of the router first; what a NAT maps is asked about for its filter. */
  #candidates(): readonly string[] {
    const mapped = this.#portMapping?.state.address ?? null
    return [
      ...(mapped === null ? [] : [mapped]),
      ...this.#listening().filter(isAtPublicHost),
      ...this.#observed.addresses(),
    ]
  }

  /** Whether a NAT lets that host in because there is a connection to it from the listening port, however old. */
  #hasSpokenTo(address: string): boolean {
    const spoken = this.#services.paths.all().filter(({ connection }) => this.ports.has(connection))
    return spoken.some(({ connection }) => hostOf(connection.remoteAddr.toString()) === hostOf(address))
  }

  #publicHostOf(peerId: string): string | null {
    const host = hostOf(this.#directPath(peerId)?.connection.remoteAddr.toString() ?? '')
    return host !== null && isPublic(host) ? host : null
  }

  /** One connection more, from a port of its own: the peer wants to know whether it comes in. */
  async #dialBackTo(
    peerId: string,
    address: string,
    { timeoutMs, signal }: { readonly timeoutMs: number; readonly signal: AbortSignal },
  ): Promise<OpenPath | null> {
    const { connector, paths } = this.#services
    const connection = await connector
      .dialAnother(peerId, [address], signal, { timeoutMs, isProbe: true })
      .catch(() => null)
    return paths.of(peerId).find((path) => path.connection === connection) ?? null
  }

  #retire(path: OpenPath, isSpare: () => boolean): void {
    if (this.#retiring.has(path)) return
    this.#retiring.add(path)
    const { clock } = this.#services
    void retire(path, { clock, signal: this.#stopped.signal, movable: RPC_PROTOCOL, isSpare }).finally(() =>
      this.#retiring.delete(path),
    )
  }

  /** It may have become the only connection meanwhile, which somebody counts on. */
  #retireProbe(path: OpenPath): void {
    const peerId = path.connection.remotePeer.toString()
    const stays = (other: OpenPath): boolean =>
      other.connection.status === 'open' && !isSilent(other) && !this.#retiring.has(other)
    this.#retire(path, () => this.#services.paths.of(peerId).some(stays))
  }

  #retireRelayed(peerId: string): void {
    const { paths } = this.#services
    const isSpare = (): boolean =>
      paths.of(peerId).some((path) => path.connection.status === 'open' && !isRelayed(path) && !isSilent(path))
    for (const path of paths.of(peerId).filter(isRelayed)) this.#retire(path, isSpare)
  }

  /** The one that was dialled leads; the other answers. */
  #pathToUpgrade(peerId: string): OpenPath | null {
    const { paths } = this.#services
    if (paths.hasDirect(peerId)) return null
    const open = paths
      .of(peerId)
      .filter((path) => isRelayed(path) && path.connection.status === 'open' && path.connection.direction === 'inbound')
    return open.find(({ isLimitNear }) => !isLimitNear) ?? open[0] ?? null
  }

  #directPath(peerId: string): OpenPath | undefined {
    const direct = this.#services.paths.of(peerId).filter((path) => !isRelayed(path))
    return direct.find(({ connection }) => this.ports.has(connection)) ?? direct[0]
  }

  /** A connection to a relay from the listening port: the relay's word on it is what other peers need to know. */
  async #connectRelay(peerId: string, addresses: readonly string[], signal: AbortSignal): Promise<void> {
    const { paths, connector } = this.#services
    const isThere = paths.of(peerId).some((path) => !isRelayed(path) && this.ports.has(path.connection))
    if (isThere || (paths.hasDirect(peerId) && (!this.ports.canShare || addresses.length === 0))) return
    const direct = addresses.filter((address) => relayOf(address) === null)
    for (const address of direct) this.#pierced.dialled(address)
    try {
      await connector.dialAnother(peerId, direct, signal, { isFromListeningPort: true })
    } catch (error) {
      if (!paths.hasDirect(peerId)) throw error
    }
  }

  async #dialAtOnce(peerId: string, addresses: readonly string[], { signal, ...choice }: PunchDial): Promise<boolean> {
    const { connector, paths } = this.#services
    if (addresses.length === 0) return paths.hasDirect(peerId)
    if (choice.isFromListeningPort) for (const address of addresses) this.#pierced.dialled(address)
    await connector.dialAnother(peerId, addresses, signal, { ...choice, delayMs: 0 }).catch(() => undefined)
    return paths.hasDirect(peerId)
  }

  async #lost(peerId: string, signal: AbortSignal): Promise<void> {
    const { paths } = this.#services
    while (paths.hasDirect(peerId) && !signal.aborted) await orAbort(paths.changed(peerId), signal)
    signal.throwIfAborted()
  }
}

/** Of the interfaces that are up and have a carrier, without those that every network has; none: it is on no network. */
function ownHosts(): readonly string[] {
  const all = Object.values(networkInterfaces()).flatMap((list) => list ?? [])
  return all.filter(({ internal, address }) => !internal && !/^fe[89ab]/i.test(address)).map(({ address }) => address)
}

function isAtPublicHost(address: string): boolean {
  return isPublic(hostOf(address) ?? '')
}

function plain(address: string): string {
  return address.replace(/\/p2p\/[^/]+$/, '')
}

function bytesOf(addresses: readonly string[]): readonly Uint8Array[] {
  return addresses.map((address) => multiaddr(address).bytes)
}

/** What is no multiaddr is left out. */
function textsOf(addresses: readonly Uint8Array[]): readonly string[] {
  return addresses.flatMap((bytes) => {
    try {
      return [multiaddr(bytes).toString()]
    } catch {
      return []
    }
  })
}
