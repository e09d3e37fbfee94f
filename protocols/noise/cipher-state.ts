/**
 * CipherState of the Noise framework (revision 34 §5.1) for ChaCha20-Poly1305 (RFC 8439).
 *
 * Keys are `KeyObject`s: a raw key costs Node 24 about 11 µs more for every record.
 */
import { createCipheriv, createDecipheriv, createSecretKey } from 'node:crypto'
import { noiseErrors } from './errors.ts'
import type { KeyObject } from 'node:crypto'

export const TAG_BYTES = 16
const NONCE_BYTES = 12
const CIPHER = 'chacha20-poly1305'

/** Records one key may seal; far below the 2^64 of the Noise framework and exact as a number. */
export const MAX_RECORDS_PER_KEY = 2 ** 48

export interface CipherStateOptions {
  /** Records the key has sealed or opened elsewhere. @default 0 */
  readonly count?: number
  /** @default MAX_RECORDS_PER_KEY */
  readonly maxRecords?: number
}

export class CipherState {
  readonly #key: KeyObject
  readonly #maxRecords: number
  readonly #nonce = Buffer.alloc(NONCE_BYTES)
  #count: number

  /** `key`: 32 bytes, copied; the caller zeroes its own. */
  constructor(key: Uint8Array, { count = 0, maxRecords = MAX_RECORDS_PER_KEY }: CipherStateOptions = {}) {
    this.#key = createSecretKey(key)
    this.#count = count
    this.#maxRecords = maxRecords
  }

  /** Records sealed or opened so far: the next nonce. */
  get count(): number {
    return this.#count
  }

  /**
   * Seals `plaintext` into `target` at `offset`: ciphertext, then the 16-byte tag. Returns where they end.
   *
   * @throws NZ_NOISE_EXHAUSTED
   */
  sealInto(target: Uint8Array, offset: number, plaintext: Uint8Array, associatedData?: Uint8Array): number {
    const cipher = createCipheriv(CIPHER, this.#key, this.#nextNonce(), { authTagLength: TAG_BYTES })
    if (associatedData !== undefined) cipher.setAAD(associatedData, { plaintextLength: plaintext.byteLength })
    target.set(cipher.update(plaintext), offset)
    cipher.final()
    target.set(cipher.getAuthTag(), offset + plaintext.byteLength)
    this.#count += 1
    return offset + plaintext.byteLength + TAG_BYTES
  }

  /**
   * Seals the parts as one message: the ciphertext of each part in a buffer of its own, then the tag. Copies nothing,
   * for messages large enough that a copy would cost more than another buffer.
   *
   * @throws NZ_NOISE_EXHAUSTED
   */
  sealParts(parts: readonly Uint8Array[]): Uint8Array[] {
    const cipher = createCipheriv(CIPHER, this.#key, this.#nextNonce(), { authTagLength: TAG_BYTES })
    const sealed: Uint8Array[] = []
    for (const part of parts) sealed.push(cipher.update(part))
    cipher.final()
    sealed.push(cipher.getAuthTag())
    this.#count += 1
    return sealed
  }

  seal(plaintext: Uint8Array, associatedData?: Uint8Array): Uint8Array {
    const sealed = new Uint8Array(plaintext.byteLength + TAG_BYTES)
    this.sealInto(sealed, 0, plaintext, associatedData)
    return sealed
  }

  /**
   * Opens ciphertext and tag. A message that does not authenticate changes nothing: the nonce stays.
   *
   * @throws NZ_NOISE_UNAUTHENTIC, NZ_NOISE_EXHAUSTED
   */
  open(sealed: Uint8Array, associatedData?: Uint8Array): Uint8Array {
    const bodyBytes = sealed.byteLength - TAG_BYTES
    if (bodyBytes < 0) throw noiseErrors.NZ_NOISE_UNAUTHENTIC({ why: 'it is shorter than its tag' })
    const decipher = createDecipheriv(CIPHER, this.#key, this.#nextNonce(), { authTagLength: TAG_BYTES })
    if (associatedData !== undefined) decipher.setAAD(associatedData, { plaintextLength: bodyBytes })
    decipher.setAuthTag(sealed.subarray(bodyBytes))
    const plaintext = decipher.update(sealed.subarray(0, bodyBytes))
    try {
      decipher.final()
    } catch (error) {
      plaintext.fill(0)
      throw noiseErrors.NZ_NOISE_UNAUTHENTIC({ cause: error })
    }
    this.#count += 1
    return plaintext
  }

  /** An independent state with the same key and next nonce: only one of the two may seal. */
  clone(): CipherState {
    const key = new Uint8Array(this.#key.export())
    try {
      return new CipherState(key, { count: this.#count, maxRecords: this.#maxRecords })
    } finally {
      key.fill(0)
    }
  }

  /** The key and the next nonce, for another implementation; this one seals and opens nothing any more. */
  takeOver(): { readonly key: Uint8Array; readonly count: number } {
    const count = this.#count
    this.#count = this.#maxRecords
    return { key: new Uint8Array(this.#key.export()), count }
  }

  /** Four zero bytes, then the counter, little-endian (§12.3). */
  #nextNonce(): Buffer {
    if (this.#count >= this.#maxRecords) throw noiseErrors.NZ_NOISE_EXHAUSTED({ data: { records: this.#count } })
    this.#nonce.writeUInt32LE(this.#count % 2 ** 32, 4)
    this.#nonce.writeUInt32LE(Math.floor(this.#count / 2 ** 32), 8)
    return this.#nonce
  }
}
