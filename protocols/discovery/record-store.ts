/** The records a node keeps for others (NZ-DISCOVERY-01 §7): bounded per key, signer, bringer and in all. Sans-I/O. */
import { compareDistance, placeOf } from './distance.ts'
import {
  MAX_RECORDS,
  MAX_RECORDS_BYTES,
  MAX_RECORDS_PER_KEY,
  MAX_RECORDS_PER_PEER,
  MAX_RECORDS_PER_SIGNER,
} from './limits.ts'
import { isCurrent, keysOf, slotOf } from './record.ts'
import type { Place } from './distance.ts'
import type { RecordCode } from './errors.ts'
import type { DiscoveryRecord } from './record.ts'

interface Kept {
  readonly key: string
  readonly place: Place
  readonly record: DiscoveryRecord
  /** Peer id of who brought it, and the network it came from. */
  readonly from: string
  readonly range: string | null
}

export interface Bringer {
  readonly peerId: string
  readonly range: string | null
}

export interface RecordStoreLimits {
  readonly maxRecords?: number
  readonly maxBytes?: number
}

export class RecordStore {
  readonly #self: Place
  readonly #maxRecords: number
  readonly #maxBytes: number
  /** By key, then by slot. */
  readonly #byKey = new Map<string, Map<string, Kept>>()
  readonly #perSigner = new Map<string, number>()
  readonly #perPeer = new Map<string, number>()
  #records = 0
  #bytes = 0

  constructor(self: Place, { maxRecords = MAX_RECORDS, maxBytes = MAX_RECORDS_BYTES }: RecordStoreLimits = {}) {
    this.#self = self
    this.#maxRecords = maxRecords
    this.#maxBytes = maxBytes
  }

  get records(): number {
    return this.#records
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Keeps a record whose signature was verified. @returns why not, or `null` */
  put(key: Uint8Array, record: DiscoveryRecord, from: Bringer, nowMs: number): RecordCode | null {
    if (!isCurrent(record, nowMs)) return 'NZ_DISCOVERY_EXPIRED'
    if (!keysOf(record).some((own) => Buffer.compare(own, key) === 0)) return 'NZ_DISCOVERY_WRONG_KEY'
    const name = Buffer.from(key).toString('hex')
    const known = this.#byKey.get(name)?.get(slotOf(record))
    if (known !== undefined && known.record.sequence >= record.sequence) return 'NZ_DISCOVERY_STALE'
    const kept: Kept = { key: name, place: placeOf(key), record, from: from.peerId, range: from.range }
    if (known === undefined && !this.#hasRoom(kept, nowMs)) return 'NZ_DISCOVERY_FULL'
    if (known !== undefined) this.#remove(known)
    this.#add(kept)
    return null
  }

  /** The current records under a key, the newest first. */
  get(key: Uint8Array, nowMs: number): readonly DiscoveryRecord[] {
    const kept = this.#byKey.get(Buffer.from(key).toString('hex'))
    if (kept === undefined) return []
    return [...kept.values()]
      .map(({ record }) => record)
      .filter((record) => isCurrent(record, nowMs))
      .toSorted((a, b) => b.sequence - a.sequence)
  }

  /** Forgets what is over. @returns how many */
  sweep(nowMs: number): number {
    const over = [...this.#all()].filter(({ record }) => !isCurrent(record, nowMs))
    for (const each of over) this.#remove(each)
    return over.length
  }

  #hasRoom(kept: Kept, nowMs: number): boolean {
    const { signer } = kept.record
    if ((this.#perSigner.get(signer) ?? 0) >= MAX_RECORDS_PER_SIGNER) return false
    if ((this.#perPeer.get(kept.from) ?? 0) >= MAX_RECORDS_PER_PEER) return false
    const ofKey = this.#byKey.get(kept.key)
    if (ofKey !== undefined && ofKey.size >= MAX_RECORDS_PER_KEY && !this.#makeRoomAt(ofKey, kept)) return false
    const isFull = (): boolean =>
      this.#records >= this.#maxRecords || this.#bytes + kept.record.bytes.byteLength > this.#maxBytes
    if (isFull()) this.sweep(nowMs)
    while (isFull()) {
      const farthest = this.#farthest()
      if (farthest === null || compareDistance(this.#self, farthest.place, kept.place) <= 0) return false
      this.#remove(farthest)
    }
    return true
  }

  /** The range of addresses that has most records of a key gives one, never to itself: one host cannot fill a key. */
  #makeRoomAt(ofKey: ReadonlyMap<string, Kept>, { range }: Kept): boolean {
    const counts = new Map<string, Kept[]>()
    for (const each of ofKey.values()) counts.set(each.range ?? '', [...(counts.get(each.range ?? '') ?? []), each])
    const [most] = [...counts.values()].toSorted((a, b) => b.length - a.length)
    const oldest = most?.toSorted((a, b) => a.record.sequence - b.record.sequence)[0]
    if (oldest === undefined || most === undefined || most.length < 2 || oldest.range === range) return false
    this.#remove(oldest)
    return true
  }

  #farthest(): Kept | null {
    let farthest: Kept | null = null
    for (const each of this.#all())
      if (farthest === null || compareDistance(this.#self, each.place, farthest.place) > 0) farthest = each
    return farthest
  }

  *#all(): Iterable<Kept> {
    for (const ofKey of this.#byKey.values()) yield* ofKey.values()
  }

  #add(kept: Kept): void {
    const ofKey = this.#byKey.get(kept.key) ?? new Map<string, Kept>()
    this.#byKey.set(kept.key, ofKey)
    ofKey.set(slotOf(kept.record), kept)
    this.#records += 1
    this.#bytes += kept.record.bytes.byteLength
    change(this.#perSigner, kept.record.signer, 1)
    change(this.#perPeer, kept.from, 1)
  }

  #remove(kept: Kept): void {
    const ofKey = this.#byKey.get(kept.key)
    ofKey?.delete(slotOf(kept.record))
    if (ofKey?.size === 0) this.#byKey.delete(kept.key)
    this.#records -= 1
    this.#bytes -= kept.record.bytes.byteLength
    change(this.#perSigner, kept.record.signer, -1)
    change(this.#perPeer, kept.from, -1)
  }
}

function change(counts: Map<string, number>, key: string, by: number): void {
  const count = (counts.get(key) ?? 0) + by
  if (count === 0) counts.delete(key)
  else counts.set(key, count)
}
