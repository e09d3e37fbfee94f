/**
 * One node's part in routing: messages and time in, messages and facts out (NZ-ROUTING-01). Knows no clock, no sockets
 * and no keys: `sign` and `verify` are given. The caller hands it what neighbours sent, in whatever order it came, and
 * calls `tick` every `TICK_INTERVAL_MS`.
 */
import { Flows } from './flows.ts'
import {
  decodeAnnouncements,
  decodeHello,
  decodeRequest,
  encodeAnnouncements,
  encodeHello,
  encodeRequest,
} from './announcement.ts'
import {
  ANNOUNCE_INTERVAL_MS,
  HELLO_INTERVAL_MS,
  MAX_ANNOUNCED,
  MAX_HOPS,
  MAX_MESSAGE_BYTES,
  MAX_NEIGHBOURS,
  MAX_REQUESTS,
  NEIGHBOUR_TIMEOUT_MS,
  OPEN_INTERVAL_MS,
  REQUEST_INTERVAL_MS,
} from './limits.ts'
import { Link } from './link.ts'
import { messageTypes } from './link-message.ts'
import { Rates } from './rate.ts'
import { RouteTable } from './route-table.ts'
import type { Random } from '../../kernel/index.ts'
import type { CheckedHop } from './answer.ts'
import type { Announced, SequenceRequest } from './announcement.ts'
import type { RouteCode } from './errors.ts'
import type { MessageType, Unsealed } from './link-message.ts'
import type { DestinationView } from './route-table.ts'
import type { FlowId, Key, Sign, Verify } from './signing.ts'

export const TICK_INTERVAL_MS = 200
/** How often routes are looked at when nothing came. */
const TABLE_INTERVAL_MS = 1_000
/** Of a neighbour: hellos, announcements, requests, setups. */
const CONTROL_RATE = { perSecond: 500, burst: 1_000, maxKeys: MAX_NEIGHBOURS }

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

export interface NeighbourView {
  readonly neighbour: Key
  readonly isOpen: boolean
  readonly cost: number | null
  readonly roundTripMs: number | null
  readonly delivery: { readonly in: number; readonly out: number } | null
}

interface Neighbour {
  readonly link: Link
  readonly upAtMs: number
  offeredAtMs: number
  saidHelloAtMs: number
  announcedAtMs: number
}

export class Router {
  readonly #init: RouterInit
  readonly #neighbours = new Map<Key, Neighbour>()
  readonly #table: RouteTable
  readonly #flows: Flows
  readonly #control = new Rates(CONTROL_RATE)
  /** Requests passed on lately, by destination and sequence. */
  readonly #requests = new Map<string, number>()
  #lookedAtMs = -Infinity
  #effects: Effect[] = []

  constructor(init: RouterInit) {
    this.#init = init
    const { self, sign, verify, wallClockMs } = init
    const firstSequence = Math.max(0, Math.floor(wallClockMs() / 1_000))
    this.#table = new RouteTable({ self, sign, verify, firstSequence, costOf: (neighbour) => this.#costOf(neighbour) })
    this.#flows = new Flows({
      ...init,
      nextHops: (destination, avoid) => this.#table.nextHops(destination, avoid),
      isLinked: (neighbour) => this.#neighbours.get(neighbour)?.link.isOpen === true,
      send: (to, type, parts, isControl) => this.#send(to, type, parts, isControl),
      emit: (effect) => void this.#effects.push(effect),
    })
  }

  /** A neighbour can be sent messages. Beyond `MAX_NEIGHBOURS` it is not routed with. */
  neighbourUp(neighbour: Key, nowMs: number): readonly Effect[] {
    if (neighbour === this.#init.self || this.#neighbours.has(neighbour)) return []
    if (this.#neighbours.size >= MAX_NEIGHBOURS) return []
    const link = new Link({ ...this.#init, neighbour })
    const never = -Infinity
    this.#neighbours.set(neighbour, {
      link,
      upAtMs: nowMs,
      offeredAtMs: never,
      saidHelloAtMs: never,
      announcedAtMs: never,
    })
    this.#offer(neighbour, nowMs)
    return this.#take(nowMs)
  }

  neighbourDown(neighbour: Key, nowMs: number): readonly Effect[] {
    if (this.#neighbours.delete(neighbour)) this.#lose(neighbour, nowMs)
    return this.#take(nowMs)
  }

  /** Takes any bytes. */
  receive(from: Key, message: Uint8Array, nowMs: number): readonly Effect[] {
    const neighbour = this.#neighbours.get(from)
    if (neighbour === undefined || message.length === 0 || message.length > MAX_MESSAGE_BYTES) return []
    if (message[0] === messageTypes.packet) {
      const packet = neighbour.link.unseal(message)
      if (packet !== null) this.#flows.receivePacket(from, packet.body, nowMs)
    } else if (!this.#control.take(from, nowMs)) this.#refuse(from, 'NZ_ROUTE_LIMITED')
    else if (message[0] === messageTypes.open) this.#receiveOpen(neighbour, message, nowMs)
    else {
      const unsealed = neighbour.link.unseal(message)
      if (unsealed === null) this.#refuse(from, 'NZ_ROUTE_FORGED')
      else if (!this.#receiveControl(neighbour, unsealed, nowMs)) this.#refuse(from, 'NZ_ROUTE_MALFORMED')
    }
    return this.#take(nowMs)
  }

  /** What is due: hellos, announcements, and what did not come in time. */
  tick(nowMs: number): readonly Effect[] {
    for (const [key, neighbour] of this.#neighbours) {
      const { link, upAtMs } = neighbour
      const heardAtMs = link.heardAtMs ?? upAtMs
      if (link.isOpen && nowMs - heardAtMs > NEIGHBOUR_TIMEOUT_MS) this.#restart(key, neighbour, nowMs)
      if (!neighbour.link.isOpen && nowMs - neighbour.offeredAtMs >= OPEN_INTERVAL_MS) this.#offer(key, nowMs)
      if (neighbour.link.isOpen && nowMs - neighbour.saidHelloAtMs >= HELLO_INTERVAL_MS) this.#hello(neighbour, nowMs)
      if (neighbour.link.isOpen && nowMs - neighbour.announcedAtMs >= ANNOUNCE_INTERVAL_MS) {
        neighbour.announcedAtMs = nowMs
        this.#announce(key, nowMs)
      }
    }
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
    return this.#table.nextHops(destination)[0] ?? null
  }

  routes(nowMs: number): readonly DestinationView[] {
    return this.#table.view(nowMs)
  }

  neighbours(): readonly NeighbourView[] {
    return [...this.#neighbours].map(([neighbour, { link }]) => ({
      neighbour,
      isOpen: link.isOpen,
      cost: link.cost,
      roundTripMs: link.roundTripMs,
      delivery: link.delivery,
    }))
  }

  /** Of which this node is a part. */
  get flowCount(): number {
    return this.#flows.count
  }

  /** Paths that this node passes on for others. */
  get relayedCount(): number {
    return this.#flows.relayedCount
  }

  #receiveOpen({ link }: Neighbour, message: Uint8Array, nowMs: number): void {
    const state = link.receiveOpen(message)
    if (state === null) return this.#refuse(link.neighbour, 'NZ_ROUTE_FORGED')
    for (const reply of state.replies)
      this.#effects.push({ kind: 'send', to: link.neighbour, message: reply, isControl: true })
    if (!state.isNew) return
    this.#lose(link.neighbour, nowMs)
    const neighbour = this.#neighbours.get(link.neighbour)
    if (neighbour === undefined) return
    this.#hello(neighbour, nowMs)
    neighbour.announcedAtMs = -Infinity
  }

  /** `false` for what has not the form of its type. */
  #receiveControl(neighbour: Neighbour, { type, body }: Unsealed, nowMs: number): boolean {
    const from = neighbour.link.neighbour
    switch (type) {
      case messageTypes.hello:
        return this.#receiveHello(neighbour, body, nowMs)
      case messageTypes.announce: {
        const announced = decodeAnnouncements(body)
        for (const each of announced ?? [])
          if (!this.#table.learn(from, each, nowMs)) this.#refuse(from, 'NZ_ROUTE_FORGED')
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
        return this.#flows.receiveClosed(from, body)
      case messageTypes.packet:
        // Packets do not come this way: they are not counted as control.
        return false
    }
  }

  #receiveHello(neighbour: Neighbour, body: Uint8Array, nowMs: number): boolean {
    const hello = decodeHello(body)
    if (hello === null) return false
    const wasUsable = neighbour.link.cost !== null
    neighbour.link.hear(hello, nowMs)
    if (hello.expected === 0 || hello.echo === null) this.#hello(neighbour, nowMs)
    if (!wasUsable && neighbour.link.cost !== null) {
      this.#table.tick(nowMs)
      neighbour.announcedAtMs = nowMs
      this.#announce(neighbour.link.neighbour, nowMs)
    }
    return true
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
    this.#send(to, messageTypes.request, [encodeRequest(request)], true)
  }

  #hello(neighbour: Neighbour, nowMs: number): void {
    neighbour.saidHelloAtMs = nowMs
    this.#send(neighbour.link.neighbour, messageTypes.hello, [encodeHello(neighbour.link.nextHello(nowMs))], true)
  }

  #offer(key: Key, nowMs: number): void {
    const neighbour = this.#neighbours.get(key)
    if (neighbour === undefined) return
    neighbour.offeredAtMs = nowMs
    this.#effects.push({ kind: 'send', to: key, message: neighbour.link.offer(), isControl: true })
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
      this.#send(to, messageTypes.announce, [encodeAnnouncements(all.slice(at, at + MAX_ANNOUNCED))], true)
  }

  /** The neighbour was not heard of: a new link has to be agreed on. */
  #restart(key: Key, neighbour: Neighbour, nowMs: number): void {
    const link = new Link({ ...this.#init, neighbour: key })
    this.#neighbours.set(key, { ...neighbour, link, upAtMs: nowMs, offeredAtMs: -Infinity })
    this.#lose(key, nowMs)
  }

  #lose(neighbour: Key, nowMs: number): void {
    this.#table.forget(neighbour, nowMs)
    this.#flows.lostNeighbour(neighbour)
  }

  #costOf(neighbour: Key): number | null {
    const known = this.#neighbours.get(neighbour)
    return known === undefined || !this.#init.policy.mayRouteThrough(neighbour) ? null : known.link.cost
  }

  #send(to: Key, type: MessageType, parts: readonly Uint8Array[], isControl: boolean): void {
    const link = this.#neighbours.get(to)?.link
    if (link?.isOpen === true) this.#effects.push({ kind: 'send', to, message: link.seal(type, ...parts), isControl })
  }

  #refuse(from: Key, code: RouteCode): void {
    this.#effects.push({ kind: 'refused', from, code })
  }

  /** Everything that has to be done, with news of routes to all neighbours. */
  #take(nowMs: number): readonly Effect[] {
    const changed = this.#table.takeChanged()
    if (changed.length > 0) {
      for (const [key, { link }] of this.#neighbours) if (link.isOpen) this.#announce(key, nowMs, changed)
      this.#effects.push({ kind: 'routesChanged' })
    }
    const effects = this.#effects
    this.#effects = []
    return effects
  }
}
