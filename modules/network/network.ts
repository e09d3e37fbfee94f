/** `NetworkService` over a libp2p swarm: puts the parts of this folder together. */
import { deadline, orAbort } from '../../kernel/index.ts'
import { RPC_PROTOCOL } from '../../protocols/rpc/frame.ts'
import { mostReachableFirst, relayOf } from './address.ts'
import { NOT_STARTED } from './backend-choice.ts'
import { connectionEvents } from './connection-events.ts'
import { Connector } from './connector.ts'
import { Identification } from './identification.ts'
import { Detours } from './detours.ts'
import { Keeper } from './keeper.ts'
import { PeerBook } from './peer-book.ts'
import { Paths } from './paths.ts'
import { answerPings, PING_PROTOCOL, pingOver } from './ping.ts'
import { Reach } from './reach/reach.ts'
import { forgetPeer, recall } from './recall.ts'
import { Requests } from './requests.ts'
import { Roster } from './roster.ts'
import { networkErrors, networkEvents } from './service.ts'
import { StreamOpener } from './stream-opener.ts'
import { StreamServer } from './stream-server.ts'
import type { Swarm } from './transport-dials.ts'
import type { OpenPath } from './paths.ts'
import type { Clock, EventBus, Logger, Random } from '../../kernel/index.ts'
import type { AcceptGate } from './accept-gate.ts'
import type { BlockList } from './block-list.ts'
import type { BackendChoice } from './backend-choice.ts'
import type { ByteBudget } from './byte-budget.ts'
import type { GatedSockets } from './gated-listener.ts'
import type { NetworkConfig } from './config.ts'
import type {
  AddressSource,
  Detour,
  DetourEnd,
  DialAttempt,
  FoundNodes,
  NetworkCounters,
  NetworkService,
  Peer,
  PeerStream,
  Reachability,
  RequestHandler,
  StreamHandler,
} from './service.ts'

/** For closing the connections of one peer in order. */
const DISCONNECT_TIMEOUT_MS = 2_000

export interface NetworkServices {
  readonly peerId: string
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly events: EventBus
  readonly budget: ByteBudget
  readonly gate: AcceptGate
  readonly sockets: GatedSockets
  readonly blockList: BlockList
  readonly config: NetworkConfig
}

export class Network implements NetworkService {
  readonly peerId: string
  readonly paths: Paths
  readonly #services: NetworkServices
  readonly #book = new PeerBook({
    isKept: (peerId) => this.#keeper.isKept(peerId),
    // libp2p's own book has no bound; it knows the peers that ours knows.
    onForgotten: (peerId) => void forgetPeer(this.#swarm, peerId, this.#services.log),
  })
  readonly #connector: Connector
  readonly #keeper: Keeper
  readonly #requests: Requests
  readonly #streams: StreamServer
  readonly reach: Reach
  readonly #detours: Detours
  readonly #opener: StreamOpener
  readonly #roster: Roster
  #swarm: Swarm | null = null
  #identification: Identification | null = null
  #backend: BackendChoice = NOT_STARTED

  constructor(services: NetworkServices) {
    const { clock, random, log, events, budget } = services
    this.#services = services
    this.peerId = services.peerId
    this.paths = new Paths({
      clock,
      budget,
      ...connectionEvents({ clock, events }),
      onDisconnected: (peerId) => {
        this.#book.measured(peerId, null)
        events.emit(networkEvents.peerDisconnected, { peerId })
      },
      onLimitNear: (peerId, path) => this.reach.limitNear(peerId, path),
    })
    this.#opener = new StreamOpener({
      clock,
      paths: this.paths,
      maxStreamsPerConnection: services.config.limits.maxStreamsPerConnection,
    })
    this.#connector = new Connector({ ...services, paths: this.paths, book: this.#book })
    this.#keeper = new Keeper({
      clock,
      random,
      log,
      // A way around does not end the wish for a connection.
      connect: async (peerId, { signal }) => await this.#connector.connect(peerId, [], signal),
      lost: async (peerId) => await this.paths.lost(peerId),
    })
    this.#requests = new Requests({ openStream: async (...args) => await this.openStream(...args), clock, log })
    this.#streams = new StreamServer({ paths: this.paths, log })
    this.reach = new Reach({
      ...services,
      paths: this.paths,
      connector: this.#connector,
      openStream: async (...args) => await this.openStream(...args),
      openStreamOn: async (...args) => await this.#opener.openOn(...args),
      handleStreams: (...args) => this.handleStreams(...args),
      handleRequests: (...args) => this.handleRequests(...args),
      isKept: (peerId) => this.#keeper.isKept(peerId),
      knownAddresses: (peerId) => this.#book.addresses(peerId),
    })
    this.#detours = new Detours({
      clock,
      events,
      isConnected: (peerId) => this.paths.of(peerId).length > 0,
      isRefused: (peerId) => this.isRefused(peerId),
      serve: (stream) => this.#streams.takeDetoured(stream),
    })
    this.#roster = new Roster({ paths: this.paths, book: this.#book, keeper: this.#keeper, detours: this.#detours })
    const forever = new AbortController().signal
    this.handleStreams(PING_PROTOCOL, answerPings, { signal: forever, maxStreamsPerPeer: 4 })
    this.handleStreams(RPC_PROTOCOL, async (stream, options) => await this.#requests.serve(stream, options), {
      signal: forever,
      maxStreamsPerPeer: 2,
    })
  }

  /** Takes over a swarm that has been put together and not started. */
  async start(swarm: Swarm, backend: BackendChoice): Promise<void> {
    this.#swarm = swarm
    this.#backend = backend
    const { gate, sockets, clock, log } = this.#services
    const identification = (this.#identification = new Identification({
      clock,
      log,
      identify: async (connection, options) => await swarm.services.identify.identify(connection, options),
      onLetGo: (connection, openMs) => this.#connector.letGo(connection, openMs),
    }))
    swarm.addEventListener('connection:open', ({ detail }) => {
      this.reach.opened(detail.remotePeer.toString(), this.paths.add(detail))
      identification.opened(detail)
      if (detail.direction === 'outbound') gate.changeOutgoing(1)
    })
    swarm.addEventListener('connection:close', ({ detail }) => {
      this.paths.remove(detail)
      identification.gone(detail)
      if (detail.direction === 'outbound') gate.changeOutgoing(-1)
      // A relayed connection has the socket of its relay, which lives on.
      else if (relayOf(detail.remoteAddr.toString()) === null) sockets.closed(detail.remoteAddr.toString())
    })
    swarm.addEventListener('peer:identify', ({ detail }) => {
      this.#book.learnClaims(detail.peerId.toString(), {
        addresses: detail.listenAddrs.slice(0, 8).map(String),
        agent: detail.agentVersion ?? null,
      })
      this.reach.identified(detail)
    })
    await recall(swarm, this.#book)
    await this.#streams.start(swarm)
    this.#connector.start(swarm)
    this.reach.start(swarm)
    await swarm.start()
    this.reach.started()
  }

  /** Stops keeping and dialling, ends every stream, closes every connection. */
  async stop({ signal }: { readonly signal: AbortSignal }): Promise<void> {
    const swarm = this.#swarm
    this.#swarm = null
    this.#keeper.stop()
    const released = this.reach.stop()
    this.#connector.stop()
    this.#identification?.stop()
    for (const { streams } of this.paths.all()) for (const stream of streams) stream.reset()
    await orAbort(released, signal)
    if (swarm === null) return
    await Promise.all(this.paths.peerIds().map(async (peerId) => await this.#close(peerId, signal)))
    await orAbort(Promise.resolve(swarm.stop()), signal)
  }

  addresses(): readonly string[] {
    return mostReachableFirst((this.#swarm?.getMultiaddrs() ?? []).map(String))
  }

  peers(): readonly Peer[] {
    return this.#roster.peers()
  }

  peer(peerId: string): Peer | undefined {
    return this.#roster.peer(peerId)
  }

  async connect(
    peerId: string,
    options: { readonly addresses?: readonly string[]; readonly isDirect?: boolean; readonly signal: AbortSignal },
  ): Promise<Peer> {
    const { addresses = [], isDirect = false, signal } = options
    const dial = async (): Promise<OpenPath | undefined> => {
      await this.#connector.connect(peerId, addresses, signal, { isDirect })
      return this.paths.best(peerId)
    }
    const path = isDirect ? await dial() : await this.#detours.orDirect(peerId, dial, { signal })
    // Nobody knows of a route that it is still there: a ping does.
    if (path === undefined && !isDirect && this.#detours.reaches(peerId)) await this.ping(peerId, { signal })
    return this.#roster.describe(peerId)
  }

  async findByName(name: string, { signal }: { readonly signal: AbortSignal }): Promise<FoundNodes> {
    return await this.#connector.names.find(name, null, signal)
  }

  addAddressSource(source: AddressSource, options: { readonly signal: AbortSignal }): void {
    this.#connector.sources.add(source, options)
  }

  async disconnect(peerId: string, { signal }: { readonly signal: AbortSignal }): Promise<void> {
    this.#keeper.drop(peerId)
    this.#detours.drop(peerId)
    await this.#close(peerId, signal)
  }

  keep(peerId: string, addresses: readonly string[]): { release(): void } {
    this.#book.learn(peerId, addresses)
    return this.#keeper.keep(peerId)
  }

  async ping(peerId: string, options: { readonly signal: AbortSignal }): Promise<number> {
    const path = this.paths.best(peerId)
    if (path !== undefined) return await this.pingOver(path, options)
    if (!this.#detours.reaches(peerId)) throw networkErrors.NZ_NETWORK_NOT_CONNECTED({ data: { peerId } })
    return await this.#pingOn(await this.#detours.openStream(peerId, PING_PROTOCOL, options), options.signal)
  }

  /** Round-trip time of one connection in milliseconds. */
  async pingOver(path: OpenPath, { signal }: { readonly signal: AbortSignal }): Promise<number> {
    return await this.#pingOn(await this.#opener.openOn(path, PING_PROTOCOL, signal), signal)
  }

  async #pingOn(stream: PeerStream, signal: AbortSignal): Promise<number> {
    const { clock, random } = this.#services
    try {
      const rttMs = await pingOver(stream, { clock, random, signal })
      this.#book.measured(stream.peerId, rttMs)
      return rttMs
    } finally {
      void stream.close()
    }
  }

  attempts(peerId: string): readonly DialAttempt[] {
    return this.#connector.attempts(peerId)
  }

  async openStream(
    peerId: string,
    protocol: string,
    { signal }: { readonly signal: AbortSignal },
  ): Promise<PeerStream> {
    const dial = async (): Promise<OpenPath> => await this.#connector.connectKnown(peerId, signal)
    const path = this.paths.best(peerId) ?? (await this.#detours.orDirect(peerId, dial, { protocol, signal }))
    if (path === undefined) return await this.#detours.openStream(peerId, protocol, { signal })
    return await this.#opener.openOn(path, protocol, signal)
  }

  handleStreams(
    protocol: string,
    handler: StreamHandler,
    options: { readonly signal: AbortSignal; readonly maxStreamsPerPeer?: number },
  ): void {
    this.#streams.handle(protocol, handler, options)
  }

  async request(...args: Parameters<NetworkService['request']>): Promise<Uint8Array> {
    return await this.#requests.request(...args)
  }

  handleRequests(method: string, handler: RequestHandler, options: { readonly signal: AbortSignal }): void {
    this.#requests.handle(method, handler, options)
  }

  async block(subject: string): Promise<void> {
    const { blockList, clock } = this.#services
    await blockList.add(subject)
    const isBlocked = (peerId: string): boolean =>
      blockList.hasPeer(peerId) ||
      this.paths.of(peerId).some(({ connection }) => this.#connector.isBlockedAddress(connection.remoteAddr.toString()))
    using limit = deadline(clock, DISCONNECT_TIMEOUT_MS)
    const reached = new Set([...this.paths.peerIds(), ...this.#detours.peerIds()])
    for (const peerId of [...reached].filter(isBlocked)) await this.disconnect(peerId, { signal: limit.signal })
    this.#keeper.drop(subject)
  }

  async unblock(subject: string): Promise<void> {
    await this.#services.blockList.remove(subject)
  }

  refusePeers(isRefused: (peerId: string) => boolean, options: { readonly signal: AbortSignal }): void {
    this.#services.blockList.refuseWhen(isRefused, options)
  }

  isRefused(peerId: string): boolean {
    return this.#services.blockList.hasPeer(peerId)
  }

  useDetour(detour: Detour, options: { readonly signal: AbortSignal }): DetourEnd {
    return this.#detours.use(detour, options)
  }

  blocked(): readonly string[] {
    return this.#services.blockList.subjects()
  }

  backend(): BackendChoice {
    return this.#backend
  }

  reachability(): Reachability {
    return this.reach.reachability()
  }

  counters(): NetworkCounters {
    const { gate, budget } = this.#services
    const { opened, ...bytes } = this.paths.totals
    return {
      connectionsOpened: opened,
      connectionsRefused: gate.refused,
      handshakesEvicted: gate.evicted,
      streamsRefused: this.#streams.refused,
      bufferedBytes: this.paths.bufferedBytes(),
      bufferBudgetBytes: budget.limitBytes,
      ...bytes,
    }
  }

  async #close(peerId: string, signal: AbortSignal): Promise<void> {
    using limit = deadline(this.#services.clock, DISCONNECT_TIMEOUT_MS, { signal })
    for (const { connection, streams } of this.paths.of(peerId)) {
      this.#identification?.closed(connection)
      for (const stream of streams) stream.reset()
      try {
        await connection.close({ signal: limit.signal })
      } catch (error) {
        connection.abort(error instanceof Error ? error : new Error(String(error)))
      }
    }
  }
}
