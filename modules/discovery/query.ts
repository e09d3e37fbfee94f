/** Asks one peer: connects where its record says it is, sends one request, checks the answer (NZ-DISCOVERY-01 §5). */
import { deadline } from '../../kernel/index.ts'
import {
  decodeFound,
  decodeStored,
  encodeFind,
  encodeStore,
  FIND_METHOD,
  STORE_METHOD,
} from '../../protocols/discovery/messages.ts'
import { dialableAddresses, hostOfAddress } from './address-range.ts'
import { discoveryErrors } from './service.ts'
import type { Clock } from '../../kernel/index.ts'
import type { FindAnswer, FindRequest, StoreItem } from '../../protocols/discovery/messages.ts'
import type { NetworkService } from '../network/service.ts'
import type { OpenedConnections } from './opened-connections.ts'

/** Where a peer may be found. */
export interface Askable {
  readonly peerId: string
  readonly addresses: readonly string[]
}

export interface QueryServices {
  readonly network: Pick<NetworkService, 'connect' | 'request' | 'peer' | 'addresses'>
  readonly clock: Clock
  readonly opened: OpenedConnections
  /** This node's peer record for a peer that may not have it; `null` when it has, or when nobody is to have it. */
  readonly ownFor: (peerId: string) => Uint8Array | null
  readonly onTold: (peerId: string) => void
}

export interface Answered<T> {
  readonly answer: T
  readonly rttMs: number
  /** The peer answered at an address that `addresses` name: it can be dialled there. */
  readonly isProven: boolean
}

export class Query {
  readonly #services: QueryServices
  readonly #timeoutMs: number

  constructor(services: QueryServices, { timeoutMs }: { readonly timeoutMs: number }) {
    this.#services = services
    this.#timeoutMs = timeoutMs
  }

  /** @throws NZ_NETWORK_…, NZ_DISCOVERY_PROTOCOL */
  async find(
    peer: Askable,
    request: Pick<FindRequest, 'target' | 'wantsRecords' | 'wantsOwn'>,
    { signal }: { readonly signal: AbortSignal },
  ): Promise<Answered<FindAnswer>> {
    const own = this.#services.ownFor(peer.peerId)
    const asked = await this.#request(peer, FIND_METHOD, encodeFind({ ...request, own }), signal)
    const answer = decodeFound(asked.answer)
    if (answer === null) throw discoveryErrors.NZ_DISCOVERY_PROTOCOL({ data: { peerId: peer.peerId } })
    if (own !== null) this.#services.onTold(peer.peerId)
    return { ...asked, answer }
  }

  /** Numbers of codes, in order of the items. @throws NZ_NETWORK_…, NZ_DISCOVERY_PROTOCOL */
  async store(
    peer: Askable,
    items: readonly StoreItem[],
    { signal }: { readonly signal: AbortSignal },
  ): Promise<readonly number[]> {
    const { answer } = await this.#request(peer, STORE_METHOD, encodeStore(items), signal)
    const codes = decodeStored(answer)
    if (codes?.length !== items.length) throw discoveryErrors.NZ_DISCOVERY_PROTOCOL({ data: { peerId: peer.peerId } })
    return codes
  }

  async #request(
    { peerId, addresses }: Askable,
    method: string,
    payload: Uint8Array,
    signal: AbortSignal,
  ): Promise<Answered<Uint8Array>> {
    const { network, clock, opened } = this.#services
    using limit = deadline(clock, this.#timeoutMs, { signal })
    const wasConnected = network.peer(peerId)?.state === 'connected'
    if (!wasConnected) {
      const dialable = dialableAddresses(addresses, network.addresses())
      await network.connect(peerId, { addresses: dialable, isDirect: true, signal: limit.signal })
    }
    using _ = opened.use(peerId, { isOurs: !wasConnected })
    const sentAtMs = clock.monotonicMs()
    const answer = await network.request(peerId, method, payload, { signal: limit.signal })
    return { answer, rttMs: clock.monotonicMs() - sentAtMs, isProven: this.#isProven(peerId, addresses) }
  }

  #isProven(peerId: string, addresses: readonly string[]): boolean {
    return isReachedAt(this.#services.network, peerId, addresses)
  }
}

/** Whether a connection to the peer was dialled from here, or came from a host that `addresses` name. */
export function isReachedAt(
  network: Pick<NetworkService, 'peer'>,
  peerId: string,
  addresses: readonly string[],
): boolean {
  const paths = network.peer(peerId)?.paths ?? []
  const hosts = new Set(addresses.map(hostOfAddress))
  return paths.some(({ direction, address }) => direction === 'outbound' || hosts.has(hostOfAddress(address)))
}
