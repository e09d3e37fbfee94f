/** Routing in the simulator: who sends whom what, that no loop ever forms, and that everybody is reached after healing. */
import { MAX_HOPS } from '../../routing/limits.ts'
import { RoutingForger, RoutingReplayer } from './routing-liar.ts'
import { RoutingNode } from './routing-node.ts'
import type { Effect, Router, RouterInit } from '../../routing/router.ts'
import type { FlowId, Key } from '../../routing/signing.ts'
import type { Host, Part, Process, World } from '../part.ts'
import type { RoutingNodeInit } from './routing-node.ts'

export interface RoutingCore {
  readonly createRouter?: (init: RouterInit) => Router
}

export interface RoutingPlan {
  /** Paths that each node opens while there is trouble, on average. */
  readonly pathsPerNode: number
  /**
   * What liars do: repeat and damage what they see while nobody routes with them, or forge while everybody does.
   *
   * @default 'replay'
   */
  readonly liars?: 'replay' | 'forge'
}

/** Packets on each path. */
const PACKETS = 3
/** On a path that is tried until one arrives: as the ends of paths do, it sends again before it gives the path up. */
const MAX_PROBE_PACKETS = 10
const PACKET_EVERY_MS = 200
/** Share of the paths that are given few hops. */
const SHORT_SHARE = 0.3
const RETRY_MS = 500
/** All next hops are looked at so often, beside those of each node that changed. */
const LOOK_EVERY_MS = 1_000

interface Path {
  readonly source: number
  readonly destination: number
  readonly ttl: number
  /** Tried until a packet has arrived. */
  readonly isProbe: boolean
}

export class RoutingPart implements Part {
  readonly name = 'routing'
  readonly #world: World
  readonly #plan: RoutingPlan
  readonly #core: RoutingCore
  readonly #keys: readonly Key[]
  readonly #nodes: ReadonlyMap<Key, number>
  readonly #honest: readonly number[]
  readonly #running = new Map<number, RoutingNode>()
  readonly #startedMs = new Map<number, number>()
  readonly #paths = new Map<FlowId, Path>()
  /** Packets by their text: how often each arrived. */
  readonly #packets = new Map<string, number>()
  /** Nodes whose routes may have changed since the last look. */
  readonly #changed = new Set<number>()
  /** By node and destination, as last seen. */
  readonly #nextHops = new Map<number, ReadonlyMap<number, number>>()
  readonly #unreached = new Set<string>()
  /** Every path that an honest node has opened. */
  readonly #opened = new Set<FlowId>()
  /** By destination: paths that ended there since it started. */
  readonly #accepted = new Map<number, Set<FlowId>>()
  /** At one moment since all healed, next hops led from every honest node to every other. */
  #isRouted = false

  constructor(world: World, plan: RoutingPlan, core: RoutingCore = {}) {
    this.#world = world
    this.#plan = plan
    this.#core = core
    this.#keys = world.identities.map(({ key }) => key)
    this.#nodes = new Map(this.#keys.map((key, node) => [key, node]))
    this.#honest = this.#keys.flatMap((_, node) => (world.isLiar(node) ? [] : [node]))
  }

  start(host: Host): Process {
    const isHonest = (key: Key): boolean => !this.#world.isLiar(this.#nodes.get(key) ?? -1)
    const isTrusted = this.#plan.liars === 'forge' ? () => true : isHonest
    const init = {
      host,
      keys: this.#keys,
      verify: this.#world.verify,
      policy: {
        mayRelayFor: (source: Key, destination: Key) => isTrusted(source) && isHonest(destination),
        mayRouteThrough: isTrusted,
        mayReachHere: isTrusted,
      },
    }
    if (this.#world.isLiar(host.node)) {
      return this.#plan.liars === 'forge'
        ? new RoutingForger({ ...init, victims: this.#keys.filter(isHonest) })
        : new RoutingReplayer({ ...init, onEffect: () => undefined })
    }
    const { createRouter } = this.#core
    const onEffect: RoutingNodeInit['onEffect'] = (at, effect) => this.#happened(at, effect)
    const node = new RoutingNode({ ...init, createRouter, onEffect })
    this.#running.set(host.node, node)
    this.#startedMs.set(host.node, this.#world.nowMs())
    return node
  }

  crashed(node: number): void {
    this.#running.delete(node)
    this.#nextHops.delete(node)
    this.#accepted.delete(node)
  }

  plan({ fromMs, untilMs }: { readonly fromMs: number; readonly untilMs: number }): void {
    const { chance, at } = this.#world
    const count = Math.round(this.#honest.length * this.#plan.pathsPerNode)
    for (let done = 0; done < count; done++) {
      const [source, destination] = chance.some(this.#honest, 2)
      if (source === undefined || destination === undefined) continue
      const ttl = chance.happens(SHORT_SHARE) ? chance.between(0, 2) : MAX_HOPS
      at(chance.between(fromMs, untilMs), () => this.#open({ source, destination, ttl, isProbe: false }))
    }
    for (const source of this.#honest) {
      const destination = chance.pick(this.#honest.filter((node) => node !== source))
      this.#unreached.add(`${source}>${destination}`)
      at(untilMs, () => this.#open({ source, destination, ttl: MAX_HOPS, isProbe: true }))
    }
    const look = (): void => {
      for (const node of this.#running.keys()) this.#look(node)
      at(this.#world.nowMs() + LOOK_EVERY_MS, look)
    }
    at(fromMs, look)
  }

  check(node: number): void {
    if (this.#changed.delete(node)) this.#look(node)
  }

  /** First every honest pair has a way, all of them at one moment; then packets have arrived, too. */
  difference(): string | null {
    if (!this.#isRouted) {
      for (const node of this.#running.keys()) this.#look(node)
      const without = this.#honest.flatMap((destination) => this.#withoutWay(destination))
      if (without.length > 0) return `no way for ${without.length} pairs, such as ${without[0]}`
      this.#isRouted = true
    }
    const [first] = this.#unreached
    return first === undefined ? null : `no packet arrived for ${this.#unreached.size} pairs, such as ${first}`
  }

  finish(): void {
    for (const node of this.#running.keys()) this.#look(node)
    for (const [node, nextHops] of this.#nextHops) {
      this.#world.note(`next ${node} ${[...nextHops].map(([to, next]) => `${to}:${next}`).join()}`)
    }
  }

  #happened(node: number, effect: Exclude<Effect, { kind: 'send' }>): void {
    switch (effect.kind) {
      case 'routesChanged':
        this.#changed.add(node)
        return
      case 'refused':
        this.#world.count(`refused ${effect.code}`)
        return
      case 'packet':
        this.#arrived(node, Buffer.from(effect.payload).toString('latin1'))
        return
      case 'flowOpened':
        if (effect.hops === null) this.#accept(node, effect.flow, effect.peer)
        else this.#answered(node, effect.flow, effect.hops.length)
        return
      case 'flowClosed':
        this.#closed(node, effect.flow, effect.code)
    }
  }

  #open(path: Path): void {
    const { source, destination, ttl, isProbe } = path
    const { nowMs, at } = this.#world
    if (isProbe && this.#hasArrived(path)) return
    const running = this.#running.get(source)
    const opening = running?.open(this.#keyOf(destination), { ttl })
    if (isProbe) this.#world.note(`probe ${source}>${destination} ${opening?.code ?? 'sent'}`)
    if (opening !== undefined && opening.flow !== null) {
      this.#paths.set(opening.flow, path)
      this.#opened.add(opening.flow)
    } else if (isProbe) at(nowMs() + RETRY_MS, () => this.#open(path))
  }

  /** At its destination: its source has opened it, and it is not there a second time. */
  #accept(node: number, flow: FlowId, peer: Key): void {
    const source = this.#nodeOf(peer)
    const accepted = this.#accepted.get(node) ?? new Set()
    const isOpened = this.#world.isLiar(source) || this.#opened.has(flow)
    if (!isOpened) this.#violate(`node ${node} took a path from ${source} that nobody opened`)
    if (accepted.has(flow)) this.#violate(`node ${node} took a path from ${source} again`)
    this.#accepted.set(node, accepted.add(flow))
    this.#world.count('paths accepted')
  }

  /** `relays`: nodes of the path behind its source, the destination among them. */
  #answered(node: number, flow: FlowId, relays: number): void {
    const path = this.#paths.get(flow)
    if (path === undefined || path.source !== node) return
    this.#world.count('paths opened')
    if (relays > path.ttl + 1) this.#violate(`a path of ${relays} hops was opened with ttl ${path.ttl}`)
    const packets = path.isProbe ? MAX_PROBE_PACKETS : PACKETS
    for (let count = 0; count < packets; count++) this.#send(flow, path, { count, isLast: count === packets - 1 })
  }

  #send(flow: FlowId, path: Path, { count, isLast }: { readonly count: number; readonly isLast: boolean }): void {
    const { nowMs, at } = this.#world
    const text = `${path.source}>${path.destination} ${flow} ${count}`
    this.#packets.set(text, 0)
    at(nowMs() + count * PACKET_EVERY_MS, () => {
      if (!this.#paths.has(flow) || (path.isProbe && this.#hasArrived(path))) return
      this.#running.get(path.source)?.sendPacket(flow, Buffer.from(text))
      if (path.isProbe && isLast) at(nowMs() + RETRY_MS, () => this.#open(path))
    })
  }

  #closed(node: number, flow: FlowId, code: string): void {
    const { nowMs, at, note, count } = this.#world
    const path = this.#paths.get(flow)
    if (path === undefined || path.source !== node) return
    this.#paths.delete(flow)
    count(`paths ended ${code}`)
    if (!path.isProbe) return
    note(`probe ${path.source}>${path.destination} ${code}`)
    at(nowMs() + RETRY_MS, () => this.#open(path))
  }

  #hasArrived({ source, destination }: Path): boolean {
    return !this.#unreached.has(`${source}>${destination}`)
  }

  #arrived(node: number, text: string): void {
    const times = this.#packets.get(text)
    const [pair = ''] = text.split(' ')
    if (times === undefined) this.#violate(`node ${node} took a packet that nobody sent`)
    if ((times ?? 0) > 0) this.#violate(`node ${node} took the packet ${text} again`)
    if (times !== undefined && !pair.endsWith(`>${node}`)) this.#violate(`node ${node} took a packet for ${pair}`)
    this.#packets.set(text, (times ?? 0) + 1)
    this.#unreached.delete(pair)
    this.#world.count('packets arrived')
  }

  /** Honest pairs from which next hops do not lead to the destination. */
  #withoutWay(destination: number): readonly string[] {
    const leads = new Map<number, boolean>([[destination, this.#running.has(destination)]])
    for (const start of this.#honest) {
      const way: number[] = []
      let at: number | undefined = start
      while (at !== undefined && !leads.has(at) && way.length <= this.#keys.length) {
        way.push(at)
        at = this.#nextHops.get(at)?.get(destination)
      }
      const isWay = at !== undefined && leads.get(at) === true
      for (const node of way) leads.set(node, isWay)
    }
    return this.#honest.filter((node) => leads.get(node) !== true).map((node) => `${node}>${destination}`)
  }

  /** Notes the next hops of a node, and follows each that is new to see whether it comes back. */
  #look(node: number): void {
    const running = this.#running.get(node)
    if (running === undefined) return
    const before = this.#nextHops.get(node)
    const nextHops = this.#nextHopsOf(running.router)
    this.#nextHops.set(node, nextHops)
    for (const [destination, next] of nextHops) {
      if (before?.get(destination) !== next) this.#follow(node, destination)
    }
  }

  #nextHopsOf(router: Router): ReadonlyMap<number, number> {
    const found = new Map<number, number>()
    for (const [destination, key] of this.#keys.entries()) {
      const next = router.nextHop(key)
      if (next !== null) found.set(destination, this.#nodeOf(next))
    }
    return found
  }

  #follow(from: number, destination: number): void {
    const way = [from]
    for (let at = this.#nextHops.get(from)?.get(destination); at !== undefined && at !== destination;) {
      if (at === from) {
        if (way.every((node) => this.#isPassable(node, destination))) {
          this.#violate(`a loop to ${destination}: ${way.join('>')}>${from}`)
        }
        return
      }
      if (way.length > this.#keys.length) return
      way.push(at)
      at = this.#nextHops.get(at)?.get(destination)
    }
  }

  /** A neighbour that has restarted since it announced the route takes nothing over the old link: that is no way. */
  #isPassable(node: number, destination: number): boolean {
    const nowMs = this.#world.nowMs()
    const next = this.#nextHops.get(node)?.get(destination) ?? -1
    const routes = this.#running.get(node)?.router.routes(nowMs) ?? []
    const known = routes.find((view) => view.destination === this.#keyOf(destination))
    const route = known?.routes.find(({ nextHop }) => nextHop === this.#keyOf(next))
    return route !== undefined && this.#running.has(next) && nowMs - route.ageMs >= (this.#startedMs.get(next) ?? 0)
  }

  #keyOf(node: number): Key {
    return this.#keys[node] ?? ''
  }

  #nodeOf(key: Key): number {
    return this.#nodes.get(key) ?? -1
  }

  #violate(what: string): void {
    this.#world.violate(`routing: ${what}`)
  }
}
