/** Who an archive is encrypted to: `age1…`, bech32 of an X25519 public key. C2SP age, "The X25519 recipient type". */
import { bech32 } from '@scure/base'
import { x25519, x25519KeyPairFromSeed, X25519_KEY_BYTES } from '../noise/x25519.ts'

const PREFIX = 'age'
/** The longest text that is looked at; a recipient has 62 characters. */
const MAX_RECIPIENT_CHARACTERS = 90

/** Any private key serves to find out whether a public one has small order. */
const probe = x25519KeyPairFromSeed(new Uint8Array(X25519_KEY_BYTES).fill(1)).privateKey

export function recipientOf(publicKey: Uint8Array): string {
  if (publicKey.byteLength !== X25519_KEY_BYTES) throw new TypeError('an X25519 public key has 32 bytes')
  return bech32.encode(PREFIX, bech32.toWords(publicKey))
}

/** The 32-byte public key; `null` when the text is mistyped, another kind of recipient, or a key nobody can open for. */
export function publicKeyOfRecipient(recipient: string): Uint8Array | null {
  if (recipient.length > MAX_RECIPIENT_CHARACTERS) return null
  const decoded = bech32.decodeUnsafe(recipient)
  if (decoded === undefined || decoded.prefix !== PREFIX) return null
  const publicKey = bech32.fromWordsUnsafe(decoded.words)
  if (!(publicKey instanceof Uint8Array) || publicKey.byteLength !== X25519_KEY_BYTES) return null
  try {
    x25519(probe, publicKey).fill(0)
    return publicKey
  } catch {
    // Of small order: every secret with it would be zero.
    return null
  }
}
