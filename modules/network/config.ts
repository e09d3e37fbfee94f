/** The configuration of the network module. */
import { multiaddr } from '@multiformats/multiaddr'
import { isIP } from 'node:net'
import { z } from 'zod'
import { serverOf } from './dns/resolver.ts'
import { MAPPING_PROTOCOLS } from './reach/mapping-protocols.ts'
import { MAX_STUN_SERVERS } from './reach/stun-servers.ts'
import type { DnsResolverOptions } from './dns/resolver.ts'

const count = (fallback: number, description: string) =>
  z.number().int().min(1).max(1_000_000).default(fallback).describe(description)
const milliseconds = (fallback: number, description: string) =>
  z.number().int().min(10).max(3_600_000).default(fallback).describe(description).meta({ unit: 'ms' })

const limits = z
  .strictObject({
    maxConnections: count(512, 'open connections, incoming and outgoing together'),
    maxConnectionsPerPeer: count(8, 'open connections to one peer'),
    maxConnectionsPerAddress: count(64, 'open incoming connections from one IP address, or one /64 of IPv6'),
    maxStreamsPerConnection: count(256, 'streams the peer, and as many this node, may have open on one connection'),
    maxSilentPerNetwork: count(64, 'connections of one network (/24 or /64) that have sent nothing yet'),
    maxSilent: count(1_024, 'connections that have sent nothing yet'),
    maxHandshakesPerNetwork: count(32, 'handshakes under way with one network (/24 or /64)'),
    maxHandshakes: count(256, 'handshakes under way'),
    handshakesPerSecondPerAddress: count(
      10,
      'handshakes one IP address, or one /64 of IPv6, may begin in a second',
    ).meta({ unit: '1/s' }),
    handshakesPerSecondFromLoopback: count(1_000, 'the same for programs of this machine').meta({ unit: '1/s' }),
  })
  .prefault({})
  .describe('what others may cost this node')

const relay = z
  .strictObject({
    use: z
      .array(z.string().min(1).refine(isPeerAddress, 'not an address that ends in /p2p/<peer id>'))
      .max(8)
      .default([])
      .describe('addresses of relays to reserve a place at, so that peers reach this node behind a NAT'),
    useContacts: z
      .boolean()
      .default(true)
      .describe('also contacts that serve as relays, while this node is not known to be reachable directly'),
    serve: z.boolean().default(false).describe('whether this node passes connections of others on, as a relay'),
    maxReservations: count(64, 'peers that may be reached through this node'),
    maxCircuits: count(128, 'relayed connections at a time'),
    maxCircuitsPerPeer: count(8, 'relayed connections one peer may open at a time'),
    circuitSeconds: z
      .number()
      .int()
      .min(0)
      .max(604_800)
      .default(3_600)
      .describe('after so long a relayed connection is cut; 0: never')
      .meta({ unit: 's' }),
    circuitBytes: z
      .number()
      .int()
      .min(0)
      .default(1024 * 1024 * 1024)
      .describe('after so much, both ways together, a relayed connection is cut; 0: never')
      .meta({ unit: 'bytes' }),
    reservationSeconds: z
      .number()
      .int()
      .min(60)
      .max(86_400)
      .default(3_600)
      .describe('how long a reservation lasts when it is not renewed')
      .meta({ unit: 's' }),
  })
  .prefault({})
  .describe('relays: reaching this node, and others through it')

const dns = z
  .strictObject({
    servers: z
      .array(z.string().min(1).max(64).refine(isServer, 'not an IP address, with or without a port: 192.0.2.1:53'))
      .max(3)
      .default([])
      .describe('resolvers to ask for names of nodes; none: those of the system'),
    https: z
      .string()
      .max(256)
      .refine(isHttps, 'not an address such as https://resolver.example.org/dns-query')
      .optional()
      .describe('a resolver to ask over HTTPS (RFC 8484) in place of all others'),
    timeoutMs: milliseconds(5_000, 'for one question'),
  })
  .prefault({})
  .describe('names in addresses such as /dnsaddr/example.org/p2p/<peer id>')

export const networkConfig = z.strictObject({
  listen: z
    .array(z.string().min(1).refine(canListen, 'not an address such as /ip4/0.0.0.0/tcp/4001, with /ws for WebSocket'))
    .optional()
    .describe(
      'multiaddrs to listen at; when not given, TCP 4001 and WebSocket 4002 at all addresses, or free ports when taken',
    ),
  announce: z
    .array(z.string().min(1).refine(isMultiaddr, 'not a multiaddr such as /dns4/example.org/tcp/4001'))
    .default([])
    .describe('multiaddrs to tell others in place of the ones found'),
  clusterSecretFile: z
    .string()
    .min(1)
    .optional()
    .describe('file, readable by its owner only, with a secret of at least 16 characters; only nodes with it connect'),
  clusterSecret: z
    .string()
    .min(16)
    .optional()
    .describe('the cluster secret itself; prefer clusterSecretFile')
    .meta({ isSecret: true }),
  bufferBudgetBytes: z
    .number()
    .int()
    .min(1024 * 1024)
    .default(64 * 1024 * 1024)
    .describe('bytes that arrived and were not read, or wait to be sent, over all peers; one peer may hold a quarter')
    .meta({ unit: 'bytes' }),
  native: z
    .enum(['auto', 'off', 'epoll', 'stock'])
    .default('auto')
    .describe(
      'the stack of TCP connections: auto takes the native one where the machine allows it, epoll the native one without io_uring, off the one in TypeScript, stock that of libp2p, for comparison; NZ_NATIVE=1, epoll, 0 or stock says the same',
    ),
  portMapping: z
    .boolean()
    .default(false)
    .describe(
      'whether to ask the router for a port, of the same number where it is free, and to give it back at the end',
    ),
  portMappingBy: z
    .array(z.enum(MAPPING_PROTOCOLS))
    .max(MAPPING_PROTOCOLS.length)
    .default([...MAPPING_PROTOCOLS])
    .describe('the protocols to ask the router by, in this order, until one gives a port'),
  portMappingSeconds: z
    .number()
    .int()
    .min(20)
    .max(86_400)
    .default(7_200)
    .describe('how long a port of the router is asked for; it is asked for again at half of what was given')
    .meta({ unit: 's' }),
  stun: z
    .array(z.string().min(3).max(256).refine(isHostAndPort, 'not a host and its port: stun.example.org:3478'))
    .max(MAX_STUN_SERVERS)
    .default([])
    .describe('STUN servers to ask what the NAT does with datagrams (RFC 5780); none: it is not asked'),
  relay,
  dns,
  handshakeTimeoutMs: milliseconds(10_000, 'from the open connection to the proven peer id, whoever has dialled'),
  dialTimeoutMs: milliseconds(10_000, 'for one address of a peer, until the connection is open'),
  keepAliveIntervalMs: milliseconds(15_000, 'between two pings of an open connection'),
  keepAliveTimeoutMs: milliseconds(
    10_000,
    'for the answer to a ping; two missing answers end a connection over which nothing else comes, more where answers were slow before',
  ),
  limits,
})

export type NetworkConfig = z.output<typeof networkConfig>

/** What the resolver is told of it. */
export function dnsOptionsOf({ dns: { servers, https, timeoutMs } }: NetworkConfig): DnsResolverOptions {
  return { servers, https: https ?? null, timeoutMs }
}

function isHostAndPort(text: string): boolean {
  const [, port] = /^[a-zA-Z0-9._-]+:(\d{1,5})$/.exec(text) ?? []
  return port !== undefined && Number(port) > 0 && Number(port) < 65_536
}

function isServer(text: string): boolean {
  const { host, port } = serverOf(text)
  return isIP(host) !== 0 && port > 0 && port < 65_536
}

function isHttps(text: string): boolean {
  return URL.canParse(text) && new URL(text).protocol === 'https:' && new URL(text).username === ''
}

/** The transports of this node listen at TCP ports. */
function canListen(text: string): boolean {
  return isMultiaddr(text) && /^\/(?:ip4|ip6|dns|dns4|dns6)\/[^/]+\/tcp\/\d+(?:\/ws)?$/.test(text)
}

function isPeerAddress(text: string): boolean {
  return isMultiaddr(text) && /\/p2p\/[1-9A-HJ-NP-Za-km-z]+$/.test(text) && !text.includes('/p2p-circuit')
}

function isMultiaddr(text: string): boolean {
  try {
    multiaddr(text)
    return true
  } catch {
    return false
  }
}
