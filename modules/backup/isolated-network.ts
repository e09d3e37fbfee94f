/** The network of a node that is started only to see whether it starts: it knows nobody, reaches nobody, listens nowhere. */
import { dnsErrors, networkErrors, unknownReach } from '../network/service.ts'
import type {
  BackendChoice,
  DetourEnd,
  FoundNodes,
  NetworkCounters,
  NetworkService,
  Peer,
  PeerStream,
  Reachability,
} from '../network/service.ts'

export class IsolatedNetwork implements NetworkService {
  readonly peerId: string

  constructor(peerId: string) {
    this.peerId = peerId
  }

  addresses(): readonly string[] {
    return []
  }

  peers(): readonly Peer[] {
    return []
  }

  peer(): undefined {
    return undefined
  }

  async connect(peerId: string): Promise<Peer> {
    throw await this.#refusal(peerId)
  }

  async disconnect(): Promise<void> {
    await Promise.resolve()
  }

  keep(): { release(): void } {
    return { release: () => undefined }
  }

  async ping(peerId: string): Promise<number> {
    throw await this.#refusal(peerId)
  }

  attempts(): readonly [] {
    return []
  }

  async openStream(peerId: string): Promise<PeerStream> {
    throw await this.#refusal(peerId)
  }

  handleStreams(): void {
    // Nobody can open one.
  }

  async request(peerId: string): Promise<Uint8Array> {
    throw await this.#refusal(peerId)
  }

  handleRequests(): void {
    // Nobody can send one.
  }

  refusePeers(): void {
    // There are none.
  }

  async findByName(name: string): Promise<FoundNodes> {
    throw dnsErrors.NZ_DNS_NO_NODE({ data: await Promise.resolve({ name }) })
  }

  addAddressSource(): void {
    // It dials nobody.
  }

  isRefused(): boolean {
    return false
  }

  useDetour(): DetourEnd {
    return { serve: () => 'refused', reached: () => undefined, left: () => undefined }
  }

  async block(): Promise<void> {
    await Promise.resolve()
  }

  async unblock(): Promise<void> {
    await Promise.resolve()
  }

  blocked(): readonly string[] {
    return []
  }

  counters(): NetworkCounters {
    return {
      connectionsOpened: 0,
      connectionsRefused: {},
      handshakesEvicted: 0,
      streamsRefused: {},
      bufferedBytes: 0,
      bufferBudgetBytes: 0,
      txBytes: 0,
      rxBytes: 0,
    }
  }

  backend(): BackendChoice {
    return { asked: 'off', backend: 'typescript', code: 'off', reason: 'the node is isolated' }
  }

  reachability(): Reachability {
    return unknownReach('the node is isolated')
  }

  async #refusal(peerId: string): Promise<Error> {
    const why = 'this node is isolated: it proves a backup'
    return await Promise.resolve(networkErrors.NZ_NETWORK_UNREACHABLE({ why, data: { peerId } }))
  }
}
