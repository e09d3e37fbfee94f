/** What the routing protocol signs, and with which purposes (NZ-IDENTITY-01, NZ-ROUTING-01 §2 to §6). */
import { decodeCanonical } from '../framing/canonical-cbor.ts'
import type { z } from 'zod'

export const LINK_PURPOSE = 'nzcore/route-link/1'
export const ORIGIN_PURPOSE = 'nzcore/route-origin/1'
export const SETUP_PURPOSE = 'nzcore/route-setup/1'
export const HOP_PURPOSE = 'nzcore/route-hop/1'
export const ANSWER_PURPOSE = 'nzcore/route-answer/1'
export const ANSWER_HOP_PURPOSE = 'nzcore/route-answer-hop/1'

export type RoutePurpose =
  | typeof LINK_PURPOSE
  | typeof ORIGIN_PURPOSE
  | typeof SETUP_PURPOSE
  | typeof HOP_PURPOSE
  | typeof ANSWER_PURPOSE
  | typeof ANSWER_HOP_PURPOSE

export const VERSION = 1
export const KEY_BYTES = 32
export const SIGNATURE_BYTES = 64
export const FLOW_BYTES = 16

/** A node public key in lower-case hexadecimal. */
export type Key = string
/** Sixteen random bytes in lower-case hexadecimal: one setup of a path. */
export type FlowId = string

/** By this node's key. */
export type Sign = (purpose: RoutePurpose, message: Uint8Array) => Uint8Array
export type Verify = (
  purpose: RoutePurpose,
  message: Uint8Array,
  signature: Uint8Array,
  publicKey: Uint8Array,
) => boolean

export function bytesOf(hex: string): Uint8Array {
  return Buffer.from(hex, 'hex')
}

export function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
}

/** The items in deterministic CBOR that fit the schema; `null` for anything else. */
export function itemsOf<T>(bytes: Uint8Array, schema: z.ZodType<T>, maxBytes: number): T | null {
  if (bytes.length > maxBytes) return null
  try {
    const parsed = schema.safeParse(decodeCanonical(bytes))
    return parsed.success ? parsed.data : null
  } catch {
    // Not deterministic CBOR.
    return null
  }
}
