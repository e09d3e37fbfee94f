/** A node of the in-memory mesh (network.ts): `NetworkService` over the connections that its mesh allows. */
import { isNzError, orAbort } from '../../kernel/index.ts'
import { dnsErrors, networkErrors, networkEvents, unknownReach } from '../../modules/network/service.ts'
import { own, pathOf, serve } from './mesh-link.ts'
import { fakeStreamPair } from './stream.ts'
import type { Clock, EventBus } from '../../kernel/index.ts'
import type {
  AddressSource,
  DetourEnd,
  DialAttempt,
  FoundNodes,
  NetworkService,
  Peer,
  PeerStream,
  RequestHandler,
  StreamHandler,
} from '../../modules/network/service.ts'
import type { Link } from './mesh-link.ts'

const MAX_REQUEST_BYTES = 1024 * 1024

/** What a node asks of its mesh. */
export interface FakeMesh {
  readonly clock: Clock
  readonly latencyMs: number
  readonly windowBytes: number
  readonly nodes: ReadonlyMap<string, FakeNode>
  isCut(a: string, b: string): boolean
  breakLink(a: string, b: string): void
  /** One way. */
  delay(signal: AbortSignal): Promise<void>
}

export class FakeNode implements NetworkService {
  readonly peerId: string
  readonly #mesh: FakeMesh
  readonly #address: string
  readonly #events: Pick<EventBus, 'emit'> | undefined
  readonly #links = new Map<string, Link>()
  readonly #known = new Map<string, string>()
  readonly #rttMs = new Map<string, number>()
  readonly #kept = new Map<string, number>()
  readonly #attempts = new Map<string, DialAttempt[]>()
  readonly #streamHandlers = new Map<string, { handler: StreamHandler; signal: AbortSignal; limit: number }>()
  readonly #requestHandlers = new Map<string, RequestHandler>()
  readonly #blocked = new Set<string>()
  readonly #refusals = new Set<(peerId: string) => boolean>()
  readonly #sources = new Set<AddressSource>()
  #opened = 0

  constructor(mesh: FakeMesh, peerId: string, address: string, events: Pick<EventBus, 'emit'> | undefined) {
    this.#mesh = mesh
    this.peerId = peerId
    this.#address = address
    this.#events = events
  }

  addresses(): readonly string[] {
    return [this.#address]
  }

  connected(): readonly string[] {
    return [...this.#links.keys()]
  }

  peers(): readonly Peer[] {
    const ids = new Set([...this.#links.keys(), ...this.#kept.keys(), ...this.#known.keys()])
    return [...ids].map((peerId) => this.#describe(peerId))
  }

  peer(peerId: string): Peer | undefined {
    return this.peers().find((peer) => peer.peerId === peerId)
  }

  async connect(
    peerId: string,
    options: { addresses?: readonly string[]; isDirect?: boolean; signal: AbortSignal },
  ): Promise<Peer> {
    const { addresses = [], isDirect = false, signal } = options
    await this.#mesh.delay(signal)
    try {
      if (!this.#links.has(peerId)) this.#dial(peerId, addresses)
    } catch (error) {
      if (isDirect || this.#sources.size === 0) throw error
      const told = await Promise.all([...this.#sources].map(async (source) => await source(peerId, { signal })))
      this.#dial(peerId, told.flat())
    }
    return this.#describe(peerId)
  }

  async findByName(name: string): Promise<FoundNodes> {
    throw dnsErrors.NZ_DNS_NO_NODE({ why: 'the mesh has no names', data: await Promise.resolve({ name }) })
  }

  addAddressSource(source: AddressSource, { signal }: { readonly signal: AbortSignal }): void {
    this.#sources.add(source)
    signal.addEventListener('abort', () => this.#sources.delete(source), { once: true })
  }

  async disconnect(peerId: string): Promise<void> {
    this.#kept.delete(peerId)
    this.#mesh.breakLink(this.peerId, peerId)
  }

  keep(peerId: string, addresses: readonly string[]): { release(): void } {
    this.#kept.set(peerId, (this.#kept.get(peerId) ?? 0) + 1)
    if (addresses[0] !== undefined) this.#known.set(peerId, addresses[0])
    queueMicrotask(() => this.reconnect(peerId))
    let isReleased = false
    return {
      release: () => {
        if (isReleased) return
        isReleased = true
        const holders = (this.#kept.get(peerId) ?? 1) - 1
        if (holders > 0) this.#kept.set(peerId, holders)
        else this.#kept.delete(peerId)
      },
    }
  }

  async ping(peerId: string, { signal }: { signal: AbortSignal }): Promise<number> {
    if (!this.#links.has(peerId)) throw networkErrors.NZ_NETWORK_NOT_CONNECTED({ data: { peerId } })
    await this.#mesh.delay(signal)
    await this.#mesh.delay(signal)
    const rttMs = this.#mesh.latencyMs * 2
    this.#rttMs.set(peerId, rttMs)
    return rttMs
  }

  attempts(peerId: string): readonly DialAttempt[] {
    return this.#attempts.get(peerId) ?? []
  }

  async openStream(peerId: string, protocol: string, { signal }: { signal: AbortSignal }): Promise<PeerStream> {
    const { link, other } = await this.#linkTo(peerId, signal)
    const [mine, theirs] = fakeStreamPair({
      protocol,
      peerIds: [this.peerId, peerId],
      clock: this.#mesh.clock,
      latencyMs: this.#mesh.latencyMs,
      windowBytes: this.#mesh.windowBytes,
    })
    if (!other.accept(this.peerId, theirs))
      throw networkErrors.NZ_NETWORK_PROTOCOL_UNKNOWN({ data: { peerId, protocol } })
    own(link, mine)
    return mine
  }

  handleStreams(
    protocol: string,
    handler: StreamHandler,
    { signal, maxStreamsPerPeer: limit = 32 }: { signal: AbortSignal; maxStreamsPerPeer?: number },
  ): void {
    if (this.#streamHandlers.has(protocol)) throw new Error(`protocol is served already: ${protocol}`)
    this.#streamHandlers.set(protocol, { handler, signal, limit })
    signal.addEventListener('abort', () => this.#streamHandlers.delete(protocol), { once: true })
  }

  async request(
    peerId: string,
    method: string,
    payload: Uint8Array,
    { signal }: { signal: AbortSignal },
  ): Promise<Uint8Array> {
    if (payload.byteLength > MAX_REQUEST_BYTES) throw networkErrors.NZ_NETWORK_REQUEST_TOO_LARGE()
    const { link, other } = await this.#linkTo(peerId, signal)
    const limit = AbortSignal.any([signal, link.broken.signal])
    await this.#mesh.delay(limit)
    const answer = (await orAbort(other.answer(this.peerId, method, payload.slice(), limit), limit)).slice()
    await this.#mesh.delay(limit)
    return answer
  }

  handleRequests(method: string, handler: RequestHandler, { signal }: { signal: AbortSignal }): void {
    if (this.#requestHandlers.has(method)) throw new Error(`method is served already: ${method}`)
    this.#requestHandlers.set(method, handler)
    signal.addEventListener('abort', () => this.#requestHandlers.delete(method), { once: true })
  }

  async block(subject: string): Promise<void> {
    this.#blocked.add(subject)
    if (this.#links.has(subject)) this.#mesh.breakLink(this.peerId, subject)
  }

  async unblock(subject: string): Promise<void> {
    this.#blocked.delete(subject)
  }

  isRefused(peerId: string): boolean {
    return this.#blocked.has(peerId) || [...this.#refusals].some((isRefused) => isRefused(peerId))
  }

  useDetour(): DetourEnd {
    return { serve: () => 'unknown', reached: () => undefined, left: () => undefined }
  }

  refusePeers(isRefused: (peerId: string) => boolean, { signal }: { readonly signal: AbortSignal }): void {
    this.#refusals.add(isRefused)
    signal.addEventListener('abort', () => this.#refusals.delete(isRefused), { once: true })
  }

  blocked(): readonly string[] {
    return [...this.#blocked]
  }

  backend() {
    return { asked: 'off', backend: 'typescript', code: 'off', reason: 'the native stack is switched off' } as const
  }

  reachability() {
    return unknownReach('the network is a fake')
  }

  counters() {
    return {
      connectionsOpened: this.#opened,
      connectionsRefused: {},
      handshakesEvicted: 0,
      streamsRefused: {},
      bufferedBytes: 0,
      bufferBudgetBytes: 64 * 1024 * 1024,
      txBytes: 0,
      rxBytes: 0,
    }
  }

  /** Serves a stream that `peerId` opened; `false` when nobody serves its protocol. */
  accept(peerId: string, stream: PeerStream): boolean {
    const link = this.#links.get(peerId)
    const served = this.#streamHandlers.get(stream.protocol)
    if (link === undefined || served === undefined) return false
    const open = [...link.streams].filter(({ protocol }) => protocol === stream.protocol).length
    own(link, stream)
    if (open >= served.limit) stream.reset()
    else void serve(stream, served.handler, AbortSignal.any([served.signal, stream.signal]))
    return true
  }

  async answer(peerId: string, method: string, payload: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
    const handler = this.#requestHandlers.get(method)
    if (handler === undefined) throw networkErrors.NZ_NETWORK_METHOD_UNKNOWN({ data: { peerId: this.peerId, method } })
    try {
      return await handler(payload, { peerId, signal })
    } catch (cause) {
      if (isNzError(cause)) throw cause
      throw networkErrors.NZ_NETWORK_REQUEST_FAILED({ cause, data: { peerId: this.peerId, method } })
    }
  }

  /** Tries again what is kept; what fails stays `reconnecting`. */
  reconnect(peerId: string): void {
    if (!this.#kept.has(peerId) || this.#links.has(peerId)) return
    try {
      this.#dial(peerId, [])
    } catch (error) {
      if (!isNzError(error)) throw error
    }
  }

  gain(peerId: string, direction: Link['direction'], address: string): void {
    const openedAtMs = this.#mesh.clock.nowMs()
    this.#links.set(peerId, { direction, address, openedAtMs, streams: new Set(), broken: new AbortController() })
    this.#known.set(peerId, address)
    this.#opened += 1
    this.#events?.emit(networkEvents.peerConnected, { peerId, address, direction, backend: 'typescript' })
  }

  lose(peerId: string): void {
    const link = this.#links.get(peerId)
    if (link === undefined) return
    this.#links.delete(peerId)
    this.#rttMs.delete(peerId)
    for (const stream of link.streams) stream.reset()
    link.broken.abort(networkErrors.NZ_NETWORK_STREAM_RESET({ data: { peerId } }))
    this.#events?.emit(networkEvents.peerDisconnected, { peerId })
  }

  async #linkTo(peerId: string, signal: AbortSignal): Promise<{ link: Link; other: FakeNode }> {
    if (!this.#links.has(peerId) && !this.#known.has(peerId) && this.#sources.size === 0)
      throw networkErrors.NZ_NETWORK_NOT_CONNECTED({ data: { peerId } })
    await this.connect(peerId, { signal })
    const link = this.#links.get(peerId)
    const other = this.#mesh.nodes.get(peerId)
    if (link === undefined || other === undefined) throw networkErrors.NZ_NETWORK_NOT_CONNECTED({ data: { peerId } })
    return { link, other }
  }

  #dial(peerId: string, addresses: readonly string[]): void {
    const known = this.#known.get(peerId)
    const candidates = [...addresses, ...(known === undefined ? [] : [known])]
    const other = this.#mesh.nodes.get(peerId)
    const address = candidates
      .map((candidate) => (candidate.includes('/p2p/') ? candidate : `${candidate}/p2p/${peerId}`))
      .find((candidate) => other?.addresses().includes(candidate))
    const code = this.isRefused(peerId)
      ? 'NZ_NETWORK_BLOCKED'
      : other === undefined || address === undefined || other.isRefused(this.peerId)
        ? 'NZ_NETWORK_REFUSED'
        : this.#mesh.isCut(this.peerId, peerId)
          ? 'NZ_NETWORK_NO_ROUTE'
          : null
    for (const tried of address === undefined ? candidates : [address]) this.#note(peerId, tried, code)
    if (code === 'NZ_NETWORK_BLOCKED') throw networkErrors.NZ_NETWORK_BLOCKED({ data: { peerId } })
    if (code !== null || other === undefined || address === undefined)
      throw networkErrors.NZ_NETWORK_UNREACHABLE({ data: { peerId, attempts: this.attempts(peerId) } })
    this.gain(peerId, 'outbound', address)
    other.gain(this.peerId, 'inbound', this.#address)
  }

  #note(peerId: string, address: string, code: string | null): void {
    const attempts = this.#attempts.get(peerId) ?? []
    this.#attempts.set(peerId, attempts)
    const stage = code === null ? 'open' : 'connect'
    const durationMs = this.#mesh.latencyMs
    attempts.push({
      atMs: this.#mesh.clock.nowMs(),
      address,
      transport: 'tcp',
      stage,
      durationMs,
      code,
      isPunch: false,
    })
    if (attempts.length > 32) attempts.shift()
  }

  #describe(peerId: string): Peer {
    const link = this.#links.get(peerId)
    return {
      peerId,
      state: link !== undefined ? 'connected' : this.#kept.has(peerId) ? 'reconnecting' : 'disconnected',
      rttMs: this.#rttMs.get(peerId) ?? null,
      connectedAtMs: link?.openedAtMs ?? null,
      paths: link === undefined ? [] : [pathOf(link)],
      agent: link === undefined ? null : 'nzcore/fake',
      isKept: this.#kept.has(peerId),
    }
  }
}
