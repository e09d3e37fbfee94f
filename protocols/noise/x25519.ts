/** X25519 (RFC 7748) on node:crypto, for keys that travel as 32 raw bytes. */
import { createPrivateKey, createPublicKey, diffieHellman, generateKeyPairSync } from 'node:crypto'
import { noiseErrors } from './errors.ts'
import type { KeyObject } from 'node:crypto'

export const X25519_KEY_BYTES = 32

/** DER around a raw key: PKCS #8 and SubjectPublicKeyInfo for X25519 (RFC 8410 §7, §4). */
const PRIVATE_KEY_HEAD = Buffer.from('302e020100300506032b656e04220420', 'hex')
const PUBLIC_KEY_HEAD = Buffer.from('302a300506032b656e032100', 'hex')

export interface X25519KeyPair {
  readonly privateKey: KeyObject
  /** 32 bytes. */
  readonly publicKey: Uint8Array
}

export function generateX25519KeyPair(): X25519KeyPair {
  return keyPairOf(generateKeyPairSync('x25519').privateKey)
}

/** The pair whose private key is `seed` (32 bytes). The caller zeroes the seed. */
export function x25519KeyPairFromSeed(seed: Uint8Array): X25519KeyPair {
  if (seed.byteLength !== X25519_KEY_BYTES) throw new TypeError('an X25519 private key has 32 bytes')
  const der = Buffer.concat([PRIVATE_KEY_HEAD, seed])
  try {
    return keyPairOf(createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }))
  } finally {
    der.fill(0)
  }
}

/**
 * The shared secret, 32 bytes. The caller zeroes it.
 *
 * @throws NZ_NOISE_KEY_REFUSED for a public key of low order, whose secret would be all zero (RFC 7748 §6.1)
 */
export function x25519(privateKey: KeyObject, publicKey: Uint8Array): Uint8Array {
  const key = createPublicKey({ key: Buffer.concat([PUBLIC_KEY_HEAD, publicKey]), format: 'der', type: 'spki' })
  try {
    return diffieHellman({ privateKey, publicKey: key })
  } catch (error) {
    throw noiseErrors.NZ_NOISE_KEY_REFUSED({ cause: error })
  }
}

function keyPairOf(privateKey: KeyObject): X25519KeyPair {
  const spki = createPublicKey(privateKey).export({ format: 'der', type: 'spki' })
  return { privateKey, publicKey: new Uint8Array(spki.subarray(-X25519_KEY_BYTES)) }
}
