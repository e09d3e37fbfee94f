/**
 * Links between nodes, and what goes wrong on them. A link carries datagrams, which get lost, doubled and overtaken, and
 * while both of its directions work a connection: in order and nothing lost, as TCP gives it, so that loss is delay.
 * A connection outlives a short cut and breaks on a longer one; it comes back by itself.
 */
import type { Chance } from './chance.ts'

export interface LinkConditions {
  /** Share of datagrams that do not arrive. */
  readonly loss: number
  readonly duplicate: number
  /** Share of datagrams that are held back by up to `MAX_HELD_BACK_MS`. */
  readonly reorder: number
  /** Of one direction, in milliseconds. */
  readonly delayMs: readonly [least: number, most: number]
}

export interface Endpoint {
  readonly isUp: boolean
  receive(from: number, part: number, bytes: Uint8Array): void
  connected(peer: number): void
  disconnected(peer: number): void
}

export interface NetworkServices {
  readonly chance: Chance
  readonly conditions: () => LinkConditions
  readonly nowMs: () => number
  readonly after: (delayMs: number, work: () => void) => void
  readonly endpoint: (node: number) => Endpoint
  readonly note: (what: string) => void
}

const MAX_HELD_BACK_MS = 300
/** What a lost segment of a connection costs, doubled for each further loss. */
const RETRANSMIT_MS = 200
const MAX_LOSSES_IN_A_ROW = 5
/** A connection breaks when a direction is cut for so long. */
const DETECT_MS = [1_000, 3_000] as const
/** From when two nodes could connect until they have. */
const CONNECT_MS = [50, 1_000] as const
const BYTES_PER_MS = 1_000
/** A direction of a connection that has so much to carry takes nothing more. */
const MAX_UNDER_WAY_BYTES = 8_388_608

interface Direction {
  readonly from: number
  readonly to: number
  /** How many faults cut it now. */
  cuts: number
  /** When the connection has delivered all that was sent. */
  quietAtMs: number
  underWayBytes: number
  /** What arrived while it was cut. */
  held: (() => void)[]
}

interface Link {
  readonly there: Direction
  readonly back: Direction
  /** Counts connections; `isOpen`: the last of them stands. */
  epoch: number
  isOpen: boolean
  isConnecting: boolean
  /** Nodes that do not know yet that the connection broke. */
  readonly deceived: Set<number>
}

export class SimulatedNetwork {
  readonly #services: NetworkServices
  readonly #links: Link[] = []
  readonly #byNode = new Map<number, Map<number, Link>>()
  #delivered = 0
  #lost = 0

  constructor(services: NetworkServices) {
    this.#services = services
  }

  get delivered(): number {
    return this.#delivered
  }

  get lost(): number {
    return this.#lost
  }

  /** Every link, its ends in the order they were given. */
  get links(): readonly (readonly [number, number])[] {
    return this.#links.map(({ there: { from, to } }) => [from, to])
  }

  link(a: number, b: number): void {
    if (this.#linkOf(a, b) !== undefined) return
    const direction = (from: number, to: number): Direction => ({
      from,
      to,
      cuts: 0,
      quietAtMs: 0,
      underWayBytes: 0,
      held: [],
    })
    const link: Link = {
      there: direction(a, b),
      back: direction(b, a),
      epoch: 0,
      isOpen: false,
      isConnecting: false,
      deceived: new Set(),
    }
    this.#links.push(link)
    for (const [one, other] of [
      [a, b],
      [b, a],
    ] as const) {
      const links = this.#byNode.get(one) ?? new Map<number, Link>()
      this.#byNode.set(one, links.set(other, link))
    }
  }

  neighbours(node: number): readonly number[] {
    return [...(this.#byNode.get(node)?.keys() ?? [])]
  }

  isLinked(a: number, b: number): boolean {
    return this.#linkOf(a, b) !== undefined
  }

  /** Whether what `from` sends would get to `to` now, losses aside. */
  isPassable(from: number, to: number): boolean {
    return this.#directionOf(from, to)?.cuts === 0
  }

  /** Connects all that can be, such as at the beginning. */
  open(): void {
    for (const link of this.#links) this.#connect(link)
  }

  /** Nothing passes from `from` to `to` any more, until as many `mend`. */
  cut(from: number, to: number): void {
    const [link, direction] = [this.#linkOf(from, to), this.#directionOf(from, to)]
    if (link === undefined || direction === undefined) return
    direction.cuts += 1
    const { epoch } = link
    const { after, chance } = this.#services
    after(chance.between(...DETECT_MS), () => {
      if (link.isOpen && link.epoch === epoch && !this.#isWhole(link)) this.#break(link)
    })
  }

  mend(from: number, to: number): void {
    const [link, direction] = [this.#linkOf(from, to), this.#directionOf(from, to)]
    if (link === undefined || direction === undefined || direction.cuts === 0) return
    direction.cuts -= 1
    if (direction.cuts > 0) return
    for (const deliver of direction.held.splice(0)) deliver()
    this.#connect(link)
  }

  /** The node is gone; its peers find out one after another. */
  crashed(node: number): void {
    for (const link of this.#byNode.get(node)?.values() ?? []) {
      if (link.isOpen) this.#break(link, node)
      link.deceived.delete(node)
    }
  }

  restarted(node: number): void {
    for (const link of this.#byNode.get(node)?.values() ?? []) this.#connect(link)
  }

  /** By the connection of the two. @returns whether there is one that takes it */
  send(from: number, to: number, part: number, bytes: Uint8Array): boolean {
    const [link, direction] = [this.#linkOf(from, to), this.#directionOf(from, to)]
    if (link === undefined || direction === undefined || !link.isOpen) return false
    if (direction.underWayBytes > MAX_UNDER_WAY_BYTES) return false
    const { nowMs, after, chance, conditions } = this.#services
    const { delayMs, loss } = conditions()
    let arrivesMs = nowMs() + chance.between(...delayMs) + Math.ceil(bytes.length / BYTES_PER_MS)
    for (let losses = 0; losses < MAX_LOSSES_IN_A_ROW && chance.happens(loss); losses++) {
      arrivesMs += RETRANSMIT_MS * (1 << losses)
    }
    direction.quietAtMs = Math.max(direction.quietAtMs, arrivesMs)
    direction.underWayBytes += bytes.length
    const { epoch } = link
    const deliver = (): void => {
      if (!link.isOpen || link.epoch !== epoch) return
      if (direction.cuts > 0) {
        direction.held.push(deliver)
        return
      }
      direction.underWayBytes -= bytes.length
      this.#deliver(direction, part, bytes)
    }
    after(direction.quietAtMs - nowMs(), deliver)
    return true
  }

  /** On its own, without a connection. */
  sendDatagram(from: number, to: number, part: number, bytes: Uint8Array): void {
    const direction = this.#directionOf(from, to)
    if (direction === undefined) return
    const { chance, conditions } = this.#services
    const { loss, duplicate } = conditions()
    if (direction.cuts > 0 || chance.happens(loss)) {
      this.#lost += 1
      this.#services.note(`lost ${from}>${to} ${bytes.length}`)
    } else {
      this.#fly(direction, part, bytes)
    }
    if (chance.happens(duplicate)) this.#fly(direction, part, bytes)
  }

  #fly(direction: Direction, part: number, bytes: Uint8Array): void {
    const { chance, conditions, after } = this.#services
    const { delayMs, reorder } = conditions()
    const heldBackMs = chance.happens(reorder) ? chance.between(1, MAX_HELD_BACK_MS) : 0
    after(chance.between(...delayMs) + heldBackMs, () => {
      if (direction.cuts === 0) this.#deliver(direction, part, bytes)
    })
  }

  #deliver({ from, to }: Direction, part: number, bytes: Uint8Array): void {
    const { endpoint, note } = this.#services
    const target = endpoint(to)
    if (!target.isUp) return
    this.#delivered += 1
    note(`to ${from}>${to} ${part} ${bytes.length}`)
    target.receive(from, part, bytes)
  }

  #connect(link: Link): void {
    if (link.isOpen || link.isConnecting || !this.#couldConnect(link)) return
    link.isConnecting = true
    const { after, chance, endpoint, note } = this.#services
    after(chance.between(...CONNECT_MS), () => {
      link.isConnecting = false
      if (link.isOpen || !this.#couldConnect(link)) return
      this.#tellDeceived(link)
      link.isOpen = true
      link.epoch += 1
      for (const direction of [link.there, link.back]) {
        Object.assign(direction, { quietAtMs: 0, underWayBytes: 0, held: [] } satisfies Partial<Direction>)
      }
      const { from, to } = link.there
      note(`up ${from}-${to}`)
      endpoint(from).connected(to)
      endpoint(to).connected(from)
    })
  }

  /** `gone`: the end that need not be told. */
  #break(link: Link, gone?: number): void {
    const { from, to } = link.there
    const { after, chance, note } = this.#services
    link.isOpen = false
    note(`down ${from}-${to}`)
    for (const node of [from, to]) if (node !== gone) link.deceived.add(node)
    const delayMs = gone === undefined ? 0 : chance.between(0, DETECT_MS[1])
    after(delayMs, () => this.#tellDeceived(link))
    this.#connect(link)
  }

  #tellDeceived(link: Link): void {
    const { from, to } = link.there
    for (const node of link.deceived) {
      link.deceived.delete(node)
      const end = this.#services.endpoint(node)
      if (end.isUp) end.disconnected(node === from ? to : from)
    }
  }

  #couldConnect(link: Link): boolean {
    const { endpoint } = this.#services
    return this.#isWhole(link) && endpoint(link.there.from).isUp && endpoint(link.there.to).isUp
  }

  #isWhole({ there, back }: Link): boolean {
    return there.cuts === 0 && back.cuts === 0
  }

  #linkOf(a: number, b: number): Link | undefined {
    return this.#byNode.get(a)?.get(b)
  }

  #directionOf(from: number, to: number): Direction | undefined {
    const link = this.#linkOf(from, to)
    return link?.there.from === from ? link.there : link?.back
  }
}
