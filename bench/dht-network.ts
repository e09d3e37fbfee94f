/** A network in memory for the lookup core of discovery: honest nodes, dead ones, and Sybils that lie together. */
import { hash } from 'node:crypto'
import { compareDistance, placeOf } from '../protocols/discovery/distance.ts'
import { FIRST_BUCKET, K } from '../protocols/discovery/limits.ts'
import { Lookup } from '../protocols/discovery/lookup.ts'
import { RoutingTable } from '../protocols/discovery/routing-table.ts'
import type { Random } from '../kernel/index.ts'
import type { Place } from '../protocols/discovery/distance.ts'

export interface SimulatedNode {
  readonly peerId: string
  readonly place: Place
  readonly range: string | null
  readonly isSybil: boolean
  isDead: boolean
}

export interface SimulatedLookup {
  /** Nodes the lookup came to, nearest first. */
  readonly closest: readonly SimulatedNode[]
  readonly isFound: boolean
  readonly asked: number
  readonly hops: number
}

const RECORD = { sequence: 1, bytes: new Uint8Array(), content: { kind: 'peer' as const, addresses: [] } }

export class SimulatedNetwork {
  readonly #nodes: SimulatedNode[]
  readonly #tables = new Map<string, RoutingTable>()
  /** Keys held, by peer id. */
  readonly #held = new Map<string, Set<string>>()
  readonly #random: Random

  constructor(nodes: readonly SimulatedNode[], random: Random) {
    const origin = new Uint32Array(8)
    this.#nodes = nodes.toSorted((a, b) => compareDistance(origin, a.place, b.place))
    this.#random = random
  }

  /** Nodes of an honest network, of which `sybils` (0 to 1) are attackers; every node has a range of its own. */
  static of(count: number, { sybils, random }: { readonly sybils: number; readonly random: Random }): SimulatedNetwork {
    const nodes = Array.from({ length: count }, (_, at): SimulatedNode => {
      const isSybil = at < count * sybils
      return { peerId: `n${at}`, place: placeNamed(`n${at}`), range: `r${at}`, isSybil, isDead: false }
    })
    return new SimulatedNetwork(nodes, random)
  }

  /** The same network with attackers nearer to `key` than anybody, from `ranges` ranges of addresses. */
  eclipsed(
    key: Place,
    { attackers, ranges }: { readonly attackers: number; readonly ranges: number },
  ): SimulatedNetwork {
    const around = Array.from({ length: attackers }, (_, at): SimulatedNode => {
      const place = Uint32Array.from(key)
      place[7] = ((place[7] ?? 0) ^ (at + 1)) >>> 0
      return { peerId: `e${at}`, place, range: `e${at % ranges}`, isSybil: true, isDead: false }
    })
    return new SimulatedNetwork([...this.#nodes, ...around], this.#random)
  }

  /** A random node that is honest and lives. */
  honest(): SimulatedNode {
    for (;;) {
      const node = this.#nodes[Math.floor(this.#random.unit() * this.#nodes.length)]
      if (node !== undefined && !node.isSybil && !node.isDead) return node
    }
  }

  /** Kills a share of all nodes; nobody's table knows. */
  kill(share: number): void {
    for (const node of this.#nodes) node.isDead ||= this.#random.unit() < share
  }

  /** Stores under `key` from a random honest node: honest nodes that the lookup came to keep it. */
  put(key: Place): SimulatedLookup {
    const lookup = this.#lookup(key, null)
    for (const { peerId, isSybil } of lookup.closest) {
      if (isSybil) continue
      const held = this.#held.get(peerId) ?? new Set<string>()
      this.#held.set(peerId, held.add(key.join()))
    }
    return lookup
  }

  /** Looks for what was stored under `key` from a random honest node. */
  get(key: Place): SimulatedLookup {
    return this.#lookup(key, key.join())
  }

  #lookup(target: Place, wanted: string | null, from = this.honest(), isProbe = false): SimulatedLookup {
    const table = this.#tableOf(from)
    const seeds = table.closest(target, K).map((entry) => this.#byPeer(entry))
    const lookup = new Lookup(target, seeds, {
      estimatedNodes: isProbe ? 0 : table.estimatedNodes(),
      self: from.peerId,
    })
    let hops = 0
    let probed = 0
    for (;;) {
      const asked = lookup.next()
      if (asked.length === 0) {
        const probes = lookup.probes()
        if (probes.length === 0) break
        for (const place of probes) {
          const near = this.#lookup(place, null, from, true)
          probed += near.asked
          lookup.add(near.closest)
        }
        continue
      }
      for (const node of asked) {
        if (node.isDead) {
          lookup.failed(node.peerId)
          continue
        }
        hops = Math.max(hops, lookup.answered(node.peerId, this.#answer(node, target)))
        const isHeld = wanted !== null && this.#held.get(node.peerId)?.has(wanted) === true
        if (isHeld) return { closest: [], isFound: true, asked: lookup.asked + probed, hops }
      }
    }
    return { closest: lookup.closest(), isFound: false, asked: lookup.asked + probed, hops }
  }

  /** An honest node tells what it knows; a Sybil tells of the Sybils nearest to the target alone. */
  #answer(node: SimulatedNode, target: Place): readonly SimulatedNode[] {
    if (!node.isSybil)
      return this.#tableOf(node)
        .closest(target, K)
        .map((entry) => this.#byPeer(entry))
    const near = this.#around(target, K * 8).filter(({ isSybil }) => isSybil)
    return near.toSorted((a, b) => compareDistance(target, a.place, b.place)).slice(0, K)
  }

  #byPeer({ peerId, place, range }: Pick<SimulatedNode, 'peerId' | 'place' | 'range'>): SimulatedNode {
    return this.#index.get(peerId) ?? { peerId, place, range, isSybil: false, isDead: true }
  }

  get #index(): ReadonlyMap<string, SimulatedNode> {
    this.#cachedIndex ??= new Map(this.#nodes.map((node) => [node.peerId, node]))
    return this.#cachedIndex
  }
  #cachedIndex: ReadonlyMap<string, SimulatedNode> | null = null

  /** As a node has filled it that has been there for a while: for each distance, nodes that chance has brought. */
  #tableOf(self: SimulatedNode): RoutingTable {
    const known = this.#tables.get(self.peerId)
    if (known !== undefined) return known
    const table = new RoutingTable(self.place)
    let [from, to] = [0, this.#nodes.length]
    for (let bits = 0; to - from > 1 && bits < 64; bits++) {
      const middle = this.#firstWith(bits, from, to)
      const own = ((self.place[bits >> 5] ?? 0) >>> (31 - (bits & 31))) & 1
      const [otherFrom, otherTo] = own === 1 ? [from, middle] : [middle, to]
      for (const node of this.#sample(otherFrom, otherTo, Math.max(K, FIRST_BUCKET >> bits)))
        table.heard({ ...node, record: RECORD }, { isProven: true })
      ;[from, to] = own === 1 ? [middle, to] : [from, middle]
    }
    for (const node of this.#nodes.slice(from, to)) table.heard({ ...node, record: RECORD }, { isProven: true })
    this.#tables.set(self.peerId, table)
    return table
  }

  /** Where, among nodes that share `bits` leading bits, the next bit becomes 1. */
  #firstWith(bits: number, from: number, to: number): number {
    let [low, high] = [from, to]
    while (low < high) {
      const at = (low + high) >> 1
      const bit = ((this.#nodes[at]?.place[bits >> 5] ?? 0) >>> (31 - (bits & 31))) & 1
      if (bit === 1) high = at
      else low = at + 1
    }
    return low
  }

  #sample(from: number, to: number, count: number): readonly SimulatedNode[] {
    if (to - from <= count) return this.#nodes.slice(from, to)
    const chosen = new Set<number>()
    while (chosen.size < count) chosen.add(from + Math.floor(this.#random.unit() * (to - from)))
    return [...chosen].flatMap((at) => this.#nodes[at] ?? [])
  }

  /** About `count` nodes around a place. */
  #around(place: Place, count: number): readonly SimulatedNode[] {
    let [from, to] = [0, this.#nodes.length]
    for (let bits = 0; to - from > count && bits < 250; bits++) {
      const middle = this.#firstWith(bits, from, to)
      const own = ((place[bits >> 5] ?? 0) >>> (31 - (bits & 31))) & 1
      const [nextFrom, nextTo] = own === 1 ? [middle, to] : [from, middle]
      if (nextTo - nextFrom < K) break
      ;[from, to] = [nextFrom, nextTo]
    }
    return this.#nodes.slice(from, to)
  }
}

export function placeNamed(name: string): Place {
  return placeOf(hash('sha256', name, 'buffer'))
}
