/** The keys of a store, all from one root by HKDF. spec/NZ-STORAGE-01.md §2. */
import { createHmac, createSecretKey, hkdfSync } from 'node:crypto'
import type { KeyObject } from 'node:crypto'

export const RECORD_ID_BYTES = 16

/** Keys of sessions that are kept derived; records of older sessions derive theirs again. */
const MAX_CACHED_KEYS = 256

export type SealPurpose = 'record' | 'head' | 'witness'

export class StoreKeys {
  readonly #root: KeyObject
  readonly #sum: KeyObject
  readonly #ids = new Map<number, KeyObject>()
  readonly #sealing = new Map<string, KeyObject>()

  /** `root` is 32 bytes and is copied; the caller zeroes its own. */
  constructor(root: Uint8Array) {
    this.#root = createSecretKey(root)
    this.#sum = this.#derive('sum/1', new Uint8Array())
  }

  /** The key that seals under one salt. A nonce is used once below it. */
  sealing(purpose: SealPurpose, generation: number, salt: Uint8Array): KeyObject {
    const name = `${purpose} ${generation} ${Buffer.from(salt).toString('latin1')}`
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
      idKey = this.#derive(`id/1/${generation}`, new Uint8Array())
      this.#ids.set(generation, idKey)
    }
    const digest = createHmac('sha256', idKey).update(`${namespace}\0${key}`).digest()
    return Uint8Array.from(digest.subarray(0, RECORD_ID_BYTES))
  }

  /** What a sealed record adds to the sum of its namespace. */
  sumTerm(id: Uint8Array, header: Uint8Array): bigint {
    return BigInt(`0x${createHmac('sha256', this.#sum).update(id).update(header).digest('hex')}`)
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

const SUM_MODULUS = 1n << 256n

/** Sums of a namespace are taken modulo 2^256. */
export function addTerm(sum: bigint, term: bigint): bigint {
  return (sum + term) % SUM_MODULUS
}

export function subtractTerm(sum: bigint, term: bigint): bigint {
  return (sum - term + SUM_MODULUS) % SUM_MODULUS
}
