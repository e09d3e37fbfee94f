/** What neighbours tell each other: hellos, announcements of routes, requests for sequences (NZ-ROUTING-01 §3, §4). */
import { z } from 'zod'
import { encodeCanonical } from '../framing/canonical-cbor.ts'
import { HELLO_WINDOW, MAX_ANNOUNCED, MAX_HOPS, MAX_MESSAGE_BYTES, MAX_METRIC, MAX_SEQUENCE } from './limits.ts'
import { bytesOf, hexOf, itemsOf, KEY_BYTES, ORIGIN_PURPOSE, SIGNATURE_BYTES } from './signing.ts'
import type { Key, Sign, Verify } from './signing.ts'

export interface Hello {
  readonly sequence: number
  /** By the sender's own clock, in milliseconds; means nothing to others. */
  readonly stampMs: number
  /** Of the last hellos expected from the receiver: how many came, of how many. */
  readonly heard: number
  readonly expected: number
  /** The latest stamp of the receiver that came, and how long ago it came; `null` before. */
  readonly echo: { readonly stampMs: number; readonly heldMs: number } | null
}

/** A destination and a sequence, signed by the destination: nobody else can make it newer. */
export interface Origin {
  readonly destination: Key
  readonly sequence: number
  readonly signature: Uint8Array
}

export interface Announced {
  readonly origin: Origin
  /** `MAX_METRIC`: no more. */
  readonly metric: number
}

/** Asks for a route newer than `known`. */
export interface SequenceRequest {
  /** The newest that the asker knows. */
  readonly known: Origin
  readonly hopsLeft: number
}

const Bytes = (length: number): z.ZodType<Uint8Array> =>
  z.custom<Uint8Array>((value) => value instanceof Uint8Array && value.length === length)
const Count = (max: number): z.ZodType<number> => z.number().int().min(0).max(max)
const Milliseconds = Count(2 ** 48)
const HelloItems = z.tuple([
  Count(MAX_SEQUENCE),
  Milliseconds,
  Count(HELLO_WINDOW),
  Count(HELLO_WINDOW),
  z.union([z.tuple([]), z.tuple([Milliseconds, Milliseconds])]),
])
const OriginItems = [Bytes(KEY_BYTES), Count(MAX_SEQUENCE), Bytes(SIGNATURE_BYTES)] as const
const AnnouncedItems = z
  .array(z.tuple([...OriginItems, Count(MAX_METRIC)]))
  .min(1)
  .max(MAX_ANNOUNCED)
const RequestItems = z.tuple([...OriginItems, Count(MAX_HOPS)])

export function encodeHello({ sequence, stampMs, heard, expected, echo }: Hello): Uint8Array {
  return encodeCanonical([sequence, stampMs, heard, expected, echo === null ? [] : [echo.stampMs, echo.heldMs]])
}

export function decodeHello(bytes: Uint8Array): Hello | null {
  const items = itemsOf(bytes, HelloItems, MAX_MESSAGE_BYTES)
  if (items === null) return null
  const [sequence, stampMs, heard, expected, [echoed, heldMs]] = items
  if (heard > expected) return null
  const echo = echoed === undefined || heldMs === undefined ? null : { stampMs: echoed, heldMs }
  return { sequence, stampMs, heard, expected, echo }
}

export function encodeAnnouncements(announced: readonly Announced[]): Uint8Array {
  return encodeCanonical(announced.map(({ origin, metric }) => [...originItems(origin), metric]))
}

export function decodeAnnouncements(bytes: Uint8Array): readonly Announced[] | null {
  const items = itemsOf(bytes, AnnouncedItems, MAX_MESSAGE_BYTES)
  return (
    items?.map(([key, sequence, signature, metric]) => ({ origin: originOf(key, sequence, signature), metric })) ?? null
  )
}

export function encodeRequest({ known, hopsLeft }: SequenceRequest): Uint8Array {
  return encodeCanonical([...originItems(known), hopsLeft])
}

export function decodeRequest(bytes: Uint8Array): SequenceRequest | null {
  const items = itemsOf(bytes, RequestItems, MAX_MESSAGE_BYTES)
  if (items === null) return null
  const [key, sequence, signature, hopsLeft] = items
  return { known: originOf(key, sequence, signature), hopsLeft }
}

export function signOrigin(destination: Key, sequence: number, sign: Sign): Origin {
  return { destination, sequence, signature: sign(ORIGIN_PURPOSE, originMessage(destination, sequence)) }
}

export function isSigned({ destination, sequence, signature }: Origin, verify: Verify): boolean {
  return verify(ORIGIN_PURPOSE, originMessage(destination, sequence), signature, bytesOf(destination))
}

function originMessage(destination: Key, sequence: number): Uint8Array {
  return encodeCanonical([bytesOf(destination), sequence])
}

function originItems({ destination, sequence, signature }: Origin): readonly [Uint8Array, number, Uint8Array] {
  return [bytesOf(destination), sequence, signature]
}

function originOf(key: Uint8Array, sequence: number, signature: Uint8Array): Origin {
  return { destination: hexOf(key), sequence, signature }
}
