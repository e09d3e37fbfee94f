/** The router, its neighbours, and the peers at the other ends of paths: messages, timers and streams between them. */
import { deadline } from '../../kernel/index.ts'
import { peerIdOf, publicKeyOfPeerId } from '../../protocols/identity/id.ts'
import { bytesOf, hexOf } from '../../protocols/routing/signing.ts'
import { Router, TICK_INTERVAL_MS } from '../../protocols/routing/router.ts'
import { NeighbourStreams } from './neighbour-streams.ts'
import { RecentPolicy } from './recent-policy.ts'
import { Remotes } from './remotes.ts'
import { routeErrors, routingEvents } from './service.ts'
import type { Clock, EventBus, Logger, Random } from '../../kernel/index.ts'
import type { LocalIdentity } from '../../protocols/handshake/handshake.ts'
import type { CheckedHop } from '../../protocols/routing/answer.ts'
import type { Effect } from '../../protocols/routing/router.ts'
import type { FlowId, Key } from '../../protocols/routing/signing.ts'
import type { IdentityService } from '../identity/service.ts'
import type { NetworkService } from '../network/service.ts'
import type { TrustService } from '../trust/service.ts'
import type { RemotesInit } from './remotes.ts'
import type { RoutingService, RouteTo, RoutingStatus, Trace } from './service.ts'

const TRACE_TIMEOUT_MS = 6_000
export const MAX_TRACES = 64
const CHECK_POLICY_EVERY_MS = 5_000
/** Codes of refusals are few; what peers make of them is bounded by that. */
type RefusalCounts = Record<string, number>

export interface RoutingInit {
  readonly identity: Pick<IdentityService, 'self' | 'signAsNode' | 'verify'>
  readonly channelIdentity: LocalIdentity
  readonly network: Pick<NetworkService, 'openStream' | 'peer' | 'peers' | 'handleStreams' | 'isRefused'>
  readonly trust: Pick<TrustService, 'may'>
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly events: EventBus
  readonly relayBytesPerSecond: number
  readonly hooks: Pick<
    RemotesInit,
    'onStreamOpened' | 'onStreamProgress' | 'onStreamReset' | 'onSessionOpened' | 'onSessionEnded'
  >
  /** Streams over routes that are open now. */
  readonly streamCount: () => number
}

export class Routing implements RoutingService {
  readonly remotes: Remotes
  readonly #init: RoutingInit
  readonly #router: Router
  readonly #neighbours: NeighbourStreams
  readonly #traces = new Map<FlowId, PromiseWithResolvers<Effect & { kind: 'flowOpened' | 'flowClosed' }>>()
  readonly #refused: RefusalCounts = {}
  readonly #policy: RecentPolicy
  #checkedAtMs = 0

  constructor(init: RoutingInit, { signal }: { readonly signal: AbortSignal }) {
    const { identity, network, trust, clock, random, log } = init
    this.#init = init
    const self = hexOf(identity.self.nodePublicKey)
    const policy = new RecentPolicy({
      nowMs: () => clock.monotonicMs(),
      ask: (key, act) => {
        const peerId = peerIdOfKey(key)
        return trust.may(peerId, act) && !network.isRefused(peerId)
      },
    })
    this.#policy = policy
    const may = (key: Key, act: 'connect' | 'route'): boolean => key === self || policy.may(key, act)
    this.#router = new Router({
      self,
      random,
      sign: (purpose, message) => identity.signAsNode(purpose, message),
      verify: (...args) => identity.verify(...args),
      wallClockMs: () => clock.nowMs(),
      relayBytesPerSecond: init.relayBytesPerSecond,
      policy: {
        mayRelayFor: (source, destination) => may(source, 'route') && may(destination, 'connect'),
        mayRouteThrough: (neighbour) => may(neighbour, 'route'),
        mayReachHere: (source) => may(source, 'connect'),
      },
    })
    this.#neighbours = new NeighbourStreams(
      {
        network,
        clock,
        log,
        isAllowed: (peerId) => trust.may(peerId, 'route') && !network.isRefused(peerId),
        onUp: (peerId) => this.#run(this.#router.neighbourUp(keyOf(peerId), clock.monotonicMs())),
        onDown: (peerId) => this.#run(this.#router.neighbourDown(keyOf(peerId), clock.monotonicMs())),
        onMessage: (peerId, message) => this.#run(this.#router.receive(keyOf(peerId), message, clock.monotonicMs())),
      },
      { signal },
    )
    this.remotes = new Remotes({
      ...init.hooks,
      identity: init.channelIdentity,
      verify: (...args) => identity.verify(...args),
      clock,
      random,
      log,
      openFlow: (destination, avoid) => this.#openFlow(destination, avoid),
      sendPacket: (flow, payload) => this.#run(this.#router.sendPacket(flow, payload, clock.monotonicMs())),
      closeFlow: (flow) => this.#run(this.#router.closeFlow(flow, clock.monotonicMs())),
    })
  }

  /** Until `signal` aborts. */
  start({ signal }: { readonly signal: AbortSignal }): void {
    const { clock } = this.#init
    this.#neighbours.start()
    const tick = (): void => {
      this.#run(this.#router.tick(clock.monotonicMs()))
      this.remotes.tick()
      this.#checkNowAndThen()
      timer = clock.setTimer(TICK_INTERVAL_MS, tick, { unref: true })
    }
    let timer = clock.setTimer(TICK_INTERVAL_MS, tick, { unref: true })
    signal.addEventListener('abort', () => timer.cancel(), { once: true })
  }

  connected(peerId: string): void {
    this.#neighbours.retry(peerId)
  }

  /** After a change of trust, or of who is connected. */
  review(): void {
    this.#policy.forget()
    this.#neighbours.review()
    this.#run(this.#router.recheckPolicy(this.#init.clock.monotonicMs()))
  }

  /** Whether a path to the peer could be set up now. */
  reaches(peerId: string): boolean {
    const key = publicKeyOfPeerId(peerId)
    return key !== null && this.#router.nextHop(hexOf(key)) !== null
  }

  routes(): readonly RouteTo[] {
    return this.#router.routes(this.#init.clock.monotonicMs()).map(({ destination, routes }) => ({
      destination: peerIdOfKey(destination),
      ways: routes.map(({ nextHop, metric, ageMs, isSelected, isFeasible }) => ({
        nextHop: peerIdOfKey(nextHop),
        metric,
        ageMs,
        isSelected,
        isFeasible,
      })),
    }))
  }

  status(): RoutingStatus {
    return {
      neighbours: this.#router.neighbours().map(({ neighbour, isOpen, roundTripMs, delivery }) => ({
        peerId: peerIdOfKey(neighbour),
        isOpen,
        rttMs: roundTripMs,
        delivery,
      })),
      relayedPaths: this.#router.relayedCount,
      streams: this.#init.streamCount(),
      dropped: this.#neighbours.dropped,
      refused: { ...this.#refused },
    }
  }

  async trace(
    peerId: string,
    { signal, maxHops }: { readonly signal: AbortSignal; readonly maxHops?: number },
  ): Promise<Trace> {
    const { clock } = this.#init
    const key = keyOf(peerId)
    if (this.#traces.size >= MAX_TRACES) throw routeErrors.NZ_ROUTE_LIMITED({ data: { peerId } })
    const ttl = maxHops === undefined ? {} : { ttl: maxHops }
    const opening = this.#router.openFlow(key, clock.monotonicMs(), ttl)
    if (opening.flow === null) throw routeErrors[opening.code]({ data: { peerId } })
    const ended = Promise.withResolvers<Effect & { kind: 'flowOpened' | 'flowClosed' }>()
    this.#traces.set(opening.flow, ended)
    using limit = deadline(clock, TRACE_TIMEOUT_MS, {
      signal,
      reason: () => routeErrors.NZ_ROUTE_TIMEOUT({ data: { peerId } }),
    })
    const onAbort = (): void => ended.reject(limit.signal.reason as Error)
    limit.signal.addEventListener('abort', onAbort, { once: true })
    try {
      this.#run(opening.effects)
      return traceOf(peerId, await ended.promise)
    } finally {
      limit.signal.removeEventListener('abort', onAbort)
      this.#traces.delete(opening.flow)
      this.#run(this.#router.closeFlow(opening.flow, clock.monotonicMs()))
    }
  }

  /** Statements of trust expire, and peers are blocked, without anybody saying so. */
  #checkNowAndThen(): void {
    const nowMs = this.#init.clock.monotonicMs()
    if (nowMs - this.#checkedAtMs < CHECK_POLICY_EVERY_MS) return
    this.#checkedAtMs = nowMs
    this.review()
  }

  #openFlow(destination: Key, avoid: ReadonlySet<Key>): ReturnType<RemotesInit['openFlow']> {
    const { flow, code, effects } = this.#router.openFlow(destination, this.#init.clock.monotonicMs(), { avoid })
    if (flow === null) return { code }
    // The answer may only come after the caller knows which path it is of.
    queueMicrotask(() => this.#run(effects))
    return flow
  }

  #run(effects: readonly Effect[]): void {
    for (const effect of effects) this.#do(effect)
  }

  #do(effect: Effect): void {
    switch (effect.kind) {
      case 'send':
        return this.#neighbours.send(peerIdOfKey(effect.to), effect.message, effect.isControl)
      case 'packet':
        return this.remotes.receive(effect.flow, effect.peer, effect.payload)
      case 'flowOpened': {
        const trace = this.#traces.get(effect.flow)
        if (trace !== undefined) return trace.resolve(effect)
        return this.remotes.pathOpened(effect.flow, effect.peer, {
          nextHop: effect.nextHop,
          isOwn: effect.hops !== null,
        })
      }
      case 'flowClosed':
        return this.#flowClosed(effect)
      case 'refused':
        this.#refused[effect.code] = (this.#refused[effect.code] ?? 0) + 1
        return this.#init.log.debug('routing.refused', { from: peerIdOfKey(effect.from), code: effect.code })
      case 'routesChanged':
        return undefined
    }
  }

  #flowClosed(effect: Effect & { kind: 'flowClosed' }): void {
    const { flow, peer, code, by } = effect
    const trace = this.#traces.get(flow)
    if (trace !== undefined) return trace.resolve(effect)
    const isUnasked = code !== 'NZ_ROUTE_CLOSED' && code !== 'NZ_ROUTE_IDLE'
    if (isUnasked)
      this.#init.events.emit(routingEvents.pathLost, { peerId: peerIdOfKey(peer), code, by: peerIdOfKey(by) })
    this.remotes.pathClosed(flow, peer, code)
  }
}

export function peerIdOfKey(key: Key): string {
  return peerIdOf(bytesOf(key))
}

/** @throws NZ_ROUTE_NONE for a peer whose id holds no Ed25519 key: nobody can route to it */
export function keyOf(peerId: string): Key {
  const key = publicKeyOfPeerId(peerId)
  if (key === null) throw routeErrors.NZ_ROUTE_NONE({ why: 'its id holds no Ed25519 key', data: { peerId } })
  return hexOf(key)
}

function traceOf(peerId: string, effect: Effect & { kind: 'flowOpened' | 'flowClosed' }): Trace {
  const hops = (effect.hops ?? []).map(({ key, roundTripUs, ...signed }: CheckedHop) => ({
    peerId: peerIdOfKey(key),
    rttMs: roundTripUs / 1_000,
    ...signed,
  }))
  const isOpen = effect.kind === 'flowOpened'
  const rttMs = isOpen ? hops.reduce((sum, hop) => sum + hop.rttMs, 0) : null
  const failure = isOpen ? null : { code: effect.code, by: peerIdOfKey(effect.by) }
  return { peerId, isDirect: false, hops, rttMs, failure, evidence: isOpen ? effect.answer : null }
}
