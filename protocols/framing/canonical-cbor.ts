/** CBOR in the one form that RFC 8949 §4.2.1 allows: what decodes here encodes back to the same bytes. */
import { decode, encode } from 'cborg'

/**
 * The value in `bytes`. The caller has bounded their length.
 *
 * @throws Error when they are not CBOR, or not its deterministic form
 */
export function decodeCanonical(bytes: Uint8Array): unknown {
  const value: unknown = decode(bytes, {
    strict: true,
    allowIndefinite: false,
    allowUndefined: false,
    allowInfinity: false,
    allowNaN: false,
    allowBigInt: false,
    rejectDuplicateMapKeys: true,
    useMaps: true,
  })
  if (Buffer.compare(encode(value), bytes) !== 0) throw new Error('not in deterministic form')
  return value
}

export function encodeCanonical(value: unknown): Uint8Array {
  return encode(value)
}
