/**
 * The peers a node knows, by distance (NZ-DISCOVERY-01 §4): who answers stays, who is silent leaves, and nobody fills a
 * bucket from one range of addresses. Sans-I/O.
 */
import { commonBits, compareDistance, fractionBetween } from './distance.ts'
import {
  CONNECTED_IDLE_FACTOR,
  FIRST_BUCKET,
  K,
  MAX_FAILURES,
  MAX_PATIENCE,
  MAX_RANGE_PER_BUCKET,
  MAX_RANGE_PER_TABLE,
  MAX_REPLACEMENTS,
} from './limits.ts'
import type { Place } from './distance.ts'
import type { DiscoveryRecord } from './record.ts'

export interface Contact {
  readonly peerId: string
  readonly place: Place
  /** The peer's own record; its signature was verified or will be before it is dialled. */
  readonly record: Pick<DiscoveryRecord, 'sequence' | 'bytes' | 'content'>
  /** Network of its address; `null` for private addresses, which say nothing. */
  readonly range: string | null
}

export interface TableEntry extends Contact {
  /** `proven`: it answered a request where its record says it is. Only these are told to others. */
  readonly state: 'proven' | 'heard'
  readonly failures: number
  /** Monotonic, of its last answer or request; `null` before the first. */
  readonly answeredAtMs: number | null
  /** Of the first answer after which it left none out; `null` before. */
  readonly thereSinceMs: number | null
  /** Its connection has ended since: it may be gone. */
  readonly isDoubted: boolean
  readonly rttMs: number | null
}

type Mutable = { -readonly [key in keyof TableEntry]: TableEntry[key] }

interface Bucket {
  entries: Mutable[]
  /** Newest last. */
  replacements: Mutable[]
}

export class RoutingTable {
  readonly #self: Place
  readonly #buckets = new Map<number, Bucket>()
  readonly #byPeer = new Map<string, Mutable>()
  readonly #ranges = new Map<string, number>()
  #entered = 0

  constructor(self: Place) {
    this.#self = self
  }

  get size(): number {
    return this.#byPeer.size
  }

  /** How many have ever become entries. */
  get entered(): number {
    return this.#entered
  }

  get(peerId: string): TableEntry | undefined {
    return this.#byPeer.get(peerId)
  }

  entries(): readonly TableEntry[] {
    return [...this.#byPeer.values()]
  }

  /** Learns of a peer. In a full bucket it waits until somebody leaves, or takes the place of one that never answered. */
  heard(contact: Contact, { isProven }: { readonly isProven: boolean }): void {
    const at = commonBits(this.#self, contact.place)
    if (at >= 256) return
    const known = this.#byPeer.get(contact.peerId)
    if (known !== undefined) {
      this.#renew(known, contact)
      if (isProven) known.state = 'proven'
      return
    }
    const entry: Mutable = {
      ...contact,
      state: isProven ? 'proven' : 'heard',
      failures: 0,
      answeredAtMs: null,
      thereSinceMs: null,
      isDoubted: false,
      rttMs: null,
    }
    const bucket = this.#bucket(at)
    const isCrowded = this.#isCrowded(bucket, contact.range)
    if (!isCrowded && bucket.entries.length < capacityOf(at)) return this.#enter(bucket, entry)
    const unproven = isProven ? this.#weakest(bucket, contact.range, isCrowded) : undefined
    if (unproven !== undefined) {
      this.#leave(bucket, unproven)
      return this.#enter(bucket, entry)
    }
    bucket.replacements = [...bucket.replacements.filter(({ peerId }) => peerId !== entry.peerId), entry].slice(
      -MAX_REPLACEMENTS,
    )
  }

  /** Whether hearing of the peer would make it an entry at once, or renew the one it has. */
  wants({ peerId, place, range, record }: Contact): boolean {
    const at = commonBits(this.#self, place)
    if (at >= 256) return false
    const known = this.#byPeer.get(peerId)
    if (known !== undefined) return known.record.sequence < record.sequence
    const bucket = this.#buckets.get(at)
    return bucket === undefined || (bucket.entries.length < capacityOf(at) && !this.#isCrowded(bucket, range))
  }

  /** The peer answered. `isProven`: at an address of its record. */
  answered(
    peerId: string,
    { atMs, rttMs, isProven }: { readonly atMs: number; readonly rttMs: number; readonly isProven: boolean },
  ): void {
    const entry = this.#byPeer.get(peerId)
    if (entry === undefined) return
    entry.failures = 0
    entry.answeredAtMs = atMs
    entry.thereSinceMs ??= atMs
    entry.isDoubted = false
    entry.rttMs = rttMs
    if (isProven) entry.state = 'proven'
  }

  /** The peer has asked this node: it is there. Whether it can be asked shows only when it answers. */
  asked(peerId: string, atMs: number): void {
    const entry = this.#byPeer.get(peerId)
    if (entry?.state !== 'proven') return
    entry.answeredAtMs = atMs
    entry.thereSinceMs ??= atMs
    entry.isDoubted = false
  }

  /** The connection to the peer has ended without a reason that this node knows of: it may be gone. */
  doubted(peerId: string): void {
    const entry = this.#byPeer.get(peerId)
    if (entry !== undefined) entry.isDoubted = true
  }

  /** The peer did not answer; after MAX_FAILURES in a row, or at once when it never did, it makes room. */
  failed(peerId: string): void {
    const entry = this.#byPeer.get(peerId)
    if (entry === undefined) return
    entry.failures += 1
    entry.thereSinceMs = null
    if (entry.failures < MAX_FAILURES && entry.answeredAtMs !== null) return
    const bucket = this.#bucket(commonBits(this.#self, entry.place))
    this.#leave(bucket, entry)
    const next = bucket.replacements.findLast(({ range }) => !this.#isCrowded(bucket, range))
    if (next === undefined) return
    bucket.replacements = bucket.replacements.filter((each) => each !== next)
    this.#enter(bucket, next)
  }

  /** The `count` peers nearest to `target`, nearest first; `forOthers`: only what may be told. */
  closest(target: Place, count: number, { forOthers = false }: { readonly forOthers?: boolean } = {}): TableEntry[] {
    const able = forOthers
      ? [...this.#byPeer.values()].filter(({ state, failures }) => state === 'proven' && failures === 0)
      : [...this.#byPeer.values()]
    return able.toSorted((a, b) => compareDistance(target, a.place, b.place)).slice(0, count)
  }

  /**
   * Up to `count` entries that were not heard of for `idleMs`, or that are doubted. Unless `isUrgent`, one that has been
   * there for longer may be silent as long as it has been there, up to MAX_PATIENCE times `idleMs`. Who is connected, of
   * whom the network would know, may be silent CONNECTED_IDLE_FACTOR times. The doubted and the longest silent come first.
   */
  idle(
    nowMs: number,
    {
      idleMs,
      count,
      isConnected = () => false,
      isUrgent = false,
    }: {
      readonly idleMs: number
      readonly count: number
      readonly isConnected?: (peerId: string) => boolean
      readonly isUrgent?: boolean
    },
  ): TableEntry[] {
    const since = ({ answeredAtMs, isDoubted }: TableEntry): number =>
      isDoubted ? -Infinity : (answeredAtMs ?? -Infinity)
    return [...this.#byPeer.values()]
      .filter((entry) => {
        const silentMs = nowMs - since(entry)
        if (silentMs < (isUrgent ? idleMs : patienceMs(entry, idleMs))) return false
        return silentMs >= idleMs * CONNECTED_IDLE_FACTOR || !isConnected(entry.peerId)
      })
      .toSorted((a, b) => byTime(since(a), since(b)))
      .slice(0, count)
  }

  /** Whether an unknown peer of this bucket would become an entry. */
  hasRoom(bucket: number): boolean {
    return (this.#buckets.get(bucket)?.entries.length ?? 0) < capacityOf(bucket)
  }

  /** How many nodes there seem to be, from how dense they stand around this one. */
  estimatedNodes(): number {
    const near = this.closest(this.#self, K)
    const last = near.at(-1)
    if (last === undefined || near.length < K) return this.size + 1
    return Math.max(this.size + 1, near.length / fractionBetween(this.#self, last.place))
  }

  /** Buckets up to the deepest that holds anybody, by shared bits: where refreshing looks. */
  depth(): number {
    return Math.max(0, ...[...this.#buckets].filter(([, { entries }]) => entries.length > 0).map(([at]) => at))
  }

  #bucket(at: number): Bucket {
    const bucket = this.#buckets.get(at) ?? { entries: [], replacements: [] }
    this.#buckets.set(at, bucket)
    return bucket
  }

  #enter(bucket: Bucket, entry: Mutable): void {
    this.#entered += 1
    bucket.entries.push(entry)
    this.#byPeer.set(entry.peerId, entry)
    if (entry.range !== null) this.#ranges.set(entry.range, (this.#ranges.get(entry.range) ?? 0) + 1)
  }

  #leave(bucket: Bucket, entry: Mutable): void {
    bucket.entries = bucket.entries.filter((each) => each !== entry)
    this.#byPeer.delete(entry.peerId)
    if (entry.range === null) return
    const left = (this.#ranges.get(entry.range) ?? 1) - 1
    if (left === 0) this.#ranges.delete(entry.range)
    else this.#ranges.set(entry.range, left)
  }

  /** A newer record of a known peer. Its range stays: moving must not get around the bounds of ranges. */
  #renew(entry: Mutable, { record }: Contact): void {
    if (record.sequence > entry.record.sequence) entry.record = record
  }

  #isCrowded(bucket: Bucket, range: string | null): boolean {
    if (range === null) return false
    if ((this.#ranges.get(range) ?? 0) >= MAX_RANGE_PER_TABLE) return true
    return bucket.entries.filter((entry) => entry.range === range).length >= MAX_RANGE_PER_BUCKET
  }

  /** One that never answered and may give its place to a proven peer. */
  #weakest(bucket: Bucket, range: string | null, isCrowded: boolean): Mutable | undefined {
    return bucket.entries.find(
      ({ state, answeredAtMs, range: held }) =>
        state === 'heard' && answeredAtMs === null && (!isCrowded || held === range),
    )
  }
}

/** How long an entry may be silent: as long as it has been there without a break, within bounds. */
function patienceMs({ answeredAtMs, thereSinceMs }: TableEntry, idleMs: number): number {
  const thereMs = (answeredAtMs ?? 0) - (thereSinceMs ?? answeredAtMs ?? 0)
  return Math.min(Math.max(thereMs, idleMs), idleMs * MAX_PATIENCE)
}

/** As `a - b`, also of two that are -Infinity. */
function byTime(a: number, b: number): number {
  return a === b ? 0 : a - b
}

/** How many entries the bucket with `at` shared bits holds. */
export function capacityOf(at: number): number {
  return at > 8 ? K : Math.max(K, FIRST_BUCKET >> at)
}
