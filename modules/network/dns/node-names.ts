/**
 * From a name to the nodes behind it: TXT records at `_dnsaddr.<name>` (multiaddr's dnsaddr), which may lead to further
 * names, and SRV records at `_nzcore._tcp.<name>`. What is found is not believed: whoever answers at an address has to
 * prove to be the peer that was asked for.
 */
import { multiaddr } from '@multiformats/multiaddr'
import { canonicalName } from '../../../protocols/dns/message.ts'
import { peerIdOf } from '../address.ts'
import { dnsErrors } from './errors.ts'
import type { Resolved } from './resolver.ts'

/** Addresses found for one name, all levels together. */
export const MAX_FOUND = 16
/** A name that leads to names that lead to names. */
export const MAX_DEPTH = 3
/** Of the SRV records of one name, the best ones. */
export const MAX_SERVICES = 4
/** Questions asked for one name, all levels together. */
export const MAX_QUESTIONS = 16

export interface FoundAddress {
  /** Multiaddr; ends in `/p2p/<peer id>` when the record names one. */
  readonly address: string
  readonly peerId: string | null
  readonly source: 'txt' | 'srv'
}

export interface FoundNodes {
  readonly addresses: readonly FoundAddress[]
  /** Whether each answer that led to them was checked by DNSSEC. */
  readonly isAuthenticated: boolean
  /** Records that are no address a node has, or of another peer than the one asked for. */
  readonly refused: number
}

export type Ask = (name: string, type: 'txt' | 'srv' | 'a' | 'aaaa', signal: AbortSignal) => Promise<Resolved>

/** `/dnsaddr/example.org/p2p/<peer id>`: the name and the peer; `null` for other addresses. */
export function nameIn(address: string): { readonly name: string; readonly peerId: string | null } | null {
  const [, name, peerId = null] = /^\/dnsaddr\/([^/]+)(?:\/p2p\/([1-9A-HJ-NP-Za-km-z]+))?$/.exec(address) ?? []
  return name === undefined ? null : { name, peerId }
}

/**
 * The nodes at `name`, of one peer or of all.
 *
 * @throws NZ_DNS_NAME_INVALID, NZ_DNS_NO_NODE when there are none, and what `ask` throws when no question was answered
 */
export async function findNodes(
  name: string,
  peerId: string | null,
  { ask, signal }: { readonly ask: Ask; readonly signal: AbortSignal },
): Promise<FoundNodes> {
  const search = new Search(peerId, ask, signal)
  await search.follow(name, 1)
  const { found, isAuthenticated, refused, failure } = search
  if (found.length > 0) return { addresses: found, isAuthenticated, refused }
  if (failure !== null) throw failure
  const why = refused === 0 ? 'it has no records of nodes' : 'its records name other peers, or none that can be dialled'
  throw dnsErrors.NZ_DNS_NO_NODE({ why, data: { name, refused } })
}

class Search {
  readonly found: FoundAddress[] = []
  isAuthenticated = true
  refused = 0
  failure: Error | null = null
  readonly #peerId: string | null
  readonly #ask: Ask
  readonly #signal: AbortSignal
  readonly #seen = new Set<string>()
  #questions = 0

  constructor(peerId: string | null, ask: Ask, signal: AbortSignal) {
    this.#peerId = peerId
    this.#ask = ask
    this.#signal = signal
  }

  async follow(text: string, depth: number): Promise<void> {
    const name = canonicalName(text)
    // The longest prefix must still fit before it.
    if (name === null || name.length > 230) {
      if (depth === 1) throw dnsErrors.NZ_DNS_NAME_INVALID({ data: { name: text.slice(0, 256) } })
      this.refused += 1
      return
    }
    if (this.#seen.has(name)) return
    this.#seen.add(name)
    const further: string[] = []
    for (const resource of await this.#answers(`_dnsaddr.${name}`, 'txt')) {
      if (resource.type !== 'txt' || !resource.text.startsWith('dnsaddr=')) continue
      const address = resource.text.slice('dnsaddr='.length)
      const next = nameIn(address)
      if (next === null) this.#keep(address, 'txt')
      else if (next.peerId === null || this.#peerId === null || next.peerId === this.#peerId) further.push(next.name)
      else this.refused += 1
    }
    const services = (await this.#answers(`_nzcore._tcp.${name}`, 'srv')).flatMap((each) =>
      each.type === 'srv' && each.port > 0 ? [each] : [],
    )
    const ranked = services.toSorted((a, b) => a.priority - b.priority || b.weight - a.weight)
    this.refused += Math.max(0, ranked.length - MAX_SERVICES)
    for (const { target, port } of ranked.slice(0, MAX_SERVICES))
      for (const type of ['aaaa', 'a'] as const)
        for (const resource of await this.#answers(target, type))
          if (resource.type === type)
            this.#keep(`/${type === 'a' ? 'ip4' : 'ip6'}/${resource.address}/tcp/${port}`, 'srv')
    for (const each of further) {
      if (depth < MAX_DEPTH) await this.follow(each, depth + 1)
      else this.refused += 1
    }
  }

  async #answers(name: string, type: Parameters<Ask>[1]): Promise<Resolved['resources']> {
    if (this.#questions >= MAX_QUESTIONS || this.found.length >= MAX_FOUND) return []
    this.#questions += 1
    try {
      const { resources, isAuthenticated } = await this.#ask(name, type, this.#signal)
      if (resources.length > 0) this.isAuthenticated &&= isAuthenticated
      return resources
    } catch (error) {
      this.#signal.throwIfAborted()
      this.failure ??= error instanceof Error ? error : new Error(String(error))
      return []
    }
  }

  /** Of TXT records those of the peer asked for; SRV names no peer: whoever is dialled there proves who it is. */
  #keep(text: string, source: FoundAddress['source']): void {
    const address = readable(text)
    const named = address === null ? null : peerIdOf(address)
    const isWanted = this.#peerId === null || named === this.#peerId || (named === null && source === 'srv')
    if (address === null || !isWanted || (source === 'txt' && named === null)) this.refused += 1
    else if (this.found.length < MAX_FOUND && !this.found.some((each) => each.address === address))
      this.found.push({ address, peerId: named, source })
  }
}

/** One that nodes of this kind listen at; `null` for others. */
function readable(text: string): string | null {
  if (
    !/^\/(?:ip4|ip6|dns|dns4|dns6)\/[^/]+\/tcp\/\d+(?:\/wss?)?(?:\/p2p\/[^/]+(?:\/p2p-circuit\/p2p\/[^/]+)?)?$/.test(
      text,
    )
  )
    return null
  try {
    return multiaddr(text).toString()
  } catch {
    return null
  }
}
