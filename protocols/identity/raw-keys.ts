/** Raw 32-byte Ed25519 and X25519 keys as node:crypto KeyObjects, and back. RFC 8410 §4 and §7. */
import { createPrivateKey, createPublicKey } from 'node:crypto'
import type { KeyObject } from 'node:crypto'

export const RAW_KEY_BYTES = 32

export type Curve = 'ed25519' | 'x25519'

/** The DER that stands before the 32 raw bytes. */
const PREFIXES = {
  ed25519: {
    pkcs8: Buffer.from('302e020100300506032b657004220420', 'hex'),
    spki: Buffer.from('302a300506032b6570032100', 'hex'),
  },
  x25519: {
    pkcs8: Buffer.from('302e020100300506032b656e04220420', 'hex'),
    spki: Buffer.from('302a300506032b656e032100', 'hex'),
  },
} as const

/** OpenSSL owns the copy inside the KeyObject and cleanses it when it is collected. */
export function privateKeyObject(curve: Curve, raw: Uint8Array): KeyObject {
  requireLength(raw)
  const key = Buffer.concat([PREFIXES[curve].pkcs8, raw])
  try {
    return createPrivateKey({ key, format: 'der', type: 'pkcs8' })
  } finally {
    key.fill(0)
  }
}

export function publicKeyObject(curve: Curve, raw: Uint8Array): KeyObject {
  requireLength(raw)
  return createPublicKey({ key: Buffer.concat([PREFIXES[curve].spki, raw]), format: 'der', type: 'spki' })
}

/** The 32 raw bytes of the public half of a private or public key. */
export function rawPublicKey(key: KeyObject): Uint8Array {
  const publicKey = key.type === 'public' ? key : createPublicKey(key)
  return Uint8Array.from(publicKey.export({ format: 'der', type: 'spki' }).subarray(-RAW_KEY_BYTES))
}

function requireLength(raw: Uint8Array): void {
  if (raw.byteLength !== RAW_KEY_BYTES) throw new TypeError(`a raw key has 32 bytes, not ${raw.byteLength}`)
}
