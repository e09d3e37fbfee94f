/** Messages of `/nzcore/join/1`: a type number and fields, deterministic CBOR in short frames (NZ-INVITE-01 §4). */
import { z } from 'zod'
import { decodeAddress, encodeAddress, MAX_ADDRESS_BYTES, MAX_ADDRESSES } from './addresses.ts'
import { decodeCanonical, encodeCanonical } from '../framing/canonical-cbor.ts'
import type { JoinCode } from './errors.ts'
import { displayName } from './name.ts'
import { SECRET_BYTES } from './ticket.ts'

export const JOIN_PROTOCOL = '/nzcore/join/1'
export const MAX_JOIN_MESSAGE_BYTES = 2_048
export const NONCE_BYTES = 16
export const COMMITMENT_BYTES = 32

export type JoinMessage =
  /** Joiner, first: proves the ticket by its secret and commits to a nonce. */
  | {
      readonly type: 'hello'
      readonly secret: Uint8Array
      readonly commitment: Uint8Array
      readonly name: string
      readonly addresses: readonly string[]
    }
  /** Inviter: the ticket is taken; its own nonce. */
  | { readonly type: 'challenge'; readonly nonce: Uint8Array }
  /** Joiner: the nonce it committed to. */
  | { readonly type: 'reveal'; readonly nonce: Uint8Array }
  /** Either: its person accepted. */
  | { readonly type: 'accept' }
  /** Either, at any time: it is over. */
  | { readonly type: 'refuse'; readonly code: JoinCode }

/** Codes that may travel, by their number on the wire. */
const REFUSALS = [
  'NZ_JOIN_PROTOCOL',
  'NZ_INVITE_UNKNOWN',
  'NZ_INVITE_EXPIRED',
  'NZ_INVITE_USED',
  'NZ_INVITE_REVOKED',
  'NZ_INVITE_ATTEMPTS',
  'NZ_JOIN_BUSY',
  'NZ_JOIN_DECLINED',
  'NZ_JOIN_TIMEOUT',
] as const satisfies readonly JoinCode[]

const bytes = (length: number, max = length) =>
  z.custom<Uint8Array>((value) => value instanceof Uint8Array && value.length >= length && value.length <= max)

const Wire = z.union([
  z.tuple([
    z.literal(1),
    bytes(SECRET_BYTES),
    bytes(COMMITMENT_BYTES),
    z.string().max(128),
    z.array(bytes(1, MAX_ADDRESS_BYTES)).max(MAX_ADDRESSES),
  ]),
  z.tuple([z.literal(2), bytes(NONCE_BYTES)]),
  z.tuple([z.literal(3), bytes(NONCE_BYTES)]),
  z.tuple([z.literal(4)]),
  z.tuple([z.literal(5), z.number().int().min(0).max(0xff)]),
])

export function encodeJoinMessage(message: JoinMessage): Uint8Array {
  switch (message.type) {
    case 'hello': {
      const addresses = message.addresses.map(encodeAddress).filter((address) => address !== null)
      const { secret, commitment, name } = message
      return encodeCanonical([1, secret, commitment, name, addresses.slice(0, MAX_ADDRESSES)])
    }
    case 'challenge':
      return encodeCanonical([2, message.nonce])
    case 'reveal':
      return encodeCanonical([3, message.nonce])
    case 'accept':
      return encodeCanonical([4])
    case 'refuse':
      return encodeCanonical([5, Math.max(0, (REFUSALS as readonly string[]).indexOf(message.code))])
  }
}

/** `null` for anything that is no message of this protocol. Names are made safe; addresses of unknown form left out. */
export function decodeJoinMessage(encoded: Uint8Array): JoinMessage | null {
  if (encoded.length > MAX_JOIN_MESSAGE_BYTES) return null
  let value: unknown
  try {
    value = decodeCanonical(encoded)
  } catch {
    // Not deterministic CBOR: the machine ends the join with NZ_JOIN_PROTOCOL.
    return null
  }
  const parsed = Wire.safeParse(value)
  if (!parsed.success) return null
  const wire = parsed.data
  switch (wire[0]) {
    case 1: {
      const addresses = wire[4].map(decodeAddress).filter((address) => address !== null)
      const name = displayName(wire[3]) ?? 'peer'
      return { type: 'hello', secret: wire[1].slice(), commitment: wire[2].slice(), name, addresses }
    }
    case 2:
      return { type: 'challenge', nonce: wire[1].slice() }
    case 3:
      return { type: 'reveal', nonce: wire[1].slice() }
    case 4:
      return { type: 'accept' }
    case 5:
      return { type: 'refuse', code: REFUSALS[wire[1]] ?? 'NZ_JOIN_PROTOCOL' }
  }
}
