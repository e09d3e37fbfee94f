/**
 * `/nzcore/forward/1` (spec/NZ-FORWARD-01.md): one short frame each way, then the bytes of a TCP connection as they are.
 * The opener names a service; the other side answers that it is connected, or why not.
 */
import { z } from 'zod'
import { decodeCanonical, encodeCanonical } from '../framing/canonical-cbor.ts'

export const FORWARD_PROTOCOL = '/nzcore/forward/1'
/** Longest header or answer. */
export const MAX_FORWARD_HEADER_BYTES = 64

const VERSION = 1
const SERVICE_NAME = /^[a-z0-9][a-z0-9._-]{0,31}$/

/** Why a connection is refused, by its number on the wire. */
const REFUSALS = [
  'NZ_FORWARD_PROTOCOL',
  'NZ_FORWARD_SERVICE_UNKNOWN',
  'NZ_FORWARD_REFUSED',
  'NZ_FORWARD_BUSY',
  'NZ_FORWARD_TARGET',
] as const

export type ForwardRefusal = (typeof REFUSALS)[number]

export type ForwardAnswer = { readonly type: 'connected' } | { readonly type: 'refused'; readonly code: ForwardRefusal }

/** At most 32 of lower-case letters, digits, `.`, `_`, `-`; begins with a letter or digit. */
export function isServiceName(name: string): boolean {
  return SERVICE_NAME.test(name)
}

const Header = z.tuple([z.literal(VERSION), z.string().regex(SERVICE_NAME)])
const Answer = z.tuple([z.number().int().min(0).max(0xff)])

export function encodeHeader(service: string): Uint8Array {
  return encodeCanonical([VERSION, service])
}

/** The service asked for; `null` for anything else. */
export function decodeHeader(bytes: Uint8Array): string | null {
  return valueIn(Header, bytes)?.[1] ?? null
}

/** 0: connected; else one more than the refusal's place in the table. */
export function encodeAnswer(answer: ForwardAnswer): Uint8Array {
  return encodeCanonical([answer.type === 'connected' ? 0 : REFUSALS.indexOf(answer.code) + 1])
}

/** Anything that is no answer, or one of a later version, is a refusal with NZ_FORWARD_PROTOCOL. */
export function decodeAnswer(bytes: Uint8Array): ForwardAnswer {
  const number = valueIn(Answer, bytes)?.[0]
  if (number === 0) return { type: 'connected' }
  return { type: 'refused', code: REFUSALS[(number ?? 1) - 1] ?? 'NZ_FORWARD_PROTOCOL' }
}

function valueIn<Value>(schema: z.ZodType<Value>, bytes: Uint8Array): Value | null {
  if (bytes.length > MAX_FORWARD_HEADER_BYTES) return null
  try {
    const parsed = schema.safeParse(decodeCanonical(bytes))
    return parsed.success ? parsed.data : null
  } catch {
    // Not deterministic CBOR.
    return null
  }
}
