/**
 * One node's part in routing: messages and time in, messages and facts out (NZ-ROUTING-01). Knows no clock, no sockets
 * and no keys: `sign` and `verify` are given. The caller hands it what neighbours sent, in whatever order it came, and
 * calls `tick` every `TICK_INTERVAL_MS`.
 */
import { Flows } from './flows.ts'
import { decodeAnnouncements, decodeRequest, encodeAnnouncements, encodeRequest } from './announcement.ts'
import {
  MAX_ANNOUNCED,
  MAX_HOPS,
  MAX_MESSAGE_BYTES,
  MAX_NEIGHBOURS,
  MAX_REQUESTS,
  NEWS_INTERVAL_MS,
  REQUEST_INTERVAL_MS,
} from './limits.ts'
import { messageTypes } from './link-message.ts'
import { Neighbours } from './neighbours.ts'
import { Rates } from './rate.ts'
import { RouteTable } from './route-table.ts'
import type { Random } from '../../kernel/index.ts'
import type { CheckedHop } from './answer.ts'
import type { Announced, SequenceRequest } from './announcement.ts'
import type { RouteCode } from './errors.ts'
import type { Unsealed } from './link-message.ts'
import type { NeighbourView } from './neighbours.ts'
import type { DestinationView } from './route-table.ts'
import type { FlowId, Key, Sign, Verify } from './signing.ts'

export const TICK_INTERVAL_MS = 200
/** How often routes are looked at when nothing came. */
const TABLE_INTERVAL_MS = 1_000
/** Of a neighbour: hellos, announcements, requests, setups. */
export const CONTROL_RATE = { perSecond: 500, burst: 1_000, maxKeys: MAX_NEIGHBOURS }

/** What a node lets others do. Asked often: quick, without side effects. */
export interface RouterPolicy {
  /** Whether packets between the two may pass through this node. */
  mayRelayFor(source: Key, destination: Key): boolean
  /** Whether this node may send its own packets through the neighbour. */
  mayRouteThrough(neighbour: Key): boolean
  /** Whether paths of the source may end here. */
  mayReachHere(source: Key): boolean
}

export interface RouterInit {
  readonly self: Key
  readonly random: Pick<Random, 'bytes'>
  readonly sign: Sign
  readonly verify: Verify
  readonly policy: RouterPolicy
  /** Milliseconds since 1970; may jump. Sequences begin with it, nothing else depends on it. */
  readonly wallClockMs: () => number
  /** Most bytes a second that are passed on for one source. */
  readonly relayBytesPerSecond: number
}

export type Effect =
  /** `isControl`: to be preferred where a queue is full. */
  | { readonly kind: 'send'; readonly to: Key; readonly message: Uint8Array; readonly isControl: boolean }
  /** A path is open. `hops` at its source: every node behind it, all signatures verified. */
  | {
      readonly kind: 'flowOpened'
      readonly flow: FlowId
      readonly peer: Key
      readonly nextHop: Key
      readonly hops: readonly CheckedHop[] | null
      readonly answer: Uint8Array | null
    }
  | { readonly kind: 'packet'; readonly flow: FlowId; readonly peer: Key; readonly payload: Uint8Array }
  | {
      readonly kind: 'flowClosed'
      readonly flow: FlowId
      readonly peer: Key
      readonly code: RouteCode
      /** Who says so. */
      readonly by: Key
      /** What could be verified when the answer was not as it has to be. */
      readonly hops: readonly CheckedHop[] | null
    }
  /** A message was not taken. */
  | { readonly kind: 'refused'; readonly from: Key; readonly code: RouteCode }
  | { readonly kind: 'routesChanged' }

/** A path being set up, or why none can be. */
export type Opening = { readonly flow: FlowId; readonly code: null } | { readonly flow: null; readonly code: RouteCode }

export class Router {
  readonly #init: RouterInit
  readonly #neighbours: Neighbours
  readonly #table: RouteTable
  readonly #flows: Flows
  readonly #control = new Rates(CONTROL_RATE)
  /** Requests passed on lately, by destination and sequence. */
  readonly #requests = new Map<string, number>()
  #lookedAtMs = -Infinity
  #toldNewsAtMs = -Infinity
  #effects: Effect[] = []

  constructor(init: RouterInit) {
    this.#init = init
    const { self, sign, verify, wallClockMs } = init
    const firstSequence = Math.max(0, Math.floor(wallClockMs() / 1_000))
    this.#neighbours = new Neighbours({
      ...init,
      transmit: (to, message, isControl) => void this.#effects.push({ kind: 'send', to, message, isControl }),
      onLost: (neighbour, nowMs) => this.#lose(neighbour, nowMs),
    })
    this.#table = new RouteTable({ self, sign, verify, firstSequence, costOf: (neighbour) => this.#costOf(neighbour) })
    this.#flows = new Flows({
      ...init,
      nextHops: (destination, avoid) => this.#table.nextHops(destination, avoid),
      isLinked: (neighbour) => this.#neighbours.isOpen(neighbour),
      send: (to, type, parts, isControl) => this.#neighbours.send(to, type, parts, isControl),
      emit: (effect) => void this.#effects.push(effect),
    })
  }

  /** A neighbour can be sent messages. Beyond `MAX_NEIGHBOURS` it is not routed with. */
  neighbourUp(neighbour: Key, nowMs: number): readonly Effect[] {
    this.#neighbours.add(neighbour, nowMs)
    return this.#take(nowMs)
  }

  neighbourDown(neighbour: Key, nowMs: number): readonly Effect[] {
    this.#neighbours.remove(neighbour, nowMs)
    return this.#take(nowMs)
  }

  /** Takes any bytes. */
  receive(from: Key, message: Uint8Array, nowMs: number): readonly Effect[] {
    if (!this.#neighbours.has(from) || message.length === 0 || message.length > MAX_MESSAGE_BYTES) return []
    const isPacket = message[0] === messageTypes.packet
    if (!isPacket && !this.#control.take(from, nowMs)) {
      this.#refuse(from, 'NZ_ROUTE_LIMITED')
      return this.#take(nowMs)
    }
    const received = this.#neighbours.receive(from, message, nowMs)
    if (received.kind === 'message') {
      if (!this.#receiveMessage(from, received.unsealed, nowMs)) this.#refuse(from, 'NZ_ROUTE_MALFORMED')
    } else if (received.kind === 'refused') {
      // Packets are many and get lost anyway: what is wrong with one is nobody's news.
      if (!isPacket) this.#refuse(from, received.code)
    } else if (received.isNewlyUsable) {
      this.#table.tick(nowMs)
      this.#announce(from, nowMs)
    }
    return this.#take(nowMs)
  }

  /** What is due: hellos, announcements, repetitions, and what did not come in time. */
  tick(nowMs: number): readonly Effect[] {
    this.#neighbours.tick(nowMs)
    for (const to of this.#neighbours.takeDue(nowMs)) this.#announce(to, nowMs)
    if (nowMs - this.#lookedAtMs >= TABLE_INTERVAL_MS) {
      this.#lookedAtMs = nowMs
      this.#table.tick(nowMs)
    }
    for (const { known, neighbours } of this.#table.starving(nowMs))
      for (const to of neighbours) this.#request(to, { known, hopsLeft: MAX_HOPS })
    for (const [request, atMs] of this.#requests) if (nowMs - atMs > REQUEST_INTERVAL_MS) this.#requests.delete(request)
    this.#flows.tick(nowMs)
    return this.#take(nowMs)
  }

  /**
   * Sets up a path; `flowOpened` or `flowClosed` says how it ends. `avoid`: neighbours not to begin with, unless there
   * is no other.
   */
  openFlow(
    destination: Key,
    nowMs: number,
    { avoid = new Set(), ttl = MAX_HOPS }: { readonly avoid?: ReadonlySet<Key>; readonly ttl?: number } = {},
  ): Opening & { readonly effects: readonly Effect[] } {
    const opening = this.#flows.open(destination, nowMs, { avoid, ttl })
    return { ...opening, effects: this.#take(nowMs) }
  }

  /** Nothing happens when the path is not open any more. At most `MAX_PAYLOAD_BYTES`. */
  sendPacket(flow: FlowId, payload: Uint8Array, nowMs: number): readonly Effect[] {
    this.#flows.sendPacket(flow, payload, nowMs)
    return this.#take(nowMs)
  }

  closeFlow(flow: FlowId, nowMs: number): readonly Effect[] {
    this.#flows.close(flow)
    return this.#take(nowMs)
  }

  /** Closes all paths that the policy does not allow any more. */
  recheckPolicy(nowMs: number): readonly Effect[] {
    this.#flows.recheckPolicy()
    this.#table.tick(nowMs)
    return this.#take(nowMs)
  }

  nextHop(destination: Key): Key | null {
    return this.#table.nextHop(destination)
  }

  routes(nowMs: number): readonly DestinationView[] {
    return this.#table.view(nowMs)
  }

  neighbours(): readonly NeighbourView[] {
    return this.#neighbours.view()
  }

  /** Of which this node is a part. */
  get flowCount(): number {
    return this.#flows.count
  }

  /** Paths that this node passes on for others. */
  get relayedCount(): number {
    return this.#flows.relayedCount
  }

  /** `false` for what has not the form of its type. */
  #receiveMessage(from: Key, { type, counter, body }: Unsealed, nowMs: number): boolean {
    switch (type) {
      case messageTypes.announce: {
        const announced = decodeAnnouncements(body)
        for (const each of announced ?? [])
          if (!this.#table.learn(from, each, { said: counter, nowMs })) this.#refuse(from, 'NZ_ROUTE_FORGED')
        return announced !== null
      }
      case messageTypes.request: {
        const request = decodeRequest(body)
        if (request !== null) this.#answerRequest(from, request, nowMs)
        return request !== null
      }
      case messageTypes.setup:
        this.#flows.receiveSetup(from, body, nowMs)
        return true
      case messageTypes.answer:
        return this.#flows.receiveAnswer(from, body, nowMs)
      case messageTypes.closed:
        return this.#flows.receiveClosed(from, body, nowMs)
      case messageTypes.packet:
        this.#flows.receivePacket(from, body, nowMs)
        return true
      case messageTypes.hello:
      case messageTypes.confirm:
        throw new TypeError('a message between neighbours alone')
    }
  }

  #answerRequest(from: Key, { known, hopsLeft }: SequenceRequest, nowMs: number): void {
    const { destination, sequence } = known
    if (destination === this.#init.self) {
      if (this.#table.renew(known)) this.#announce(from, nowMs, [destination])
      else this.#refuse(from, 'NZ_ROUTE_FORGED')
      return
    }
    const selected = this.#table.selected(destination)
    if (selected !== null && selected.origin.sequence > sequence && selected.nextHop !== from)
      return this.#announce(from, nowMs, [destination])
    const name = `${destination}/${sequence}`
    if (hopsLeft === 0 || this.#requests.has(name) || this.#requests.size >= MAX_REQUESTS) return
    this.#requests.set(name, nowMs)
    const [next] = this.#table.announcers(destination).filter((key) => key !== from)
    if (next !== undefined) this.#request(next, { known, hopsLeft: hopsLeft - 1 })
  }

  #request(to: Key, request: SequenceRequest): void {
    this.#neighbours.send(to, messageTypes.request, [encodeRequest(request)], true)
  }

  /** To one neighbour: all that it may know, or what changed. */
  #announce(to: Key, nowMs: number, only?: readonly Key[]): void {
    const { self, policy } = this.#init
    const isOwnDue = only === undefined || only.includes(self)
    const own: readonly Announced[] = isOwnDue ? [{ origin: this.#table.own, metric: 0 }] : []
    const others = this.#table
      .announcements(to, nowMs, only)
      .filter(({ origin: { destination } }) => policy.mayRelayFor(to, destination))
    const all = [...own, ...others]
    for (let at = 0; at < all.length; at += MAX_ANNOUNCED)
      this.#neighbours.send(to, messageTypes.announce, [encodeAnnouncements(all.slice(at, at + MAX_ANNOUNCED))], true)
  }

  #lose(neighbour: Key, nowMs: number): void {
    this.#table.forget(neighbour, nowMs)
    this.#flows.lostNeighbour(neighbour)
  }

  #costOf(neighbour: Key): number | null {
    return this.#init.policy.mayRouteThrough(neighbour) ? this.#neighbours.costOf(neighbour) : null
  }

  #refuse(from: Key, code: RouteCode): void {
    this.#effects.push({ kind: 'refused', from, code })
  }

  /** Everything that has to be done, with news of routes to all neighbours. */
  #take(nowMs: number): readonly Effect[] {
    if (this.#table.hasChanged && nowMs - this.#toldNewsAtMs >= NEWS_INTERVAL_MS) {
      this.#toldNewsAtMs = nowMs
      const changed = this.#table.takeChanged()
      for (const key of this.#neighbours.open()) this.#announce(key, nowMs, changed)
    }
    if (this.#table.takeSwitched()) this.#effects.push({ kind: 'routesChanged' })
    const effects = this.#effects
    this.#effects = []
    return effects
  }
}
