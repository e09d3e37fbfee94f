/**
 * What others may know of `network`: peers, connections, streams and requests. libp2p stays behind it.
 * Peers are named by libp2p peer id (base58btc), addresses are multiaddr strings.
 */
import { z } from 'zod'
import { defineEvents, defineService } from '../../kernel/index.ts'

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
export { networkErrors } from './errors.ts'
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

/** What is done with bytes of a stream; they are another's once the call returns. A promise makes the peer wait. */
export type UseBytes = (bytes: Uint8Array) => Promise<void> | void

/** A stream of bytes to one peer with true back-pressure. Half-close is supported. */
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
  /** By reason. */
  readonly connectionsRefused: Readonly<Record<string, number>>
  readonly handshakesEvicted: number
  /** Of peers that have proven who they are, by reason. */
  readonly streamsRefused: Readonly<Record<string, number>>
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
