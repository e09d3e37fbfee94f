/** One version of a document: what is named, hashed and signed. spec/NZ-DOCUMENTS-01.md §2. */
import { createHash } from 'node:crypto'
import { z } from 'zod'
import { decodeCanonical, encodeCanonical } from '../framing/canonical-cbor.ts'
import { nodeKeyOf } from '../transfer/receipt.ts'
import { versionKinds } from './kinds.ts'
import type { VerifySignature } from '../transfer/receipt.ts'
import type { VersionKind } from './kinds.ts'

export { versionKinds } from './kinds.ts'
export type { VersionKind } from './kinds.ts'

/** What the signature of a version is for. */
export const VERSION_PURPOSE = 'nzcore/document-version/1'
export const MAX_DOCUMENT_NAME_BYTES = 256
export const MAX_PARENTS = 16
export const MAX_CONTENT_BYTES = 524_288
/** Parents, name and author at their longest, and what frames them. */
export const MAX_ENCODED_BYTES = 2_048
const HASH_BYTES = 32
const FORMAT = 1

export interface Version {
  readonly document: string
  /** `put` follows one parent or none, `merge` two or more, `delete` (a tombstone) one. */
  readonly kind: VersionKind
  /** Ids in hex, in order, each once. */
  readonly parents: readonly string[]
  /** Logical time: one more than the latest of the parents; 1 without parents. */
  readonly time: number
  /** The author's wall clock, milliseconds since 1970; decides nothing. */
  readonly atMs: number
  /** Peer id. */
  readonly author: string
  /** SHA-256 of the content, in hex; the content can go, this stays. */
  readonly contentHash: string
  readonly size: number
}

const bytes = z.custom<Uint8Array>((value) => value instanceof Uint8Array && value.byteLength === HASH_BYTES)
const Encoded = z.tuple([
  z.literal(FORMAT),
  z.string().refine(isDocumentName),
  z.enum(versionKinds),
  z.array(bytes).max(MAX_PARENTS),
  z.number().int().min(1).max(Number.MAX_SAFE_INTEGER),
  z.number().int().min(0).max(Number.MAX_SAFE_INTEGER),
  z.string().max(64),
  bytes,
  z.number().int().min(0).max(MAX_CONTENT_BYTES),
])

/** Deterministic CBOR of an array; the id is its hash. */
export function encodeVersion(version: Version): Uint8Array {
  const { document, kind, parents, time, atMs, author, contentHash, size } = version
  const ids = parents.map(bytesOf)
  const fields = [FORMAT, document, kind, ids, time, atMs, author, bytesOf(contentHash), size]
  // A copy: the encoder may give a piece of a larger buffer.
  return Uint8Array.from(encodeCanonical(fields))
}

/** `null` when these bytes are no version in its one form. */
export function decodeVersion(encoded: Uint8Array): Version | null {
  if (encoded.byteLength > MAX_ENCODED_BYTES) return null
  let value: unknown
  try {
    value = decodeCanonical(encoded)
  } catch {
    // Not deterministic CBOR: the same answer as for CBOR of something else.
    return null
  }
  const parsed = Encoded.safeParse(value)
  if (!parsed.success) return null
  const [, document, kind, ids, time, atMs, author, contentHash, size] = parsed.data
  const version = { document, kind, parents: ids.map(hexOf), time, atMs, author, contentHash: hexOf(contentHash), size }
  return isSound(version) ? version : null
}

/** The name of a version: 32 bytes in hex. */
export function versionId(encoded: Uint8Array): string {
  return createHash('sha256').update('nzcore document version 1\n').update(encoded).digest('hex')
}

export function hashOfContent(content: Uint8Array): string {
  return createHash('sha256').update(content).digest('hex')
}

/** Whether the author that the version names has signed it. */
export function isSigned(encoded: Uint8Array, signature: Uint8Array, verify: VerifySignature): boolean {
  const author = decodeVersion(encoded)?.author
  const publicKey = author === undefined ? null : nodeKeyOf(author)
  return publicKey !== null && verify(encoded, signature, publicKey)
}

export function isDocumentName(name: string): boolean {
  if (name === '' || !name.isWellFormed() || /\p{Cc}/u.test(name)) return false
  return Buffer.byteLength(name, 'utf8') <= MAX_DOCUMENT_NAME_BYTES
}

/** What holds of a version by itself, whoever its parents are. */
function isSound({ kind, parents, time, contentHash, size }: Version): boolean {
  const isOrdered = parents.every((id, at) => at === 0 || (parents[at - 1] ?? '') < id)
  const counts = { put: parents.length <= 1, merge: parents.length >= 2, delete: parents.length === 1 }
  const isEmpty = size === 0 && contentHash === hashOfContent(new Uint8Array())
  return isOrdered && counts[kind] && (parents.length > 0 || time === 1) && (kind !== 'delete' || isEmpty)
}

function bytesOf(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex, 'hex'))
}

function hexOf(some: Uint8Array): string {
  return Buffer.from(some).toString('hex')
}
