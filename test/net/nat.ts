/** The nft rules of each kind of NAT. */
import type { NatKind } from './topology.ts'

/** How long a mapping that no packet uses stays known to the NATs that look mappings up by themselves. */
const MAPPING_TIMEOUT_SECONDS = 300

export interface NatSides {
  /** Interface names. */
  readonly inside: string
  readonly outside: string
}

/**
 * `masquerade` keeps the port: the mapping does not depend on the endpoint, and connection tracking lets in nothing but
 * answers. The two more open kinds remember who sent from which port, and send what arrives for that port to it.
 */
export function natRules(kind: NatKind, { inside, outside }: NatSides): string {
  const letIn = {
    'full-cone': `iifname "${outside}" meta l4proto { tcp, udp } dnat to meta l4proto . th dport map @mapped`,
    'address-restricted': `iifname "${outside}" meta l4proto . th dport . ip saddr @spoken dnat to meta l4proto . th dport map @mapped`,
    'port-restricted': '',
    symmetric: '',
  }[kind]
  return `
table ip nzlab {
  map mapped {
    type inet_proto . inet_service : ipv4_addr
    flags dynamic, timeout
    timeout ${MAPPING_TIMEOUT_SECONDS}s
    size 65536
  }
  set spoken {
    type inet_proto . inet_service . ipv4_addr
    flags dynamic, timeout
    timeout ${MAPPING_TIMEOUT_SECONDS}s
    size 65536
  }
  chain input {
    type filter hook input priority 0; policy drop;
    iifname { "lo", "${inside}" } accept
    ct state established,related accept
    ip protocol icmp accept
  }
  chain forward {
    type filter hook forward priority 0; policy drop;
    iifname "${inside}" oifname "${outside}" meta l4proto { tcp, udp } update @mapped { meta l4proto . th sport : ip saddr }
    iifname "${inside}" oifname "${outside}" meta l4proto { tcp, udp } update @spoken { meta l4proto . th sport . ip daddr }
    iifname "${inside}" accept
    ct state established,related accept
    ct status dnat accept
  }
  chain prerouting {
    type nat hook prerouting priority -100;
    ${letIn}
  }
  chain postrouting {
    type nat hook postrouting priority 100;
    oifname "${outside}" masquerade${kind === 'symmetric' ? ' random,fully-random' : ''}
  }
}
`
}

/** Where miniupnpd puts its mappings; forwarded packets it has changed are let through above (`ct status dnat`). */
export const PORT_MAPPING_RULES = `
table inet nzmap {
  chain forward { type filter hook forward priority 10; jump miniupnpd; }
  chain miniupnpd { }
  chain prerouting { type nat hook prerouting priority -110; jump prerouting_miniupnpd; }
  chain prerouting_miniupnpd { }
  chain postrouting { type nat hook postrouting priority 90; jump postrouting_miniupnpd; }
  chain postrouting_miniupnpd { }
}
`

export function miniupnpdConfig(
  { inside, outside }: NatSides,
  { leaseFile, isUpnpAlone }: { readonly leaseFile: string; readonly isUpnpAlone: boolean },
): string {
  return `
ext_ifname=${outside}
listening_ip=${inside}
enable_natpmp=${isUpnpAlone ? 'no' : 'yes'}
enable_upnp=yes
secure_mode=yes
min_lifetime=10
max_lifetime=20
lease_file=${leaseFile}
notify_interval=30
system_uptime=yes
uuid=00000000-0000-4000-8000-000000000001
upnp_table_name=nzmap
upnp_nat_table_name=nzmap
upnp_forward_chain=miniupnpd
upnp_nat_chain=prerouting_miniupnpd
upnp_nat_postrouting_chain=postrouting_miniupnpd
allow 1-65535 0.0.0.0/0 1-65535
deny 0-65535 0.0.0.0/0 0-65535
`
}
