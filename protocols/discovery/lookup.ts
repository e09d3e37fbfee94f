/**
 * One iterative lookup (NZ-DISCOVERY-01 §6): several ways that share no node walk towards a target; then the nearest of
 * all are asked. Sans-I/O: `next` says whom to ask, `answered` and `failed` say what became of it.
 */
import { bitOf, commonBits, compareDistance, flipBit, fractionBetween } from './distance.ts'
import {
  CELLS,
  CROWDED_FACTOR,
  K,
  MAX_ASKED,
  MAX_CANDIDATES,
  MAX_RANGE_ASKED,
  MAX_RANGE_COUNTED,
  MAX_REGION,
  PARALLEL_PER_PATH,
  PATHS,
} from './limits.ts'
import type { Place } from './distance.ts'

/** What a lookup needs to know of a node. */
export interface Node {
  readonly peerId: string
  readonly place: Place
  readonly range: string | null
}

interface Candidate<N> {
  readonly node: N
  readonly path: number
  /** Answers between this node and the table. */
  readonly hops: number
  state: 'waiting' | 'asked' | 'slow' | 'answered' | 'failed'
}

export interface LookupOptions {
  readonly k?: number
  readonly paths?: number
  /** How many nodes the network seems to have: nodes that stand denser around the target than that do not hide others. */
  readonly estimatedNodes?: number
  /** Peer id of the node that looks, which is not asked. */
  readonly self?: string
}

export class Lookup<N extends Node> {
  readonly target: Place
  readonly #k: number
  readonly #paths: number
  readonly #radius: number
  readonly #self: string | undefined
  /** Nearest first. */
  #candidates: Candidate<N>[] = []
  readonly #byPeer = new Map<string, Candidate<N>>()
  readonly #askedPerRange = new Map<string, number>()
  #asked = 0
  #probed = false

  constructor(target: Place, seeds: readonly N[], options: LookupOptions = {}) {
    const { k = K, paths = PATHS, estimatedNodes = 0, self } = options
    this.target = target
    this.#k = k
    this.#paths = Math.max(1, Math.min(paths, seeds.length))
    this.#radius = estimatedNodes > k ? k / estimatedNodes : 0
    this.#self = self
    const sorted = seeds.toSorted((a, b) => compareDistance(target, a.place, b.place))
    sorted.forEach((node, at) => this.#add(node, at % this.#paths, 0))
    this.#sort()
  }

  /** Requests sent so far. */
  get asked(): number {
    return this.#asked
  }

  /** Whom to ask now: none while enough is under way, and when all is done. */
  next(): N[] {
    if (this.#asked >= MAX_ASKED) return []
    const chosen = new Set<Candidate<N>>()
    for (let path = 0; path < this.#paths; path++) for (const each of this.#nextOn(path)) chosen.add(each)
    if (chosen.size === 0 && !this.#isBusy) for (const each of this.#nextOfRegion()) chosen.add(each)
    return [...chosen].flatMap((each) => (this.#ask(each) ? [each.node] : []))
  }

  /** Nobody is left to ask and nobody is waited for. */
  get isDone(): boolean {
    return !this.#isBusy && (this.#asked >= MAX_ASKED || this.#region().every(({ state }) => state === 'answered'))
  }

  /** The peer told of nodes that it thinks nearer. @returns how many answers lie between the table and this one, with it */
  answered(peerId: string, closer: readonly N[]): number {
    const from = this.#byPeer.get(peerId)
    if (from === undefined) return 0
    from.state = 'answered'
    for (const node of closer) this.#add(node, from.path, from.hops + 1)
    this.#sort()
    return from.hops + 1
  }

  /**
   * Places to look up before this lookup is done: around a crowded target one in each cell of its neighbourhood, told
   * once; else none. What is found there is to be added.
   */
  probes(): Place[] {
    if (this.#probed || !this.isDone || !this.#isCrowded) return []
    this.#probed = true
    const shared = this.#sharedBits
    return Array.from({ length: CELLS }, (_, cell) => {
      const place = Uint32Array.from(this.target)
      for (let at = 0; at < Math.log2(CELLS); at++)
        if (((cell >> at) & 1) !== bitOf(place, shared + at)) flipBit(place, shared + at)
      // In the middle of its cell, and no place that anybody could have prepared for.
      flipBit(place, shared + Math.log2(CELLS))
      return place
    })
  }

  /** Nodes that were found otherwise. */
  add(nodes: readonly N[]): void {
    nodes.forEach((node, at) => this.#add(node, at % this.#paths, 1))
    this.#sort()
  }

  failed(peerId: string): void {
    const candidate = this.#byPeer.get(peerId)
    if (candidate !== undefined && candidate.state !== 'answered') candidate.state = 'failed'
  }

  /** The peer takes long: somebody else is asked beside it, and its answer still counts when it comes. */
  slow(peerId: string): void {
    const candidate = this.#byPeer.get(peerId)
    if (candidate?.state === 'asked') candidate.state = 'slow'
  }

  /** The nodes that answered, as near to the target as this lookup came: those that hold what belongs there. */
  closest(): N[] {
    return this.#region()
      .filter(({ state }) => state === 'answered')
      .map(({ node }) => node)
  }

  /** Everybody this lookup has heard of, nearest first. */
  known(): N[] {
    return this.#candidates.map(({ node }) => node)
  }

  get #isBusy(): boolean {
    return this.#candidates.some(({ state }) => state === 'asked')
  }

  #nextOn(path: number): Candidate<N>[] {
    // Each way walks with its share of the nearest; the rest of them is asked at the end.
    const width = Math.max(3, Math.ceil(this.#k / this.#paths))
    const mine = this.#candidates.filter((each) => each.path === path && each.state !== 'failed').slice(0, width)
    const underWay = mine.filter(({ state }) => state === 'asked').length
    return mine.filter(({ state }) => state === 'waiting').slice(0, Math.max(0, PARALLEL_PER_PATH - underWay))
  }

  #nextOfRegion(): Candidate<N>[] {
    return this.#region()
      .filter(({ state }) => state === 'waiting')
      .slice(0, this.#paths * PARALLEL_PER_PATH)
  }

  /**
   * The k nearest that did not fail, of each range of addresses MAX_RANGE_COUNTED counting; around a crowded target also
   * the nearest of every cell, so that whoever crowds around it cannot push the others out.
   */
  #region(): Candidate<N>[] {
    const able = this.#candidates.filter(({ state }) => state !== 'failed' && state !== 'slow')
    const region = new Set<Candidate<N>>()
    const ranges = new Map<string, number>()
    let counted = 0
    for (const each of able) {
      if (counted >= this.#k) break
      const { range } = each.node
      const ofRange = range === null ? 0 : (ranges.get(range) ?? 0) + 1
      if (range !== null) ranges.set(range, ofRange)
      if (ofRange > MAX_RANGE_ASKED) continue
      if (ofRange <= MAX_RANGE_COUNTED) counted += 1
      region.add(each)
    }
    if (this.#probed) {
      const cells = new Map<number, number>()
      for (const each of able) {
        const cell = this.#cellOf(each.node.place)
        const ofCell = (cells.get(cell) ?? 0) + 1
        cells.set(cell, ofCell)
        if (ofCell <= MAX_REGION / CELLS) region.add(each)
      }
    }
    return [...region]
  }

  /** Whether nodes stand so dense around the target that some may be there to hide others. */
  get #isCrowded(): boolean {
    const last = this.#candidates.filter(({ state }) => state !== 'failed')[this.#k - 1]
    return (
      last !== undefined &&
      this.#radius > 0 &&
      fractionBetween(this.target, last.node.place) * CROWDED_FACTOR < this.#radius
    )
  }

  /** Leading bits that the nodes within the radius share with the target. */
  get #sharedBits(): number {
    return Math.floor(-Math.log2(this.#radius))
  }

  /** By the bits behind those that the neighbourhood shares; nodes outside of it are in a cell of their own. */
  #cellOf(place: Place): number {
    const shared = this.#sharedBits
    if (commonBits(this.target, place) < shared) return -1
    let cell = 0
    for (let bit = shared; bit < shared + Math.log2(CELLS); bit++) cell = cell * 2 + bitOf(place, bit)
    return cell
  }

  #ask(candidate: Candidate<N>): boolean {
    const { range } = candidate.node
    const ofRange = range === null ? 0 : (this.#askedPerRange.get(range) ?? 0) + 1
    if (ofRange > MAX_RANGE_ASKED) {
      candidate.state = 'failed'
      return false
    }
    if (range !== null) this.#askedPerRange.set(range, ofRange)
    candidate.state = 'asked'
    this.#asked += 1
    return true
  }

  #add(node: N, path: number, hops: number): void {
    if (node.peerId === this.#self || this.#byPeer.has(node.peerId)) return
    const candidate: Candidate<N> = { node, path, hops, state: 'waiting' }
    this.#byPeer.set(node.peerId, candidate)
    this.#candidates.push(candidate)
  }

  /** At the bound the farthest that were not asked are forgotten. */
  #sort(): void {
    this.#candidates.sort((a, b) => compareDistance(this.target, a.node.place, b.node.place))
    for (let at = this.#candidates.length - 1; at >= 0 && this.#candidates.length > MAX_CANDIDATES; at--) {
      const each = this.#candidates[at]
      if (each?.state !== 'waiting') continue
      this.#candidates.splice(at, 1)
      this.#byPeer.delete(each.node.peerId)
    }
  }
}
