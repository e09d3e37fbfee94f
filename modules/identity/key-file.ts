/**
 * The key file of an unattended node: 32 random bytes that open the keystore of one identity at one place.
 * spec/NZ-IDENTITY-01.md §9. It is kept apart from the state, so that a copy of the state opens nothing.
 */
import { createHash, randomBytes } from 'node:crypto'
import { decode, encode } from 'cborg'
import { z } from 'zod'
import { createPrivateFile, readPrivateFile, removePrivateFile, replacePrivateFile } from './private-file.ts'
import { identityErrors } from './service.ts'

const KEY_BYTES = 32
const CHECKSUM_BYTES = 32

const KeyFileContent = z.strictObject({
  kind: z.literal('key-file'),
  version: z.literal(1),
  /** The identity whose keystore it opens. */
  peerId: z.string().min(1).max(128),
  /** The keystore it opens. */
  keystore: z.string().min(1).max(4_096),
  key: z.instanceof(Uint8Array).refine((key) => key.byteLength === KEY_BYTES) as z.ZodType<Uint8Array>,
})

export type KeyFileContent = z.infer<typeof KeyFileContent>

/** `null` when there is none. The caller zeroes `key`. @throws NZ_IDENTITY_DAMAGED */
export async function readKeyFile(path: string): Promise<KeyFileContent | null> {
  const bytes = await readPrivateFile(path)
  if (bytes === null) return null
  try {
    const content = decodeKeyFile(bytes)
    if (content === null) throw identityErrors.NZ_IDENTITY_DAMAGED({ data: { path } })
    return content
  } finally {
    bytes.fill(0)
  }
}

/** A key for a new key file. The caller zeroes it. */
export function freshKey(): Uint8Array {
  return new Uint8Array(randomBytes(KEY_BYTES))
}

/** Writes the key file, over one of the same identity only. @throws NZ_IDENTITY_KEY_FILE_FOREIGN */
export async function writeKeyFile(
  path: string,
  content: Pick<KeyFileContent, 'peerId' | 'keystore' | 'key'>,
): Promise<void> {
  const bytes = encodeKeyFile({ kind: 'key-file', version: 1, ...content })
  try {
    if (await createPrivateFile(path, bytes)) return
    const present = await readKeyFile(path)
    present?.key.fill(0)
    if (present !== null && present.peerId !== content.peerId) throw foreignKeyFile(path, present)
    await replacePrivateFile(path, bytes)
  } finally {
    bytes.fill(0)
  }
}

/** Removes the key file when it belongs to this identity. */
export async function removeKeyFile(path: string, peerId: string): Promise<void> {
  const present = await readKeyFile(path)
  present?.key.fill(0)
  if (present?.peerId === peerId) await removePrivateFile(path)
}

export function foreignKeyFile(path: string, { peerId, keystore }: Pick<KeyFileContent, 'peerId' | 'keystore'>): Error {
  return identityErrors.NZ_IDENTITY_KEY_FILE_FOREIGN({ data: { keyFile: path, peerId, path: keystore } })
}

export function encodeKeyFile(content: KeyFileContent): Uint8Array {
  const body = encode(content)
  const bytes = new Uint8Array(body.byteLength + CHECKSUM_BYTES)
  bytes.set(body)
  bytes.set(createHash('sha256').update(body).digest(), body.byteLength)
  body.fill(0)
  return bytes
}

/** `null` for anything but the one encoding of a key file. */
export function decodeKeyFile(bytes: Uint8Array): KeyFileContent | null {
  if (bytes.byteLength <= CHECKSUM_BYTES) return null
  const body = bytes.subarray(0, -CHECKSUM_BYTES)
  const checksum = createHash('sha256').update(body).digest()
  if (!checksum.equals(bytes.subarray(-CHECKSUM_BYTES))) return null
  try {
    const result = KeyFileContent.safeParse(
      decode(body, { strict: true, allowIndefinite: false, rejectDuplicateMapKeys: true }),
    )
    return result.success ? result.data : null
  } catch {
    // cborg throws for malformed bytes: the caller reports damage.
    return null
  }
}
