/**
 * The Port Control Protocol (RFC 6887), MAP alone: successor of NAT-PMP at the same port of the gateway, which answers
 * with a version it speaks. IPv4 in its IPv4-mapped form. Pure.
 */

export const VERSION = 2
export const NONCE_BYTES = 12
const MAP = 1
const RESPONSE = 0x80
const TCP = 6
const REQUEST_BYTES = 60
const MAX_BYTES = 1_100
export const UNSUPPORTED_VERSION = 1

export interface PcpMapping {
  readonly nonce: Uint8Array
  /** IPv4 address this machine sends from. */
  readonly clientAddress: string
  readonly insidePort: number
  /** A wish. */
  readonly outsidePort: number
  /** 0 removes the mapping. */
  readonly lifetimeS: number
}

export type PcpAnswer =
  | {
      readonly type: 'mapping'
      readonly insidePort: number
      readonly outsidePort: number
      readonly outsideAddress: string
      readonly lifetimeS: number
    }
  /** RFC 6887 §7.4; UNSUPPORTED_VERSION also when the gateway speaks NAT-PMP (appendix A). */
  | { readonly type: 'refusal'; readonly result: number }

export function encodeMap({ nonce, clientAddress, insidePort, outsidePort, lifetimeS }: PcpMapping): Uint8Array {
  const bytes = new Uint8Array(REQUEST_BYTES)
  const view = new DataView(bytes.buffer)
  bytes[0] = VERSION
  bytes[1] = MAP
  view.setUint32(4, lifetimeS)
  bytes.set(mapped(clientAddress), 8)
  bytes.set(nonce.subarray(0, NONCE_BYTES), 24)
  bytes[36] = TCP
  view.setUint16(40, insidePort)
  view.setUint16(42, lifetimeS === 0 ? 0 : outsidePort)
  bytes.set(mapped('0.0.0.0'), 44)
  return bytes
}

/** `null` for what answers no request with this nonce. */
export function decodeMapAnswer(bytes: Uint8Array, nonce: Uint8Array): PcpAnswer | null {
  if (bytes.length < 8 || bytes.length > MAX_BYTES || ((bytes[1] ?? 0) & RESPONSE) === 0) return null
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  // NAT-PMP's answer to a version it does not know has a result of two bytes where PCP has one behind a zero.
  if (bytes[0] === 0) return view.getUint16(2) === UNSUPPORTED_VERSION ? refusal(UNSUPPORTED_VERSION) : null
  const result = bytes[3] ?? 0
  // A gateway of another version says so in a header of that version.
  if (result === UNSUPPORTED_VERSION) return refusal(result)
  if (bytes[0] !== VERSION || bytes[1] !== RESPONSE + MAP || bytes.length < REQUEST_BYTES || bytes.length % 4 !== 0)
    return null
  if (bytes[36] !== TCP || nonce.some((byte, at) => at < NONCE_BYTES && bytes[24 + at] !== byte)) return null
  if (result !== 0) return refusal(result)
  const prefix = mapped('0.0.0.0').subarray(0, 12)
  if (prefix.some((byte, at) => bytes[44 + at] !== byte)) return null
  return {
    type: 'mapping',
    insidePort: view.getUint16(40),
    outsidePort: view.getUint16(42),
    outsideAddress: bytes.slice(56, 60).join('.'),
    lifetimeS: view.getUint32(4),
  }
}

function refusal(result: number): PcpAnswer {
  return { type: 'refusal', result }
}

/** `::ffff:192.0.2.1` */
function mapped(address: string): Uint8Array {
  return Uint8Array.from([...Array<number>(10).fill(0), 0xff, 0xff, ...address.split('.').map(Number)])
}
