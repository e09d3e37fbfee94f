/** Local API: peers, connections, attempts and the block list. */
import { z } from 'zod'
import { defineContract } from '../endpoint.ts'

const timeMs = z.number().describe('milliseconds since 1970')
const peerReference = z
  .string()
  .min(1)
  .max(512)
  .describe('contact name, nz1… id, peer id, beginning of an id, or an address that ends in /p2p/<peer id>')
const transport = z
  .enum(['tcp', 'websocket', 'relay', 'route'])
  .describe('route: through other nodes, see nzcore trace')
const roundTripMs = z.number().min(0).nullable()

export const Backend = z
  .enum(['io_uring', 'epoll', 'typescript', 'libp2p'])
  .describe('the stack that moves its bytes: native by io_uring or epoll, TypeScript, or stock libp2p')

const counted = z.number().min(0).nullable()

export const MuxerView = z
  .strictObject({
    rxWireBytes: counted.describe('sealed bytes read from the socket'),
    txWireBytes: counted.describe('sealed bytes written to the socket'),
    rxFrames: z.number().min(0),
    txFrames: z.number().min(0),
    rxRecords: z.number().min(0).describe('encrypted records'),
    txRecords: z.number().min(0),
    reads: counted.describe('pieces the system gave; with epoll a system call each'),
    writes: counted.describe('pieces the system took'),
    windowStalls: z.number().min(0).describe('how often a stream had bytes to send and no window'),
    droppedBytes: counted.describe('bytes for streams that were gone'),
  })
  .describe('what the stack of the connection counts; null where it does not')

export const PathView = z.strictObject({
  address: z.string().describe('multiaddr of the other end'),
  transport,
  via: z.string().nullable().describe('peer id of the first node of a route that stands just now; else null'),
  direction: z.enum(['inbound', 'outbound']),
  backend: Backend,
  openedAtMs: timeMs,
  streams: z.number().int().min(0),
  txBytes: z.number().min(0).describe('bytes of applications sent'),
  rxBytes: z.number().min(0).describe('bytes of applications received'),
  muxer: MuxerView.nullable(),
  limit: z
    .strictObject({
      bytesLeft: z.number().min(0).nullable().describe('bytes that may still pass; null: no bound'),
      secondsLeft: z.number().min(0).nullable().describe('seconds that are left; null: no bound'),
    })
    .nullable()
    .describe('what the relay of this path lets pass before it cuts; null for a direct path, or without bounds'),
})

export const PeerView = z.strictObject({
  peerId: z.string().describe('libp2p peer id, base58btc'),
  id: z.string().nullable().describe('nz1…; null when the peer id is not of an Ed25519 key'),
  name: z.string().nullable().describe('name in the address book; null when it is no contact'),
  state: z.enum(['connected', 'reconnecting', 'disconnected']),
  rttMs: roundTripMs.describe('last round-trip time in milliseconds'),
  connectedAtMs: timeMs.nullable(),
  agent: z.string().nullable().describe('what the peer says it runs; its own words'),
  isKept: z.boolean().describe('whether the node keeps this connection up by itself'),
  paths: z.array(PathView).describe('open connections, the one in use first'),
})

export const AttemptView = z.strictObject({
  atMs: timeMs,
  address: z.string(),
  transport,
  stage: z.enum(['resolve', 'connect', 'secure', 'mux', 'identify', 'open']).describe('how far it came'),
  durationMs: z.number().min(0),
  code: z.string().nullable().describe('null when it succeeded, else why not, such as NZ_NETWORK_REFUSED'),
  isPunch: z.boolean().describe('whether both sides dialled at once, to pierce the NATs between them'),
})

const DirectTriesView = z.strictObject({
  peerId: z.string(),
  name: z.string().nullable().describe('name in the contacts'),
  tries: z.number().int().min(0).describe('direct connections that did not come about'),
  nextTryAtMs: timeMs.nullable().describe('null while one is under way'),
})

const RelayUseView = z.strictObject({
  peerId: z.string(),
  name: z.string().nullable().describe('name in the contacts'),
  state: z.enum(['reserved', 'trying', 'refused']),
  code: z.string().nullable().describe('why there is no place yet'),
  expiresAtMs: timeMs.nullable().describe('when the reservation ends; it is renewed before'),
  isConfigured: z.boolean().describe('named by network.relay.use; else a contact that serves'),
  circuitSeconds: z.number().nullable().describe('after so long the relay cuts a connection; null: no bound known'),
  circuitBytes: z.number().nullable().describe('after so many bytes the relay cuts a connection; null: no bound known'),
})

const RelayServingView = z
  .strictObject({
    reservations: z.number().int(),
    maxReservations: z.number().int(),
    circuits: z.number().int().describe('relayed connections now'),
    maxCircuits: z.number().int(),
    circuitSeconds: z.number().int().describe('after so long one is cut; 0: never'),
    circuitBytes: z.number().int().describe('after so many bytes one is cut; 0: never'),
    carriedBytes: z.number(),
    refused: z.number().int(),
    cutBySeconds: z.number().int(),
    cutByBytes: z.number().int(),
  })
  .describe('what this node does for others as a relay')

const resolveErrors = ['NZ_CONTACTS_NOT_FOUND', 'NZ_CONTACTS_AMBIGUOUS'] as const
const connectErrors = [
  ...resolveErrors,
  'NZ_NETWORK_UNREACHABLE',
  'NZ_NETWORK_NOT_CONNECTED',
  'NZ_NETWORK_BLOCKED',
  'NZ_NETWORK_LIMITED',
  'NZ_NETWORK_TIMEOUT',
  'NZ_NETWORK_PEER_INVALID',
  'NZ_NETWORK_ADDRESS_INVALID',
  'NZ_NETWORK_STOPPED',
] as const
const peersParams = z.strictObject({
  all: z.boolean().default(false).describe('also peers that are neither connected nor kept'),
  limit: z.number().int().min(1).max(1000).default(100).describe('most peers to return'),
})
const blockSubject = z
  .string()
  .min(1)
  .max(128)
  .describe('peer id, nz1… id, contact name, IP address, or network such as 192.0.2.0/24')

export const networkContract = defineContract({
  peersList: {
    method: 'GET',
    path: '/peers',
    kind: 'call',
    summary: 'List the peers and how each is reached',
    command: ['peers'],
    schemaName: 'nz.peers/1',
    params: peersParams,
    result: z.strictObject({ peers: z.array(PeerView) }),
    capability: 'peers.read',
    errors: [],
  },
  peersWatch: {
    method: 'GET',
    path: '/peers/watch',
    kind: 'stream',
    summary: 'The list of peers, now and after each change',
    command: ['peers', 'watch'],
    schemaName: 'nz.peers/1',
    params: peersParams,
    result: z.strictObject({ peers: z.array(PeerView) }),
    capability: 'peers.read',
    errors: [],
  },
  peersShow: {
    method: 'GET',
    path: '/peers/show',
    kind: 'call',
    summary: 'One peer: its connections and the last attempts to reach it',
    command: ['peers', 'show'],
    positional: ['peer'],
    schemaName: 'nz.peer/1',
    params: z.strictObject({ peer: peerReference }),
    result: z.strictObject({ peer: PeerView, attempts: z.array(AttemptView) }),
    capability: 'peers.read',
    errors: resolveErrors,
  },
  networkReachability: {
    method: 'GET',
    path: '/network/reachability',
    kind: 'call',
    summary: 'How other peers reach this node, through which relays, and why so',
    command: ['reachability'],
    schemaName: 'nz.reachability/1',
    params: z.strictObject({}),
    result: z.strictObject({
      verdict: z
        .enum(['direct', 'punchable', 'relayed', 'unreachable', 'unknown'])
        .describe('direct; behind a NAT that can be pierced; only through relays; not at all; nobody has told enough'),
      why: z.string(),
      mapping: z
        .enum(['none', 'endpoint-independent', 'endpoint-dependent', 'unknown'])
        .describe('how a NAT maps the listening port (RFC 4787)'),
      filtering: z
        .enum(['endpoint-independent', 'address-dependent-at-most', 'address-and-port-dependent', 'unknown'])
        .describe('whom a NAT or firewall lets in (RFC 4787): anybody; hosts it has spoken to; only their very ports'),
      dialledBack: z
        .strictObject({
          reached: z.array(z.string()).describe('addresses at which a peer that was asked to has come in'),
          unreached: z.array(z.string()).describe('addresses at which several were asked to, and none came in'),
          helpers: z.number().int().describe('peers whose answers count'),
        })
        .describe('what came of asking peers to dial this node (AutoNAT v2)'),
      stun: z
        .array(
          z.strictObject({
            server: z.string(),
            state: z.enum(['trying', 'answered', 'silent']),
            address: z.string().nullable().describe('host and port at which the server sees a socket of this machine'),
            mapping: z.enum([
              'none',
              'endpoint-independent',
              'address-dependent',
              'address-and-port-dependent',
              'unknown',
            ]),
            filtering: z.enum(['endpoint-independent', 'address-dependent', 'address-and-port-dependent', 'unknown']),
          }),
        )
        .describe('what the NAT does with datagrams (RFC 5780), by the servers of network.stun'),
      observed: z.array(z.string()).describe('public addresses others see this node at'),
      observers: z.number().int().describe('peers that have said what they see'),
      canPunch: z.boolean().describe('whether dials can leave from the listening port'),
      addresses: z.array(z.string()).describe('multiaddrs this node can be dialled at'),
      portMapping: z
        .strictObject({
          state: z.enum(['mapped', 'trying', 'failed']),
          protocol: z.enum(['pcp', 'nat-pmp', 'upnp']).nullable().describe('by which the router gave it'),
          address: z.string().nullable().describe('multiaddr of the port of the router'),
          why: z.string(),
        })
        .nullable()
        .describe('null when the router is not asked for a port (network.portMapping)'),
      relays: z.array(RelayUseView).describe('relays at which this node has, or wants, a place'),
      serving: RelayServingView.nullable().describe('null when this node is no relay'),
      directTries: z.array(DirectTriesView).describe('relayed peers that this node leads to a direct connection'),
    }),
    capability: 'peers.read',
    errors: [],
  },
  dnsResolve: {
    method: 'GET',
    path: '/dns/resolve',
    kind: 'call',
    summary: 'Find the nodes that DNS knows at a name',
    command: ['dns', 'resolve'],
    positional: ['name'],
    schemaName: 'nz.dnsNodes/1',
    params: z.strictObject({
      name: z
        .string()
        .min(1)
        .max(253)
        .describe('such as example.org; TXT at _dnsaddr.<name>, SRV at _nzcore._tcp.<name>'),
    }),
    result: z.strictObject({
      name: z.string(),
      addresses: z.array(
        z.strictObject({
          address: z.string().describe('multiaddr'),
          peerId: z.string().nullable().describe('null: the record names no peer; whoever is dialled proves who it is'),
          source: z.enum(['txt', 'srv']),
        }),
      ),
      isAuthenticated: z
        .boolean()
        .describe('whether a resolver whose word cannot be forged on the way says that DNSSEC vouches for all of it'),
      refused: z.number().int().describe('records that are no address of a node'),
    }),
    capability: 'peers.read',
    errors: ['NZ_DNS_FAILED', 'NZ_DNS_NAME_INVALID', 'NZ_DNS_NO_NODE'],
  },
  peersAttempts: {
    method: 'GET',
    path: '/peers/attempts',
    kind: 'call',
    summary: 'What was tried to reach a peer, newest last',
    command: ['peers', 'attempts'],
    positional: ['peer'],
    schemaName: 'nz.attempts/1',
    params: z.strictObject({ peer: peerReference }),
    result: z.strictObject({ peerId: z.string(), attempts: z.array(AttemptView) }),
    capability: 'peers.read',
    errors: resolveErrors,
  },
  peersConnect: {
    method: 'POST',
    path: '/peers/connect',
    kind: 'call',
    summary: 'Connect to a peer',
    command: ['connect'],
    positional: ['peer'],
    schemaName: 'nz.connected/1',
    params: z.strictObject({
      peer: peerReference,
      addresses: z.array(z.string().min(1).max(512)).max(16).default([]).describe('multiaddrs to try first'),
      timeoutMs: z.number().int().min(1).max(120_000).default(30_000).describe('how long to try, in milliseconds'),
    }),
    result: z.strictObject({ peer: PeerView }),
    capability: 'peers.write',
    errors: connectErrors,
  },
  peersDisconnect: {
    method: 'POST',
    path: '/peers/disconnect',
    kind: 'call',
    summary: 'Close the connections to a peer and stop keeping them',
    command: ['disconnect'],
    positional: ['peer'],
    schemaName: 'nz.peer/1',
    params: z.strictObject({ peer: peerReference }),
    result: z.strictObject({ peer: PeerView, attempts: z.array(AttemptView) }),
    capability: 'peers.write',
    errors: resolveErrors,
  },
  peersPing: {
    method: 'GET',
    path: '/peers/ping',
    kind: 'stream',
    summary: 'Measure round trips to a peer; one running summary for each ping',
    command: ['ping'],
    positional: ['peer'],
    schemaName: 'nz.ping/1',
    params: z.strictObject({
      peer: peerReference,
      count: z.number().int().min(1).max(100_000).default(4).describe('pings to send'),
      intervalMs: z.number().int().min(0).max(60_000).default(1_000).describe('between two pings'),
      timeoutMs: z.number().int().min(1).max(60_000).default(5_000).describe('for each answer'),
    }),
    result: z.strictObject({
      peerId: z.string(),
      name: z.string().nullable(),
      address: z.string().nullable().describe('multiaddr of the path in use'),
      transport: transport.nullable(),
      sent: z.number().int(),
      received: z.number().int(),
      lastMs: roundTripMs.describe('round trip of this ping; null when it was not answered'),
      minMs: roundTripMs,
      medianMs: roundTripMs,
      p99Ms: roundTripMs,
      maxMs: roundTripMs,
      pathChanges: z.number().int().describe('how often the path in use changed meanwhile'),
    }),
    capability: 'peers.write',
    errors: connectErrors,
  },
  peersBlock: {
    method: 'POST',
    path: '/peers/block',
    kind: 'call',
    summary: 'Refuse a peer, an address or a network, now and later',
    command: ['block'],
    positional: ['subject'],
    schemaName: 'nz.blocked/1',
    params: z.strictObject({ subject: blockSubject }),
    result: z.strictObject({ blocked: z.array(z.string()) }),
    capability: 'peers.write',
    errors: ['NZ_NETWORK_ADDRESS_INVALID', 'NZ_NETWORK_LIMITED', 'NZ_CONTACTS_AMBIGUOUS', 'NZ_STORAGE_READ_ONLY'],
  },
  peersUnblock: {
    method: 'POST',
    path: '/peers/unblock',
    kind: 'call',
    summary: 'Let a blocked peer, address or network in again',
    command: ['unblock'],
    positional: ['subject'],
    schemaName: 'nz.blocked/1',
    params: z.strictObject({ subject: blockSubject }),
    result: z.strictObject({ blocked: z.array(z.string()) }),
    capability: 'peers.write',
    errors: ['NZ_NETWORK_NOT_BLOCKED', 'NZ_NETWORK_ADDRESS_INVALID', 'NZ_CONTACTS_AMBIGUOUS', 'NZ_STORAGE_READ_ONLY'],
  },
  peersBlocked: {
    method: 'GET',
    path: '/peers/blocked',
    kind: 'call',
    summary: 'List what is refused',
    command: ['blocked'],
    schemaName: 'nz.blocked/1',
    params: z.strictObject({}),
    result: z.strictObject({ blocked: z.array(z.string()) }),
    capability: 'peers.read',
    errors: [],
  },
})
