/** The open connections of each peer, with what moves over them. */
import { transportOf } from './address.ts'
import { muxerOf } from './muxer/backend.ts'
import { Libp2pPeerStream } from './peer-stream.ts'
import type { Connection, Stream } from '@libp2p/interface'
import type { Clock } from '../../kernel/index.ts'
import type { ByteAccount, ByteBudget } from './byte-budget.ts'
import type { PeerPath } from './service.ts'

export interface OpenPath {
  readonly connection: Connection
  readonly openedAtMs: number
  readonly streams: Set<Libp2pPeerStream>
  txBytes: number
  rxBytes: number
  /** Pings in a row that got no answer. */
  missedPings: number
}

interface ConnectedPeer {
  readonly account: ByteAccount
  readonly paths: OpenPath[]
  readonly lost: PromiseWithResolvers<void>
}

export interface PathsInit {
  readonly clock: Clock
  readonly budget: ByteBudget
  readonly onConnected: (peerId: string, path: OpenPath) => void
  /** A connection is over. */
  readonly onClosed: (peerId: string, path: OpenPath) => void
  readonly onDisconnected: (peerId: string) => void
}

export class Paths {
  readonly #init: PathsInit
  readonly #peers = new Map<string, ConnectedPeer>()
  readonly #totals = { opened: 0, txBytes: 0, rxBytes: 0 }

  constructor(init: PathsInit) {
    this.#init = init
  }

  /** Since the start; bytes are those of applications. */
  get totals(): { readonly opened: number; readonly txBytes: number; readonly rxBytes: number } {
    return { ...this.#totals }
  }

  peerIds(): readonly string[] {
    return [...this.#peers.keys()]
  }

  of(peerId: string): readonly OpenPath[] {
    return [...(this.#peers.get(peerId)?.paths ?? [])]
  }

  all(): readonly OpenPath[] {
    return [...this.#peers.values()].flatMap(({ paths }) => paths)
  }

  /** The connection new streams go over: the oldest that is open. */
  best(peerId: string): OpenPath | undefined {
    return this.of(peerId).find(({ connection }) => connection.status === 'open')
  }

  /** Resolves when the peer has no connection; at once when it has none. */
  async lost(peerId: string): Promise<void> {
    await this.#peers.get(peerId)?.lost.promise
  }

  add(connection: Connection): void {
    const peerId = connection.remotePeer.toString()
    const path: OpenPath = {
      connection,
      openedAtMs: this.#init.clock.nowMs(),
      streams: new Set(),
      txBytes: 0,
      rxBytes: 0,
      missedPings: 0,
    }
    const known = this.#peers.get(peerId)
    this.#totals.opened += 1
    if (known !== undefined) return void known.paths.push(path)
    const account = this.#init.budget.account()
    this.#peers.set(peerId, { account, paths: [path], lost: Promise.withResolvers() })
    this.#init.onConnected(peerId, path)
  }

  remove(connection: Connection): void {
    const peerId = connection.remotePeer.toString()
    const peer = this.#peers.get(peerId)
    const at = peer?.paths.findIndex((path) => path.connection === connection) ?? -1
    if (peer === undefined || at === -1) return
    const [path] = peer.paths.splice(at, 1)
    for (const stream of path?.streams ?? []) stream.lostConnection()
    if (path !== undefined) this.#init.onClosed(peerId, path)
    if (peer.paths.length > 0) return
    this.#peers.delete(peerId)
    peer.lost.resolve()
    this.#init.onDisconnected(peerId)
  }

  /** Takes over a libp2p stream of `connection`; `null` when the connection is gone. */
  adopt(connection: Connection, stream: Stream): Libp2pPeerStream | null {
    const peerId = connection.remotePeer.toString()
    const peer = this.#peers.get(peerId)
    const path = peer?.paths.find((each) => each.connection === connection)
    if (peer === undefined || path === undefined) return null
    const adopted = new Libp2pPeerStream(stream, {
      peerId,
      account: peer.account,
      clock: this.#init.clock,
      onBytes: (direction, byteLength) => {
        path[`${direction}Bytes`] += byteLength
        this.#totals[`${direction}Bytes`] += byteLength
      },
    })
    path.streams.add(adopted)
    adopted.signal.addEventListener('abort', () => path.streams.delete(adopted), { once: true })
    if (adopted.signal.aborted) path.streams.delete(adopted)
    return adopted
  }

  /** Streams of `protocol` that the peer has opened here. */
  countStreams(peerId: string, protocol: string): number {
    let count = 0
    for (const { streams } of this.of(peerId))
      for (const stream of streams) if (stream.isIncoming && stream.protocol === protocol) count += 1
    return count
  }

  /** Whether the peer holds as much of the budget as it may. */
  isOverBudget(peerId: string): boolean {
    return this.#peers.get(peerId)?.account.isFull ?? false
  }

  /** Bytes held for applications in streams, also those libp2p holds for a stream that is not read. */
  bufferedBytes(): number {
    let bytes = 0
    for (const { streams } of this.all()) for (const stream of streams) bytes += stream.bufferedBytes
    return bytes
  }
}

export function describePath({ connection, openedAtMs, streams, txBytes, rxBytes }: OpenPath): PeerPath {
  const address = connection.remoteAddr.toString()
  const { direction } = connection
  const muxer = muxerOf(connection)
  return {
    address,
    transport: transportOf(address),
    direction,
    backend: muxer.backend,
    openedAtMs,
    streams: streams.size,
    txBytes,
    rxBytes,
    muxer: muxer.counters?.() ?? null,
  }
}
