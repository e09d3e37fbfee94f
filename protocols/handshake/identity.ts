/** Who a side is: its identity, its static key, and the signature that binds the two (NZ-HANDSHAKE-01 §2). */
import type { X25519KeyPair } from '../noise/x25519.ts'

/** What the signature that binds a static key to an identity is for. */
export const STATIC_KEY_PURPOSE = 'nzcore/channel-static-key/1'
/** What a node derives the seed of its static key for, so that it is the same in every run and every channel. */
export const STATIC_SEED_LABEL = 'nzcore/channel-static-seed/1'
/** Who this side is, made once with `localIdentity`. */
export interface LocalIdentity {
  /** Ed25519, 32 bytes: the key inside the peer id. */
  readonly publicKey: Uint8Array
  readonly staticKey: X25519KeyPair
  /** By the identity's key over the static public key for STATIC_KEY_PURPOSE; 64 bytes. */
  readonly signature: Uint8Array
}

export type SignStaticKey = (purpose: typeof STATIC_KEY_PURPOSE, message: Uint8Array) => Uint8Array
export type VerifyStaticKey = (
  purpose: typeof STATIC_KEY_PURPOSE,
  message: Uint8Array,
  signature: Uint8Array,
  publicKey: Uint8Array,
) => boolean

export function localIdentity(publicKey: Uint8Array, staticKey: X25519KeyPair, sign: SignStaticKey): LocalIdentity {
  return { publicKey, staticKey, signature: sign(STATIC_KEY_PURPOSE, staticKey.publicKey) }
}
