/** Which networks this machine is in, to judge what an address of a peer can mean from here. */
import { BlockList, isIPv4, isIPv6 } from 'node:net'
import { networkInterfaces } from 'node:os'
import type { NetworkInterfaceInfo } from 'node:os'

export interface PlaceOfMachine {
  /** Whether no interface is up that leads anywhere. */
  readonly isOffline: boolean
  /** Whether the multiaddr is of a private network that this machine has no address in. */
  readonly isElsewhere: (address: string) => boolean
}

/** Everything but the addresses that lead to one place only, wherever one is. */
const privateNetworks = networks([
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.168.0.0', 16],
  ['fc00::', 7],
  ['fe80::', 10],
])

export function placeOfMachine(interfaces: NodeJS.Dict<NetworkInterfaceInfo[]> = networkInterfaces()): PlaceOfMachine {
  const outward = Object.values(interfaces)
    .flatMap((list) => list ?? [])
    .filter(({ internal }) => !internal)
  const own = networks(
    outward.flatMap(({ cidr }): Network[] => {
      const [address = '', length] = cidr?.split('/') ?? []
      return length === undefined ? [] : [[address, Number(length)]]
    }),
  )
  return {
    // Every interface has a link-local address.
    isOffline: outward.every(({ address }) => /^fe[89ab]/i.test(address)),
    isElsewhere: (address) => {
      const host = address.split('/')[2] ?? ''
      return holds(privateNetworks, host) && !holds(own, host)
    },
  }
}

type Network = readonly [address: string, prefixLength: number]

function networks(list: readonly Network[]): BlockList {
  const found = new BlockList()
  for (const [address, length] of list) found.addSubnet(address, length, isIPv4(address) ? 'ipv4' : 'ipv6')
  return found
}

function holds(list: BlockList, host: string): boolean {
  if (isIPv4(host)) return list.check(host, 'ipv4')
  return isIPv6(host) && list.check(host, 'ipv6')
}
