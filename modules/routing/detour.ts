/** Streams over routes as the network hands them out: opened when no connection leads to a peer, served like any other. */
import { deadline } from '../../kernel/index.ts'
import { networkErrors } from '../network/service.ts'
import { routeErrors, routingEvents } from './service.ts'
import { RoutedStream } from './routed-stream.ts'
import { encodeHead, headAnswers, readAnswerOf, readHead } from './stream-head.ts'
import { ROUTE_PROTOCOL } from '../../protocols/routing/link-frames.ts'
import { keyOf, peerIdOfKey } from './routing.ts'
import type { Clock, EventBus, Logger } from '../../kernel/index.ts'
import type { Session } from '../../protocols/flow/session.ts'
import type { Stream } from '../../protocols/flow/streams.ts'
import type { Key } from '../../protocols/routing/signing.ts'
import type { Detour, DetourEnd, PeerPath, PeerStream } from '../network/service.ts'
import type { RoutingInit, Routing } from './routing.ts'

/** For a path, a session and the answer of the other side together. */
const OPEN_TIMEOUT_MS = 15_000
const HEAD_TIMEOUT_MS = 10_000

export interface RoutedStreamsInit {
  readonly clock: Clock
  readonly log: Logger
  readonly events: EventBus
  /** Streams over routes that may be open at once; each holds at most 2 MiB. */
  readonly maxStreams: number
}

interface Totals {
  txBytes: number
  rxBytes: number
}

export class RoutedStreams implements Detour {
  readonly #init: RoutedStreamsInit
  readonly #streams = new Map<Stream, RoutedStream>()
  readonly #totals = new Map<string, Totals>()
  #routing: Routing | null = null
  #end: DetourEnd | null = null
  #signal: AbortSignal = new AbortController().signal

  constructor(init: RoutedStreamsInit) {
    this.#init = init
  }

  /** What happens at sessions. */
  readonly hooks: RoutingInit['hooks'] = {
    onStreamOpened: (remote, session, stream) => this.#serve(remote, session, stream),
    onStreamProgress: (_session, stream) => this.#streams.get(stream)?.progress(),
    onStreamReset: (_session, stream) => this.#streams.get(stream)?.cut(),
    onSessionOpened: (remote) => this.#reached(remote),
    onSessionEnded: (remote, session) => this.#left(remote, session),
  }

  get count(): number {
    return this.#streams.size
  }

  start(routing: Routing, end: DetourEnd, { signal }: { readonly signal: AbortSignal }): void {
    this.#routing = routing
    this.#end = end
    this.#signal = signal
  }

  reaches(peerId: string, protocol?: string): boolean {
    if (protocol === ROUTE_PROTOCOL || this.#routing === null) return false
    return this.paths(peerId).length > 0 || this.#routing.reaches(peerId)
  }

  peerIds(): readonly string[] {
    const keys = this.#routing?.remotes.keys() ?? []
    return keys.map(peerIdOfKey).filter((peerId) => this.paths(peerId).length > 0)
  }

  paths(peerId: string): readonly PeerPath[] {
    const open = this.#routing?.remotes.open(keyOf(peerId)) ?? []
    return open.slice(0, 1).map(({ session, openedAtMs, nextHop }) => {
      const via = nextHop === null ? null : peerIdOfKey(nextHop)
      const { txBytes, rxBytes } = this.#totals.get(peerId) ?? { txBytes: 0, rxBytes: 0 }
      return {
        address: via === null ? `/p2p/${peerId}` : `/p2p/${via}/nz-route/p2p/${peerId}`,
        transport: 'route',
        via,
        direction: session.role === 'initiator' ? 'outbound' : 'inbound',
        backend: 'typescript',
        muxer: null,
        limit: null,
        openedAtMs,
        streams: open.reduce((sum, each) => sum + each.session.streams.size, 0),
        txBytes,
        rxBytes,
      }
    })
  }

  rttMs(peerId: string): number | null {
    const open = this.#routing?.remotes.open(keyOf(peerId)) ?? []
    return open[0]?.session.roundTripMs ?? null
  }

  drop(peerId: string): void {
    this.#routing?.remotes.drop(keyOf(peerId))
  }

  /** @throws NZ_NETWORK_UNREACHABLE, NZ_NETWORK_PROTOCOL_UNKNOWN, NZ_NETWORK_LIMITED, NZ_NETWORK_STREAM_RESET */
  async openStream(
    peerId: string,
    protocol: string,
    { signal }: { readonly signal: AbortSignal },
  ): Promise<PeerStream> {
    const routing = this.#routing
    if (routing === null) throw networkErrors.NZ_NETWORK_STOPPED()
    const key = keyOf(peerId)
    const session = this.#streams.size >= this.#init.maxStreams ? null : routing.remotes.call(key)
    const stream = session?.streams.open() ?? null
    if (session === null || stream === null)
      throw networkErrors.NZ_NETWORK_LIMITED({ why: 'too many streams over routes' })
    const routed = this.#wrap(key, session, stream, protocol)
    using limit = deadline(this.#init.clock, OPEN_TIMEOUT_MS, {
      signal: AbortSignal.any([signal, this.#signal]),
      reason: () => this.#unreachable(peerId),
    })
    try {
      await routed.write(encodeHead(protocol), { signal: limit.signal })
      const { error, rest } = await readAnswerOf(routed, { signal: limit.signal })
      if (error !== null) throw error
      routed.giveBack(rest)
      return routed
    } catch (error) {
      routed.reset()
      if (session.end !== null) throw this.#unreachable(peerId, error)
      throw error
    }
  }

  #unreachable(peerId: string, cause?: unknown): Error {
    const code = this.#routing?.remotes.lastCode(keyOf(peerId)) ?? 'NZ_ROUTE_TIMEOUT'
    const why = `not by a route either: ${routeErrors[code]().message}`
    return networkErrors.NZ_NETWORK_UNREACHABLE({
      why,
      data: { peerId, code },
      ...(cause === undefined ? {} : { cause }),
    })
  }

  #wrap(key: Key, session: Session, stream: Stream, protocol: string): RoutedStream {
    const { clock } = this.#init
    const peerId = peerIdOfKey(key)
    const totals = this.#totals.get(peerId) ?? { txBytes: 0, rxBytes: 0 }
    this.#totals.set(peerId, totals)
    const init = {
      peerId,
      clock,
      stream,
      onUse: () => {
        session.streams.settle(stream)
        this.#routing?.remotes.pump(key)
      },
      onReset: () => {
        session.streams.reset(stream.id, clock.monotonicMs())
        this.#routing?.remotes.pump(key)
      },
      onBytes: (direction: 'tx' | 'rx', byteLength: number) => void (totals[`${direction}Bytes`] += byteLength),
    }
    const routed = new RoutedStream(init, protocol)
    this.#streams.set(stream, routed)
    routed.signal.addEventListener('abort', () => this.#streams.delete(stream), { once: true })
    this.#routing?.remotes.pump(key)
    return routed
  }

  #serve(key: Key, session: Session, stream: Stream): void {
    const isFull = this.#streams.size >= this.#init.maxStreams
    const routed = this.#wrap(key, session, stream, '')
    if (isFull) routed.reset()
    else void this.#serveStream(routed)
  }

  async #serveStream(routed: RoutedStream): Promise<void> {
    const { clock, log } = this.#init
    try {
      using limit = deadline(clock, HEAD_TIMEOUT_MS, { signal: AbortSignal.any([routed.signal, this.#signal]) })
      const head = await readHead(routed, { signal: limit.signal })
      if (head === null || this.#end === null) return routed.reset()
      routed.name(head.protocol)
      routed.giveBack(head.rest)
      const serve = this.#end.serve(routed)
      await routed.write(Uint8Array.of(headAnswers[typeof serve === 'string' ? serve : 'served']), {
        signal: limit.signal,
      })
      if (typeof serve === 'string') await routed.close({ signal: limit.signal })
      else serve()
    } catch (error) {
      log.debug('routing.streamNotServed', { peerId: routed.peerId, error })
      routed.reset()
    }
  }

  #reached(key: Key): void {
    const peerId = peerIdOfKey(key)
    const [path] = this.paths(peerId)
    this.#init.events.emit(routingEvents.reached, { peerId, via: path?.via ?? peerId })
    if (path !== undefined) this.#end?.reached(peerId, path)
  }

  #left(key: Key, session: Session): void {
    for (const [stream, routed] of this.#streams) if (session.streams.has(stream)) routed.cut()
    const peerId = peerIdOfKey(key)
    if (this.paths(peerId).length > 0) return
    this.#totals.delete(peerId)
    this.#init.events.emit(routingEvents.left, { peerId })
    this.#end?.left(peerId)
  }
}
