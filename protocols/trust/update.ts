/** One signed statement of an issuer, as a link of its chain (NZ-TRUST-01 §2). */
import { hash } from 'node:crypto'
import { decodeCanonical, encodeCanonical } from '../framing/canonical-cbor.ts'
import { MAX_SECONDS, MAX_SEQUENCE, MAX_UPDATE_BYTES, MAX_VOUCH_DEPTH } from './limits.ts'
import type { TrustCode } from './errors.ts'

export const UPDATE_PURPOSE = 'nzcore/trust-update/1'
const ID_LABEL = Buffer.from(`${UPDATE_PURPOSE}/id`)
const VERSION = 1
const KEY_BYTES = 32
const MAX_PURPOSE_BYTES = 64
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
  // Before its form: another version's body may have any.
  const version: unknown = Array.isArray(items) ? items[0] : null
  if (!isNumber(version, 0, Number.MAX_SAFE_INTEGER)) return 'NZ_TRUST_MALFORMED'
  if (version !== VERSION) return 'NZ_TRUST_VERSION'
  if (purpose !== UPDATE_PURPOSE) return 'NZ_TRUST_PURPOSE'
  const body = bodyOf(items)
  if (body === null || isOfSelf(body)) return 'NZ_TRUST_MALFORMED'
  if (!verify(UPDATE_PURPOSE, encoded, signature, bytesOf(body.issuer))) return 'NZ_TRUST_FORGED'
  return { ...body, id: idOf(encoded), bytes }
}

/** The update in bytes that this node itself verified before and kept where nobody else writes; `null` for others. */
export function rereadUpdate(bytes: Uint8Array): TrustUpdate | null {
  const parts = envelopeOf(bytes)
  const body = parts === null ? null : bodyOf(parts.items)
  return parts === null || body === null || isOfSelf(body) ? null : { ...body, id: idOf(parts.encoded), bytes }
}

export function bytesOf(key: Key): Uint8Array {
  return Buffer.from(key, 'hex')
}

export function keyOf(bytes: Uint8Array): Key {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
}

interface Envelope {
  readonly purpose: string
  readonly encoded: Uint8Array
  readonly signature: Uint8Array
  readonly items: unknown
}

// Checked by hand: a node reads a hundred thousand of them when it starts, and a schema takes three times as long.
function envelopeOf(bytes: Uint8Array): Envelope | null {
  if (bytes.length > MAX_UPDATE_BYTES) return null
  try {
    const parts = decodeCanonical(bytes)
    if (!Array.isArray(parts) || parts.length !== 3) return null
    const [purpose, encoded, signature] = parts as readonly unknown[]
    if (typeof purpose !== 'string' || purpose.length < 1 || Buffer.byteLength(purpose) > MAX_PURPOSE_BYTES) return null
    if (!(encoded instanceof Uint8Array) || !isBytes(signature, SIGNATURE_BYTES)) return null
    return { purpose, encoded, signature, items: decodeCanonical(encoded) }
  } catch {
    // Not deterministic CBOR.
    return null
  }
}

/** `null` for anything that has not the form of version 1. */
function bodyOf(items: unknown): UpdateBody | null {
  if (!Array.isArray(items) || items.length !== 6) return null
  const [version, issuerKey, sequence, previousId, issuedS, said] = items as readonly unknown[]
  const isForm =
    version === VERSION &&
    isBytes(issuerKey, KEY_BYTES) &&
    isNumber(sequence, 1, MAX_SEQUENCE) &&
    isBytes(previousId, KEY_BYTES) &&
    isNumber(issuedS, 0, MAX_SECONDS)
  const statement = isForm ? statementOf(said) : null
  if (!isForm || statement === null) return null
  const previous = keyOf(previousId)
  if ((sequence === 1) !== (previous === NO_PREVIOUS)) return null
  return { issuer: keyOf(issuerKey), sequence, previous, issuedS, statement }
}

function statementOf(items: unknown): Statement | null {
  if (!Array.isArray(items)) return null
  const [kind, subjectKey, ...rest] = items as readonly unknown[]
  if (!isBytes(subjectKey, KEY_BYTES) || rest.length !== REST_LENGTHS[Number(kind)]) return null
  const subject = keyOf(subjectKey)
  const [first, expiresS, vouchDepth = 0] = rest
  switch (kind) {
    case 0:
    case 1:
      if (!isLevel(first) || !isNumber(expiresS, 0, MAX_SECONDS) || !isNumber(vouchDepth, kind, MAX_VOUCH_DEPTH)) {
        return null
      }
      return { kind: 'trust', subject, level: first, expiresS, vouchDepth }
    case 2:
      return { kind: 'withdraw', subject }
    case 3:
      return isNumber(first, 0, 255) ? { kind: 'revoke', subject, reason: first } : null
    default:
      return null
  }
}

/** Of a statement of each kind, how many items follow its subject. */
const REST_LENGTHS: readonly (number | undefined)[] = [2, 3, 0, 1]

function isBytes(value: unknown, length: number): value is Uint8Array {
  return value instanceof Uint8Array && value.length === length
}

function isNumber(value: unknown, least: number, most: number): value is number {
  return Number.isSafeInteger(value) && Number(value) >= least && Number(value) <= most
}

function isLevel(value: unknown): value is TrustLevel {
  return isNumber(value, 0, trustLevels.length - 1)
}

/** Nobody states anything about itself, except that its key is no longer its own. */
function isOfSelf({ issuer, statement }: UpdateBody): boolean {
  return statement.kind !== 'revoke' && statement.subject === issuer
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
