/**
 * The encrypted file of an identity, as keystore and as export. spec/NZ-IDENTITY-01.md §8:
 *
 *   "NZID"  version(1)  header length(2)  header (deterministic CBOR)  ciphertext  tag(16)  SHA-256(32)
 *
 * The header is associated data of the AEAD. The SHA-256 tells damage from a wrong passphrase; it protects nothing.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createSecretKey,
  hkdfSync,
  scrypt,
  timingSafeEqual,
} from 'node:crypto'
import { decode, encode } from 'cborg'
import { z } from 'zod'
import { systemRandom } from '../../kernel/index.ts'
import type { Random } from '../../kernel/index.ts'
import { identityErrors } from './service.ts'

const MAGIC = Buffer.from('NZID', 'latin1')
const VERSION = 1
const PREFIX_BYTES = MAGIC.byteLength + 1 + 2
const MAX_HEADER_BYTES = 6_144
const TAG_BYTES = 16
const CHECKSUM_BYTES = 32
const CIPHER = 'chacha20-poly1305'
const SALT_BYTES = 32
const CHECK_BYTES = 16
const NONCE_BYTES = 12
const KEY_BYTES = 32
const BLOCK_BYTES = 128

/** What scrypt may be asked for by a file: at most 256 MiB, at most about 2 s. */
export const SCRYPT_LIMITS = { minLogN: 14, maxLogN: 18, r: 8, maxP: 2 } as const

/** Cost of a new passphrase: 128 MiB, about 0.4 s of one core. */
export const DEFAULT_SCRYPT_LOG_N = 17

const bytesOf = (length: number): z.ZodType<Uint8Array> =>
  z.instanceof(Uint8Array).refine((bytes) => bytes.byteLength === length)
const text = z.string().min(1).max(4_096)

const Protection = z.discriminatedUnion('by', [
  z.strictObject({
    by: z.literal('passphrase'),
    kdf: z.literal('scrypt'),
    logN: z.int().min(SCRYPT_LIMITS.minLogN).max(SCRYPT_LIMITS.maxLogN),
    r: z.literal(SCRYPT_LIMITS.r),
    p: z.int().min(1).max(SCRYPT_LIMITS.maxP),
    salt: bytesOf(SALT_BYTES),
  }),
  z.strictObject({ by: z.literal('key-file'), kdf: z.literal('hkdf-sha256'), salt: bytesOf(SALT_BYTES) }),
])

const Subject = z.strictObject({
  peerId: text,
  fingerprint: z.array(text).length(4),
  nodePublicKey: bytesOf(KEY_BYTES),
  signingPublicKey: bytesOf(KEY_BYTES),
  boxPublicKey: bytesOf(KEY_BYTES),
  createdAtMs: z.int().min(0),
})

const Header = z.strictObject({
  kind: z.enum(['keystore', 'export']),
  subject: Subject,
  /** Where a keystore belongs; `null` in an export. */
  boundTo: z.strictObject({ path: text, uid: z.int().min(-1) }).nullable(),
  protection: Protection,
  check: bytesOf(CHECK_BYTES),
  nonce: bytesOf(NONCE_BYTES),
})

export type LockedFileHeader = z.infer<typeof Header>
export type Protection = z.infer<typeof Protection>

/** A passphrase, or the 32 random bytes of a key file. */
export type LockSecret =
  | { readonly by: 'passphrase'; readonly passphrase: Uint8Array }
  | { readonly by: 'key-file'; readonly key: Uint8Array }

/** A file whose outside is in order; nothing of it is authenticated before `unlock` returns. */
export interface ParsedFile {
  readonly header: LockedFileHeader
  /** Everything before the ciphertext. */
  readonly associated: Uint8Array
  readonly ciphertext: Uint8Array
  readonly tag: Uint8Array
}

export type ParseResult =
  | { readonly state: 'parsed'; readonly file: ParsedFile }
  | { readonly state: 'damaged'; readonly why: string }
  | { readonly state: 'newer' }

export interface LockOptions {
  /** Cost of scrypt as a power of two; default 17. */
  readonly logN?: number
  /** Only vectors fix it; default: the operating system's. */
  readonly random?: Random
}

/** Encrypts `plaintext` under a key that `secret` and a fresh salt give. */
export async function lock(
  fields: Pick<LockedFileHeader, 'kind' | 'subject' | 'boundTo'>,
  plaintext: Uint8Array,
  secret: LockSecret,
  { logN = DEFAULT_SCRYPT_LOG_N, random = systemRandom }: LockOptions = {},
): Promise<Uint8Array> {
  const protection = Protection.parse(
    secret.by === 'passphrase'
      ? { by: 'passphrase', kdf: 'scrypt', logN, r: SCRYPT_LIMITS.r, p: 1, salt: random.bytes(SALT_BYTES) }
      : { by: 'key-file', kdf: 'hkdf-sha256', salt: random.bytes(SALT_BYTES) },
  )
  const { key, check } = await keyAndCheck(protection, secret)
  try {
    const nonce = random.bytes(NONCE_BYTES)
    const header = encode(Header.parse({ ...fields, protection, check, nonce }))
    if (header.byteLength > MAX_HEADER_BYTES) throw new RangeError('the header is too long')
    const associated = Buffer.concat([
      MAGIC,
      Uint8Array.of(VERSION, header.byteLength >> 8, header.byteLength & 0xff),
      header,
    ])
    const cipher = createCipheriv(CIPHER, createSecretKey(key), nonce, { authTagLength: TAG_BYTES })
    cipher.setAAD(associated, { plaintextLength: plaintext.byteLength })
    const sealed = Buffer.concat([associated, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()])
    return new Uint8Array(Buffer.concat([sealed, createHash('sha256').update(sealed).digest()]))
  } finally {
    key.fill(0)
  }
}

/** Reads the outside of a file of at most 8 KiB: bounds first, then checksum, then the header. Never throws. */
export function parse(bytes: Uint8Array): ParseResult {
  if (bytes.byteLength < PREFIX_BYTES || MAGIC.some((byte, at) => bytes[at] !== byte))
    return damaged('it is no identity file')
  const body = bytes.subarray(0, -CHECKSUM_BYTES)
  const checksum = createHash('sha256').update(body).digest()
  if (!checksum.equals(bytes.subarray(-CHECKSUM_BYTES))) return damaged('its checksum is wrong')
  const version = bytes[MAGIC.byteLength] ?? 0
  if (version > VERSION) return { state: 'newer' }
  const headerBytes = ((bytes[PREFIX_BYTES - 2] ?? 0) << 8) | (bytes[PREFIX_BYTES - 1] ?? 0)
  const at = PREFIX_BYTES + headerBytes
  if (version !== VERSION || headerBytes > MAX_HEADER_BYTES || at + TAG_BYTES > body.byteLength) {
    return damaged('its lengths are wrong')
  }
  const header = parseHeader(body.subarray(PREFIX_BYTES, at))
  if (header === null) return damaged('its header is wrong')
  return {
    state: 'parsed',
    file: {
      header,
      associated: body.subarray(0, at),
      ciphertext: body.subarray(at, -TAG_BYTES),
      tag: body.subarray(-TAG_BYTES),
    },
  }
}

/** The plaintext, which the caller zeroes; `wrong-secret` or `damaged` when there is none. */
export async function unlock(
  { header, associated, ciphertext, tag }: ParsedFile,
  secret: LockSecret,
): Promise<Uint8Array | 'wrong-secret' | 'damaged'> {
  const { key, check } = await keyAndCheck(header.protection, secret)
  try {
    if (!timingSafeEqual(check, header.check)) return 'wrong-secret'
    const decipher = createDecipheriv(CIPHER, createSecretKey(key), header.nonce, { authTagLength: TAG_BYTES })
    decipher.setAuthTag(tag)
    decipher.setAAD(associated, { plaintextLength: ciphertext.byteLength })
    const opened = decipher.update(ciphertext)
    try {
      decipher.final()
      return Uint8Array.from(opened)
    } catch {
      // The key is right and the tag is wrong: header or ciphertext were changed.
      return 'damaged'
    } finally {
      opened.fill(0)
    }
  } finally {
    key.fill(0)
  }
}

function parseHeader(bytes: Uint8Array): LockedFileHeader | null {
  try {
    const value: unknown = decode(bytes, { strict: true, allowIndefinite: false, rejectDuplicateMapKeys: true })
    if (!Buffer.from(encode(value)).equals(bytes)) return null
    const result = Header.safeParse(value)
    return result.success ? result.data : null
  } catch {
    // cborg throws for malformed bytes: the caller reports damage.
    return null
  }
}

async function keyAndCheck(
  protection: Protection,
  secret: LockSecret,
): Promise<{ readonly key: Uint8Array; readonly check: Uint8Array }> {
  if (protection.by !== secret.by) throw new TypeError('the secret is of another kind than the protection')
  const root = await rootKey(protection, secret)
  try {
    const key = createHmac('sha256', root).update('nzcore/locked-file/1 encrypt').digest()
    const check = createHmac('sha256', root).update('nzcore/locked-file/1 check').digest().subarray(0, CHECK_BYTES)
    return { key, check }
  } finally {
    root.fill(0)
  }
}

async function rootKey(protection: Protection, secret: LockSecret): Promise<Uint8Array> {
  if (secret.by === 'key-file') {
    return new Uint8Array(hkdfSync('sha256', secret.key, protection.salt, 'nzcore/key-file/1', KEY_BYTES))
  }
  if (protection.by !== 'passphrase') throw new TypeError('a passphrase opens no key file protection')
  const { logN, r, p, salt } = protection
  const N = 2 ** logN
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>()
  scrypt(secret.passphrase, salt, KEY_BYTES, { N, r, p, maxmem: 2 * BLOCK_BYTES * N * r }, (error, key) => {
    if (error === null) resolve(key)
    else reject(error)
  })
  return await promise
}

function damaged(why: string): ParseResult {
  return { state: 'damaged', why }
}

/** The error for a file of a profile that does not parse. */
export function parsedOrThrow(path: string, result: ParseResult): ParsedFile {
  if (result.state === 'parsed') return result.file
  if (result.state === 'newer') throw identityErrors.NZ_IDENTITY_VERSION_UNKNOWN({ data: { path } })
  throw identityErrors.NZ_IDENTITY_DAMAGED({ why: result.why, data: { path } })
}
