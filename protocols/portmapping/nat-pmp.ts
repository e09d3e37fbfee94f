/**
 * NAT-PMP (RFC 6886): a host asks its gateway for its outside address and for a port of it. Datagrams to and from UDP port
 * 5351 of the gateway. Pure.
 */

export const GATEWAY_PORT = 5_351

const VERSION = 0
const OUTSIDE_ADDRESS = 0
const MAP_TCP = 2
const ANSWER = 128

export type Answer =
  | { readonly type: 'address'; readonly address: string }
  | { readonly type: 'mapping'; readonly insidePort: number; readonly outsidePort: number; readonly lifetimeS: number }
  /** The result code of RFC 6886 §3.5; never 0. */
  | { readonly type: 'refusal'; readonly asked: 'address' | 'mapping'; readonly result: number }

export function askAddress(): Uint8Array {
  return Uint8Array.of(VERSION, OUTSIDE_ADDRESS)
}

/** A lifetime of 0 removes the mapping of `insidePort`. */
export function askTcpMapping(insidePort: number, outsidePort: number, lifetimeS: number): Uint8Array {
  const bytes = new Uint8Array(12)
  const view = new DataView(bytes.buffer)
  bytes[0] = VERSION
  bytes[1] = MAP_TCP
  view.setUint16(4, insidePort)
  view.setUint16(6, lifetimeS === 0 ? 0 : outsidePort)
  view.setUint32(8, lifetimeS)
  return bytes
}

/** `null` for what is no answer to one of the two questions. */
export function decodeAnswer(bytes: Uint8Array): Answer | null {
  if (bytes.length < 8 || bytes[0] !== VERSION) return null
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const asked = bytes[1] === ANSWER + OUTSIDE_ADDRESS ? 'address' : bytes[1] === ANSWER + MAP_TCP ? 'mapping' : null
  if (asked === null) return null
  const result = view.getUint16(2)
  if (result !== 0) return { type: 'refusal', asked, result }
  if (asked === 'address') return bytes.length < 12 ? null : { type: 'address', address: bytes.slice(8, 12).join('.') }
  if (bytes.length < 16) return null
  return {
    type: 'mapping',
    insidePort: view.getUint16(8),
    outsidePort: view.getUint16(10),
    lifetimeS: view.getUint32(12),
  }
}
