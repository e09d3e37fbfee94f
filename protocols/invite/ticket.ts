/**
 * Invite tickets: single-use, expiring, signed by the inviter's node key; text `nzi1…` (NZ-INVITE-01 §3).
 * Pure: the caller brings signature, verification and time.
 */
import { createHash } from 'node:crypto'
import { bech32m } from '@scure/base'
import { z } from 'zod'
import { decodeAddress, encodeAddress, MAX_ADDRESS_BYTES, MAX_ADDRESSES } from './addresses.ts'
import { decodeCanonical, encodeCanonical } from '../framing/canonical-cbor.ts'
import { inviteErrors } from './errors.ts'
import { displayName } from './name.ts'

export const INVITE_PURPOSE = 'nzcore/invite/1'
export const TICKET_VERSION = 1
/** Longest ticket text; checked before anything is decoded. */
export const MAX_TICKET_CHARACTERS = 1_024
export const SECRET_BYTES = 16
/** How much later than its own clock's verdict a joiner still tries a ticket; the inviter alone decides. */
export const CLOCK_SKEW_MS = 120_000

const PREFIX = 'nzi'
const SIGNATURE_BYTES = 64
const MAX_NAME_BYTES = 128

export interface Ticket {
  /** Ed25519 node public key of the inviter, 32 bytes. */
  readonly inviter: Uint8Array
  /** Multiaddrs without `/p2p/…`, most reachable first. */
  readonly addresses: readonly string[]
  /** 16 random bytes: who knows them may join. Never logged. */
  readonly secret: Uint8Array
  /** Whole seconds. */
  readonly expiresAtMs: number
  /** Proposed by the inviter, made safe to show. */
  readonly name: string
}

export interface SignedTicket extends Ticket {
  /** sha256 of the signed bytes, 32 bytes: binds a join to exactly this ticket. */
  readonly digest: Uint8Array
}

export type TicketSigner = (purpose: typeof INVITE_PURPOSE, message: Uint8Array) => Uint8Array
export type TicketVerifier = (
  purpose: typeof INVITE_PURPOSE,
  message: Uint8Array,
  signature: Uint8Array,
  publicKey: Uint8Array,
) => boolean

const bytes = (min: number, max = min) =>
  z.custom<Uint8Array>((value) => value instanceof Uint8Array && value.length >= min && value.length <= max)

const Envelope = z.tuple([z.literal(TICKET_VERSION), bytes(1, MAX_TICKET_CHARACTERS), bytes(SIGNATURE_BYTES)])
const Payload = z.tuple([
  bytes(32),
  z.array(bytes(1, MAX_ADDRESS_BYTES)).max(MAX_ADDRESSES),
  bytes(SECRET_BYTES),
  z
    .number()
    .int()
    .min(0)
    .max(2 ** 40),
  z.string().max(MAX_NAME_BYTES),
])

/** Signs and encodes. The last addresses are left out until the text is short enough. */
export function createTicket(
  ticket: Ticket,
  sign: TicketSigner,
): { readonly text: string; readonly digest: Uint8Array } {
  const addresses = ticket.addresses.map(encodeAddress).filter((address) => address !== null)
  for (let count = Math.min(addresses.length, MAX_ADDRESSES); count >= 0; count--) {
    const payload = encodeCanonical([
      ticket.inviter,
      addresses.slice(0, count),
      ticket.secret,
      Math.floor(ticket.expiresAtMs / 1_000),
      ticket.name,
    ])
    const envelope = encodeCanonical([TICKET_VERSION, payload, sign(INVITE_PURPOSE, payload)])
    const text = bech32m.encode(PREFIX, bech32m.toWords(envelope), false)
    if (text.length <= MAX_TICKET_CHARACTERS) return { text, digest: digestOf(payload) }
  }
  throw new RangeError('a ticket without addresses is too long')
}

/**
 * The ticket in `text`, its checksum, form and signature verified. White space around and inside it is ignored; all
 * upper case is as good as all lower case. Says nothing about its expiry.
 *
 * @throws NZ_INVITE_MALFORMED, NZ_INVITE_ALTERED, NZ_INVITE_VERSION
 */
export function openTicket(text: string, verify: TicketVerifier): SignedTicket {
  const [, payload, signature] = parseEnvelope(unwrap(text))
  const fields = parsePayload(payload)
  if (!verify(INVITE_PURPOSE, payload, signature, fields.inviter)) {
    throw inviteErrors.NZ_INVITE_ALTERED({ why: 'its signature is not that of the inviter' })
  }
  return { ...fields, digest: digestOf(payload) }
}

/** What stands for a secret where it is kept or compared: sha256 under a purpose, 32 bytes. */
export function secretDigest(secret: Uint8Array): Uint8Array {
  return new Uint8Array(createHash('sha256').update('nzcore/invite/1/secret').update(secret).digest())
}

/** Names an invite to its owner (`inv_…`); tells nothing about the secret. */
export function inviteIdOf(secret: Uint8Array): string {
  return `inv_${createHash('sha256').update('nzcore/invite/1/id').update(secret).digest('hex').slice(0, 12)}`
}

function unwrap(text: string): Uint8Array {
  if (text.length > 2 * MAX_TICKET_CHARACTERS) throw malformed('it is too long')
  const compact = text.replace(/\s+/g, '')
  if (compact.length > MAX_TICKET_CHARACTERS) throw malformed('it is too long')
  if (!/^nzi1/i.test(compact)) throw malformed('it does not begin with nzi1')
  if (compact !== compact.toLowerCase() && compact !== compact.toUpperCase()) {
    throw inviteErrors.NZ_INVITE_ALTERED({ why: 'upper and lower case are mixed' })
  }
  const decoded = bech32m.decodeUnsafe(compact, MAX_TICKET_CHARACTERS)
  if (decoded === undefined) {
    const isAlphabet = /^nzi1[02-9ac-hj-np-z]+$/i.test(compact)
    throw isAlphabet
      ? inviteErrors.NZ_INVITE_ALTERED({ why: 'its checksum is wrong' })
      : malformed('it holds characters that no invite has')
  }
  const bytesInside = bech32m.fromWordsUnsafe(decoded.words)
  if (bytesInside === undefined) throw malformed('its padding is wrong')
  return Uint8Array.from(bytesInside)
}

function parseEnvelope(envelope: Uint8Array): z.output<typeof Envelope> {
  const value = canonical(envelope)
  const version: unknown = Array.isArray(value) ? value[0] : undefined
  if (typeof version === 'number' && version !== TICKET_VERSION) {
    throw inviteErrors.NZ_INVITE_VERSION({ data: { version, known: [TICKET_VERSION] } })
  }
  const parsed = Envelope.safeParse(value)
  if (!parsed.success) throw malformed('it lacks a part or has one too many')
  return parsed.data
}

function parsePayload(payload: Uint8Array): Ticket {
  const parsed = Payload.safeParse(canonical(payload))
  if (!parsed.success) throw malformed('a field is missing, too long or of the wrong kind')
  const [inviter, binaryAddresses, secret, expiresAt, proposedName] = parsed.data
  const addresses = binaryAddresses.map(decodeAddress)
  if (!addresses.every((address) => address !== null)) throw malformed('it holds an address of no known form')
  return {
    inviter: inviter.slice(),
    addresses,
    secret: secret.slice(),
    expiresAtMs: expiresAt * 1_000,
    name: displayName(proposedName) ?? 'peer',
  }
}

function canonical(encoded: Uint8Array): unknown {
  try {
    return decodeCanonical(encoded)
  } catch (cause) {
    throw inviteErrors.NZ_INVITE_MALFORMED({ cause, why: 'it is not deterministic CBOR' })
  }
}

function malformed(why: string) {
  return inviteErrors.NZ_INVITE_MALFORMED({ why })
}

function digestOf(payload: Uint8Array): Uint8Array {
  return new Uint8Array(createHash('sha256').update(payload).digest())
}
