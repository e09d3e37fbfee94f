/** One signed statement of an issuer, as a link of its chain (NZ-TRUST-01 §2). */
import { hash } from 'node:crypto'
import { z } from 'zod'
import { decodeCanonical, encodeCanonical } from '../framing/canonical-cbor.ts'
import { MAX_SECONDS, MAX_SEQUENCE, MAX_UPDATE_BYTES, MAX_VOUCH_DEPTH } from './limits.ts'
import type { TrustCode } from './errors.ts'

export const UPDATE_PURPOSE = 'nzcore/trust-update/1'
const ID_LABEL = Buffer.from(`${UPDATE_PURPOSE}/id`)
const VERSION = 1
const KEY_BYTES = 32
const SIGNATURE_BYTES = 64
/** What the first update of an issuer names as the one before. */
export const NO_PREVIOUS = '0'.repeat(KEY_BYTES * 2)

export const trustLevels = ['UNKNOWN', 'LOW', 'MEDIUM', 'HIGH', 'ULTIMATE'] as const
/** Index into `trustLevels`. */
export type TrustLevel = 0 | 1 | 2 | 3 | 4

export type Statement =
  | {
      readonly kind: 'trust'
      readonly subject: Key
      readonly level: TrustLevel
      /** Seconds since 1970; 0: never. */
      readonly expiresS: number
      /** How many further statements may follow from the subject's; 0: the subject does not vouch. */
      readonly vouchDepth: number
    }
  | { readonly kind: 'withdraw'; readonly subject: Key }
  | { readonly kind: 'revoke'; readonly subject: Key; readonly reason: number }

/** A node public key or the id of an update: 32 bytes in lower-case hexadecimal, so that text order is byte order. */
export type Key = string

/** What is signed, but its version. */
export interface UpdateBody {
  readonly issuer: Key
  readonly sequence: number
  /** Id of the update before; `NO_PREVIOUS` for the first. */
  readonly previous: Key
  /** Seconds since 1970 by the issuer's clock: nothing is decided by it. */
  readonly issuedS: number
  readonly statement: Statement
}

export interface TrustUpdate extends UpdateBody {
  readonly id: Key
  /** The whole update as it travels and is stored. */
  readonly bytes: Uint8Array
}

export type Sign = (purpose: typeof UPDATE_PURPOSE, message: Uint8Array) => Uint8Array
export type Verify = (
  purpose: typeof UPDATE_PURPOSE,
  message: Uint8Array,
  signature: Uint8Array,
  publicKey: Uint8Array,
) => boolean

const Bytes = (length: number): z.ZodType<Uint8Array> =>
  z.custom<Uint8Array>((value) => value instanceof Uint8Array && value.length === length)
const Level = z.union([z.literal(0), z.literal(1), z.literal(2), z.literal(3), z.literal(4)])
const Seconds = z.number().int().min(0).max(MAX_SECONDS)
const KeyBytes = Bytes(KEY_BYTES)

const Envelope = z.tuple([z.string().min(1).max(64), z.instanceof(Uint8Array), Bytes(SIGNATURE_BYTES)])
const StatementItems = z.union([
  z.tuple([z.literal(0), KeyBytes, Level, Seconds]),
  z.tuple([z.literal(1), KeyBytes, Level, Seconds, z.number().int().min(1).max(MAX_VOUCH_DEPTH)]),
  z.tuple([z.literal(2), KeyBytes]),
  z.tuple([z.literal(3), KeyBytes, z.number().int().min(0).max(255)]),
])
const Body = z.tuple([
  z.literal(VERSION),
  KeyBytes,
  z.number().int().min(1).max(MAX_SEQUENCE),
  KeyBytes,
  Seconds,
  StatementItems,
])

/** The signed update. The caller keeps to the bounds of NZ-TRUST-01 §2. */
export function createUpdate(body: UpdateBody, sign: Sign): TrustUpdate {
  const encoded = encodeCanonical([
    VERSION,
    bytesOf(body.issuer),
    body.sequence,
    bytesOf(body.previous),
    body.issuedS,
    statementItems(body.statement),
  ])
  const bytes = encodeCanonical([UPDATE_PURPOSE, encoded, sign(UPDATE_PURPOSE, encoded)])
  return { ...body, id: idOf(encoded), bytes }
}

/** The update in `bytes` if every rule of NZ-TRUST-01 §2.1 holds, else the first that does not. */
export function readUpdate(bytes: Uint8Array, verify: Verify): TrustUpdate | TrustCode {
  const parts = envelopeOf(bytes)
  if (parts === null) return 'NZ_TRUST_MALFORMED'
  const { purpose, encoded, signature, items } = parts
  if (Array.isArray(items) && typeof items[0] === 'number' && items[0] !== VERSION) return 'NZ_TRUST_VERSION'
  if (purpose !== UPDATE_PURPOSE) return 'NZ_TRUST_PURPOSE'
  const body = bodyOf(items)
  if (body === null) return 'NZ_TRUST_MALFORMED'
  if (!verify(UPDATE_PURPOSE, encoded, signature, bytesOf(body.issuer))) return 'NZ_TRUST_FORGED'
  return { ...body, id: idOf(encoded), bytes }
}

/** The update in bytes that this node itself verified before and kept where nobody else writes; `null` for others. */
export function rereadUpdate(bytes: Uint8Array): TrustUpdate | null {
  const parts = envelopeOf(bytes)
  const body = parts === null ? null : bodyOf(parts.items)
  return parts === null || body === null ? null : { ...body, id: idOf(parts.encoded), bytes }
}

export function bytesOf(key: Key): Uint8Array {
  return Buffer.from(key, 'hex')
}

export function keyOf(bytes: Uint8Array): Key {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
}

function envelopeOf(
  bytes: Uint8Array,
): { purpose: string; encoded: Uint8Array; signature: Uint8Array; items: unknown } | null {
  if (bytes.length > MAX_UPDATE_BYTES) return null
  try {
    const envelope = Envelope.safeParse(decodeCanonical(bytes))
    if (!envelope.success) return null
    const [purpose, encoded, signature] = envelope.data
    return { purpose, encoded, signature, items: decodeCanonical(encoded) }
  } catch {
    // Not deterministic CBOR.
    return null
  }
}

function bodyOf(items: unknown): UpdateBody | null {
  const parsed = Body.safeParse(items)
  if (!parsed.success) return null
  const [, issuerKey, sequence, previousId, issuedS, said] = parsed.data
  const issuer = keyOf(issuerKey)
  const previous = keyOf(previousId)
  const statement = statementOf(said)
  if (statement.kind !== 'revoke' && statement.subject === issuer) return null
  return (sequence === 1) === (previous === NO_PREVIOUS) ? { issuer, sequence, previous, issuedS, statement } : null
}

function statementOf(items: z.infer<typeof StatementItems>): Statement {
  const subject = keyOf(items[1])
  switch (items[0]) {
    case 0:
      return { kind: 'trust', subject, level: items[2], expiresS: items[3], vouchDepth: 0 }
    case 1:
      return { kind: 'trust', subject, level: items[2], expiresS: items[3], vouchDepth: items[4] }
    case 2:
      return { kind: 'withdraw', subject }
    case 3:
      return { kind: 'revoke', subject, reason: items[2] }
  }
}

function statementItems(statement: Statement): unknown[] {
  const subject = bytesOf(statement.subject)
  if (statement.kind === 'withdraw') return [2, subject]
  if (statement.kind === 'revoke') return [3, subject, statement.reason]
  const { level, expiresS, vouchDepth } = statement
  return vouchDepth === 0 ? [0, subject, level, expiresS] : [1, subject, level, expiresS, vouchDepth]
}

function idOf(encoded: Uint8Array): Key {
  return hash('sha256', Buffer.concat([ID_LABEL, encoded]), 'hex')
}
