/** Multiaddrs and IP addresses as this module needs them: as strings. */
import { isIP, isIPv4, isIPv6 } from 'node:net'
import { isPublic } from './public-hosts.ts'
import type { Transport } from './service.ts'

export function transportOf(address: string): Transport {
  if (address.includes('/p2p-circuit')) return 'relay'
  return /\/wss?(\/|$)/.test(address) ? 'websocket' : 'tcp'
}

/** The host part: an IP address or a DNS name; `null` when there is none. */
export function hostOf(address: string): string | null {
  const [, protocol, value] = address.split('/')
  return value !== undefined && /^(ip4|ip6|dns|dns4|dns6|dnsaddr)$/.test(protocol ?? '') ? value : null
}

/** The peer id the address ends with; `null` when it names none. */
export function peerIdOf(address: string): string | null {
  return /\/p2p\/([1-9A-HJ-NP-Za-km-z]+)$/.exec(address)?.[1] ?? null
}

/** The address with the peer id at its end, so that whoever answers must prove to be that peer. */
export function withPeerId(address: string, peerId: string): string {
  return peerIdOf(address) === null ? `${address.replace(/\/$/, '')}/p2p/${peerId}` : address
}

/** `::ffff:192.0.2.1` and `fe80::1%eth0` without their additions. */
export function plainIp(ip: string): string {
  const bare = ip.split('%')[0] ?? ip
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(bare)?.[1]
  return mapped ?? bare.toLowerCase()
}

/** The network that one user of the Internet usually holds: /24 of IPv4, /64 of IPv6. */
export function networkOf(ip: string): string {
  if (isIPv4(ip)) return `${ip.split('.').slice(0, 3).join('.')}.0/24`
  return isIPv6(ip) ? `${expandIpv6(ip).slice(0, 4).join(':')}::/64` : ip
}

/**
 * Whom the limits of one address take an address for: one host of IPv6 has all of its /64 to choose from. Link-local
 * addresses are those of many hosts under one /64.
 */
export function sourceOf(ip: string): string {
  return isIPv6(ip) && !isLoopback(ip) && !/^fe[89ab]/i.test(ip) ? networkOf(ip) : ip
}

export function isLoopback(ip: string): boolean {
  return ip.startsWith('127.') || ip === '::1'
}

/** The peer id of the relay in the address of a relayed path; `null` for other addresses. */
export function relayOf(address: string): string | null {
  return /\/p2p\/([1-9A-HJ-NP-Za-km-z]+)\/p2p-circuit/.exec(address)?.[1] ?? null
}

/** Public addresses first, then private ones, loopback, relays last; TCP before WebSocket; else as given. */
export function mostReachableFirst(addresses: readonly string[]): string[] {
  const rank = (address: string): number => {
    if (transportOf(address) === 'relay') return 6
    const host = hostOf(address)
    const distance = host === null || isIP(host) === 0 || isPublic(host) ? 0 : isLoopback(host) ? 2 : 1
    return distance * 2 + (transportOf(address) === 'tcp' ? 0 : 1)
  }
  return addresses.toSorted((a, b) => rank(a) - rank(b))
}

/** One spelling for each address. */
export function canonicalIp(ip: string): string {
  const plain = plainIp(ip)
  return isIPv6(plain) ? expandIpv6(plain).join(':') : plain
}

/** The eight groups of an IPv6 address, without leading zeros. */
function expandIpv6(ip: string): string[] {
  const [head = '', tail] = ip.split('::')
  const left = head === '' ? [] : head.split(':')
  const right = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - left.length - right.length)
  return [...left, ...Array<string>(zeros).fill('0'), ...right].map((group) => Number.parseInt(group, 16).toString(16))
}
