/** What the network asks of whoever reaches peers that no connection leads to, and what it is told. */
import type { PeerPath, PeerStream } from './service.ts'

/** Ways to peers that no connection leads to. Asked often: the questions are quick. */
export interface Detour {
  /** Whether a stream for `protocol` could be opened now. */
  reaches(peerId: string, protocol?: string): boolean
  /** @throws NZ_NETWORK_UNREACHABLE, NZ_NETWORK_PROTOCOL_UNKNOWN, NZ_NETWORK_LIMITED */
  openStream(peerId: string, protocol: string, options: { readonly signal: AbortSignal }): Promise<PeerStream>
  /** Peers that are reached just now. */
  peerIds(): readonly string[]
  /** How such a peer is reached; empty for others. */
  paths(peerId: string): readonly PeerPath[]
  rttMs(peerId: string): number | null
  /** Ends everything with the peer. */
  drop(peerId: string): void
}

/** What a detour tells the network. The peer ids are proven. */
export interface DetourEnd {
  /** An incoming stream: what serves it, to be called once, or why nothing does. */
  serve(stream: PeerStream): (() => void) | 'unknown' | 'refused'
  reached(peerId: string, path: PeerPath): void
  left(peerId: string): void
}
