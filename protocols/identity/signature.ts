/** Ed25519 signatures that say what they are for. RFC 8032; spec/NZ-IDENTITY-01.md §6. */
import { sign, verify } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { publicKeyObject, RAW_KEY_BYTES } from './raw-keys.ts'

/** What a signature is for, such as `nzcore/invite/1`. A signature made for one purpose never verifies for another. */
export type SigningPurpose = `nzcore/${string}/${number}`

export const SIGNATURE_BYTES = 64
export const MAX_PURPOSE_BYTES = 64

/** Public keys kept ready as KeyObjects; the one that was used longest ago makes room. */
const MAX_CACHED_KEYS = 256

const PURPOSE = /^nzcore\/[a-z0-9-]+(?:\/[a-z0-9-]+)*\/[0-9]{1,5}$/
const SIGNATURE_PREFIX = new TextEncoder().encode('nzcore signature 1\n')

const publicKeys = new Map<string, KeyObject>()

/** The bytes of a purpose. A malformed purpose is a mistake in the program, not in its input. */
export function purposeBytes(purpose: SigningPurpose): Uint8Array {
  const bytes = new TextEncoder().encode(purpose)
  if (!PURPOSE.test(purpose) || bytes.byteLength > MAX_PURPOSE_BYTES) throw new TypeError(`not a purpose: ${purpose}`)
  return bytes
}

/** What is really signed: fixed prefix, length of the purpose in one byte, purpose, message. */
export function signedBytes(purpose: SigningPurpose, message: Uint8Array): Uint8Array {
  const tag = purposeBytes(purpose)
  const bytes = new Uint8Array(SIGNATURE_PREFIX.byteLength + 1 + tag.byteLength + message.byteLength)
  bytes.set(SIGNATURE_PREFIX)
  bytes[SIGNATURE_PREFIX.byteLength] = tag.byteLength
  bytes.set(tag, SIGNATURE_PREFIX.byteLength + 1)
  bytes.set(message, SIGNATURE_PREFIX.byteLength + 1 + tag.byteLength)
  return bytes
}

export function signFor(purpose: SigningPurpose, message: Uint8Array, privateKey: KeyObject): Uint8Array {
  return new Uint8Array(sign(null, signedBytes(purpose, message), privateKey))
}

export function verifyFor(
  purpose: SigningPurpose,
  message: Uint8Array,
  signature: Uint8Array,
  publicKey: Uint8Array,
): boolean {
  return verifyEd25519(signedBytes(purpose, message), signature, publicKey)
}

/**
 * RFC 8032 §5.1.7 over plain bytes. OpenSSL refuses S ≥ L and compares the recomputed R byte by byte. Public keys that
 * are not canonical or of small order are refused here: with those one signature fits many messages, and versions of
 * OpenSSL differ about them.
 */
export function verifyEd25519(message: Uint8Array, signature: Uint8Array, publicKey: Uint8Array): boolean {
  if (signature.byteLength !== SIGNATURE_BYTES || publicKey.byteLength !== RAW_KEY_BYTES) return false
  if (!isCanonicalKey(publicKey) || isSmallOrder(publicKey)) return false
  try {
    return verify(null, message, cachedPublicKey(publicKey), signature)
  } catch {
    // OpenSSL throws for a key that is no point of the curve: not a valid signature.
    return false
  }
}

function cachedPublicKey(raw: Uint8Array): KeyObject {
  const name = Buffer.from(raw).toString('latin1')
  const known = publicKeys.get(name)
  publicKeys.delete(name)
  const key = known ?? publicKeyObject('ed25519', raw)
  publicKeys.set(name, key)
  if (publicKeys.size > MAX_CACHED_KEYS) {
    for (const oldest of publicKeys.keys()) {
      publicKeys.delete(oldest)
      break
    }
  }
  return key
}

/** Whether the y coordinate is below 2^255 - 19. */
function isCanonicalKey(key: Uint8Array): boolean {
  if (((key[31] ?? 0) & 0x7f) !== 0x7f) return true
  for (let at = 30; at > 0; at--) if (key[at] !== 0xff) return true
  return (key[0] ?? 0) < 0xed
}

/** y of the points whose order divides 8, canonical, sign bit clear: 0, 1, -1 and the two of order 8. */
const SMALL_ORDER_Y: ReadonlySet<string> = new Set([
  '00'.repeat(32),
  `01${'00'.repeat(31)}`,
  `ec${'ff'.repeat(30)}7f`,
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
])

function isSmallOrder(key: Uint8Array): boolean {
  const y = Buffer.from(key)
  y[31] = (y[31] ?? 0) & 0x7f
  return SMALL_ORDER_Y.has(y.toString('hex'))
}
