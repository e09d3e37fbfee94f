/** X25519 (RFC 7748) on node:crypto, for keys that travel as 32 raw bytes. */
import { createPrivateKey, createPublicKey, diffieHellman, generateKeyPairSync, KeyObject } from 'node:crypto'
import { noiseErrors } from './errors.ts'

export const X25519_KEY_BYTES = 32

/** DER around a raw private key: PKCS #8 for X25519 (RFC 8410 §7). */
const PRIVATE_KEY_HEAD = Buffer.from('302e020100300506032b656e04220420', 'hex')
/** Public keys pass as JWK (RFC 8037 §2): OpenSSL takes thirty times as long to write DER. */
const JWK = { kty: 'OKP', crv: 'X25519' } as const

export interface X25519KeyPair {
  readonly privateKey: KeyObject
  /** 32 bytes. */
  readonly publicKey: Uint8Array
}

export function generateX25519KeyPair(): X25519KeyPair {
  const { privateKey, publicKey } = generateKeyPairSync('x25519')
  return { privateKey, publicKey: rawKeyOf(publicKey) }
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

/** The public key of a peer, for more than one `x25519`. `bytes`: 32. */
export function x25519PublicKey(bytes: Uint8Array): KeyObject {
  const x = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64url')
  return createPublicKey({ key: { ...JWK, x }, format: 'jwk' })
}

/**
 * The shared secret, 32 bytes. The caller zeroes it. A public key that is not a `KeyObject` has 32 bytes.
 *
 * @throws NZ_NOISE_KEY_REFUSED for a public key of low order, whose secret would be all zero (RFC 7748 §6.1)
 */
export function x25519(privateKey: KeyObject, publicKey: KeyObject | Uint8Array): Uint8Array {
  const key = publicKey instanceof KeyObject ? publicKey : x25519PublicKey(publicKey)
  try {
    return diffieHellman({ privateKey, publicKey: key })
  } catch (error) {
    throw noiseErrors.NZ_NOISE_KEY_REFUSED({ cause: error })
  }
}

function keyPairOf(privateKey: KeyObject): X25519KeyPair {
  return { privateKey, publicKey: rawKeyOf(createPublicKey(privateKey)) }
}

function rawKeyOf(publicKey: KeyObject): Uint8Array {
  return new Uint8Array(Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url'))
}
