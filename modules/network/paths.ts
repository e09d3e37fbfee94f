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
  /** Pings in a row that got no answer while nothing else came. */
  missedPings: number
  /** What had been heard on it (`heardOn`) when the last of them was missed. */
  heardAtMiss: number
  /** The slowest answer of late; `null` before the first. */
  slowestPingMs: number | null
  /** Whether the relay will cut it soon. */
  isLimitNear: boolean
  /** Bytes the relay lets pass, as told when it was opened; `null`: no bound. */
  readonly bytesAllowed: number | null
  readonly secondsAllowed: number | null
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
  /** Told once for each relayed path, when LIMIT_NEAR_SHARE of what the relay allows is used. */
  readonly onLimitNear?: (peerId: string, path: OpenPath) => void
}

/** Of the bytes or the time a relay allows. */
const LIMIT_NEAR_SHARE = 0.8

export class Paths {
  readonly #init: PathsInit
  readonly #peers = new Map<string, ConnectedPeer>()
  /** Whoever waits for a change of a peer's connections. */
  readonly #changes = new Map<string, PromiseWithResolvers<void>>()
  #onBeside: (older: readonly OpenPath[]) => void = () => undefined
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

  /**
   * The connection new streams go over, of those that are open: one that answers rather than a silent one, a direct one
   * rather than a relayed one, one the relay will not cut soon; the oldest of these.
   */
  best(peerId: string): OpenPath | undefined {
    const worth = (path: OpenPath): number =>
      (isSilent(path) ? 0 : 4) + (isRelayed(path) ? 0 : 2) + (path.isLimitNear ? 0 : 1)
    let best: OpenPath | undefined
    for (const path of this.#peers.get(peerId)?.paths ?? [])
      if (path.connection.status === 'open' && (best === undefined || worth(path) > worth(best))) best = path
    return best
  }

  /** Whether the peer has a connection that passes no relay. */
  hasDirect(peerId: string): boolean {
    return this.of(peerId).some((path) => path.connection.status === 'open' && !isRelayed(path))
  }

  /** Resolves when the peer has no connection; at once when it has none. */
  async lost(peerId: string): Promise<void> {
    await this.#peers.get(peerId)?.lost.promise
  }

  /** Resolves at the next connection of the peer that comes or goes. */
  async changed(peerId: string): Promise<void> {
    const waiting = this.#changes.get(peerId) ?? Promise.withResolvers<void>()
    this.#changes.set(peerId, waiting)
    await waiting.promise
  }

  /**
   * `use` is called when a peer is connected once more, with the connections there were: one of them may be dead without
   * being known to be.
   */
  whenBeside(use: (older: readonly OpenPath[]) => void): void {
    this.#onBeside = use
  }

  #tellChange(peerId: string): void {
    this.#changes.get(peerId)?.resolve()
    this.#changes.delete(peerId)
  }

  add(connection: Connection): OpenPath {
    const peerId = connection.remotePeer.toString()
    const path: OpenPath = {
      connection,
      openedAtMs: this.#init.clock.nowMs(),
      streams: new Set(),
      txBytes: 0,
      rxBytes: 0,
      missedPings: 0,
      heardAtMiss: 0,
      slowestPingMs: null,
      isLimitNear: false,
      bytesAllowed: connection.limits?.bytes === undefined ? null : Number(connection.limits.bytes),
      secondsAllowed: connection.limits?.seconds ?? null,
    }
    const known = this.#peers.get(peerId)
    this.#totals.opened += 1
    this.#tellChange(peerId)
    if (known !== undefined) {
      const older = [...known.paths]
      known.paths.push(path)
      this.#onBeside(older)
      return path
    }
    const account = this.#init.budget.account()
    this.#peers.set(peerId, { account, paths: [path], lost: Promise.withResolvers() })
    this.#init.onConnected(peerId, path)
    return path
  }

  remove(connection: Connection): void {
    const peerId = connection.remotePeer.toString()
    const peer = this.#peers.get(peerId)
    const at = peer?.paths.findIndex((path) => path.connection === connection) ?? -1
    if (peer === undefined || at === -1) return
    const [path] = peer.paths.splice(at, 1)
    for (const stream of path?.streams ?? []) stream.lostConnection()
    if (path !== undefined) this.#init.onClosed(peerId, path)
    this.#tellChange(peerId)
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
        if (path.bytesAllowed !== null) this.checkLimit(path)
      },
    })
    path.streams.add(adopted)
    adopted.signal.addEventListener('abort', () => path.streams.delete(adopted), { once: true })
    if (adopted.signal.aborted) path.streams.delete(adopted)
    return adopted
  }

  /** Tells of a relayed path that will be cut soon. */
  checkLimit(path: OpenPath): void {
    if (path.isLimitNear) return
    const { bytes, seconds } = path.connection.limits ?? {}
    const isNear = (left: number | bigint | undefined, allowed: number | null): boolean =>
      left !== undefined && allowed !== null && Number(left) <= allowed * (1 - LIMIT_NEAR_SHARE)
    if (!isNear(bytes, path.bytesAllowed) && !isNear(seconds, path.secondsAllowed)) return
    path.isLimitNear = true
    this.#init.onLimitNear?.(path.connection.remotePeer.toString(), path)
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

/** Grows whenever anything comes over the connection. */
export function heardOn({ connection, rxBytes }: OpenPath): number {
  const counters = muxerOf(connection).counters?.()
  return counters?.rxWireBytes ?? counters?.rxFrames ?? rxBytes
}

/** Whether the last ping got no answer, and nothing has come since. */
export function isSilent(path: OpenPath): boolean {
  return path.missedPings > 0 && heardOn(path) === path.heardAtMiss
}

export function isRelayed({ connection }: OpenPath): boolean {
  return transportOf(connection.remoteAddr.toString()) === 'relay'
}

/** What the relay of a path lets pass; `null` when it has set no bounds, and for a direct path. */
export function limitOf({ connection: { limits } }: OpenPath): PeerPath['limit'] {
  if (limits === undefined) return null
  return {
    bytesLeft: limits.bytes === undefined ? null : Number(limits.bytes),
    secondsLeft: limits.seconds === undefined ? null : Math.max(0, limits.seconds),
  }
}

export function describePath(path: OpenPath): PeerPath {
  const { connection, openedAtMs, streams, txBytes, rxBytes } = path
  const address = connection.remoteAddr.toString()
  const { direction } = connection
  const muxer = muxerOf(connection)
  return {
    address,
    transport: transportOf(address),
    via: null,
    direction,
    backend: muxer.backend,
    openedAtMs,
    streams: streams.size,
    txBytes,
    rxBytes,
    muxer: muxer.counters?.() ?? null,
    limit: limitOf(path),
  }
}
