/** SymmetricState of the Noise framework (revision 34 §5.2) with SHA-256. */
import { hash } from 'node:crypto'
import { CipherState } from './cipher-state.ts'

const HASH_BYTES = 32
const BLOCK_BYTES = 64
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

/** HMAC-SHA-256 (RFC 2104) of two plain hashes: `createHmac` with a raw key costs eight times as much, a dozen times a handshake. */
function hmac(key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array {
  const inner = padded(key, 0x36)
  const outer = padded(key, 0x5c)
  try {
    return sha256(outer, sha256(inner, ...parts))
  } finally {
    inner.fill(0)
    outer.fill(0)
  }
}

/** `key` is no longer than a block: the keys of this file have 32 bytes. */
function padded(key: Uint8Array, pad: number): Uint8Array {
  const block = new Uint8Array(BLOCK_BYTES).fill(pad)
  for (let at = 0; at < key.byteLength; at++) block[at] = pad ^ (key[at] ?? 0)
  return block
}

/**
 * For what is hashed in pieces, most of it small. Out of Node's pool it would be 4 KB a handshake, and whoever keeps a few
 * bytes of that pool, as libp2p does for each connection, keeps all of it.
 */
const scratch = new Uint8Array(1_024)

function sha256(...parts: readonly Uint8Array[]): Uint8Array {
  const [first] = parts
  if (parts.length === 1 && first !== undefined) return hash('sha256', first, 'buffer')
  const byteLength = parts.reduce((sum, part) => sum + part.byteLength, 0)
  const whole = byteLength <= scratch.byteLength ? scratch.subarray(0, byteLength) : new Uint8Array(byteLength)
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.byteLength
  }
  try {
    return hash('sha256', whole, 'buffer')
  } finally {
    // Parts of it may be keys.
    whole.fill(0)
  }
}
