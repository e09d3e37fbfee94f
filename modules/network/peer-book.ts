/** Where peers were reached or said to be reachable, and how they called themselves. In memory, bounded. */

export const MAX_KNOWN_PEERS = 1_024
export const MAX_ADDRESSES_PER_PEER = 16
const MAX_AGENT_LENGTH = 128

interface Entry {
  /** Most lately confirmed first. */
  addresses: string[]
  agent: string | null
  rttMs: number | null
}

export interface PeerBookInit {
  /** Peers that are not forgotten for others at the bound; they come on top of it. */
  readonly isKept?: (peerId: string) => boolean
  /** Told of each peer that is forgotten for others. */
  readonly onForgotten?: (peerId: string) => void
}

export class PeerBook {
  readonly #entries = new Map<string, Entry>()
  readonly #isKept: (peerId: string) => boolean
  readonly #onForgotten: (peerId: string) => void

  constructor({ isKept = () => false, onForgotten = () => undefined }: PeerBookInit = {}) {
    this.#isKept = isKept
    this.#onForgotten = onForgotten
  }

  /** Peers in the book, the one touched longest ago first. */
  peerIds(): readonly string[] {
    return [...this.#entries.keys()]
  }

  addresses(peerId: string): readonly string[] {
    return [...(this.#entries.get(peerId)?.addresses ?? [])]
  }

  agent(peerId: string): string | null {
    return this.#entries.get(peerId)?.agent ?? null
  }

  rttMs(peerId: string): number | null {
    return this.#entries.get(peerId)?.rttMs ?? null
  }

  /** Puts `addresses` before the ones known; at the bound the last are forgotten. */
  learn(peerId: string, addresses: readonly string[]): void {
    const entry = this.#touch(peerId)
    entry.addresses = [...new Set([...addresses, ...entry.addresses])].slice(0, MAX_ADDRESSES_PER_PEER)
  }

  /** What the peer itself says comes after what was proven by a connection. */
  learnClaims(peerId: string, { addresses, agent }: { addresses: readonly string[]; agent: string | null }): void {
    const entry = this.#touch(peerId)
    // A peer's word is no reason to ask DNS for a name of its choice.
    const places = addresses.filter((address) => !address.startsWith('/dnsaddr/'))
    entry.addresses = [...new Set([...entry.addresses, ...places])].slice(0, MAX_ADDRESSES_PER_PEER)
    entry.agent = agent?.slice(0, MAX_AGENT_LENGTH) ?? null
  }

  measured(peerId: string, rttMs: number | null): void {
    this.#touch(peerId).rttMs = rttMs
  }

  #touch(peerId: string): Entry {
    const entry = this.#entries.get(peerId) ?? { addresses: [], agent: null, rttMs: null }
    this.#entries.delete(peerId)
    this.#entries.set(peerId, entry)
    if (this.#entries.size > MAX_KNOWN_PEERS) this.#forgetOldest(peerId)
    return entry
  }

  /** Strangers come and go; where a kept peer can be reached is known from nowhere else. */
  #forgetOldest(touched: string): void {
    for (const peerId of this.#entries.keys()) {
      if (peerId === touched || this.#isKept(peerId)) continue
      this.#entries.delete(peerId)
      this.#onForgotten(peerId)
      return
    }
  }
}
