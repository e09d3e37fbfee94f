/** The keys of the event logs, all from one root by HKDF. spec/NZ-LOG-01.md §3. */
import { createHmac, createSecretKey, hkdfSync } from 'node:crypto'
import type { KeyObject } from 'node:crypto'

/** One generation so far; sealed headers carry it, so that another can follow. */
export const GENERATION = 1
const LOG_ID_BYTES = 16
/** Keys of runs that are kept derived; entries of older runs derive theirs again. */
const MAX_CACHED_KEYS = 256

export class LogKeys {
  readonly #root: KeyObject
  readonly #names: KeyObject
  readonly #sealing = new Map<string, KeyObject>()

  /** `root` is 32 bytes and is copied; the caller zeroes its own. */
  constructor(root: Uint8Array) {
    this.#root = createSecretKey(root)
    this.#names = this.#derive('name/1', new Uint8Array())
  }

  /** The key that seals under one salt. A nonce is used once below it. */
  sealing(purpose: 'segment' | 'head', generation: number, salt: Uint8Array): KeyObject {
    const name = `${purpose} ${generation} ${Buffer.from(salt).toString('latin1')}`
    const known = this.#sealing.get(name)
    if (known !== undefined) return known
    const key = this.#derive(`${purpose}/1/${generation}`, salt)
    if (this.#sealing.size >= MAX_CACHED_KEYS) this.#sealing.clear()
    this.#sealing.set(name, key)
    return key
  }

  /** What a log is called on disk: 16 bytes that do not tell its name to who has no keys. */
  logId(name: string): Uint8Array {
    return Uint8Array.from(createHmac('sha256', this.#names).update(name).digest().subarray(0, LOG_ID_BYTES))
  }

  #derive(label: string, salt: Uint8Array): KeyObject {
    const bytes = new Uint8Array(hkdfSync('sha256', this.#root, salt, `nzcore/eventlog/${label}`, 32))
    try {
      return createSecretKey(bytes)
    } finally {
      bytes.fill(0)
    }
  }
}
