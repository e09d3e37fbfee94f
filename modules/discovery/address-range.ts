/** Of addresses in records: the network they are in, and which of them may be dialled from here. */
import { isIPv4, isIPv6 } from 'node:net'

/** The host of a multiaddr: an IP address or a name. */
export function hostOfAddress(address: string): string | null {
  return /^\/(?:ip4|ip6|dns|dns4|dns6)\/([^/]+)/.exec(address)?.[1] ?? null
}

/** /24 of IPv4, /48 of IPv6, which is what one customer gets; `null` for private addresses and names, which say nothing. */
export function rangeOfAddress(address: string | undefined): string | null {
  const host = address === undefined ? null : hostOfAddress(address)
  if (host === null || isPrivateHost(host)) return null
  if (isIPv4(host)) return host.split('.').slice(0, 3).join('.')
  if (!isIPv6(host)) return null
  const [head = ''] = host.toLowerCase().split('::')
  return [...head.split(':'), '0', '0', '0'].slice(0, 3).join(':')
}

export function isLoopbackHost(host: string): boolean {
  return host.startsWith('127.') || host === '::1' || host === 'localhost'
}

function isPrivateHost(host: string): boolean {
  return (
    isLoopbackHost(host) ||
    /^(?:10|192\.168|169\.254|172\.(?:1[6-9]|2\d|3[01])|100\.(?:6[4-9]|[7-9]\d|1[01]\d|12[0-7]))\./.test(host) ||
    /^f[cd][0-9a-f]{2}:|^fe[89ab][0-9a-f]:/i.test(host)
  )
}

/**
 * What this node tells of itself: no loopback address, unless it has no other; without the peer id at the end.
 */
export function tellableAddresses(addresses: readonly string[], max: number): readonly string[] {
  const bare = addresses.map((address) => address.replace(/\/p2p\/[^/]+$/, ''))
  const elsewhere = bare.filter((address) => !isLoopbackHost(hostOfAddress(address) ?? ''))
  return [...new Set(elsewhere.length > 0 ? elsewhere : bare)].slice(0, max)
}

/** Strangers must not make this node knock at its own loopback services; nodes that are on loopback alone may meet there. */
export function dialableAddresses(addresses: readonly string[], own: readonly string[]): readonly string[] {
  const isAlone = own.length > 0 && own.every((address) => isLoopbackHost(hostOfAddress(address) ?? ''))
  return isAlone ? addresses : addresses.filter((address) => !isLoopbackHost(hostOfAddress(address) ?? ''))
}
