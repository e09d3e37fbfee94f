/**
 * Which IP addresses the whole Internet reaches: those that IANA's registries of special-purpose addresses (RFC 6890, as
 * of 2026) leave as globally reachable unicast. libp2p's own list (@libp2p/utils) matches IPv6 by spelling and misses
 * `2001:db8:0:1::1`, `3fff::` and all of multicast, so Node's matcher of ranges is used.
 */
import { BlockList, isIPv4, isIPv6 } from 'node:net'

const SPECIAL_IPV4 = [
  ['0.0.0.0', 8], // this network, RFC 791
  ['10.0.0.0', 8], // private, RFC 1918
  ['100.64.0.0', 10], // shared by a provider's NAT, RFC 6598
  ['127.0.0.0', 8], // loopback, RFC 1122
  ['169.254.0.0', 16], // link-local, RFC 3927
  ['172.16.0.0', 12], // private, RFC 1918
  ['192.0.0.0', 24], // protocol assignments, RFC 6890
  ['192.0.2.0', 24], // documentation, RFC 5737
  ['192.88.99.0', 24], // 6to4 relays, withdrawn, RFC 7526
  ['192.168.0.0', 16], // private, RFC 1918
  ['198.18.0.0', 15], // benchmarks, RFC 2544
  ['198.51.100.0', 24], // documentation, RFC 5737
  ['203.0.113.0', 24], // documentation, RFC 5737
  ['224.0.0.0', 4], // multicast, RFC 1112
  ['240.0.0.0', 4], // reserved, and broadcast, RFC 1112, RFC 8190
] as const

/** Within 2000::/3, beyond which nothing is assigned as global unicast (RFC 4291 §2.4). */
const SPECIAL_IPV6 = [
  ['2001::', 23], // protocol assignments with Teredo and ORCHID, RFC 2928
  ['2001:db8::', 32], // documentation, RFC 3849
  ['2002::', 16], // 6to4, withdrawn, RFC 7526
  ['3fff::', 20], // documentation, RFC 9637
] as const

const special = new BlockList()
for (const [address, bits] of SPECIAL_IPV4) special.addSubnet(address, bits, 'ipv4')
for (const [address, bits] of SPECIAL_IPV6) special.addSubnet(address, bits, 'ipv6')
const globalUnicast = new BlockList()
globalUnicast.addSubnet('2000::', 3, 'ipv6')

/** Whether `host` is an address that every machine of the Internet may send to; never so for names. */
export function isPublic(host: string): boolean {
  if (isIPv4(host)) return !special.check(host, 'ipv4')
  return isIPv6(host) && globalUnicast.check(host, 'ipv6') && !special.check(host, 'ipv6')
}
