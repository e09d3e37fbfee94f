/**
 * The payload of an age v1 file: chunks of 64 KiB, each with its own tag and place, the last one marked, so that a file
 * cannot be cut, reordered or prolonged. C2SP age, "Payload".
 */
import { createCipheriv, createDecipheriv, createSecretKey, hkdfSync } from 'node:crypto'
import { encodeHeader, headerLength, openHeader } from './age-header.ts'
import { damagedArchive } from './errors.ts'
import type { KeyObject } from 'node:crypto'
import type { Random } from '../../kernel/index.ts'
import type { X25519KeyPair } from '../noise/x25519.ts'

export const CHUNK_BYTES = 65_536
const CIPHER = 'chacha20-poly1305'
const TAG_BYTES = 16
const SEALED_CHUNK_BYTES = CHUNK_BYTES + TAG_BYTES
const NONCE_BYTES = 16
const CHUNK_NONCE_BYTES = 12
const EMPTY = new Uint8Array()

/** Encrypts a stream of any length; holds one chunk. Not for use after `finish`. */
export class AgeSealer {
  readonly #key: KeyObject
  readonly #buffer = new Uint8Array(CHUNK_BYTES)
  /** Bytes of the file before its first chunk. */
  readonly head: Uint8Array
  #used = 0
  #next = 0

  /** `recipients` are X25519 public keys, at most 32. */
  constructor(recipients: readonly Uint8Array[], random: Pick<Random, 'bytes'>) {
    const { header, fileKey } = encodeHeader(recipients, random)
    const nonce = random.bytes(NONCE_BYTES)
    this.#key = payloadKey(fileKey, nonce)
    this.head = Buffer.concat([header, nonce])
  }

  /** The chunks that `bytes` completes, in order. */
  *push(bytes: Uint8Array): Generator<Uint8Array> {
    let rest = bytes
    while (rest.byteLength > 0) {
      // A full chunk is sealed when more follows: only then it is not the last.
      if (this.#used === CHUNK_BYTES) yield this.#seal(false)
      const taken = rest.subarray(0, CHUNK_BYTES - this.#used)
      this.#buffer.set(taken, this.#used)
      this.#used += taken.byteLength
      rest = rest.subarray(taken.byteLength)
    }
  }

  /** The last chunk. */
  finish(): Uint8Array {
    return this.#seal(true)
  }

  #seal(isLast: boolean): Uint8Array {
    const plaintext = this.#buffer.subarray(0, this.#used)
    const cipher = createCipheriv(CIPHER, this.#key, chunkNonce(this.#next++, isLast), { authTagLength: TAG_BYTES })
    const sealed = Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()])
    plaintext.fill(0)
    this.#used = 0
    return sealed
  }
}

/** Opens what an `AgeSealer` wrote, from pieces of any size; gives out only what is authentic. */
export class AgeOpener {
  readonly #identity: X25519KeyPair
  readonly #buffer = new Uint8Array(SEALED_CHUNK_BYTES)
  #head: Uint8Array = EMPTY
  #key: KeyObject | null = null
  #used = 0
  #next = 0

  constructor(identity: X25519KeyPair) {
    this.#identity = identity
  }

  /**
   * The plaintext of the chunks that are known not to be the last.
   *
   * @throws NZ_BACKUP_NOT_OURS, NZ_BACKUP_ARCHIVE_DAMAGED
   */
  *push(bytes: Uint8Array): Generator<Uint8Array> {
    let rest = this.#key === null ? this.#openHead(bytes) : bytes
    while (rest.byteLength > 0) {
      if (this.#used === SEALED_CHUNK_BYTES) yield this.#open(false)
      const taken = rest.subarray(0, SEALED_CHUNK_BYTES - this.#used)
      this.#buffer.set(taken, this.#used)
      this.#used += taken.byteLength
      rest = rest.subarray(taken.byteLength)
    }
  }

  /** The last chunk, at the end of the file. @throws NZ_BACKUP_ARCHIVE_DAMAGED when the file was cut */
  finish(): Uint8Array {
    if (this.#key === null) throw damagedArchive('it ends before its first chunk')
    const isFirst = this.#next === 0
    const last = this.#open(true)
    if (last.byteLength === 0 && !isFirst) throw damagedArchive('its last chunk is empty')
    return last
  }

  /** Takes the header and the nonce in; what is left of `bytes`. */
  #openHead(bytes: Uint8Array): Uint8Array {
    this.#head = Buffer.concat([this.#head, bytes])
    const length = headerLength(this.#head)
    if (length === null || this.#head.byteLength < length + NONCE_BYTES) return EMPTY
    const fileKey = openHeader(this.#head.subarray(0, length), this.#identity)
    this.#key = payloadKey(fileKey, this.#head.subarray(length, length + NONCE_BYTES))
    const rest = this.#head.subarray(length + NONCE_BYTES)
    this.#head = EMPTY
    return rest
  }

  #open(isLast: boolean): Uint8Array {
    const end = this.#used - TAG_BYTES
    if (this.#key === null || end < 0) throw damagedArchive('it is cut off')
    const decipher = createDecipheriv(CIPHER, this.#key, chunkNonce(this.#next, isLast), { authTagLength: TAG_BYTES })
    decipher.setAuthTag(this.#buffer.subarray(end, this.#used))
    const plaintext = decipher.update(this.#buffer.subarray(0, end))
    try {
      decipher.final()
    } catch {
      // The one thing final() reports: the tag does not fit.
      throw damagedArchive(isLast ? 'it is cut off, or its end was changed' : `chunk ${this.#next} was changed`)
    }
    this.#next += 1
    this.#used = 0
    return plaintext
  }
}

/** Zeroes `fileKey`. */
function payloadKey(fileKey: Uint8Array, nonce: Uint8Array): KeyObject {
  const bytes = new Uint8Array(hkdfSync('sha256', fileKey, nonce, 'payload', 32))
  try {
    return createSecretKey(bytes)
  } finally {
    fileKey.fill(0)
    bytes.fill(0)
  }
}

/** 11 bytes counter, 1 byte 01 for the last chunk. 2^53 chunks are more than any disk holds. */
function chunkNonce(index: number, isLast: boolean): Uint8Array {
  const nonce = new Uint8Array(CHUNK_NONCE_BYTES)
  const view = new DataView(nonce.buffer)
  view.setBigUint64(3, BigInt(index))
  view.setUint8(CHUNK_NONCE_BYTES - 1, Number(isLast))
  return nonce
}
