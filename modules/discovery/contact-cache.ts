/** Peer records that were read once: their contacts, and whether the signature was verified. Bounded. */
import { peerIdOf } from '../../protocols/identity/id.ts'
import { placeOf } from '../../protocols/discovery/distance.ts'
import { isCurrent, keyOfPeer, readRecord } from '../../protocols/discovery/record.ts'
import { rangeOfAddress } from './address-range.ts'
import type { RecordCode } from '../../protocols/discovery/errors.ts'
import type { DiscoveryRecord, Verify } from '../../protocols/discovery/record.ts'
import type { Contact } from '../../protocols/discovery/routing-table.ts'

export const MAX_CACHED = 4_096

export interface PeerContact extends Contact {
  readonly record: DiscoveryRecord
  readonly addresses: readonly string[]
}

interface Cached {
  readonly contact: PeerContact
  isVerified: boolean | null
}

export interface ContactCacheServices {
  readonly verify: Verify
  readonly nowMs: () => number
}

export class ContactCache {
  readonly #services: ContactCacheServices
  /** By the bytes of the record; read longest ago first. */
  readonly #cached = new Map<string, Cached>()

  constructor(services: ContactCacheServices) {
    this.#services = services
  }

  /** The contact in a peer record; its signature is not looked at yet. */
  read(bytes: Uint8Array): PeerContact | RecordCode {
    const cached = this.#read(bytes)
    return typeof cached === 'string' ? cached : cached.contact
  }

  /** The same, once its signature is that of the peer. */
  readVerified(bytes: Uint8Array): PeerContact | RecordCode {
    const cached = this.#read(bytes)
    if (typeof cached === 'string') return cached
    if (cached.isVerified === null) {
      const { verify, nowMs } = this.#services
      cached.isVerified = typeof readRecord(bytes, { verify, nowMs: nowMs() }) !== 'string'
    }
    return cached.isVerified ? cached.contact : 'NZ_DISCOVERY_FORGED'
  }

  #read(bytes: Uint8Array): Cached | RecordCode {
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
    const nowMs = this.#services.nowMs()
    const known = this.#cached.get(text)
    if (known !== undefined) {
      this.#cached.delete(text)
      this.#cached.set(text, known)
      return isCurrent(known.contact.record, nowMs) ? known : 'NZ_DISCOVERY_EXPIRED'
    }
    // The bytes are part of an answer, which would stay in memory as a whole.
    const record = readRecord(bytes.slice(), { verify: null, nowMs })
    if (typeof record === 'string') return record
    const contact = contactOf(record)
    if (contact === null) return 'NZ_DISCOVERY_MALFORMED'
    const cached: Cached = { contact, isVerified: null }
    this.#cached.set(text, cached)
    const oldest = this.#cached.keys().next()
    if (this.#cached.size > MAX_CACHED && oldest.done !== true) this.#cached.delete(oldest.value)
    return cached
  }
}

/** `null` for records of other kinds. */
export function contactOf(record: DiscoveryRecord): PeerContact | null {
  const { content, signer } = record
  if (content.kind !== 'peer') return null
  return {
    peerId: peerIdOf(Buffer.from(signer, 'hex')),
    place: placeOf(keyOfPeer(signer)),
    record,
    addresses: content.addresses,
    range: rangeOfAddress(content.addresses[0]),
  }
}
