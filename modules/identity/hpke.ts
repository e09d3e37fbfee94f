/**
 * Hybrid public key encryption, RFC 9180, base mode, one message per encapsulation:
 * DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305. spec/NZ-IDENTITY-01.md §7.
 *
 * Own code over node:crypto: Node 22's WebCrypto, on which the published libraries build, has no ChaCha20-Poly1305,
 * and their fallback is a curve written in JavaScript. Checked against RFC 9180 appendix A.2.1.
 */
import { createCipheriv, createDecipheriv, createHmac, createSecretKey, diffieHellman, randomBytes } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { privateKeyObject, publicKeyObject, RAW_KEY_BYTES, rawPublicKey } from '../../protocols/identity/raw-keys.ts'

export const ENCAPSULATED_KEY_BYTES = 32
export const TAG_BYTES = 16

const HASH_BYTES = 32
const KEY_BYTES = 32
const NONCE_BYTES = 12
const BASE_MODE = 0x00
const CIPHER = 'chacha20-poly1305'

const EMPTY = new Uint8Array()
const KEM_SUITE = Buffer.from('KEM\x00\x20', 'latin1')
const HPKE_SUITE = Buffer.from('HPKE\x00\x20\x00\x01\x00\x03', 'latin1')

export interface SealOptions {
  /** Binds the use: the opener must give the same. */
  readonly info: Uint8Array
  readonly aad?: Uint8Array
  /** Only vectors fix it: 32 bytes, otherwise random. */
  readonly ephemeralPrivateKey?: Uint8Array
}

/** Encapsulated key (32 bytes), ciphertext, tag (16 bytes). @throws RangeError for a public key of small order */
export function sealTo(
  recipientPublicKey: Uint8Array,
  plaintext: Uint8Array,
  { info, aad = EMPTY, ephemeralPrivateKey }: SealOptions,
): Uint8Array {
  const ephemeralRaw = ephemeralPrivateKey ?? randomBytes(RAW_KEY_BYTES)
  const ephemeral = privateKeyObject('x25519', ephemeralRaw)
  if (ephemeralPrivateKey === undefined) ephemeralRaw.fill(0)
  const encapsulated = rawPublicKey(ephemeral)
  const dh = sharedSecret(ephemeral, recipientPublicKey)
  const { key, nonce } = schedule(dh, encapsulated, recipientPublicKey, info)
  const cipher = createCipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES })
  cipher.setAAD(aad, { plaintextLength: plaintext.byteLength })
  const ciphertext = Buffer.concat([cipher.update(plaintext), cipher.final()])
  return new Uint8Array(Buffer.concat([encapsulated, ciphertext, cipher.getAuthTag()]))
}

/** The plaintext, or `null` when these bytes were not sealed to this key for this use, or were changed. */
export function openWith(
  recipient: { readonly privateKey: KeyObject; readonly publicKey: Uint8Array },
  sealed: Uint8Array,
  { info, aad = EMPTY }: { readonly info: Uint8Array; readonly aad?: Uint8Array },
): Uint8Array | null {
  if (sealed.byteLength < ENCAPSULATED_KEY_BYTES + TAG_BYTES) return null
  const encapsulated = sealed.subarray(0, ENCAPSULATED_KEY_BYTES)
  const ciphertext = sealed.subarray(ENCAPSULATED_KEY_BYTES, -TAG_BYTES)
  try {
    const dh = sharedSecret(recipient.privateKey, encapsulated)
    const { key, nonce } = schedule(dh, encapsulated, recipient.publicKey, info)
    const decipher = createDecipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES })
    decipher.setAuthTag(sealed.subarray(-TAG_BYTES))
    decipher.setAAD(aad, { plaintextLength: ciphertext.byteLength })
    const opened = decipher.update(ciphertext)
    decipher.final()
    return new Uint8Array(opened)
  } catch {
    // A small-order encapsulated key, another recipient, another use or changed bytes: all mean the same to a caller.
    return null
  }
}

/** X25519, RFC 7748 §6.1, which refuses the all-zero secret that small-order points give. The caller zeroes it. */
export function sharedSecret(privateKey: KeyObject, publicKey: Uint8Array): Uint8Array {
  const secret = new Uint8Array(diffieHellman({ privateKey, publicKey: publicKeyObject('x25519', publicKey) }))
  if (secret.every((byte) => byte === 0)) throw new RangeError('the shared secret is zero')
  return secret
}

/** ExtractAndExpand (§4.1) and KeySchedule (§5.1) with an empty pre-shared key. Zeroes `dh`. */
function schedule(
  dh: Uint8Array,
  encapsulated: Uint8Array,
  recipientPublicKey: Uint8Array,
  info: Uint8Array,
): { readonly key: KeyObject; readonly nonce: Uint8Array } {
  const kemContext = Buffer.concat([encapsulated, recipientPublicKey])
  const extracted = labeledExtract(KEM_SUITE, EMPTY, 'eae_prk', dh)
  dh.fill(0)
  const shared = labeledExpand(KEM_SUITE, extracted, 'shared_secret', kemContext, HASH_BYTES)
  const context = Buffer.concat([
    Uint8Array.of(BASE_MODE),
    labeledExtract(HPKE_SUITE, EMPTY, 'psk_id_hash', EMPTY),
    labeledExtract(HPKE_SUITE, EMPTY, 'info_hash', info),
  ])
  const secret = labeledExtract(HPKE_SUITE, shared, 'secret', EMPTY)
  const key = labeledExpand(HPKE_SUITE, secret, 'key', context, KEY_BYTES)
  const nonce = labeledExpand(HPKE_SUITE, secret, 'base_nonce', context, NONCE_BYTES)
  try {
    return { key: createSecretKey(key), nonce }
  } finally {
    for (const bytes of [extracted, shared, secret, key]) bytes.fill(0)
  }
}

/** LabeledExtract, §4. */
function labeledExtract(suite: Uint8Array, salt: Uint8Array, label: string, ikm: Uint8Array): Uint8Array {
  return createHmac('sha256', salt).update('HPKE-v1').update(suite).update(label).update(ikm).digest()
}

/** LabeledExpand, §4, for at most one block of output. */
function labeledExpand(
  suite: Uint8Array,
  key: Uint8Array,
  label: string,
  info: Uint8Array,
  length: number,
): Uint8Array {
  const block = createHmac('sha256', key)
    .update(Uint8Array.of(length >> 8, length & 0xff))
    .update('HPKE-v1')
    .update(suite)
    .update(label)
    .update(info)
    .update(Uint8Array.of(1))
    .digest()
  const output = block.subarray(0, length)
  block.fill(0, length)
  return output
}
