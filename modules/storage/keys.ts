/** The keys of a store, all from one root by HKDF. spec/NZ-STORAGE-01.md §2. */
import { createSecretKey, hash, hkdfSync } from 'node:crypto'
import { HEADER_BYTES } from '../../protocols/sealed/sealed.ts'
import type { KeyObject } from 'node:crypto'

export const RECORD_ID_BYTES = 16

/** Keys of runs that are kept derived; records of more runs derive theirs again. */
const MAX_CACHED_KEYS = 4_096

export type SealPurpose = 'record' | 'head' | 'witness'

export class StoreKeys {
  readonly #root: KeyObject
  readonly #sum: Hmac
  readonly #ids = new Map<number, Hmac>()
  readonly #sealing = new Map<string, KeyObject>()

  /** `root` is 32 bytes and is copied; the caller zeroes its own. */
  constructor(root: Uint8Array) {
    this.#root = createSecretKey(root)
    this.#sum = new Hmac(this.#derive('sum/1', new Uint8Array()))
  }

  /** The key that seals under one salt. A nonce is used once below it. */
  sealing(purpose: SealPurpose, generation: number, salt: Uint8Array): KeyObject {
    const name = `${bufferOf(salt).toString('latin1')}${purpose}${generation}`
    const known = this.#sealing.get(name)
    if (known !== undefined) return known
    const key = this.#derive(`${purpose}/1/${generation}`, salt)
    if (this.#sealing.size >= MAX_CACHED_KEYS) this.#sealing.clear()
    this.#sealing.set(name, key)
    return key
  }

  /** Where a record lies: 16 bytes that tell nothing of namespace and key to who has no keys. */
  recordId(generation: number, namespace: string, key: string): Uint8Array {
    let idKey = this.#ids.get(generation)
    if (idKey === undefined) {
      idKey = new Hmac(this.#derive(`id/1/${generation}`, new Uint8Array()))
      this.#ids.set(generation, idKey)
    }
    const digest = idKey.digest(idKey.message.write(`${namespace}\0${key}`, 'utf8'), 'buffer')
    return new Uint8Array(digest.buffer, digest.byteOffset, RECORD_ID_BYTES)
  }

  /** What a sealed record adds to the sum of its namespace. */
  sumTerm(id: Uint8Array, header: Uint8Array): bigint {
    this.#sum.message.set(id)
    this.#sum.message.set(header, RECORD_ID_BYTES)
    return BigInt(`0x${this.#sum.digest(RECORD_ID_BYTES + HEADER_BYTES, 'hex')}`)
  }

  #derive(label: string, salt: Uint8Array): KeyObject {
    const bytes = new Uint8Array(hkdfSync('sha256', this.#root, salt, `nzcore/storage/${label}`, 32))
    try {
      return createSecretKey(bytes)
    } finally {
      bytes.fill(0)
    }
  }
}

const BLOCK_BYTES = 64
const DIGEST_BYTES = 32
/** Namespace, NUL and key, with room. */
const MAX_MESSAGE_BYTES = 1_024

/** HMAC-SHA256 (RFC 2104) without a native object for each: opening a store makes one for every record. */
class Hmac {
  /** The message is written here, then its digest is asked for. */
  readonly message: Buffer
  readonly #inner = Buffer.alloc(BLOCK_BYTES + MAX_MESSAGE_BYTES)
  readonly #outer = Buffer.alloc(BLOCK_BYTES + DIGEST_BYTES)

  constructor(key: KeyObject) {
    key.export().copy(this.#inner)
    this.#inner.copy(this.#outer, 0, 0, BLOCK_BYTES)
    for (let i = 0; i < BLOCK_BYTES; i++) {
      this.#inner[i] = (this.#inner[i] ?? 0) ^ 0x36
      this.#outer[i] = (this.#outer[i] ?? 0) ^ 0x5c
    }
    this.message = this.#inner.subarray(BLOCK_BYTES)
  }

  digest(messageBytes: number, encoding: 'hex'): string
  digest(messageBytes: number, encoding: 'buffer'): Buffer
  digest(messageBytes: number, encoding: 'hex' | 'buffer'): string | Buffer {
    const message = this.#inner.subarray(0, BLOCK_BYTES + messageBytes)
    // As text of one byte a character: it costs half of what another buffer would.
    this.#outer.write(hash('sha256', message, 'binary'), BLOCK_BYTES, 'latin1')
    return hash('sha256', this.#outer, encoding)
  }
}

/** The same bytes as a Buffer. */
export function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

const SUM_MODULUS = 1n << 256n

/** Sums of a namespace are taken modulo 2^256. */
export function addTerm(sum: bigint, term: bigint): bigint {
  return (sum + term) % SUM_MODULUS
}

export function subtractTerm(sum: bigint, term: bigint): bigint {
  return (sum - term + SUM_MODULUS) % SUM_MODULUS
}
