/**
 * What others may know of `network`: peers, connections, streams and requests. libp2p stays behind it.
 * Peers are named by libp2p peer id (base58btc), addresses are multiaddr strings.
 */
import { z } from 'zod'
import { defineErrors, defineEvents, defineService } from '../../kernel/index.ts'

import type { BackendChoice } from './backend-choice.ts'
import type { Detour, DetourEnd } from './detour.ts'
import type { FoundNodes } from './dns/node-names.ts'
import type { Backend, MuxerCounters } from './muxer/backend.ts'
import type { Reachability } from './reach/report.ts'

export type { BackendChoice } from './backend-choice.ts'
export type { Detour, DetourEnd } from './detour.ts'
export { multistreamErrors } from '../../protocols/multistream/errors.ts'
export { OFFLINE, unknownReach } from './reach/report.ts'
export type { DirectTries, Reachability, RelayInUse, RelayServing } from './reach/report.ts'
export { noiseErrors } from '../../protocols/noise/errors.ts'
export { muxerErrors } from '../../protocols/yamux/errors.ts'
export { dnsErrors } from './dns/errors.ts'
export type { FoundNodes } from './dns/node-names.ts'
export { pathErrors } from './path-errors.ts'

export type Transport = 'tcp' | 'websocket' | 'relay' | 'route'

/** One connection to a peer. */
export interface PeerPath {
  readonly address: string
  readonly transport: Transport
  /** The neighbour it begins with, for a path through other nodes that stands just now; else `null`. */
  readonly via: string | null
  readonly direction: 'inbound' | 'outbound'
  /** The stack that moves its bytes. */
  readonly backend: Backend
  readonly openedAtMs: number
  readonly streams: number
  readonly txBytes: number
  readonly rxBytes: number
  /** What its muxer counts; `null`: nothing. */
  readonly muxer: MuxerCounters | null
  /** What the relay lets pass before it cuts; `null` for a direct path, and when the relay set no bounds. */
  readonly limit: { readonly bytesLeft: number | null; readonly secondsLeft: number | null } | null
}

export interface Peer {
  readonly peerId: string
  readonly state: 'connected' | 'reconnecting' | 'disconnected'
  /** Last measured round trip; `null` before the first. */
  readonly rttMs: number | null
  readonly connectedAtMs: number | null
  readonly paths: readonly PeerPath[]
  readonly agent: string | null
  /** Whether the node keeps this connection up by itself. */
  readonly isKept: boolean
}

/** One try to reach one address: what the ledger keeps, newest last, bounded per peer. */
export interface DialAttempt {
  readonly atMs: number
  readonly address: string
  readonly transport: Transport
  /** How far it came. */
  readonly stage: 'resolve' | 'connect' | 'secure' | 'mux' | 'identify' | 'open'
  readonly durationMs: number
  /** `null` when it succeeded, else a stable code such as `NZ_NETWORK_REFUSED`. */
  readonly code: string | null
  /** Whether both sides dialled at the same time from their listening ports, to pierce NATs. */
  readonly isPunch: boolean
}

/** A stream of bytes to one peer with true back-pressure. Half-close is supported. */
/** What is done with bytes of a stream; they are another's once the call returns. A promise makes the peer wait. */
export type UseBytes = (bytes: Uint8Array) => Promise<void> | void

export interface PeerStream {
  readonly peerId: string
  readonly protocol: string
  /** Aborts when the stream ends in any way. */
  readonly signal: AbortSignal
  /**
   * Resolves when there is room for more. Writes go out in the order of the calls, waited for or not. The bytes may not
   * be changed afterwards: they are not copied.
   *
   * @throws NZ_NETWORK_STREAM_RESET
   */
  write(bytes: Uint8Array, options?: { readonly signal?: AbortSignal }): Promise<void>
  /** As many writes, for the price of one wait. */
  writeMany(parts: Iterable<Uint8Array>, options?: { readonly signal?: AbortSignal }): Promise<void>
  /**
   * Reads until the peer has closed its side, without a copy where there need be none. One reader at a time.
   *
   * @throws NZ_NETWORK_STREAM_RESET, and what `use` throws; the stream can still be read then
   */
  consume(use: UseBytes, options?: { readonly signal?: AbortSignal }): Promise<void>
  /** The next bytes, at least 1, the caller's to keep; `null` after the peer closed its side. @throws NZ_NETWORK_STREAM_RESET */
  read(options?: { readonly signal?: AbortSignal }): Promise<Uint8Array | null>
  /** Says that no more bytes follow; reading goes on. */
  closeWrite(options?: { readonly signal?: AbortSignal }): Promise<void>
  /** Ends both sides in order. */
  close(options?: { readonly signal?: AbortSignal }): Promise<void>
  /** Ends both sides at once; the peer sees a reset. Idempotent. */
  reset(): void
}

/** Runs for each incoming stream; when it returns or throws the stream is closed or reset. */
export type StreamHandler = (stream: PeerStream, options: { readonly signal: AbortSignal }) => Promise<void>

/** Answers one request; payloads are at most `maxRequestBytes`. Throw an `NzError` to answer with its code. */
export type RequestHandler = (
  payload: Uint8Array,
  options: { readonly peerId: string; readonly signal: AbortSignal },
) => Promise<Uint8Array>

export interface NetworkCounters {
  readonly connectionsOpened: number
  readonly connectionsRefused: Readonly<Record<string, number>>
  readonly handshakesEvicted: number
  readonly bufferedBytes: number
  readonly bufferBudgetBytes: number
  readonly txBytes: number
  readonly rxBytes: number
}

/** Says where a peer may be reached; asked when what is known does not lead to it. Throws when it cannot say. */
export type AddressSource = (peerId: string, options: { readonly signal: AbortSignal }) => Promise<readonly string[]>

export interface NetworkService {
  readonly peerId: string
  /** Addresses this node can be dialled at, with `/p2p/<peerId>`, most reachable first. */
  addresses(): readonly string[]
  peers(): readonly Peer[]
  peer(peerId: string): Peer | undefined
  /**
   * Connects, or returns the peer when it is connected. Tries `addresses` and what is known, then, unless `isDirect`,
   * what the address sources say. @throws NZ_NETWORK_UNREACHABLE
   */
  connect(
    peerId: string,
    options: { readonly addresses?: readonly string[]; readonly isDirect?: boolean; readonly signal: AbortSignal },
  ): Promise<Peer>
  /** The nodes that DNS knows at a name. @throws NZ_DNS_NAME_INVALID, NZ_DNS_NO_NODE, NZ_DNS_FAILED */
  findByName(name: string, options: { readonly signal: AbortSignal }): Promise<FoundNodes>
  /** Asks `source` for addresses of peers that cannot be reached, until `signal` aborts. */
  addAddressSource(source: AddressSource, options: { readonly signal: AbortSignal }): void
  /** Closes every connection to the peer and stops keeping it. */
  disconnect(peerId: string, options: { readonly signal: AbortSignal }): Promise<void>
  /** Keeps a connection to the peer: reconnects with jittered back-off until `release` is called. */
  keep(peerId: string, addresses: readonly string[]): { release(): void }
  /** Round-trip time in milliseconds. */
  ping(peerId: string, options: { readonly signal: AbortSignal }): Promise<number>
  attempts(peerId: string): readonly DialAttempt[]
  /**
   * Opens a stream; connects first when the peer is not connected and an address of it is known.
   *
   * @throws NZ_NETWORK_NOT_CONNECTED when no address is known, NZ_NETWORK_UNREACHABLE, NZ_NETWORK_PROTOCOL_UNKNOWN
   */
  openStream(peerId: string, protocol: string, options: { readonly signal: AbortSignal }): Promise<PeerStream>
  /** Serves `protocol` until `signal` aborts. At most `maxStreamsPerPeer` at once (default 32). */
  handleStreams(
    protocol: string,
    handler: StreamHandler,
    options: { readonly signal: AbortSignal; readonly maxStreamsPerPeer?: number },
  ): void
  /**
   * One call over the framed request stream of the peer; many calls are in flight on one stream. Connects like
   * `openStream`. A peer's `NzError` arrives with its code when this node knows the code.
   *
   * @throws NZ_NETWORK_METHOD_UNKNOWN, NZ_NETWORK_REQUEST_FAILED, NZ_NETWORK_REQUEST_TOO_LARGE, and what the peer throws
   */
  request(
    peerId: string,
    method: string,
    payload: Uint8Array,
    options: { readonly signal: AbortSignal },
  ): Promise<Uint8Array>
  handleRequests(method: string, handler: RequestHandler, options: { readonly signal: AbortSignal }): void
  /** Refuses peers (by peer id) and addresses (IP or CIDR), now and later; open connections are closed. */
  block(subject: string): Promise<void>
  unblock(subject: string): Promise<void>
  blocked(): readonly string[]
  /**
   * Refuses also the peers that `isRefused` says, in both directions, until `signal` aborts. It is asked at every
   * connection: quick, without side effects. Open connections stay: `disconnect` ends them.
   */
  refusePeers(isRefused: (peerId: string) => boolean, options: { readonly signal: AbortSignal }): void
  /** Whether the peer is blocked or refused. */
  isRefused(peerId: string): boolean
  /**
   * Reaches peers by `detour` where no connection does: `connect`, `openStream`, `request` and `ping` use it, and what
   * it brings in is served like streams of connections. One at a time, until `signal` aborts.
   */
  useDetour(detour: Detour, options: { readonly signal: AbortSignal }): DetourEnd
  counters(): NetworkCounters
  /** Which stack new TCP connections get, and why. */
  backend(): BackendChoice
  reachability(): Reachability
}

export const NetworkService = defineService<NetworkService>('network')

export const networkEvents = defineEvents('network', {
  listening: z.strictObject({ addresses: z.array(z.string()) }),
  peerConnected: z.strictObject({
    peerId: z.string(),
    address: z.string(),
    direction: z.enum(['inbound', 'outbound']),
    backend: z.enum(['io_uring', 'epoll', 'typescript', 'libp2p']),
  }),
  peerDisconnected: z.strictObject({ peerId: z.string() }),
  connectionClosed: z.strictObject({
    peerId: z.string(),
    address: z.string(),
    backend: z.enum(['io_uring', 'epoll', 'typescript', 'libp2p']),
    durationMs: z.number(),
    txBytes: z.number(),
    rxBytes: z.number(),
    /** `MuxerCounters` */
    muxer: z.record(z.string(), z.number().nullable()).nullable(),
  }),
  /** A relayed connection has used up most of what the relay lets pass; it is cut at the bound. */
  relayLimitNear: z.strictObject({
    peerId: z.string(),
    address: z.string(),
    bytesLeft: z.number().nullable(),
    secondsLeft: z.number().nullable(),
  }),
  connectionRefused: z.strictObject({ address: z.string(), reason: z.string() }),
})

export const networkErrors = defineErrors({
  NZ_NETWORK_UNREACHABLE: {
    message: 'the peer cannot be reached',
    fix: ['nzcore doctor', 'check that the peer runs: nzcore status (on its machine)'],
    status: 502,
    exit: 'unreachable',
    retryable: true,
  },
  NZ_NETWORK_NOT_CONNECTED: {
    message: 'the peer is not connected',
    fix: ['nzcore connect <peer>'],
    status: 409,
    exit: 'unreachable',
    retryable: true,
  },
  NZ_NETWORK_PROTOCOL_UNKNOWN: {
    message: 'the peer does not speak this protocol',
    fix: ['update the node on the other machine: nzcore version'],
    status: 502,
    exit: 'incompatible',
    retryable: false,
  },
  NZ_NETWORK_METHOD_UNKNOWN: {
    message: 'the peer does not answer this request',
    fix: ['update the node on the other machine: nzcore version'],
    status: 502,
    exit: 'incompatible',
    retryable: false,
  },
  NZ_NETWORK_REQUEST_FAILED: {
    message: 'the peer could not answer the request',
    fix: ['try again', 'look at the log of the other machine: nzcore logs'],
    status: 502,
    exit: 'failed',
    retryable: true,
  },
  NZ_NETWORK_REQUEST_TOO_LARGE: {
    message: 'a request or its answer is larger than it may be',
    fix: ['send large data over a stream'],
    status: 413,
    exit: 'failed',
    retryable: false,
  },
  NZ_NETWORK_BLOCKED: {
    message: 'the peer or its address is blocked',
    fix: ['nzcore blocked', 'nzcore unblock <peer|address>'],
    status: 403,
    exit: 'refusedByTrust',
    retryable: false,
  },
  NZ_NETWORK_REFUSED: {
    message: 'the host answered that nothing listens there',
    fix: ['start the node on the other machine: nzcore up', 'check the port of the address'],
    status: 502,
    exit: 'unreachable',
    retryable: true,
  },
  NZ_NETWORK_NO_ROUTE: {
    message: 'there is no way to the address',
    fix: ['check this machine’s network connection', 'nzcore doctor'],
    status: 502,
    exit: 'unreachable',
    retryable: true,
  },
  NZ_NETWORK_TIMEOUT: {
    message: 'the peer did not answer in time',
    fix: ['try again', 'check that no firewall drops packets to the address: nzcore doctor'],
    status: 504,
    exit: 'timedOut',
    retryable: true,
  },
  NZ_NETWORK_CONNECT_FAILED: {
    message: 'the connection to the address could not be opened',
    fix: ['nzcore doctor', 'check the address'],
    status: 502,
    exit: 'unreachable',
    retryable: true,
  },
  NZ_NETWORK_WRONG_PEER: {
    message: 'another peer answered at the address',
    fix: ['ask the peer for its present addresses', 'remove the old contact and join again if its identity is new'],
    status: 502,
    exit: 'unreachable',
    retryable: false,
  },
  NZ_NETWORK_HANDSHAKE_FAILED: {
    message: 'the host answered, but no secure connection came about',
    fix: ['check that the address belongs to a node', 'a node with a cluster secret answers only nodes that have it'],
    status: 502,
    exit: 'unreachable',
    retryable: true,
  },
  NZ_NETWORK_PNET_MISMATCH: {
    message: 'the host does not seem to have this node’s cluster secret',
    fix: ['give both nodes the same cluster secret: nzcore config explain network.clusterSecretFile'],
    status: 502,
    exit: 'unreachable',
    retryable: false,
  },
  NZ_NETWORK_RELAY_REFUSED: {
    message: 'the relay did not pass the connection on',
    fix: ['check that the peer runs and has a place at the relay: nzcore reachability (on its machine)', 'try again'],
    status: 502,
    exit: 'unreachable',
    retryable: true,
  },
  NZ_NETWORK_LIMITED: {
    message: 'a limit on connections or streams was reached',
    fix: ['close connections that are not needed', 'nzcore config explain network.limits'],
    status: 503,
    exit: 'unreachable',
    retryable: true,
  },
  NZ_NETWORK_PEER_INVALID: {
    message: 'that is not a peer one can connect to',
    fix: ['copy the id again: nzcore id (on the other machine)'],
    status: 400,
    exit: 'usage',
    retryable: false,
  },
  NZ_NETWORK_ADDRESS_INVALID: {
    message: 'that is not an address this node can use',
    fix: ['addresses look like /ip4/192.0.2.7/tcp/4001 or /dns4/example.org/tcp/4002/ws'],
    status: 400,
    exit: 'usage',
    retryable: false,
  },
  NZ_NETWORK_NOT_BLOCKED: {
    message: 'that peer or address is not blocked',
    fix: ['nzcore blocked'],
    status: 404,
    exit: 'notFound',
    retryable: false,
  },
  NZ_NETWORK_BLOCKLIST_DAMAGED: {
    message: 'the list of blocked peers cannot be read',
    fix: ['restore network-blocklist.json in the state folder from a backup, or remove it to block nobody'],
    status: 500,
    exit: 'damaged',
    retryable: false,
  },
  NZ_NETWORK_CLUSTER_SECRET: {
    message: 'the cluster secret cannot be used',
    fix: ['chmod 600 data.path', 'use at least 16 characters that nobody can guess'],
    status: 500,
    exit: 'permission',
    retryable: false,
  },
  NZ_NETWORK_LISTEN_FAILED: {
    message: 'the node cannot listen at its addresses',
    fix: ['nzcore config show --origin', 'choose other addresses: nzcore config set network.listen'],
    status: 500,
    exit: 'conflict',
    retryable: true,
  },
  NZ_NETWORK_STOPPED: {
    message: 'the network is not running',
    fix: ['nzcore status'],
    status: 503,
    exit: 'unreachable',
    retryable: true,
  },
  NZ_NETWORK_STREAM_RESET: {
    message: 'the stream was cut by the peer or the network',
    fix: ['try again; the node reconnects by itself'],
    status: 502,
    exit: 'unreachable',
    retryable: true,
  },
})
