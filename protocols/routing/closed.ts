/** The end of a path, told along it in both directions (NZ-ROUTING-01 §7.4). */
import { z } from 'zod'
import { encodeCanonical } from '../framing/canonical-cbor.ts'
import { routeCodes, numberOf } from './errors.ts'
import { MAX_SEQUENCE } from './limits.ts'
import { bytesOf, FLOW_BYTES, hexOf, itemsOf, KEY_BYTES } from './signing.ts'
import type { RouteCode } from './errors.ts'
import type { FlowId, Key } from './signing.ts'

export interface Closed {
  readonly flow: FlowId
  readonly code: RouteCode
  /** Who says so: a claim, vouched for by the neighbour that passed it on. */
  readonly by: Key
  /** With NZ_ROUTE_REPLAYED: the latest sequence that `by` knows of the source; else 0. */
  readonly latest: number
}

const MAX_CLOSED_BYTES = 128
const Bytes = (length: number): z.ZodType<Uint8Array> =>
  z.custom<Uint8Array>((value) => value instanceof Uint8Array && value.length === length)
const Items = z.tuple([
  Bytes(FLOW_BYTES),
  z.number().int().min(1).max(routeCodes.length),
  Bytes(KEY_BYTES),
  z.number().int().min(0).max(MAX_SEQUENCE),
])

export function encodeClosed({ flow, code, by, latest }: Closed): Uint8Array {
  return encodeCanonical([bytesOf(flow), numberOf(code), bytesOf(by), latest])
}

export function decodeClosed(bytes: Uint8Array): Closed | null {
  const items = itemsOf(bytes, Items, MAX_CLOSED_BYTES)
  const code = items === null ? undefined : routeCodes[items[1] - 1]
  if (items === null || code === undefined) return null
  return { flow: hexOf(items[0]), code, by: hexOf(items[2]), latest: items[3] }
}
