/** Where a contact can be reached, as it tells its contacts: the request `contacts.addresses` (NZ-INVITE-01 §9). */
import { z } from 'zod'
import { decodeCanonical, encodeCanonical } from '../framing/canonical-cbor.ts'
import { decodeAddress, encodeAddress, MAX_ADDRESS_BYTES, MAX_ADDRESSES } from './addresses.ts'

export const ADDRESSES_METHOD = 'contacts.addresses'

/** Eight addresses of full length, with their heads. */
const MAX_LIST_BYTES = MAX_ADDRESSES * (MAX_ADDRESS_BYTES + 2) + 2

const List = z
  .array(z.custom<Uint8Array>((value) => value instanceof Uint8Array && value.length <= MAX_ADDRESS_BYTES))
  .max(MAX_ADDRESSES)

/** The first addresses that may travel. */
export function encodeAddressList(addresses: readonly string[]): Uint8Array {
  const encoded = addresses.map(encodeAddress).filter((address) => address !== null)
  return encodeCanonical(encoded.slice(0, MAX_ADDRESSES))
}

/** `null` for anything that is no list; addresses of unknown form are left out. */
export function decodeAddressList(bytes: Uint8Array): readonly string[] | null {
  if (bytes.length > MAX_LIST_BYTES) return null
  try {
    const parsed = List.safeParse(decodeCanonical(bytes))
    return parsed.success ? parsed.data.map(decodeAddress).filter((address) => address !== null) : null
  } catch {
    // Not deterministic CBOR.
    return null
  }
}
