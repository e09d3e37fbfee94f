/** Services: what this node offers, and what others offer, ranked (NZ-DISCOVERY-01 §8). */
import { isNzError } from '../../kernel/index.ts'
import { peerIdOf } from '../../protocols/identity/id.ts'
import { isContent, keyOfCapability, keyOfService } from '../../protocols/discovery/record.ts'
import { discoveryErrors } from './service.ts'
import type { DiscoveryRecord, serviceHealths } from '../../protocols/discovery/record.ts'
import type { NetworkService } from '../network/service.ts'
import type { TrustService } from '../trust/service.ts'
import type { Dht } from './dht.ts'
import type { OwnRecords } from './own-records.ts'
import type { FoundService, OwnService, PeerLookup, ServiceOffer, ServiceQuery } from './service.ts'

/** Offers that are asked whether they are there, nearest known first. */
const MAX_CHECKED = 16
/** Peers that have to tell the same before a search ends early. */
const QUORUM = 3

export interface ServicesParts {
  readonly dht: () => Dht
  readonly own: OwnRecords
  readonly network: Pick<NetworkService, 'peer' | 'ping' | 'connect'>
  readonly trust: Pick<TrustService, 'explain' | 'may'>
  readonly findPeer: (peerId: string, options: { readonly signal: AbortSignal }) => Promise<PeerLookup>
  readonly selfPeerId: string
  /** For the answer of one announcer. */
  readonly check: <T>(signal: AbortSignal, work: (limit: AbortSignal) => Promise<T>) => Promise<T>
  readonly ttlS: number
}

export class Services {
  readonly #parts: ServicesParts

  constructor(parts: ServicesParts) {
    this.#parts = parts
  }

  async announce(offer: ServiceOffer, { signal }: { readonly signal: AbortSignal }): Promise<OwnService> {
    const { own, ttlS } = this.#parts
    const capabilities = [...new Set(offer.capabilities)].toSorted()
    const content = { kind: 'service' as const, ...offer, capabilities }
    if (!isContent(content))
      throw discoveryErrors.NZ_DISCOVERY_SERVICE_INVALID({ data: { name: offer.name.slice(0, 64) } })
    const earlier = this.offers().find(({ name }) => name === offer.name)
    if (earlier === undefined && !own.hasRoom) throw discoveryErrors.NZ_DISCOVERY_SERVICES_FULL()
    await unlessAlone(async () => await own.publish(content, ttlS, { signal }))
    return this.#offer(offer.name)
  }

  async withdraw(name: string, { signal }: { readonly signal: AbortSignal }): Promise<void> {
    const { own, ttlS } = this.#parts
    const { capabilities } = this.#offer(name)
    // It outlives every copy of the offer, so that nobody finds an old one behind it.
    await unlessAlone(async () => await own.publish({ kind: 'withdrawn', name, capabilities }, ttlS, { signal }))
  }

  offers(): readonly OwnService[] {
    return this.#parts.own.all().flatMap(({ record: { content }, holders, storedAtMs }) => {
      if (content.kind !== 'service') return []
      const { name, version, health, capabilities } = content
      return [{ name, version, health, capabilities, holders, announcedAtMs: storedAtMs }]
    })
  }

  /** @throws NZ_DISCOVERY_ALONE, NZ_DISCOVERY_SERVICE_INVALID */
  async find({ name, capabilities, isChecked, signal }: ServiceQuery): Promise<readonly FoundService[]> {
    const [first] = capabilities
    if (name === undefined && first === undefined)
      throw discoveryErrors.NZ_DISCOVERY_SERVICE_INVALID({ why: 'neither a name nor a capability is asked for' })
    const key = name === undefined ? keyOfCapability(first ?? '') : keyOfService(name)
    const { records } = await this.#parts.dht().get(key, { quorum: QUORUM, signal })
    const found = [...records.values()].flatMap((record) => this.#read(record, { name, capabilities }))
    const checked = isChecked ? await this.#checkAll(found.toSorted(byRank), signal) : found
    return checked.toSorted(byRank)
  }

  #offer(name: string): OwnService {
    const offer = this.offers().find((each) => each.name === name)
    if (offer === undefined) throw discoveryErrors.NZ_DISCOVERY_SERVICE_UNKNOWN({ data: { name: name.slice(0, 64) } })
    return offer
  }

  /** What was withdrawn, does not fit, or comes from somebody who may not connect is no result. */
  #read(
    { content, signer, sequence, ttlS }: DiscoveryRecord,
    wanted: { readonly name: string | undefined; readonly capabilities: readonly string[] },
  ): FoundService[] {
    const { network, trust } = this.#parts
    if (content.kind !== 'service') return []
    if (wanted.name !== undefined && content.name !== wanted.name) return []
    if (!wanted.capabilities.every((each) => content.capabilities.includes(each))) return []
    const peerId = peerIdOf(Buffer.from(signer, 'hex'))
    if (!trust.may(peerId, 'connect')) return []
    const { name, version, health, capabilities } = content
    return [
      {
        name,
        version,
        health,
        capabilities,
        peerId,
        sequence,
        expiresAtMs: sequence + ttlS * 1_000,
        state: 'unasked',
        rttMs: network.peer(peerId)?.rttMs ?? null,
        trust: trust.explain(peerId).level,
      },
    ]
  }

  async #checkAll(found: readonly FoundService[], signal: AbortSignal): Promise<readonly FoundService[]> {
    return await Promise.all(
      found.map(async (each, at) => (at < MAX_CHECKED ? await this.#checkOne(each, signal) : each)),
    )
  }

  async #checkOne(found: FoundService, signal: AbortSignal): Promise<FoundService> {
    const { network, selfPeerId, findPeer, check } = this.#parts
    const { peerId } = found
    if (peerId === selfPeerId) return { ...found, state: 'answers', rttMs: 0 }
    try {
      const rttMs = await check(signal, async (limit) => {
        if (network.peer(peerId)?.state !== 'connected') {
          const { addresses } = await findPeer(peerId, { signal: limit })
          await network.connect(peerId, { addresses: addresses ?? [], isDirect: true, signal: limit })
        }
        return await network.ping(peerId, { signal: limit })
      })
      return { ...found, state: 'answers', rttMs }
    } catch (error) {
      signal.throwIfAborted()
      if (!isNzError(error) && !(error instanceof Error && error.name === 'TimeoutError')) throw error
      return { ...found, state: 'silent' }
    }
  }
}

const STATES: readonly FoundService['state'][] = ['answers', 'unasked', 'silent']
const LEVELS: readonly string[] = ['ULTIMATE', 'HIGH', 'MEDIUM', 'LOW', 'UNKNOWN']
const HEALTHS = ['healthy', 'unknown', 'degraded', 'failing'] satisfies (typeof serviceHealths)[number][]

/** Who answers, is well, is trusted, is near; of equals the newer. */
function byRank(a: FoundService, b: FoundService): number {
  return (
    STATES.indexOf(a.state) - STATES.indexOf(b.state) ||
    HEALTHS.indexOf(a.health) - HEALTHS.indexOf(b.health) ||
    LEVELS.indexOf(a.trust) - LEVELS.indexOf(b.trust) ||
    (a.rttMs ?? Infinity) - (b.rttMs ?? Infinity) ||
    b.sequence - a.sequence
  )
}

/** An offer that nobody could take yet is kept, and stored as soon as somebody is known. */
async function unlessAlone(publish: () => Promise<unknown>): Promise<void> {
  try {
    await publish()
  } catch (error) {
    if (!isNzError(error, 'NZ_DISCOVERY_ALONE')) throw error
  }
}
