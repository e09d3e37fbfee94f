/**
 * Which stack moves the bytes of a connection, and what a stack says of itself. The seam between the network module and
 * its muxers: the TypeScript one (this folder), the native one (../native-muxer) and stock js-libp2p.
 */
import type { StreamMuxer, StreamMuxerFactory } from '@libp2p/interface'

/** `io_uring` and `epoll`: the native session. `typescript`: this folder. `libp2p`: @libp2p/yamux and @libp2p/noise. */
export type Backend = 'io_uring' | 'epoll' | 'typescript' | 'libp2p'

/** Why the native session does not run. */
export type NativeRefusal =
  /** Switched off by NZ_NATIVE=0 or `network.native`. */
  | 'off'
  /** Not made for this operating system or processor. */
  | 'platform'
  /** The addon was neither built at install nor shipped. */
  | 'not-built'
  /** The addon is there and does not load. */
  | 'not-loadable'
  /** It loads, and the kernel or a seccomp profile refuses what it needs, epoll included. */
  | 'refused-by-system'

export type NativeProbe =
  | {
      readonly supported: true
      readonly backend: 'io_uring' | 'epoll'
      /** Why epoll where io_uring would be better, in words for an operator; `null` when it is the best there is. */
      readonly reason: string | null
    }
  | {
      readonly supported: false
      readonly code: NativeRefusal
      /** In words for an operator. */
      readonly reason: string
    }

/** What an operator may ask for (`network.native`, NZ_NATIVE): `stock` is for comparison. */
export type NativeChoice = 'auto' | 'off' | 'epoll' | 'stock'

export interface MuxerOptions {
  readonly maxInboundStreams: number
  readonly maxOutboundStreams: number
  /** Largest receive window of a stream, in bytes. */
  readonly maxStreamWindowBytes: number
}

/** What ../native-muxer offers. Loading it never throws: what is missing is the probe's answer. */
export interface NativeMuxer {
  probe(choice: 'auto' | 'epoll'): NativeProbe
  /** Takes over the connections it recognises; `fallback` gets all others. Call it only when the probe is positive. */
  factory(options: MuxerOptions & { readonly fallback: StreamMuxerFactory }): StreamMuxerFactory
}

/** What one connection's muxer counts since the connection was secured; `null`: it does not count that. */
export interface MuxerCounters {
  /** Sealed bytes read from the socket and written to it. */
  readonly rxWireBytes: number | null
  readonly txWireBytes: number | null
  readonly rxFrames: number
  readonly txFrames: number
  /** Encrypted records. */
  readonly rxRecords: number
  readonly txRecords: number
  /** Pieces the system gave and took: with epoll a system call each, with io_uring a completion. */
  readonly reads: number | null
  readonly writes: number | null
  /** How often a stream had bytes to send and no window. */
  readonly windowStalls: number
  /** Bytes for streams that were gone. */
  readonly droppedBytes: number | null
}

export interface DescribedMuxer {
  readonly backend: Backend
  counters?(): MuxerCounters
}

/**
 * By the array of its streams: the one object that a muxer and the libp2p connection above it both show
 * (`Connection.streams` is the muxer's own array).
 */
const described = new WeakMap<object, DescribedMuxer>()

/** A muxer calls it once, when it is made. */
export function describeMuxer({ streams }: Pick<StreamMuxer, 'streams'>, muxer: DescribedMuxer): void {
  described.set(streams, muxer)
}

/** The muxer of a connection; stock js-libp2p's when none has described itself. */
export function muxerOf({ streams }: { readonly streams: object }): DescribedMuxer {
  return described.get(streams) ?? { backend: 'libp2p' }
}
