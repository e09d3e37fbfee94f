/** What is inside a sealed record, and where sealed things lie. spec/NZ-STORAGE-01.md §3. */
import { bufferOf, RECORD_ID_BYTES } from './keys.ts'

export const MAX_KEY_BYTES = 512
export const MAX_VALUE_BYTES = 1_048_576
export const MAX_NAMESPACE_LENGTH = 64

/** namespace length u8 · key length u16 · expires u64 */
export const RECORD_FIXED_BYTES = 11

const NAMESPACE = /^[a-z][a-z0-9-]*(?:\/[a-z0-9][a-z0-9-]*)?$/
const VERSION_SUFFIX = /@(?:[2-9]|[1-9]\d{1,4})$/

export interface PlainRecord {
  readonly namespace: string
  readonly key: string
  /** Milliseconds since 1970; 0: never. */
  readonly expiresAtMs: number
  readonly value: Uint8Array
}

/** namespace length u8 · key length u16 · expires u64 · namespace · key · value, numbers big-endian, text in UTF-8. */
export function encodeRecord({ namespace, key, expiresAtMs, value }: PlainRecord): Uint8Array {
  const name = Buffer.from(namespace, 'utf8')
  const keyBytes = Buffer.from(key, 'utf8')
  const fixed = Buffer.alloc(RECORD_FIXED_BYTES)
  fixed.writeUInt8(name.byteLength, 0)
  fixed.writeUInt16BE(keyBytes.byteLength, 1)
  fixed.writeBigUInt64BE(BigInt(expiresAtMs), 3)
  return Buffer.concat([fixed, name, keyBytes, value])
}

/** `null` when these bytes are no record. Its value is a part of them. */
export function decodeRecord(bytes: Uint8Array): PlainRecord | null {
  if (bytes.byteLength < RECORD_FIXED_BYTES) return null
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const nameEnd = RECORD_FIXED_BYTES + view.getUint8(0)
  const keyEnd = nameEnd + view.getUint16(1)
  const expiresAtMs = Number(view.getBigUint64(3))
  if (keyEnd > bytes.byteLength || !Number.isSafeInteger(expiresAtMs)) return null
  if (bytes.byteLength - keyEnd > MAX_VALUE_BYTES) return null
  const text = bufferOf(bytes)
  // What is no ASCII is no name of a namespace either.
  const namespace = text.toString('latin1', RECORD_FIXED_BYTES, nameEnd)
  const key = keyAt(text, nameEnd, keyEnd)
  if (key === null || !isStoredNamespace(namespace)) return null
  const value = new Uint8Array(bytes.buffer, bytes.byteOffset + keyEnd, bytes.byteLength - keyEnd)
  return { namespace, key, expiresAtMs, value }
}

export function isNamespace(name: string): boolean {
  return name.length <= MAX_NAMESPACE_LENGTH && NAMESPACE.test(name)
}

/** A namespace, or one in a later version of its schema: `name@version`. */
export function isStoredNamespace(name: string): boolean {
  return isNamespace(name.replace(VERSION_SUFFIX, ''))
}

export function isKey(key: string): boolean {
  return key !== '' && key.isWellFormed() && !key.includes('\0') && Buffer.byteLength(key, 'utf8') <= MAX_KEY_BYTES
}

function keyAt(bytes: Buffer, start: number, end: number): string | null {
  if (end === start || end - start > MAX_KEY_BYTES) return null
  const key = bytes.toString('utf8', start, end)
  if (key.includes('\0')) return null
  // Bytes that are no UTF-8 become this character, which a key may also have of its own.
  return key.includes('\ufffd') && Buffer.compare(Buffer.from(key, 'utf8'), bytes.subarray(start, end)) !== 0
    ? null
    : key
}

/** The place of the head: one byte no record has. */
export const HEAD_PLACE = Uint8Array.of(0x68)
export const WITNESS_PLACE = Uint8Array.of(0x77)

/** 'r' and the record's id. */
export function recordPlace(id: Uint8Array): Uint8Array {
  return placed(0x72, id)
}

/** 'q' and the place something was moved away from. */
export function quarantinePlace(place: Uint8Array): Uint8Array {
  return placed(0x71, place)
}

/** What lies at a quarantine place: when it was moved there, in milliseconds since 1970 as u64, then what it was. */
export function encodeQuarantined(atMs: number, value: Uint8Array): Uint8Array {
  const encoded = new Uint8Array(8 + value.byteLength)
  new DataView(encoded.buffer).setBigUint64(0, BigInt(Math.floor(atMs)))
  encoded.set(value, 8)
  return encoded
}

/** When it was moved aside; infinity for what does not say so. */
export function quarantinedAtMs(encoded: Uint8Array): number {
  if (encoded.byteLength < 8) return Number.POSITIVE_INFINITY
  return Number(new DataView(encoded.buffer, encoded.byteOffset, 8).getBigUint64(0))
}

/** The id of a record that lies at `place`; `null` when no record may lie there. */
export function recordIdAt(place: Uint8Array): Uint8Array | null {
  return place[0] === 0x72 && place.byteLength === 1 + RECORD_ID_BYTES ? place.subarray(1) : null
}

export function isHeadPlace(place: Uint8Array): boolean {
  return place.byteLength === 1 && place[0] === HEAD_PLACE[0]
}

export function isQuarantinePlace(place: Uint8Array): boolean {
  return place[0] === 0x71
}

function placed(letter: number, rest: Uint8Array): Uint8Array {
  const place = new Uint8Array(1 + rest.byteLength)
  place[0] = letter
  place.set(rest, 1)
  return place
}
