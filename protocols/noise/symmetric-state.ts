/** SymmetricState of the Noise framework (revision 34 §5.2) with SHA-256. */
import { createHash, createHmac } from 'node:crypto'
import { CipherState } from './cipher-state.ts'

const HASH_BYTES = 32
const EMPTY = new Uint8Array(0)

export class SymmetricState {
  #hash: Uint8Array
  #chainingKey: Uint8Array
  #cipher: CipherState | null = null

  constructor(protocolName: string) {
    const name = Buffer.from(protocolName, 'ascii')
    this.#hash = new Uint8Array(HASH_BYTES)
    if (name.byteLength <= HASH_BYTES) this.#hash.set(name)
    else this.#hash.set(sha256(name))
    this.#chainingKey = this.#hash.slice()
  }

  /** The handshake hash: binds all that was said. A copy, 32 bytes. */
  get hash(): Uint8Array {
    return this.#hash.slice()
  }

  get hasKey(): boolean {
    return this.#cipher !== null
  }

  /** An independent copy. */
  clone(): SymmetricState {
    const copy = new SymmetricState('')
    // No `slice`: that of a Buffer copies nothing, and a chaining key is zeroed when it is replaced.
    copy.#hash = new Uint8Array(this.#hash)
    copy.#chainingKey = new Uint8Array(this.#chainingKey)
    copy.#cipher = this.#cipher?.clone() ?? null
    return copy
  }

  mixKey(input: Uint8Array): void {
    const [chainingKey, key] = hkdf(this.#chainingKey, input, 2)
    this.#replaceChainingKey(chainingKey)
    this.#useKey(key)
  }

  mixHash(data: Uint8Array): void {
    this.#hash = sha256(this.#hash, data)
  }

  mixKeyAndHash(input: Uint8Array): void {
    const [chainingKey, hash, key] = hkdf(this.#chainingKey, input, 3)
    this.#replaceChainingKey(chainingKey)
    this.mixHash(hash ?? EMPTY)
    this.#useKey(key)
  }

  encryptAndHash(plaintext: Uint8Array): Uint8Array {
    const sealed = this.#cipher === null ? plaintext : this.#cipher.seal(plaintext, this.#hash)
    this.mixHash(sealed)
    return sealed
  }

  /** @throws NZ_NOISE_UNAUTHENTIC, with nothing changed */
  decryptAndHash(sealed: Uint8Array): Uint8Array {
    const plaintext = this.#cipher === null ? sealed : this.#cipher.open(sealed, this.#hash)
    this.mixHash(sealed)
    return plaintext
  }

  /** The two transport keys, 32 bytes each: initiator to responder, then back. The caller zeroes them. */
  split(): readonly [Uint8Array, Uint8Array] {
    const [first, second] = hkdf(this.#chainingKey, EMPTY, 2)
    this.#chainingKey.fill(0)
    return [first ?? EMPTY, second ?? EMPTY]
  }

  #replaceChainingKey(chainingKey: Uint8Array = EMPTY): void {
    this.#chainingKey.fill(0)
    this.#chainingKey = chainingKey
  }

  #useKey(key: Uint8Array = EMPTY): void {
    this.#cipher = new CipherState(key)
    key.fill(0)
  }
}

/** HKDF of the framework (§4.3): `count` outputs of 32 bytes. */
function hkdf(chainingKey: Uint8Array, input: Uint8Array, count: 2 | 3): Uint8Array[] {
  const temporaryKey = hmac(chainingKey, input)
  const outputs: Uint8Array[] = []
  for (let index = 1; index <= count; index += 1) {
    outputs.push(hmac(temporaryKey, outputs.at(-1) ?? EMPTY, Uint8Array.of(index)))
  }
  temporaryKey.fill(0)
  return outputs
}

function hmac(key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array {
  const mac = createHmac('sha256', key)
  for (const part of parts) mac.update(part)
  return mac.digest()
}

function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return hash.digest()
}
