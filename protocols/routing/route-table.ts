/**
 * Routes by distance vector with the feasibility condition of Babel (RFC 8966 §2.4): a next hop is taken only while it
 * has announced a distance smaller than any this node has ever announced, so that no loop can form (NZ-ROUTING-01 §4).
 */
import { isSigned, signOrigin } from './announcement.ts'
import {
  FEASIBILITY_MEMORY_MS,
  MAX_DESTINATIONS,
  MAX_METRIC,
  MAX_SEQUENCE,
  REQUEST_INTERVAL_MS,
  ROUTE_TIMEOUT_MS,
} from './limits.ts'
import { hexOf } from './signing.ts'
import type { Announced, Origin } from './announcement.ts'
import type { Key, Sign, Verify } from './signing.ts'

/** A better route is taken at once when the present one costs this much more. */
const SWITCH_ABOVE = 1.2
/** For how long it is said again that a destination is not reached any more. */
const WITHDRAW_FOR_MS = 20_000

export interface RouteTableInit {
  readonly self: Key
  readonly sign: Sign
  readonly verify: Verify
  /** Of the first announcement of this node: above that of any earlier run. */
  readonly firstSequence: number
  /** Cost of a hop to a neighbour that may be routed through; `null` for others. */
  readonly costOf: (neighbour: Key) => number | null
}

interface Route {
  readonly origin: Origin
  /** As the neighbour announced it. */
  readonly metric: number
  readonly atMs: number
}

interface Destination {
  readonly key: Key
  readonly routes: Map<Key, Route>
  /** By neighbour: the number of the last message that spoke of the destination. */
  readonly said: Map<Key, number>
  /** The smallest distance that this node has announced. */
  feasible: { readonly origin: Origin; readonly metric: number } | null
  selected: Key | null
  /** What the selected route was last announced with; `MAX_METRIC`: nothing. */
  announcedMetric: number
  usedAtMs: number
  requestedAtMs: number
}

/** One way to a destination. */
export interface RouteView {
  readonly nextHop: Key
  /** From here. */
  readonly metric: number
  readonly sequence: number
  readonly ageMs: number
  readonly isSelected: boolean
  /** Whether it could be taken now without a loop. */
  readonly isFeasible: boolean
}

export interface DestinationView {
  readonly destination: Key
  /** The selected first, then by metric. */
  readonly routes: readonly RouteView[]
}

export class RouteTable {
  readonly #init: RouteTableInit
  readonly #destinations = new Map<Key, Destination>()
  #own: Origin
  /** Destinations whose selected route changed so much that neighbours are told at once. */
  readonly #changed = new Set<Key>()
  #hasSwitched = false

  constructor(init: RouteTableInit) {
    this.#init = init
    this.#own = signOrigin(init.self, init.firstSequence, init.sign)
  }

  get own(): Origin {
    return this.#own
  }

  get hasChanged(): boolean {
    return this.#changed.size > 0
  }

  /** Whether a route was selected or lost since it was asked last. */
  takeSwitched(): boolean {
    const hasSwitched = this.#hasSwitched
    this.#hasSwitched = false
    return hasSwitched
  }

  /** Destinations to announce at once; they are not given again. */
  takeChanged(): readonly Key[] {
    const changed = [...this.#changed]
    this.#changed.clear()
    return changed
  }

  /**
   * Takes what a neighbour announces, in the message numbered `said`: what was overtaken by its later word is no news.
   * `false` when its destination has not signed it.
   */
  learn(
    neighbour: Key,
    { origin, metric }: Announced,
    { said, nowMs }: { readonly said: number; readonly nowMs: number },
  ): boolean {
    const { self } = this.#init
    if (origin.destination === self) return this.#meetOwn(origin, metric)
    const destination = this.#destinations.get(origin.destination)
    if (said < (destination?.said.get(neighbour) ?? 0)) return true
    if (metric >= MAX_METRIC) {
      destination?.said.set(neighbour, said)
      if (destination?.routes.delete(neighbour) === true) this.#select(destination, nowMs)
      return true
    }
    if (!this.#isGenuine(origin, destination)) return false
    const known = destination ?? this.#add(origin.destination, nowMs)
    if (known === null) return true
    const present = known.routes.get(neighbour)
    if (present !== undefined && present.origin.sequence > origin.sequence) return true
    known.said.set(neighbour, said)
    known.routes.set(neighbour, { origin, metric, atMs: nowMs })
    this.#select(known, nowMs)
    return true
  }

  /** The neighbour is gone, or its link has new keys: what it announced is worth nothing. */
  forget(neighbour: Key, nowMs: number): void {
    for (const destination of this.#destinations.values()) {
      destination.said.delete(neighbour)
      if (destination.routes.delete(neighbour)) this.#select(destination, nowMs)
    }
  }

  /** Drops what is too old, and selects anew by what hops cost now. */
  tick(nowMs: number): void {
    for (const destination of this.#destinations.values()) {
      for (const [neighbour, { atMs }] of destination.routes)
        if (nowMs - atMs > ROUTE_TIMEOUT_MS) destination.routes.delete(neighbour)
      this.#select(destination, nowMs)
      if (destination.routes.size === 0 && nowMs - destination.usedAtMs > FEASIBILITY_MEMORY_MS)
        this.#destinations.delete(destination.key)
    }
  }

  /** The one that packets take now. */
  nextHop(key: Key): Key | null {
    const destination = this.#destinations.get(key)
    const { selected = null, routes, feasible = null } = destination ?? {}
    const route = selected === null ? undefined : routes?.get(selected)
    const isUsable = route !== undefined && selected !== null && this.#init.costOf(selected) !== null
    return isUsable && isFeasible(route, feasible) ? selected : (this.nextHops(key)[0] ?? null)
  }

  /** The next hops that can be taken now, the selected first, then by cost; none that is to be avoided. */
  nextHops(destination: Key, avoid: ReadonlySet<Key> = new Set()): readonly Key[] {
    const found = this.#destinations.get(destination)
    if (found === undefined) return []
    const hops = this.#usable(found).filter(({ neighbour }) => !avoid.has(neighbour))
    return hops.toSorted((a, b) => rank(found, a) - rank(found, b)).map(({ neighbour }) => neighbour)
  }

  /** The route that packets take and neighbours are told of. */
  selected(destination: Key): { readonly nextHop: Key; readonly origin: Origin; readonly metric: number } | null {
    const found = this.#destinations.get(destination)
    if (found === undefined || found.selected === null) return null
    const best = this.#usable(found).find(({ neighbour }) => neighbour === found.selected)
    return best === undefined ? null : { nextHop: best.neighbour, origin: best.route.origin, metric: best.total }
  }

  /**
   * What to announce to a neighbour: the destinations given, else all. What is announced here bounds for ever what this
   * node may take as a next hop.
   */
  announcements(neighbour: Key, nowMs: number, only?: readonly Key[]): readonly Announced[] {
    const announced: Announced[] = []
    for (const key of only ?? this.#destinations.keys()) {
      const destination = this.#destinations.get(key)
      if (destination === undefined || key === neighbour) continue
      const selected = this.selected(key)
      const origin = selected?.origin ?? destination.feasible?.origin
      const isNews = only !== undefined || nowMs - destination.usedAtMs < WITHDRAW_FOR_MS
      if (selected === null && origin !== undefined && isNews) announced.push({ origin, metric: MAX_METRIC })
      if (selected === null || selected.nextHop === neighbour) continue
      this.#narrow(destination, selected, nowMs)
      announced.push({ origin: selected.origin, metric: selected.metric })
    }
    return announced
  }

  /** Destinations that have routes, none of which may be taken: a newer sequence is needed. */
  starving(nowMs: number): ReadonlyArray<{ readonly known: Origin; readonly neighbours: readonly Key[] }> {
    const starving = []
    for (const destination of this.#destinations.values()) {
      const { feasible, routes, selected, requestedAtMs } = destination
      if (selected !== null || feasible === null || routes.size === 0) continue
      if (nowMs - requestedAtMs < REQUEST_INTERVAL_MS) continue
      destination.requestedAtMs = nowMs
      starving.push({ known: feasible.origin, neighbours: [...routes.keys()] })
    }
    return starving
  }

  /** Neighbours that have announced the destination, the one packets go to first. */
  announcers(key: Key): readonly Key[] {
    const destination = this.#destinations.get(key)
    if (destination === undefined) return []
    const { selected, routes } = destination
    return selected === null
      ? [...routes.keys()]
      : [selected, ...[...routes.keys()].filter((each) => each !== selected)]
  }

  /** A neighbour asks for something newer than it knows of this node. `false` when it never was of this node. */
  renew(known: Origin): boolean {
    if (!isSigned(known, this.#init.verify)) return false
    if (known.sequence >= this.#own.sequence) this.#advance(known.sequence + 1)
    return true
  }

  /** A newer sequence of this node, so that everybody may take any route to it again. */
  advance(): void {
    this.#advance(this.#own.sequence + 1)
  }

  view(nowMs: number): readonly DestinationView[] {
    return [...this.#destinations.values()].flatMap((destination): readonly DestinationView[] => {
      const usable = new Map(this.#usable(destination).map(({ neighbour, total }) => [neighbour, total]))
      const routes = [...destination.routes].flatMap(([nextHop, { origin, metric, atMs }]): readonly RouteView[] => {
        const cost = this.#init.costOf(nextHop)
        if (cost === null) return []
        return [
          {
            nextHop,
            metric: Math.min(metric + cost, MAX_METRIC),
            sequence: origin.sequence,
            ageMs: nowMs - atMs,
            isSelected: destination.selected === nextHop,
            isFeasible: usable.has(nextHop),
          },
        ]
      })
      if (routes.length === 0) return []
      const order = routes.toSorted((a, b) => Number(b.isSelected) - Number(a.isSelected) || a.metric - b.metric)
      return [{ destination: destination.key, routes: order }]
    })
  }

  /** Own announcements come back only from neighbours that know of an earlier run: this one has to be newer. */
  #meetOwn(origin: Origin, metric: number): boolean {
    if (metric >= MAX_METRIC || origin.sequence <= this.#own.sequence) return true
    if (!isSigned(origin, this.#init.verify)) return false
    this.#advance(origin.sequence + 1)
    return true
  }

  #advance(sequence: number): void {
    const { self, sign } = this.#init
    if (sequence <= MAX_SEQUENCE) this.#own = signOrigin(self, sequence, sign)
    this.#changed.add(self)
  }

  #add(key: Key, nowMs: number): Destination | null {
    if (this.#destinations.size >= MAX_DESTINATIONS) return null
    const destination: Destination = {
      key,
      routes: new Map(),
      said: new Map(),
      feasible: null,
      selected: null,
      announcedMetric: MAX_METRIC,
      usedAtMs: nowMs,
      requestedAtMs: -REQUEST_INTERVAL_MS,
    }
    this.#destinations.set(key, destination)
    return destination
  }

  /** Verified once for a sequence, however often it is announced. */
  #isGenuine(origin: Origin, destination: Destination | undefined): boolean {
    const signature = hexOf(origin.signature)
    const known = [
      destination?.feasible?.origin,
      ...[...(destination?.routes.values() ?? [])].map((each) => each.origin),
    ]
    const isKnown = known.some((each) => each?.sequence === origin.sequence && hexOf(each.signature) === signature)
    return isKnown || isSigned(origin, this.#init.verify)
  }

  #usable({ routes, feasible }: Destination): ReadonlyArray<{ neighbour: Key; route: Route; total: number }> {
    return [...routes].flatMap(([neighbour, route]) => {
      const cost = this.#init.costOf(neighbour)
      if (cost === null || !isFeasible(route, feasible)) return []
      const total = route.metric + Math.max(1, cost)
      return total >= MAX_METRIC ? [] : [{ neighbour, route, total }]
    })
  }

  #select(destination: Destination, nowMs: number): void {
    const usable = this.#usable(destination)
    const present = usable.find(({ neighbour }) => neighbour === destination.selected)
    const best = usable.toSorted((a, b) => a.total - b.total || (a.neighbour < b.neighbour ? -1 : 1))[0]
    const next =
      present !== undefined && best !== undefined && present.total <= best.total * SWITCH_ABOVE ? present : best
    if (next !== undefined) destination.usedAtMs = nowMs
    const hasSwitched = (next?.neighbour ?? null) !== destination.selected
    if (hasSwitched) this.#hasSwitched = true
    destination.selected = next?.neighbour ?? null
    const metric = next?.total ?? MAX_METRIC
    const isNews =
      metric > destination.announcedMetric * SWITCH_ABOVE || metric * SWITCH_ABOVE < destination.announcedMetric
    const isNewer = next !== undefined && next.route.origin.sequence > (destination.feasible?.origin.sequence ?? -1)
    if (!hasSwitched && !isNews && !isNewer) return
    destination.announcedMetric = metric
    this.#changed.add(destination.key)
  }

  /** Before a distance is announced. */
  #narrow(destination: Destination, route: { readonly origin: Origin; readonly metric: number }, nowMs: number): void {
    destination.usedAtMs = nowMs
    const { origin, metric } = route
    if (isFeasible(route, destination.feasible)) destination.feasible = { origin, metric }
  }
}

/** Whether a distance is smaller than any that was announced. */
function isFeasible(
  { origin, metric }: { readonly origin: Origin; readonly metric: number },
  feasible: Destination['feasible'],
): boolean {
  if (feasible === null) return true
  const newer = origin.sequence - feasible.origin.sequence
  return newer > 0 || (newer === 0 && metric < feasible.metric)
}

function rank(
  { selected }: Destination,
  { neighbour, total }: { readonly neighbour: Key; readonly total: number },
): number {
  return neighbour === selected ? -1 : total
}
