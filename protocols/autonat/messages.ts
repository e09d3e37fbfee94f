/**
 * Messages of AutoNAT v2 (libp2p/specs autonat/autonat-v2.md): a node asks a peer to dial it at one of its addresses, the
 * peer does, says the number it was told on the new connection, and answers how far it came.
 */
import { bytesOf, fixedOf, numberOf, readFields, writeFields } from '../circuit/fields.ts'
import type { Field } from '../circuit/fields.ts'

/** Node to peer: dial me. */
export const DIAL_REQUEST_PROTOCOL = '/libp2p/autonat/2/dial-request'
/** Peer to node, on the connection it has opened. */
export const DIAL_BACK_PROTOCOL = '/libp2p/autonat/2/dial-back'

/** Addresses taken from one request; what comes after them is passed over. */
export const MAX_ADDRESSES = 8
const MAX_ADDRESS_BYTES = 256

export const RESPONSE = { internalError: 0, rejected: 100, refused: 101, ok: 200 } as const
/** How far the peer came with the address it chose. */
export const DIAL = { unused: 0, dialError: 100, dialBackError: 101, ok: 200 } as const

export type AutonatMessage =
  /** Multiaddrs, binary, the one wanted most first. */
  | { readonly type: 'request'; readonly addresses: readonly Uint8Array[]; readonly nonce: bigint }
  | { readonly type: 'response'; readonly status: number; readonly addressAt: number; readonly dialStatus: number }
  /** Asks for so many bytes before an address is dialled that is not where the node is seen. */
  | { readonly type: 'dataRequest'; readonly addressAt: number; readonly byteLength: bigint }

export function encodeAutonat(message: AutonatMessage): Uint8Array {
  if (message.type === 'request') {
    const addresses = message.addresses.map((bytes): Field => ({ number: 1, bytes }))
    return writeFields([{ number: 1, bytes: writeFields([...addresses, { number: 2, fixed: message.nonce }]) }])
  }
  const at = BigInt(message.addressAt)
  // Zeros are left out, as protocol buffers of version 3 do.
  const numbers: ReadonlyArray<readonly [number, bigint]> =
    message.type === 'response'
      ? [
          [1, BigInt(message.status)],
          [2, at],
          [3, BigInt(message.dialStatus)],
        ]
      : [
          [1, at],
          [2, message.byteLength],
        ]
  const fields = numbers.filter(([, value]) => value !== 0n).map(([number, value]): Field => ({ number, value }))
  return writeFields([{ number: message.type === 'response' ? 2 : 3, bytes: writeFields(fields) }])
}

/** `null` for what is none of the three. */
export function decodeAutonat(bytes: Uint8Array): AutonatMessage | null {
  const outer = readFields(bytes)
  const last = outer?.findLast((field) => field.number <= 4 && 'bytes' in field)
  if (last === undefined || !('bytes' in last)) return null
  const fields = readFields(last.bytes)
  if (fields === null) return null
  const small = (number: number): number => Number((numberOf(fields, number) ?? 0n) & 0xffff_ffffn)
  if (last.number === 1) {
    const addresses = bytesOf(fields, 1).filter(({ length }) => length <= MAX_ADDRESS_BYTES)
    return { type: 'request', addresses: addresses.slice(0, MAX_ADDRESSES), nonce: fixedOf(fields, 2) ?? 0n }
  }
  if (last.number === 2) return { type: 'response', status: small(1), addressAt: small(2), dialStatus: small(3) }
  return last.number === 3 ? { type: 'dataRequest', addressAt: small(1), byteLength: numberOf(fields, 2) ?? 0n } : null
}

export function encodeDialBack(nonce: bigint): Uint8Array {
  return writeFields([{ number: 1, fixed: nonce }])
}

/** The number the peer was told; `null` for something else. */
export function decodeDialBack(bytes: Uint8Array): bigint | null {
  const fields = readFields(bytes)
  return fields === null ? null : (fixedOf(fields, 1) ?? null)
}

/** That the number was right: a status of 0, which is left out. */
export function encodeDialBackResponse(): Uint8Array {
  return new Uint8Array()
}
