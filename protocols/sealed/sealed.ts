/** Bytes sealed under a salt and a counter, and opened again. spec/NZ-STORAGE-01.md §3, NZ-LOG-01.md §3. */
import { NONCE_BYTES, openSealed, sealInto, TAG_BYTES } from './aead.ts'
import type { KeyObject } from 'node:crypto'

export const SALT_BYTES = 16
/** Where something is sealed for has at most this many bytes. */
export const MAX_PLACE_BYTES = 256
const FORMAT = 1
const SALT_AT = 5
const COUNTER_AT = SALT_AT + SALT_BYTES
/** format u8 · generation u32 · salt 16 · counter u64 */
export const HEADER_BYTES = 1 + 4 + SALT_BYTES + 8
export const SEAL_OVERHEAD_BYTES = HEADER_BYTES + TAG_BYTES
/** Messages below one salt before a new one is drawn; far below what the cipher bears. */
export const MAX_COUNTER = 2 ** 32

export interface SealedHeader {
  readonly generation: number
  readonly salt: Uint8Array
  readonly counter: number
}

export function encodeHeader({ generation, salt, counter }: SealedHeader): Uint8Array {
  const header = new Uint8Array(HEADER_BYTES)
  const view = new DataView(header.buffer)
  view.setUint8(0, FORMAT)
  view.setUint32(1, generation)
  header.set(salt, SALT_AT)
  // Its upper half stays 0: counters end before 2^32.
  view.setUint32(COUNTER_AT + 4, counter)
  return header
}

/** `null` when these are not sealed bytes of this format. Its salt is a view of them: who keeps it copies it. */
export function decodeHeader(sealed: Uint8Array): SealedHeader | null {
  if (sealed.byteLength < SEAL_OVERHEAD_BYTES) return null
  const view = new DataView(sealed.buffer, sealed.byteOffset, sealed.byteLength)
  if (view.getUint8(0) !== FORMAT || view.getUint32(COUNTER_AT) !== 0) return null
  const salt = new Uint8Array(sealed.buffer, sealed.byteOffset + SALT_AT, SALT_BYTES)
  return { generation: view.getUint32(1), salt, counter: view.getUint32(COUNTER_AT + 4) }
}

/** The key of a header's generation and salt; below it every counter is used once. */
export type KeyOf = (header: SealedHeader) => KeyObject

/** Header, ciphertext, tag. A header may be sealed under once. */
export function sealWith(
  keyOf: KeyOf,
  header: SealedHeader,
  { place, plaintext }: { readonly place: Uint8Array; readonly plaintext: Uint8Array },
): Uint8Array {
  const encoded = encodeHeader(header)
  const sealed = new Uint8Array(SEAL_OVERHEAD_BYTES + plaintext.byteLength)
  sealed.set(encoded)
  sealInto(sealed, HEADER_BYTES, plaintext, {
    key: keyOf(header),
    nonce: nonceOf(header),
    associated: associatedData(place, encoded),
  })
  return sealed
}

export interface Unsealed {
  readonly header: SealedHeader
  readonly plaintext: Uint8Array
}

/** `null` when `sealed` was not sealed by these keys for this place. Never throws for bad bytes. */
export function unsealWith(keyOf: KeyOf, sealed: Uint8Array, place: Uint8Array): Unsealed | null {
  const header = decodeHeader(sealed)
  if (header === null) return null
  const plaintext = openSealed(sealed.subarray(HEADER_BYTES), {
    key: keyOf(header),
    nonce: nonceOf(header),
    associated: associatedData(place, sealed.subarray(0, HEADER_BYTES)),
  })
  return plaintext === null ? null : { header, plaintext }
}

const nonce = new DataView(new ArrayBuffer(NONCE_BYTES))
const nonceBytes = new Uint8Array(nonce.buffer)

/** Valid until the next call: ciphers copy it when they are made. */
function nonceOf({ counter }: SealedHeader): Uint8Array {
  nonce.setUint32(8, counter)
  return nonceBytes
}

const associated = Buffer.alloc(MAX_PLACE_BYTES + HEADER_BYTES)

/** Valid until the next call: ciphers have read it when they return. */
function associatedData(place: Uint8Array, header: Uint8Array): Uint8Array {
  associated.set(place)
  associated.set(header, place.byteLength)
  return associated.subarray(0, place.byteLength + header.byteLength)
}

/**
 * Counts the messages of one run of a writer under a salt of its own. Nothing of it needs to survive: the next run
 * draws another salt, also when it is the run of an older copy of the disk.
 */
export class SealCounter {
  readonly #drawSalt: () => Uint8Array
  #salt: Uint8Array
  #next: number

  constructor(drawSalt: () => Uint8Array, first = 0) {
    this.#next = first
    this.#drawSalt = drawSalt
    this.#salt = drawSalt()
  }

  /** A header that was never given before. */
  take(generation: number): SealedHeader {
    if (this.#next >= MAX_COUNTER) {
      this.#salt = this.#drawSalt()
      this.#next = 0
    }
    return { generation, salt: this.#salt, counter: this.#next++ }
  }
}
