/** Addresses inside tickets and join messages: binary multiaddrs of a few known forms, bounded before they are parsed. */
import { multiaddr } from '@multiformats/multiaddr'

export const MAX_ADDRESSES = 8
export const MAX_ADDRESS_BYTES = 128
/** Of the text form: a component of two bytes may read as twelve characters. */
export const MAX_ADDRESS_CHARACTERS = 192

/** Addresses come from a stranger: only what names an IP host or a DNS name, then TCP or UDP and what runs over it. */
const HOSTS: ReadonlySet<string> = new Set(['ip4', 'ip6', 'dns', 'dns4', 'dns6'])
const FOLLOWERS: ReadonlySet<string> = new Set([
  'tcp',
  'udp',
  'ws',
  'wss',
  'tls',
  'sni',
  'quic-v1',
  'p2p',
  'p2p-circuit',
])

/** Binary form without the final `/p2p/<peer>`, which the ticket's key says already; `null` when it may not travel. */
export function encodeAddress(address: string): Uint8Array | null {
  let bytes: Uint8Array
  try {
    bytes = multiaddr(address.replace(/\/p2p\/[^/]+$/, '')).bytes
  } catch {
    // Not a multiaddr: the caller leaves it out.
    return null
  }
  return decodeAddress(bytes) === null ? null : bytes
}

/** The text form; `null` for anything but a bounded, well-formed address of a known form in its only encoding. */
export function decodeAddress(bytes: Uint8Array): string | null {
  if (bytes.length === 0 || bytes.length > MAX_ADDRESS_BYTES) return null
  try {
    const address = multiaddr(bytes)
    const [host, ...followers] = address.getComponents()
    if (host === undefined || !HOSTS.has(host.name) || followers.length === 0) return null
    if (!followers.every(({ name }) => FOLLOWERS.has(name))) return null
    const text = address.toString()
    if (text.length > MAX_ADDRESS_CHARACTERS || !/^[\x21-\x7e]+$/.test(text)) return null
    return Buffer.compare(multiaddr(text).bytes, bytes) === 0 ? text : null
  } catch {
    // The multiaddr parser throws for every malformed input.
    return null
  }
}
