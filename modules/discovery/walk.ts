/** One lookup over the network: drives the core, verifies what comes back, stops as soon as what was looked for is there. */
import { deadline } from '../../kernel/index.ts'
import { compareDistance, bytesOfPlace } from '../../protocols/discovery/distance.ts'
import { Lookup } from '../../protocols/discovery/lookup.ts'
import { keysOf, readRecord, slotOf } from '../../protocols/discovery/record.ts'
import { discoveryErrors } from './service.ts'
import type { Clock } from '../../kernel/index.ts'
import type { Place } from '../../protocols/discovery/distance.ts'
import type { RecordCode } from '../../protocols/discovery/errors.ts'
import type { FindAnswer } from '../../protocols/discovery/messages.ts'
import type { DiscoveryRecord, Verify } from '../../protocols/discovery/record.ts'
import type { RoutingTable } from '../../protocols/discovery/routing-table.ts'
import type { ContactCache, PeerContact } from './contact-cache.ts'
import type { Query } from './query.ts'

/** A peer that takes longer than this has another asked beside it. */
export const SLOW_MS = 600
/** Peers of the table that a lookup begins with. */
export const SEEDS = 24

export interface WalkServices {
  readonly selfPeerId: string
  readonly table: RoutingTable
  readonly contacts: ContactCache
  readonly query: Pick<Query, 'find'>
  readonly verify: Verify
  readonly clock: Clock
  /** Whom trust or the block list keeps out is neither asked nor remembered. */
  readonly isKeptOut: (peerId: string) => boolean
  readonly onRefused: (peerId: string, code: RecordCode) => void
  readonly onQuery: (isAnswered: boolean) => void
}

export interface WalkOptions {
  readonly wantsRecords: boolean
  /** What this node itself holds under the target. */
  readonly held?: readonly DiscoveryRecord[]
  /** Asked after every answer and before the first: whether the lookup may end. */
  readonly isEnough?: (progress: Progress) => boolean
  readonly timeoutMs: number
  readonly signal: AbortSignal
  /** Part of another lookup, which looks out for crowds itself. */
  readonly isProbe?: boolean
}

export interface Progress {
  /** Verified, under the target, the newest of each slot. */
  readonly records: ReadonlyMap<string, DiscoveryRecord>
  /** How many peers told each of them, by slot. */
  readonly tellers: ReadonlyMap<string, number>
  /** The peer that stands at the target itself, once its record was seen. */
  readonly atTarget: PeerContact | null
}

export interface Walked extends Progress {
  /** Answered, nearest first. */
  readonly closest: readonly PeerContact[]
  readonly asked: number
  /** Answers between the table and what was found, or the longest way. */
  readonly hops: number
}

/** @throws NZ_DISCOVERY_ALONE when nobody is known and nothing is held; what `signal` says when it aborts */
export async function walk(services: WalkServices, target: Place, options: WalkOptions): Promise<Walked> {
  return await new Walk(services, target, options).run()
}

class Walk {
  readonly #services: WalkServices
  readonly #options: WalkOptions
  readonly #target: Place
  readonly #targetBytes: Uint8Array
  readonly #lookup: Lookup<PeerContact>
  readonly #records = new Map<string, DiscoveryRecord>()
  readonly #tellers = new Map<string, number>()
  readonly #over = Promise.withResolvers<void>()
  readonly #stop = new AbortController()
  #atTarget: PeerContact | null = null
  #hops = 0
  #isOver = false
  #isProbing = false
  #probed = 0

  constructor(services: WalkServices, target: Place, options: WalkOptions) {
    this.#services = services
    this.#options = options
    this.#target = target
    this.#targetBytes = bytesOfPlace(target)
    const { table, contacts, selfPeerId } = services
    const seeds = table.closest(target, SEEDS).flatMap(({ record }) => {
      const contact = contacts.read(record.bytes)
      return typeof contact === 'string' ? [] : [contact]
    })
    for (const record of options.held ?? []) this.#records.set(slotOf(record), record)
    for (const slot of this.#records.keys()) this.#tellers.set(slot, 1)
    if (seeds.length === 0 && this.#records.size === 0) throw discoveryErrors.NZ_DISCOVERY_ALONE()
    this.#lookup = new Lookup(target, seeds, {
      estimatedNodes: options.isProbe === true ? 0 : table.estimatedNodes(),
      self: selfPeerId,
    })
    for (const seed of seeds) this.#notice(seed)
  }

  async run(): Promise<Walked> {
    const { timeoutMs, signal } = this.#options
    using limit = deadline(this.#services.clock, timeoutMs, { signal })
    limit.signal.addEventListener('abort', () => this.#end(), { once: true })
    this.#step()
    await this.#over.promise
    signal.throwIfAborted()
    return {
      records: this.#records,
      tellers: this.#tellers,
      atTarget: this.#atTarget,
      closest: this.#lookup.closest(),
      asked: this.#lookup.asked + this.#probed,
      hops: this.#hops,
    }
  }

  #step(): void {
    if (this.#isOver) return
    const isEnough = this.#options.isEnough?.({
      records: this.#records,
      tellers: this.#tellers,
      atTarget: this.#atTarget,
    })
    if (isEnough === true) return this.#end()
    if (this.#isProbing) return
    for (const peer of this.#lookup.next()) void this.#ask(peer)
    if (!this.#lookup.isDone) return
    const probes = this.#lookup.probes()
    if (probes.length === 0) this.#end()
    else void this.#probe(probes)
  }

  /** Somebody may hide others around the target: who stands beside the crowd is asked as well. */
  async #probe(places: readonly Place[]): Promise<void> {
    const { timeoutMs } = this.#options
    this.#isProbing = true
    const options = { wantsRecords: false, timeoutMs, isProbe: true, signal: this.#stop.signal }
    const found = await Promise.allSettled(places.map(async (place) => await walk(this.#services, place, options)))
    for (const each of found) {
      if (each.status !== 'fulfilled') continue
      this.#lookup.add(each.value.closest)
      this.#probed += each.value.asked
    }
    this.#isProbing = false
    this.#step()
  }

  #end(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#stop.abort(new Error('the lookup is over'))
    this.#over.resolve()
  }

  async #ask(peer: PeerContact): Promise<void> {
    const { query, table, contacts, clock, onQuery, onRefused } = this.#services
    const { peerId } = peer
    const verified = contacts.readVerified(peer.record.bytes)
    if (typeof verified === 'string') {
      onRefused(peerId, verified)
      this.#lookup.failed(peerId)
      queueMicrotask(() => this.#step())
      return
    }
    const slow = clock.setTimer(SLOW_MS, () => {
      this.#lookup.slow(peerId)
      this.#step()
    })
    try {
      const { wantsRecords } = this.#options
      const request = { target: this.#targetBytes, wantsRecords, wantsOwn: false }
      const { answer, rttMs, isProven } = await query.find(peer, request, { signal: this.#stop.signal })
      onQuery(true)
      table.heard(verified, { isProven })
      table.answered(peerId, { atMs: clock.monotonicMs(), rttMs, isProven })
      this.#take(peerId, answer)
    } catch {
      // Why is in the ledger of the network; here it only matters that there was no answer.
      this.#lookup.failed(peerId)
      if (!this.#isOver) {
        onQuery(false)
        table.failed(peerId)
      }
    } finally {
      slow.cancel()
      this.#step()
    }
  }

  #take(peerId: string, { records, closer }: FindAnswer): void {
    const { contacts, table, selfPeerId, isKeptOut } = this.#services
    const near = closer.flatMap((bytes) => {
      const contact = contacts.read(bytes)
      if (typeof contact === 'string' || contact.peerId === selfPeerId || contact.addresses.length === 0) return []
      return isKeptOut(contact.peerId) ? [] : [contact]
    })
    const hops = this.#lookup.answered(peerId, near)
    const before = this.#records.size
    for (const bytes of records) this.#takeRecord(peerId, bytes)
    for (const contact of near) this.#notice(contact)
    // What others tell is tried when it is needed; it stands behind whoever has answered.
    for (const contact of near) {
      if (!table.wants(contact)) continue
      const verified = contacts.readVerified(contact.record.bytes)
      if (typeof verified !== 'string') table.heard(verified, { isProven: false })
    }
    if (this.#records.size > before || this.#atTarget === null) this.#hops = Math.max(this.#hops, hops)
  }

  #takeRecord(peerId: string, bytes: Uint8Array): void {
    const { verify, clock, onRefused } = this.#services
    const record = readRecord(bytes.slice(), { verify, nowMs: clock.nowMs() })
    if (typeof record === 'string') return onRefused(peerId, record)
    if (!keysOf(record).some((key) => Buffer.compare(key, this.#targetBytes) === 0))
      return onRefused(peerId, 'NZ_DISCOVERY_WRONG_KEY')
    const slot = slotOf(record)
    const known = this.#records.get(slot)
    if (known !== undefined && known.sequence > record.sequence) return onRefused(peerId, 'NZ_DISCOVERY_STALE')
    const isSame = known?.sequence === record.sequence
    this.#tellers.set(slot, isSame ? (this.#tellers.get(slot) ?? 0) + 1 : 1)
    if (!isSame) this.#records.set(slot, record)
  }

  #notice(contact: PeerContact): void {
    if (this.#atTarget !== null && this.#atTarget.record.sequence >= contact.record.sequence) return
    if (compareDistance(this.#target, contact.place, this.#target) !== 0) return
    if (typeof this.#services.contacts.readVerified(contact.record.bytes) !== 'string') this.#atTarget = contact
  }
}
