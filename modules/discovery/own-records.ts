/** What this node says of itself: signs its records in ascending order, keeps them, and stores them anew before they are over. */
import { createRecord, isCurrent, keysOf, readRecord, slotOf } from '../../protocols/discovery/record.ts'
import { MAX_ADDRESSES } from '../../protocols/discovery/limits.ts'
import { tellableAddresses } from './address-range.ts'
import type { Clock, Logger } from '../../kernel/index.ts'
import type { Content, DiscoveryRecord, Sign } from '../../protocols/discovery/record.ts'
import type { Namespace } from '../storage/service.ts'
import type { PeerContact } from './contact-cache.ts'
import type { Dht } from './dht.ts'

/** Offers and values of this node together; its peer record comes on top. */
export const MAX_OWN_RECORDS = 64
export const PEER_RECORD_TTL_S = 7_200
/** How late this node's records may tell of a new address. */
const ADDRESSES_KEPT_MS = 1_000
/** A lookup for the holders of a record after this many renewals that went to the known ones. */
const RENEWALS_PER_LOOKUP = 8
/** Fewer holders than this that took a renewal: others are looked for. */
const FEW_HOLDERS = 10

export interface OwnRecordsServices {
  readonly dht: () => Dht
  readonly addresses: () => readonly string[]
  readonly isServer: boolean
  readonly namespace: Namespace
  readonly signer: string
  readonly sign: Sign
  readonly clock: Clock
  readonly log: Logger
}

interface Own {
  record: DiscoveryRecord
  /** By key in hexadecimal. */
  readonly holders: Map<string, readonly PeerContact[]>
  renewals: number
  storedAtMs: number | null
}

export class OwnRecords {
  readonly #services: OwnRecordsServices
  readonly #own = new Map<string, Own>()
  #peer: DiscoveryRecord | null = null
  #told: { readonly addresses: readonly string[]; readonly atMs: number } | null = null
  #lastSequence = 0

  constructor(services: OwnRecordsServices) {
    this.#services = services
  }

  /** Takes up what an earlier run has published. */
  async load({ signal }: { readonly signal: AbortSignal }): Promise<void> {
    const { namespace, signer, log } = this.#services
    for await (const { value } of namespace.range({ limit: MAX_OWN_RECORDS })) {
      signal.throwIfAborted()
      const record = readRecord(value, { verify: null, nowMs: null })
      if (typeof record === 'string') log.warn('discovery.ownRecordUnread', { code: record })
      if (typeof record === 'string' || record.signer !== signer) continue
      this.#lastSequence = Math.max(this.#lastSequence, record.sequence)
      this.#own.set(slotOf(record), { record, holders: new Map(), renewals: 0, storedAtMs: null })
    }
  }

  /** This node's peer record, signed anew when its addresses changed or half of its time is over; `null` for a client. */
  peerRecord(): DiscoveryRecord | null {
    const { isServer, clock } = this.#services
    if (!isServer) return null
    const told = this.#addresses()
    const last = this.#peer
    const isFresh = last !== null && clock.nowMs() < last.sequence + PEER_RECORD_TTL_S * 500
    if (isFresh && last.content.kind === 'peer' && last.content.addresses.join() === told.join()) return last
    this.#peer = this.#signed({ kind: 'peer', addresses: told }, PEER_RECORD_TTL_S)
    return this.#peer
  }

  /** Offers and values, and offers that were withdrawn and are not over. */
  all(): ReadonlyArray<{
    readonly record: DiscoveryRecord
    readonly holders: number
    readonly storedAtMs: number | null
  }> {
    return [...this.#own.values()].map(({ record, holders, storedAtMs }) => ({
      record,
      storedAtMs,
      holders: Math.max(0, ...[...holders.values()].map(({ length }) => length)),
    }))
  }

  /** What is published under a key and not over. */
  under(key: Uint8Array): readonly DiscoveryRecord[] {
    const nowMs = this.#services.clock.nowMs()
    return [...this.#own.values()]
      .map(({ record }) => record)
      .filter((record) => isCurrent(record, nowMs) && keysOf(record).some((each) => Buffer.compare(each, key) === 0))
  }

  /** Whether another one may be published. */
  get hasRoom(): boolean {
    return this.#own.size < MAX_OWN_RECORDS
  }

  /** Signs, keeps and stores. @returns how many nodes took it. @throws NZ_DISCOVERY_ALONE, NZ_STORAGE_… */
  async publish(content: Content, ttlS: number, { signal }: { readonly signal: AbortSignal }): Promise<number> {
    const own = await this.keep(content, ttlS)
    return await this.#store(own, { signal })
  }

  /** Signs and keeps; it is stored with the next renewal. */
  async keep(content: Content, ttlS: number): Promise<Own> {
    const record = this.#signed(content, ttlS)
    await this.#services.namespace.put(keyOfSlot(record), record.bytes)
    const earlier = this.#own.get(slotOf(record))
    const own: Own = { record, holders: earlier?.holders ?? new Map(), renewals: 0, storedAtMs: null }
    this.#own.set(slotOf(record), own)
    return own
  }

  /** Stores what is due: a third of its time is over, or it was never stored. The peer record goes first. */
  async renew({ signal }: { readonly signal: AbortSignal }): Promise<void> {
    const { clock, log } = this.#services
    const peer = this.peerRecord()
    if (peer !== null && peer.content.kind === 'peer' && peer.content.addresses.length > 0) {
      const slot = slotOf(peer)
      const known = this.#own.get(slot)
      if (known?.record.sequence !== peer.sequence)
        this.#own.set(slot, { record: peer, holders: known?.holders ?? new Map(), renewals: 0, storedAtMs: null })
    }
    for (const own of this.#own.values()) {
      if (signal.aborted) return
      const { record, storedAtMs } = own
      if (storedAtMs !== null && clock.nowMs() < storedAtMs + record.ttlS * 333) continue
      try {
        if (storedAtMs !== null || clock.nowMs() > record.sequence + record.ttlS * 333) await this.#sign(own)
        if (this.#own.has(slotOf(record))) await this.#store(own, { signal })
      } catch (error) {
        log.debug('discovery.notRenewed', { slot: slotOf(record), error })
      }
    }
  }

  /** Asked for with every request; the network puts them together each time. */
  #addresses(): readonly string[] {
    const { addresses, clock } = this.#services
    const nowMs = clock.monotonicMs()
    if (this.#told === null || nowMs - this.#told.atMs >= ADDRESSES_KEPT_MS)
      this.#told = { addresses: tellableAddresses(addresses(), MAX_ADDRESSES), atMs: nowMs }
    return this.#told.addresses
  }

  /** Signed anew with a later sequence; what was withdrawn or has run out by its own will is let go. */
  async #sign(own: Own): Promise<void> {
    const { content, ttlS } = own.record
    if (content.kind === 'withdrawn') return await this.#forget(own)
    if (content.kind === 'peer') return
    own.record = this.#signed(content, ttlS)
    await this.#services.namespace.put(keyOfSlot(own.record), own.record.bytes)
  }

  async #forget({ record }: Own): Promise<void> {
    this.#own.delete(slotOf(record))
    await this.#services.namespace.delete(keyOfSlot(record))
  }

  async #store(own: Own, { signal }: { readonly signal: AbortSignal }): Promise<number> {
    const dht = this.#services.dht()
    const { record } = own
    const isLookupDue = own.renewals % RENEWALS_PER_LOOKUP === 0
    let most = 0
    for (const key of keysOf(record)) {
      const name = Buffer.from(key).toString('hex')
      const known = own.holders.get(name) ?? []
      let holders = isLookupDue || known.length === 0 ? [] : await dht.storeAt(known, key, record, { signal })
      if (holders.length < Math.min(FEW_HOLDERS, known.length) || holders.length === 0)
        ({ holders } = await dht.put(key, record, { signal }))
      own.holders.set(name, holders)
      most = Math.max(most, holders.length)
    }
    own.renewals += 1
    if (most > 0) own.storedAtMs = this.#services.clock.nowMs()
    return most
  }

  /** A clock that was set back does not make a record older than the one before. */
  #signed(content: Content, ttlS: number): DiscoveryRecord {
    const { clock, signer, sign } = this.#services
    this.#lastSequence = Math.max(clock.nowMs(), this.#lastSequence + 1)
    return createRecord({ signer, sequence: Math.floor(this.#lastSequence), ttlS, content }, sign)
  }
}

/** The signer is always this node. */
function keyOfSlot(record: DiscoveryRecord): string {
  return slotOf(record).slice(record.signer.length + 1)
}
