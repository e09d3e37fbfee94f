/** The frames of a handshake and the payload sealed in them (NZ-HANDSHAKE-01 §3 and §4). */
import { z } from 'zod'
import { decodeCanonical, encodeCanonical } from '../framing/canonical-cbor.ts'
import { encodeFrame, frameType } from '../wire/frame.ts'
import { isFeatureList, MAX_FEATURES } from '../wire/features.ts'
import { handshakeCodes } from './errors.ts'
import { COOKIE_BYTES, MAX_PURPOSE_BYTES, MAX_VERSIONS, TICKET_ID_BYTES } from './limits.ts'
import type { HandshakeCode } from './errors.ts'

export const patternNames = ['XX', 'IK', 'IKpsk1'] as const
export type PatternName = (typeof patternNames)[number]

const INDEX_BYTES = 4
export const NOTHING = new Uint8Array(0)
export const KEY_BYTES = 32
const SIGNATURE_BYTES = 64

export interface Hello {
  readonly pattern: PatternName
  /** Where the initiator receives. */
  readonly index: number
  /** COOKIE_BYTES, or empty. */
  readonly cookie: Uint8Array
  /** TICKET_ID_BYTES with `IKpsk1`, else empty. */
  readonly ticketId: Uint8Array
  readonly message: Uint8Array
}

/** Of a body that the frame reader has bounded. */
export function decodeHello(body: Uint8Array): Hello | null {
  const view = new DataView(body.buffer, body.byteOffset, body.byteLength)
  const pattern = patternNames[view.getUint8(0)]
  const cookieBytes = view.getUint8(5)
  if (pattern === undefined || (cookieBytes !== 0 && cookieBytes !== COOKIE_BYTES)) return null
  const ticketBytes = pattern === 'IKpsk1' ? TICKET_ID_BYTES : 0
  const cookieEnd = 6 + cookieBytes
  if (body.byteLength < cookieEnd + ticketBytes + KEY_BYTES) return null
  return {
    pattern,
    index: view.getUint32(1),
    cookie: body.subarray(6, cookieEnd),
    ticketId: body.subarray(cookieEnd, cookieEnd + ticketBytes),
    message: body.subarray(cookieEnd + ticketBytes),
  }
}

export function encodeHello({ pattern, index, cookie, ticketId, message }: Hello): Uint8Array {
  const head = new Uint8Array(6)
  const view = new DataView(head.buffer)
  view.setUint8(0, patternNames.indexOf(pattern))
  view.setUint32(1, index)
  view.setUint8(5, cookie.byteLength)
  return encodeFrame(frameType.hello, [head, cookie, ticketId, message])
}

/** ANSWER and FINISH: the index of the receiver, then the Noise message. */
export function encodeReply(type: 'answer' | 'finish', to: number, message: Uint8Array): Uint8Array {
  return encodeFrame(frameType[type], [indexBytes(to), message])
}

export function encodeRetry(to: number, cookie: Uint8Array): Uint8Array {
  return encodeFrame(frameType.retry, [indexBytes(to), cookie])
}

export function encodeRefuse(to: number, code: HandshakeCode): Uint8Array {
  return encodeFrame(frameType.refuse, [indexBytes(to), Uint8Array.of(handshakeCodes.indexOf(code))])
}

/** What follows the index of the receiver in the bodies of ANSWER, FINISH, RETRY, REFUSE and PACKET. */
export function decodeReply(body: Uint8Array): { readonly to: number; readonly rest: Uint8Array } {
  return {
    to: new DataView(body.buffer, body.byteOffset, body.byteLength).getUint32(0),
    rest: body.subarray(INDEX_BYTES),
  }
}

/** What both sides hash before the first message (§4.1). */
export function prologueOf(version: number, pattern: PatternName, index: number, ticketId: Uint8Array): Uint8Array {
  return Buffer.concat([
    Buffer.from('NZ-HANDSHAKE-01'),
    Uint8Array.of(version, patternNames.indexOf(pattern)),
    indexBytes(index),
    ticketId,
  ])
}

/** What a side says of itself, sealed (§4.2). */
export interface Payload {
  /** All versions of the handshake that the sender speaks, ascending. */
  readonly versions: readonly number[]
  readonly purpose: string
  /** Ascending. */
  readonly features: readonly string[]
  /** Where the sender receives. */
  readonly index: number
  /** Identity that the sender believes to speak to; `null`: not known yet. */
  readonly peer: Uint8Array | null
  /** Identity of the sender and its signature over the static key; `null` when a session is resumed. */
  readonly proof: { readonly identity: Uint8Array; readonly signature: Uint8Array } | null
}

const Bytes = (length: number): z.ZodType<Uint8Array> =>
  z.custom<Uint8Array>((value) => value instanceof Uint8Array && value.length === length)
const Versions = z.array(z.number().int().min(1).max(255)).min(1).max(MAX_VERSIONS)
const PayloadItems = z.tuple([
  Versions.refine((list) => list.every((version, at) => at === 0 || (list[at - 1] ?? 0) < version)),
  z.string().refine((text) => isPurpose(text)),
  z.array(z.string()).max(MAX_FEATURES).refine(isFeatureList),
  z.number().int().min(0).max(0xffff_ffff),
  Bytes(KEY_BYTES).nullable(),
  z.tuple([Bytes(KEY_BYTES), Bytes(SIGNATURE_BYTES)]).nullable(),
])

export function isPurpose(text: string): boolean {
  return /^[\x21-\x7e]+$/.test(text) && text.length <= MAX_PURPOSE_BYTES
}

export function encodePayload({ versions, purpose, features, index, peer, proof }: Payload): Uint8Array {
  return encodeCanonical([
    versions,
    purpose,
    features,
    index,
    peer,
    proof === null ? null : [proof.identity, proof.signature],
  ])
}

/** `null` for bytes that are none. */
export function decodePayload(bytes: Uint8Array): Payload | null {
  let items: unknown
  try {
    items = decodeCanonical(bytes)
  } catch {
    // Not deterministic CBOR.
    return null
  }
  const parsed = PayloadItems.safeParse(items)
  if (!parsed.success) return null
  const [versions, purpose, features, index, peer, proof] = parsed.data
  return {
    versions,
    purpose,
    features,
    index,
    peer,
    proof: proof === null ? null : { identity: proof[0], signature: proof[1] },
  }
}

export function indexBytes(index: number): Uint8Array {
  const bytes = new Uint8Array(INDEX_BYTES)
  new DataView(bytes.buffer).setUint32(0, index)
  return bytes
}
