/** What is chained in a log: entries, the hash that binds each to its predecessor, and names. spec/NZ-LOG-01.md §1, §2. */
import { createHash } from 'node:crypto'
import { entryKinds } from './names.ts'
import type { EntryKind } from './names.ts'

export { entryKinds, isLogName } from './names.ts'
export type { EntryKind } from './names.ts'

export const HASH_BYTES = 32
export const UID_BYTES = 16
/** The largest payload of an entry. */
export const MAX_PAYLOAD_BYTES = 262_144
/** kind u8 · sequence u64 · time u64 · hash of the predecessor */
export const ENTRY_FIXED_BYTES = 1 + 8 + 8 + HASH_BYTES

export interface PlainEntry {
  readonly kind: EntryKind
  /** 1 for the first entry of a log, then one more for each; never given twice. */
  readonly sequence: number
  /** Milliseconds since 1970, as the writer's clock had it. */
  readonly atMs: number
  /** Hash of the entry before; of the genesis for the first one. */
  readonly previous: Uint8Array
  readonly payload: Uint8Array
}

export function encodeEntry({ kind, sequence, atMs, previous, payload }: PlainEntry): Uint8Array {
  if (previous.byteLength !== HASH_BYTES) throw new TypeError('a hash has 32 bytes')
  const bytes = new Uint8Array(ENTRY_FIXED_BYTES + payload.byteLength)
  const view = new DataView(bytes.buffer)
  view.setUint8(0, entryKinds.indexOf(kind) + 1)
  view.setBigUint64(1, BigInt(sequence))
  view.setBigUint64(9, BigInt(atMs))
  bytes.set(previous, 17)
  bytes.set(payload, ENTRY_FIXED_BYTES)
  return bytes
}

/** `null` when these bytes are no entry. */
export function decodeEntry(bytes: Uint8Array): PlainEntry | null {
  const length = bytes.byteLength - ENTRY_FIXED_BYTES
  if (length < 0 || length > MAX_PAYLOAD_BYTES) return null
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const kind = entryKinds[view.getUint8(0) - 1]
  const sequence = Number(view.getBigUint64(1))
  const atMs = Number(view.getBigUint64(9))
  if (kind === undefined || !Number.isSafeInteger(sequence) || sequence < 1 || !Number.isSafeInteger(atMs)) return null
  // Copies: a slice would keep the whole buffer it was read in.
  const previous = Uint8Array.from(bytes.subarray(17, ENTRY_FIXED_BYTES))
  return { kind, sequence, atMs, previous, payload: Uint8Array.from(bytes.subarray(ENTRY_FIXED_BYTES)) }
}

/** The hash that the next entry carries; `encoded` is `encodeEntry` of this one. */
export function entryHash(encoded: Uint8Array): Uint8Array {
  return new Uint8Array(createHash('sha256').update('nzcore log entry 1\n').update(encoded).digest())
}

/** What the first entry of a log has for its predecessor: two logs never share a chain. */
export function genesisHash(name: string, uid: Uint8Array): Uint8Array {
  return new Uint8Array(createHash('sha256').update('nzcore log 1\n').update(uid).update(name).digest())
}

export function isSameHash(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}

export function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex')
}

export function hashOf(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex, 'hex'))
}
