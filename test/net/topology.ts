/**
 * A test network as one declarative object: segments (Ethernet switches with a subnet each), hosts on them, routers and
 * NATs between them, and what a link does to the frames that cross it. `lab.ts` builds it from network namespaces.
 */

/**
 * How a NAT maps and filters (RFC 4787 §4.1, §5):
 * - `full-cone`: mapping and filtering independent of the endpoint: whoever knows the mapping may use it
 * - `address-restricted`: mapping independent of the endpoint, filtering by the address of the other end
 * - `port-restricted`: mapping independent of the endpoint, filtering by address and port of the other end
 * - `symmetric`: another, random port for each destination, filtering by address and port
 *
 * Mappings keep the inside port. Two hosts behind one NAT that use the same port take it from each other.
 */
export type NatKind = 'full-cone' | 'address-restricted' | 'port-restricted' | 'symmetric'

/** What a link does to each frame, in both directions. Chances are percentages of frames. */
export interface Impairment {
  readonly delayMs?: number
  /** Added to the delay, evenly spread; on its own it reorders. */
  readonly jitterMs?: number
  readonly lossPercent?: number
  /** Mean count of frames lost in a row; 1 by default, which is loss without memory. */
  readonly lossBurst?: number
  /** Frames that overtake all others: they are not delayed. */
  readonly reorderPercent?: number
  readonly duplicatePercent?: number
  readonly kbitPerSecond?: number
  /** Same seed, same fate of the n-th frame. */
  readonly seed?: number
}

export interface Segment {
  /** Up to 200 hosts: `45.0.0.0/24`. Without it the segment is IPv6 only. */
  readonly subnet?: string
  /** `2a0e:1::/64`. */
  readonly subnet6?: string
}

interface Attached {
  /** Of its link to the segment; for a NAT the outside one. */
  readonly impairment?: Impairment
}

export interface Host extends Attached {
  readonly on: string
}

export interface Router {
  readonly on: readonly [string, string, ...string[]]
}

export interface Nat extends Attached {
  readonly inside: string
  readonly outside: string
  readonly kind: NatKind
  /** Whether hosts inside may ask it for port mappings (miniupnpd): by UPnP IGD, NAT-PMP and PCP, or by UPnP alone. */
  readonly hasPortMapping?: boolean | 'upnp'
}

export interface Topology {
  readonly segments: Readonly<Record<string, Segment>>
  readonly hosts: Readonly<Record<string, Host>>
  readonly routers?: Readonly<Record<string, Router>>
  readonly nats?: Readonly<Record<string, Nat>>
}

/** One interface of a machine. */
export interface Attachment {
  readonly machine: string
  readonly segment: string
  readonly address: string | null
  readonly address6: string | null
  readonly prefixLength: number
  readonly prefixLength6: number
  readonly impairment: Impairment | null
}

/** Everything of a topology that is worked out: who has which address and who asks whom for the way. */
export interface Plan {
  readonly machines: readonly string[]
  readonly attachments: readonly Attachment[]
  /** The machine that hosts of a segment send to when they know no other way. */
  readonly gatewayOf: ReadonlyMap<string, Attachment>
}

const FIRST_HOST = 10
const FIRST_GATEWAY = 1
const FIRST_OUTSIDE = 200

/** @throws when a name is used twice or names nothing, and when a segment has two gateways or no subnet at all */
export function planOf({ segments, hosts, routers = {}, nats = {} }: Topology): Plan {
  const machines = [...Object.keys(hosts), ...Object.keys(routers), ...Object.keys(nats)]
  if (new Set(machines).size !== machines.length) throw new Error(`a name is used twice: ${machines.join(', ')}`)
  for (const name of [...machines, ...Object.keys(segments)])
    if (!/^[a-z][a-z0-9-]{0,24}$/.test(name)) throw new Error(`not a name of a machine or segment: ${name}`)
  const attachments: Attachment[] = []
  const gatewayOf = new Map<string, Attachment>()
  const counts = new Map<string, number>()
  const attach = (machine: string, name: string, first: number, impairment: Impairment | null): Attachment => {
    const segment = segments[name]
    if (segment === undefined) throw new Error(`${machine} is on ${name}, which is no segment`)
    if (segment.subnet === undefined && segment.subnet6 === undefined) throw new Error(`${name} has no subnet`)
    const key = `${name} ${first}`
    const at = counts.get(key) ?? 0
    counts.set(key, at + 1)
    const made = attachmentOf(machine, name, segment, { last: first + at, impairment })
    attachments.push(made)
    return made
  }
  const serve = (gateway: Attachment): void => {
    if (gatewayOf.has(gateway.segment)) throw new Error(`${gateway.segment} has two gateways`)
    gatewayOf.set(gateway.segment, gateway)
  }
  for (const [name, { inside, outside, impairment }] of Object.entries(nats)) {
    serve(attach(name, inside, FIRST_GATEWAY, null))
    attach(name, outside, FIRST_OUTSIDE, impairment ?? null)
  }
  for (const [name, { on }] of Object.entries(routers))
    for (const segment of on) serve(attach(name, segment, FIRST_GATEWAY, null))
  for (const [name, { on, impairment }] of Object.entries(hosts)) attach(name, on, FIRST_HOST, impairment ?? null)
  return { machines, attachments, gatewayOf }
}

function attachmentOf(
  machine: string,
  segment: string,
  { subnet, subnet6 }: Segment,
  { last, impairment }: { readonly last: number; readonly impairment: Impairment | null },
): Attachment {
  const [network = '', length = '24'] = subnet?.split('/') ?? []
  const [network6 = '', length6 = '64'] = subnet6?.split('/') ?? []
  return {
    machine,
    segment,
    address: subnet === undefined ? null : `${network.split('.').slice(0, 3).join('.')}.${last}`,
    address6: subnet6 === undefined ? null : `${network6.replace(/::$/, '')}::${last}`,
    prefixLength: Number(length),
    prefixLength6: Number(length6),
    impairment,
  }
}
