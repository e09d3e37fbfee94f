/** ChaCha20-Poly1305 (RFC 8439) over whole messages. */
import { createCipheriv, createDecipheriv } from 'node:crypto'
import type { KeyObject } from 'node:crypto'

const CIPHER = 'chacha20-poly1305'
export const NONCE_BYTES = 12
export const TAG_BYTES = 16
const CIPHER_OPTIONS = { authTagLength: TAG_BYTES }

export interface AeadInit {
  readonly key: KeyObject
  readonly nonce: Uint8Array
  readonly associated: Uint8Array
}

/** Writes ciphertext and tag to `target` from `at` on: 16 bytes more than `plaintext` has. */
export function sealInto(
  target: Uint8Array,
  at: number,
  plaintext: Uint8Array,
  { key, nonce, associated }: AeadInit,
): void {
  const cipher = createCipheriv(CIPHER, key, nonce, CIPHER_OPTIONS)
  cipher.setAAD(associated, { plaintextLength: plaintext.byteLength })
  target.set(cipher.update(plaintext), at)
  cipher.final()
  target.set(cipher.getAuthTag(), at + plaintext.byteLength)
}

/** The plaintext of ciphertext and tag; `null` when the tag does not fit. `sealed` has at least 16 bytes. */
export function openSealed(sealed: Uint8Array, { key, nonce, associated }: AeadInit): Uint8Array | null {
  const decipher = createDecipheriv(CIPHER, key, nonce, CIPHER_OPTIONS)
  const end = sealed.byteLength - TAG_BYTES
  decipher.setAuthTag(sealed.subarray(end))
  decipher.setAAD(associated, { plaintextLength: end })
  const plaintext = decipher.update(sealed.subarray(0, end))
  try {
    decipher.final()
  } catch {
    // The one thing final() reports: the tag does not fit.
    return null
  }
  return plaintext
}
