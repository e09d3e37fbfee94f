/** `DiscoveryService` over the distributed table. */
import { placeOf } from '../../protocols/discovery/distance.ts'
import { isContent, keyOfPeer, keyOfValue, slotOf } from '../../protocols/discovery/record.ts'
import { publicKeyOfPeerId } from '../../protocols/identity/id.ts'
import { discoveryErrors } from './service.ts'
import type { Clock } from '../../kernel/index.ts'
import type { Dht } from './dht.ts'
import type { OwnRecords } from './own-records.ts'
import type { DiscoveryService, DiscoveryStatus, PeerLookup } from './service.ts'
import type { Services } from './services.ts'

/** Searches that are remembered, one for each peer. */
export const MAX_LOOKUPS_REMEMBERED = 256
/** Peers that have to tell the same value before a search ends early. */
const VALUE_QUORUM = 3

export interface DiscoveryParts {
  readonly mode: DiscoveryStatus['mode']
  readonly dht: Dht
  readonly own: OwnRecords
  readonly services: Services
  readonly clock: Clock
  readonly onFound: (lookup: PeerLookup) => void
}

/** The searches of this node, the latest for each peer. */
export class PeerSearch {
  readonly #parts: Pick<DiscoveryParts, 'dht' | 'clock' | 'onFound'>
  readonly #last = new Map<string, PeerLookup>()

  constructor(parts: Pick<DiscoveryParts, 'dht' | 'clock' | 'onFound'>) {
    this.#parts = parts
  }

  last(peerId: string): PeerLookup | undefined {
    return this.#last.get(peerId)
  }

  /** @throws NZ_DISCOVERY_ALONE, NZ_DISCOVERY_PEER_INVALID */
  async find(peerId: string, { signal }: { readonly signal: AbortSignal }): Promise<PeerLookup> {
    const { dht, clock, onFound } = this.#parts
    const key = publicKeyOfPeerId(peerId)
    if (key === null) throw discoveryErrors.NZ_DISCOVERY_PEER_INVALID({ data: { peerId: peerId.slice(0, 64) } })
    const startedMs = clock.monotonicMs()
    const atMs = clock.nowMs()
    const signer = Buffer.from(key).toString('hex')
    const slot = slotOf({ signer, content: { kind: 'peer', addresses: [] } })
    const { records, atTarget, asked, hops } = await dht.walk(placeOf(keyOfPeer(signer)), {
      wantsRecords: true,
      isEnough: (progress) => progress.atTarget !== null || progress.records.has(slot),
      signal,
    })
    const stored = records.get(slot)
    const newest =
      stored !== undefined && (atTarget?.record.sequence ?? 0) < stored.sequence ? stored : atTarget?.record
    const lookup: PeerLookup = {
      peerId,
      atMs,
      durationMs: Math.round((clock.monotonicMs() - startedMs) * 100) / 100,
      asked,
      hops,
      addresses: newest?.content.kind === 'peer' ? newest.content.addresses : null,
    }
    this.#last.delete(peerId)
    this.#last.set(peerId, lookup)
    const oldest = this.#last.keys().next()
    if (this.#last.size > MAX_LOOKUPS_REMEMBERED && oldest.done !== true) this.#last.delete(oldest.value)
    if (lookup.addresses !== null) onFound(lookup)
    return lookup
  }
}

export function createDiscovery(parts: DiscoveryParts, search: PeerSearch): DiscoveryService {
  const { dht, own, services, mode } = parts
  const requireOn = (): void => {
    if (mode === 'off') throw discoveryErrors.NZ_DISCOVERY_OFF()
  }
  return {
    status: () => ({
      mode,
      tableSize: dht.table.size,
      proven: dht.table.entries().filter(({ state }) => state === 'proven').length,
      estimatedNodes: Math.round(dht.table.estimatedNodes()),
      records: dht.store.records,
      recordBytes: dht.store.bytes,
      counters: dht.counters(),
    }),
    async findPeer(peerId, options) {
      requireOn()
      return await search.find(peerId, options)
    },
    lastLookup: (peerId) => search.last(peerId),
    async putValue(name, value, { ttlS, signal }) {
      requireOn()
      const content = { kind: 'value' as const, name, value }
      if (!isContent(content)) throw discoveryErrors.NZ_DISCOVERY_VALUE_INVALID({ data: { bytes: value.byteLength } })
      if (!own.hasRoom && !own.all().some(({ record }) => isValueNamed(record.content, name)))
        throw discoveryErrors.NZ_DISCOVERY_SERVICES_FULL()
      const holders = await own.publish(content, ttlS, { signal })
      if (holders === 0) throw discoveryErrors.NZ_DISCOVERY_NOT_STORED()
      return { holders }
    },
    async getValue(peerId, name, { signal }) {
      requireOn()
      const key = publicKeyOfPeerId(peerId)
      if (key === null) throw discoveryErrors.NZ_DISCOVERY_PEER_INVALID({ data: { peerId: peerId.slice(0, 64) } })
      const signer = Buffer.from(key).toString('hex')
      const { records } = await dht.get(keyOfValue(signer, name), { quorum: VALUE_QUORUM, signal })
      return [...records.values()].find(({ content }) => isValueNamed(content, name)) ?? null
    },
    async announce(offer, options) {
      requireOn()
      return await services.announce(offer, options)
    },
    withdraw: async (name, options) => await services.withdraw(name, options),
    offers: () => services.offers(),
    async findServices(query) {
      requireOn()
      return await services.find(query)
    },
  }
}

function isValueNamed(content: { readonly kind: string; readonly name?: string }, name: string): boolean {
  return content.kind === 'value' && content.name === name
}
