/** Bytes sealed under a salt and a counter, and opened again. spec/NZ-STORAGE-01.md §3, NZ-LOG-01.md §3. */
import { createCipheriv, createDecipheriv } from 'node:crypto'
import type { KeyObject } from 'node:crypto'

export const SALT_BYTES = 16
const CIPHER = 'chacha20-poly1305'
const TAG_BYTES = 16
const NONCE_BYTES = 12
const FORMAT = 1
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
  header.set(salt, 5)
  view.setBigUint64(5 + SALT_BYTES, BigInt(counter))
  return header
}

/** `null` when these are not sealed bytes of this format. */
export function decodeHeader(sealed: Uint8Array): SealedHeader | null {
  if (sealed.byteLength < SEAL_OVERHEAD_BYTES) return null
  const view = new DataView(sealed.buffer, sealed.byteOffset, sealed.byteLength)
  const counter = view.getBigUint64(5 + SALT_BYTES)
  if (view.getUint8(0) !== FORMAT || counter >= BigInt(MAX_COUNTER)) return null
  // A copy: a slice of a Buffer would keep all of it.
  const salt = Uint8Array.from(sealed.subarray(5, 5 + SALT_BYTES))
  return { generation: view.getUint32(1), salt, counter: Number(counter) }
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
  const key = keyOf(header)
  const cipher = createCipheriv(CIPHER, key, nonceOf(header), { authTagLength: TAG_BYTES })
  cipher.setAAD(associatedData(place, encoded), { plaintextLength: plaintext.byteLength })
  const body = cipher.update(plaintext)
  cipher.final()
  return Uint8Array.from(Buffer.concat([encoded, body, cipher.getAuthTag()]))
}

export interface Unsealed {
  readonly header: SealedHeader
  readonly plaintext: Uint8Array
}

/** `null` when `sealed` was not sealed by these keys for this place. Never throws for bad bytes. */
export function unsealWith(keyOf: KeyOf, sealed: Uint8Array, place: Uint8Array): Unsealed | null {
  const header = decodeHeader(sealed)
  if (header === null) return null
  const key = keyOf(header)
  const decipher = createDecipheriv(CIPHER, key, nonceOf(header), { authTagLength: TAG_BYTES })
  const end = sealed.byteLength - TAG_BYTES
  decipher.setAuthTag(sealed.subarray(end))
  decipher.setAAD(associatedData(place, sealed.subarray(0, HEADER_BYTES)), { plaintextLength: end - HEADER_BYTES })
  const plaintext = decipher.update(sealed.subarray(HEADER_BYTES, end))
  try {
    decipher.final()
  } catch {
    // The one thing final() reports: the tag does not fit.
    return null
  }
  return { header, plaintext }
}

function nonceOf({ counter }: SealedHeader): Uint8Array {
  const nonce = new Uint8Array(NONCE_BYTES)
  new DataView(nonce.buffer).setBigUint64(4, BigInt(counter))
  return nonce
}

function associatedData(place: Uint8Array, header: Uint8Array): Uint8Array {
  return Buffer.concat([place, header])
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
