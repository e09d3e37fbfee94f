/** Under which addresses others see the connections from our listening port: what that says about a NAT between. */
import { hostOf } from '../address.ts'
import { isPublic } from '../public-hosts.ts'

/** Peers whose word is kept; the one heard longest ago goes first. */
export const MAX_OBSERVERS = 32

/**
 * How a NAT maps the listening port (RFC 4787 §4.1), as far as others have said:
 * - `none`: they see an address of this machine
 * - `endpoint-independent`: two or more, at different addresses, see the same
 * - `endpoint-dependent`: they see different ones; nobody can foretell what the next will see
 * - `unknown`: fewer than two have said something
 */
export type Mapping = 'none' | 'endpoint-independent' | 'endpoint-dependent' | 'unknown'

interface Observation {
  readonly observerHost: string
  /** `/ip4/192.0.2.7/tcp/4001` */
  readonly address: string
}

export class ObservedAddresses {
  readonly #byPeer = new Map<string, Observation>()

  /** `address` is a multiaddr as the peer said it; only IPv4 and IPv6 over TCP count. */
  note(peerId: string, observerAddress: string, address: string): void {
    const observerHost = hostOf(observerAddress)
    const plain = /^\/ip[46]\/[^/]+\/tcp\/\d+/.exec(address)?.[0]
    if (observerHost === null || plain === undefined) return
    this.#byPeer.delete(peerId)
    this.#byPeer.set(peerId, { observerHost, address: plain })
    const [oldest] = this.#byPeer.keys()
    if (this.#byPeer.size > MAX_OBSERVERS && oldest !== undefined) this.#byPeer.delete(oldest)
  }

  forget(peerId: string): void {
    this.#byPeer.delete(peerId)
  }

  get observers(): number {
    return this.#byPeer.size
  }

  /** Public addresses that were seen, the most often seen first. */
  addresses(): readonly string[] {
    const counts = new Map<string, number>()
    for (const { address } of this.#byPeer.values()) counts.set(address, (counts.get(address) ?? 0) + 1)
    return [...counts]
      .filter(([address]) => isPublic(hostOf(address) ?? ''))
      .toSorted(([, a], [, b]) => b - a)
      .map(([address]) => address)
  }

  /** `own` are the hosts of the addresses this machine has. Only what public observers said counts. */
  mapping(own: readonly string[]): Mapping {
    const said = [...this.#byPeer.values()].filter(({ observerHost }) => isPublic(observerHost))
    if (said.some(({ address }) => own.includes(hostOf(address) ?? ''))) return 'none'
    const seen = new Set(said.map(({ address }) => address))
    if (seen.size > 1) return 'endpoint-dependent'
    return new Set(said.map(({ observerHost }) => observerHost)).size > 1 ? 'endpoint-independent' : 'unknown'
  }
}
