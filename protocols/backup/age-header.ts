/**
 * The header of an age v1 file: for each recipient a stanza that wraps the file key, then a MAC over all of it.
 * C2SP age, "Header". Own code over node:crypto: docs/adr/0012-backups-in-the-age-format.md.
 */
import { createCipheriv, createDecipheriv, createHmac, createSecretKey, hkdfSync, timingSafeEqual } from 'node:crypto'
import { x25519, x25519KeyPairFromSeed, X25519_KEY_BYTES } from '../noise/x25519.ts'
import { archiveErrors, damagedArchive } from './errors.ts'
import type { KeyObject } from 'node:crypto'
import type { Random } from '../../kernel/index.ts'
import type { X25519KeyPair } from '../noise/x25519.ts'

const INTRO = 'age-encryption.org/v1'
const X25519_INFO = 'age-encryption.org/v1/X25519'
const CIPHER = 'chacha20-poly1305'
const TAG_BYTES = 16
const FILE_KEY_BYTES = 16
const WRAPPED_KEY_BYTES = FILE_KEY_BYTES + TAG_BYTES
const MAC_BYTES = 32
const COLUMNS = 64
const EMPTY = new Uint8Array()

/** Recipients of one archive. */
export const MAX_RECIPIENTS = 32
/** The largest header that is read: more than that many stanzas of any known kind need. */
export const MAX_HEADER_BYTES = 65_536

interface Stanza {
  readonly args: readonly string[]
  readonly body: Uint8Array
}

/** Header and file key (16 bytes, the caller zeroes it) of a new file for `recipients` (X25519 public keys). */
export function encodeHeader(
  recipients: readonly Uint8Array[],
  random: Pick<Random, 'bytes'>,
): { readonly header: Uint8Array; readonly fileKey: Uint8Array } {
  if (recipients.length === 0 || recipients.length > MAX_RECIPIENTS) throw new RangeError('1 to 32 recipients')
  const fileKey = random.bytes(FILE_KEY_BYTES)
  const lines = [INTRO]
  for (const recipient of recipients) {
    const { args, body } = wrap(fileKey, recipient, random)
    lines.push(`-> ${args.join(' ')}`, ...wrapped(toBase64(body)))
  }
  const text = `${lines.join('\n')}\n---`
  return { header: Buffer.from(`${text} ${toBase64(macOf(fileKey, text))}\n`, 'latin1'), fileKey }
}

/** Where the header ends in `bytes`: after its last line feed; `null` when more bytes are needed. */
export function headerLength(bytes: Uint8Array): number | null {
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.byteLength, MAX_HEADER_BYTES))
  if (!INTRO_LINE.subarray(0, head.byteLength).equals(head.subarray(0, INTRO_LINE.byteLength))) {
    throw damagedArchive('it does not begin as an age file does')
  }
  const last = head.indexOf('\n---')
  const end = last === -1 ? -1 : head.indexOf('\n', last + 1)
  if (end !== -1) return end + 1
  if (bytes.byteLength >= MAX_HEADER_BYTES) throw damagedArchive('its header does not end')
  return null
}

const INTRO_LINE = Buffer.from(`${INTRO}\n`, 'latin1')

/**
 * The file key, which the caller zeroes.
 *
 * @throws NZ_BACKUP_NOT_OURS when no stanza is for `identity`, NZ_BACKUP_ARCHIVE_DAMAGED
 */
export function openHeader(header: Uint8Array, identity: X25519KeyPair): Uint8Array {
  const text = Buffer.from(header.buffer, header.byteOffset, header.byteLength).toString('latin1')
  const { stanzas, macText, mac } = parse(text)
  for (const stanza of stanzas) {
    const fileKey = unwrap(stanza, identity)
    if (fileKey === null) continue
    if (timingSafeEqual(macOf(fileKey, macText), mac)) return fileKey
    fileKey.fill(0)
    throw damagedArchive('its header was changed')
  }
  throw archiveErrors.NZ_BACKUP_NOT_OURS()
}

function parse(text: string): {
  readonly stanzas: readonly Stanza[]
  readonly macText: string
  readonly mac: Uint8Array
} {
  const lines = text.split('\n')
  const stanzas: Stanza[] = []
  let at = 1
  while (lines[at]?.startsWith('-> ') === true) {
    const args = (lines[at] ?? '').slice(3).split(' ')
    if (!args.every((arg) => /^[\x21-\x7e]+$/.test(arg))) throw damagedArchive('a stanza of its header is malformed')
    at += 1
    let body = ''
    for (;;) {
      const line = lines[at++]
      if (line === undefined || line.length > COLUMNS) throw damagedArchive('a stanza of its header is malformed')
      body += line
      if (line.length < COLUMNS) break
    }
    stanzas.push({ args, body: fromBase64(body) })
  }
  const last = lines[at] ?? ''
  if (stanzas.length === 0 || !last.startsWith('--- ') || at !== lines.length - 2 || lines[at + 1] !== '') {
    throw damagedArchive('its header is malformed')
  }
  const mac = fromBase64(last.slice(4))
  if (mac.byteLength !== MAC_BYTES) throw damagedArchive('its header is malformed')
  return { stanzas, macText: text.slice(0, text.length - last.length - 1 + 3), mac }
}

function wrap(fileKey: Uint8Array, recipient: Uint8Array, random: Pick<Random, 'bytes'>): Stanza {
  const seed = random.bytes(X25519_KEY_BYTES)
  const ephemeral = x25519KeyPairFromSeed(seed)
  seed.fill(0)
  const key = wrapKey(x25519(ephemeral.privateKey, recipient), ephemeral.publicKey, recipient)
  const cipher = createCipheriv(CIPHER, key, new Uint8Array(12), { authTagLength: TAG_BYTES })
  const body = Buffer.concat([cipher.update(fileKey), cipher.final(), cipher.getAuthTag()])
  return { args: ['X25519', toBase64(ephemeral.publicKey)], body }
}

/** `null` when the stanza is of another kind or for somebody else. */
function unwrap({ args, body }: Stanza, { privateKey, publicKey }: X25519KeyPair): Uint8Array | null {
  if (args[0] !== 'X25519') return null
  const share = fromBase64(args[1] ?? '')
  if (args.length !== 2 || share.byteLength !== X25519_KEY_BYTES || body.byteLength !== WRAPPED_KEY_BYTES) {
    throw damagedArchive('a stanza of its header is malformed')
  }
  const key = wrapKey(secretWith(privateKey, share), share, publicKey)
  const decipher = createDecipheriv(CIPHER, key, new Uint8Array(12), { authTagLength: TAG_BYTES })
  decipher.setAuthTag(body.subarray(FILE_KEY_BYTES))
  const fileKey = decipher.update(body.subarray(0, FILE_KEY_BYTES))
  try {
    decipher.final()
    return fileKey
  } catch {
    // The tag does not fit: this stanza is for another key.
    fileKey.fill(0)
    return null
  }
}

function secretWith(privateKey: KeyObject, share: Uint8Array): Uint8Array {
  try {
    return x25519(privateKey, share)
  } catch {
    throw damagedArchive('a key in its header has small order')
  }
}

/** Zeroes `secret`. */
function wrapKey(secret: Uint8Array, share: Uint8Array, recipient: Uint8Array): KeyObject {
  const bytes = new Uint8Array(hkdfSync('sha256', secret, Buffer.concat([share, recipient]), X25519_INFO, 32))
  try {
    return createSecretKey(bytes)
  } finally {
    secret.fill(0)
    bytes.fill(0)
  }
}

function macOf(fileKey: Uint8Array, text: string): Uint8Array {
  const key = new Uint8Array(hkdfSync('sha256', fileKey, EMPTY, 'header', 32))
  try {
    return createHmac('sha256', key).update(text, 'latin1').digest()
  } finally {
    key.fill(0)
  }
}

/** Lines of 64 characters; the last is shorter, so it is empty when the text fills its lines. */
function wrapped(text: string): readonly string[] {
  const lines: string[] = []
  for (let at = 0; at <= text.length; at += COLUMNS) lines.push(text.slice(at, at + COLUMNS))
  return lines
}

function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64').replaceAll('=', '')
}

/** Unpadded standard base64 in its one spelling. */
function fromBase64(text: string): Uint8Array {
  const bytes = Buffer.from(text, 'base64')
  if (toBase64(bytes) !== text) throw damagedArchive('its header is malformed')
  return bytes
}
