/** The distributed table: finds nodes and records, stores records, answers others (NZ-DISCOVERY-01 §5–7). */
import { bytesOfPlace, placeOf } from '../../protocols/discovery/distance.ts'
import { MAX_REGION } from '../../protocols/discovery/limits.ts'
import { RecordStore } from '../../protocols/discovery/record-store.ts'
import { keyOfPeer, slotOf } from '../../protocols/discovery/record.ts'
import { RoutingTable } from '../../protocols/discovery/routing-table.ts'
import { ContactCache } from './contact-cache.ts'
import { Query } from './query.ts'
import { walk } from './walk.ts'
import type { Clock } from '../../kernel/index.ts'
import type { Place } from '../../protocols/discovery/distance.ts'
import type { RecordCode } from '../../protocols/discovery/errors.ts'
import type { DiscoveryRecord, Verify } from '../../protocols/discovery/record.ts'
import type { NetworkService } from '../network/service.ts'
import type { PeerContact } from './contact-cache.ts'
import type { OpenedConnections } from './opened-connections.ts'
import type { Askable } from './query.ts'
import type { DiscoveryCounters } from './service.ts'
import type { Walked, WalkOptions } from './walk.ts'

export interface DhtServices {
  readonly network: Pick<NetworkService, 'peerId' | 'connect' | 'request' | 'peer' | 'addresses' | 'isRefused'>
  readonly clock: Clock
  readonly opened: OpenedConnections
  readonly verify: Verify
  /** Node public key of this node, in hexadecimal. */
  readonly signer: string
  /** This node's peer record; `null` while nobody is to have it. */
  readonly ownRecord: () => DiscoveryRecord | null
  /** What this node has published under a key. */
  readonly published: (key: Uint8Array) => readonly DiscoveryRecord[]
  readonly onRefused: (peerId: string, code: RecordCode) => void
}

export interface DhtOptions {
  readonly queryTimeoutMs: number
  readonly lookupTimeoutMs: number
  readonly maxRecords: number
}

/** Peers that are remembered to have this node's record. */
const MAX_TOLD = 4_096

export class Dht {
  readonly table: RoutingTable
  readonly store: RecordStore
  readonly contacts: ContactCache
  readonly self: Place
  readonly #services: DhtServices
  readonly #options: DhtOptions
  readonly #query: Query
  /** The sequence of the own record that each peer was told. */
  readonly #told = new Map<string, number>()
  readonly #refused = new Map<RecordCode, number>()
  #lookups = 0
  #queries = 0
  #queriesFailed = 0
  #hops = 0
  answered = 0
  limited = 0

  constructor(services: DhtServices, options: DhtOptions) {
    this.#services = services
    this.#options = options
    this.self = placeOf(keyOfPeer(services.signer))
    this.table = new RoutingTable(this.self)
    this.store = new RecordStore(this.self, { maxRecords: options.maxRecords })
    this.contacts = new ContactCache({ verify: services.verify, nowMs: () => services.clock.nowMs() })
    this.#query = new Query(
      {
        ...services,
        ownFor: (peerId) => this.#ownFor(peerId),
        onTold: (peerId) => this.#noteTold(peerId),
      },
      { timeoutMs: options.queryTimeoutMs },
    )
  }

  /** Walks to `target`. @throws NZ_DISCOVERY_ALONE */
  async walk(target: Place, options: Omit<WalkOptions, 'timeoutMs'>): Promise<Walked> {
    const { clock, verify, network } = this.#services
    this.#lookups += 1
    const walked = await walk(
      {
        selfPeerId: network.peerId,
        table: this.table,
        contacts: this.contacts,
        query: this.#query,
        verify,
        clock,
        isKeptOut: (peerId) => network.isRefused(peerId),
        onRefused: (peerId, code) => this.refuse(peerId, code),
        onQuery: (isAnswered) => this.#count(isAnswered),
      },
      target,
      { ...options, timeoutMs: this.#options.lookupTimeoutMs },
    )
    this.#hops += walked.hops
    return walked
  }

  /**
   * Asks a peer for itself and for who is near `target`, which is this node's place unless given: the first words with a
   * peer, and whether it is still there.
   * @returns the places of those it told of, nearest to `target` first; `null` when it did not answer
   */
  async greet(
    peer: Askable,
    { target = this.self, signal }: { readonly target?: Place; readonly signal: AbortSignal },
  ): Promise<readonly Place[] | null> {
    const { clock } = this.#services
    const request = { target: bytesOfPlace(target), wantsRecords: false, wantsOwn: true }
    try {
      const { answer, rttMs, isProven } = await this.#query.find(peer, request, { signal })
      this.#count(true)
      const own = answer.own === null ? null : this.contacts.readVerified(answer.own)
      if (typeof own === 'string') this.refuse(peer.peerId, own)
      else if (own !== null && own.peerId === peer.peerId) this.table.heard(own, { isProven })
      this.table.answered(peer.peerId, { atMs: clock.monotonicMs(), rttMs, isProven })
      return answer.closer.flatMap((bytes) => this.#hearOf(bytes) ?? [])
    } catch {
      if (signal.aborted) return null
      this.#count(false)
      this.table.failed(peer.peerId)
      return null
    }
  }

  /** Stores a record under a key at the nodes nearest to it. @returns who took it, and how far the walk was */
  async put(
    key: Uint8Array,
    record: DiscoveryRecord,
    { signal }: { readonly signal: AbortSignal },
  ): Promise<{ readonly holders: readonly PeerContact[]; readonly walked: Walked }> {
    const walked = await this.walk(placeOf(key), { wantsRecords: false, signal })
    const holders = await this.storeAt(walked.closest.slice(0, MAX_REGION), key, record, { signal })
    return { holders, walked }
  }

  /** Stores at these peers alone. @returns those that took it or had it */
  async storeAt(
    peers: readonly PeerContact[],
    key: Uint8Array,
    record: DiscoveryRecord,
    { signal }: { readonly signal: AbortSignal },
  ): Promise<readonly PeerContact[]> {
    const stored = await Promise.all(
      peers.map(async (peer) => {
        try {
          const [code] = await this.#query.store(peer, [{ key, record: record.bytes }], { signal })
          this.#count(true)
          // 6: it has this one, or a newer one.
          return code === 0 || code === 6 ? [peer] : []
        } catch {
          if (!signal.aborted) {
            this.#count(false)
            this.table.failed(peer.peerId)
          }
          return []
        }
      }),
    )
    return stored.flat()
  }

  /** Newest record of each slot under a key, as soon as `quorum` peers told the same, or all who could were asked. */
  async get(
    key: Uint8Array,
    { quorum, signal }: { readonly quorum: number; readonly signal: AbortSignal },
  ): Promise<Walked> {
    const isEnough = ({ tellers }: Pick<Walked, 'tellers'>): boolean =>
      tellers.size > 0 && [...tellers.values()].every((count) => count >= quorum)
    return await this.walk(placeOf(key), { wantsRecords: true, held: this.held(key), isEnough, signal })
  }

  /** The records of others, and its own, that this node has under a key. */
  held(key: Uint8Array): readonly DiscoveryRecord[] {
    const { clock, published } = this.#services
    const own = published(key)
    const slots = new Set(own.map(slotOf))
    return [...own, ...this.store.get(key, clock.nowMs()).filter((record) => !slots.has(slotOf(record)))]
  }

  /** Counts a record that was not taken. */
  refuse(peerId: string, code: RecordCode): void {
    this.#refused.set(code, (this.#refused.get(code) ?? 0) + 1)
    this.#services.onRefused(peerId, code)
  }

  isConnected(peerId: string): boolean {
    return this.#services.network.peer(peerId)?.state === 'connected'
  }

  /**
   * The connection has ended: when the peer comes back it is told anew, and unless the end was to be expected, somebody
   * should look whether it is there.
   */
  disconnected(peerId: string): void {
    this.#told.delete(peerId)
    // Events come later than what they tell of.
    if (this.isConnected(peerId)) return
    const heardAtMs = this.table.get(peerId)?.answeredAtMs ?? null
    if (!this.#services.opened.closed(peerId, heardAtMs)) this.table.doubted(peerId)
  }

  /** A peer has asked something: it is there. */
  askedBy(peerId: string): void {
    this.table.asked(peerId, this.#services.clock.monotonicMs())
    this.#services.opened.asked(peerId)
  }

  counters(): DiscoveryCounters {
    return {
      lookups: this.#lookups,
      hops: this.#hops,
      queries: this.#queries,
      queriesFailed: this.#queriesFailed,
      answered: this.answered,
      limited: this.limited,
      refused: Object.fromEntries(this.#refused),
    }
  }

  /** @returns where the peer stands that the record speaks of, this node as well; `null` when nobody can be read from it */
  #hearOf(bytes: Uint8Array): Place | null {
    const contact = this.contacts.read(bytes)
    if (typeof contact === 'string') return null
    const { peerId, place, addresses } = contact
    const { network } = this.#services
    if (peerId === network.peerId || network.isRefused(peerId) || addresses.length === 0) return place
    if (!this.table.wants(contact)) return place
    if (typeof this.contacts.readVerified(bytes) !== 'string') this.table.heard(contact, { isProven: false })
    return place
  }

  #count(isAnswered: boolean): void {
    this.#queries += 1
    if (!isAnswered) this.#queriesFailed += 1
  }

  #ownFor(peerId: string): Uint8Array | null {
    const own = this.#services.ownRecord()
    return own === null || this.#told.get(peerId) === own.sequence ? null : own.bytes
  }

  #noteTold(peerId: string): void {
    const own = this.#services.ownRecord()
    if (own === null) return
    this.#told.delete(peerId)
    this.#told.set(peerId, own.sequence)
    const oldest = this.#told.keys().next()
    if (this.#told.size > MAX_TOLD && oldest.done !== true) this.#told.delete(oldest.value)
  }
}
