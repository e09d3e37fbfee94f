/** The neighbours of a node: which there are, their links and hellos, and what is sent to them (NZ-ROUTING-01 §2, §3). */
import { decodeHello, encodeHello } from './announcement.ts'
import {
  ANNOUNCE_INTERVAL_MS,
  HELLO_INTERVAL_MS,
  MAX_NEIGHBOURS,
  NEIGHBOUR_TIMEOUT_MS,
  OPEN_INTERVAL_MS,
} from './limits.ts'
import { Link } from './link.ts'
import { decodeConfirmation, encodeConfirmation, isConfirmed, messageTypes } from './link-message.ts'
import type { LinkInit } from './link.ts'
import type { MessageType, Unsealed } from './link-message.ts'
import type { Key } from './signing.ts'

export interface NeighboursInit extends Omit<LinkInit, 'neighbour'> {
  /** `isControl`: to be preferred where a queue is full. */
  readonly transmit: (to: Key, message: Uint8Array, isControl: boolean) => void
  /** The link is gone or a new one: what was learnt by the old one is worth nothing. */
  readonly onLost: (neighbour: Key, nowMs: number) => void
}

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

/** `unsealed`: new, and not for this file alone. */
export type Received =
  | { readonly kind: 'message'; readonly unsealed: Unsealed }
  | { readonly kind: 'refused'; readonly code: 'NZ_ROUTE_FORGED' | 'NZ_ROUTE_REPLAYED' | 'NZ_ROUTE_MALFORMED' }
  | { readonly kind: 'done'; readonly isNewlyUsable: boolean }

export class Neighbours {
  readonly #init: NeighboursInit
  readonly #neighbours = new Map<Key, Neighbour>()

  constructor(init: NeighboursInit) {
    this.#init = init
  }

  has(key: Key): boolean {
    return this.#neighbours.has(key)
  }

  isOpen(key: Key): boolean {
    return this.#neighbours.get(key)?.link.isOpen === true
  }

  /** What a hop to it adds to a metric; `null` while it is not known to hear this node. */
  costOf(key: Key): number | null {
    return this.#neighbours.get(key)?.link.cost ?? null
  }

  /** Those that can be told something. */
  open(): readonly Key[] {
    return [...this.#neighbours].flatMap(([key, { link }]) => (link.isOpen ? [key] : []))
  }

  /** Beyond `MAX_NEIGHBOURS` it is not routed with. */
  add(key: Key, nowMs: number): void {
    if (key === this.#init.self || this.#neighbours.has(key) || this.#neighbours.size >= MAX_NEIGHBOURS) return
    this.#offer(this.#replace(key, nowMs), nowMs)
  }

  remove(key: Key, nowMs: number): void {
    if (this.#neighbours.delete(key)) this.#init.onLost(key, nowMs)
  }

  /** @throws TypeError when there is no such neighbour */
  receive(from: Key, message: Uint8Array, nowMs: number): Received {
    const neighbour = this.#neighbours.get(from)
    if (neighbour === undefined) throw new TypeError('no such neighbour')
    if (message[0] === messageTypes.open) return this.#receiveOpen(neighbour, message, nowMs)
    const unsealed = neighbour.link.unseal(message)
    if (unsealed === null) return { kind: 'refused', code: 'NZ_ROUTE_FORGED' }
    const { type, counter, body, isNew } = unsealed
    // A repeated one, too: the confirmation was lost.
    if (isConfirmed(type)) this.send(from, messageTypes.confirm, [encodeConfirmation(counter)], true)
    if (!isNew) return { kind: 'refused', code: 'NZ_ROUTE_REPLAYED' }
    if (type === messageTypes.hello) return this.#receiveHello(neighbour, body, nowMs)
    if (type !== messageTypes.confirm) return { kind: 'message', unsealed }
    const confirmed = decodeConfirmation(body)
    if (confirmed === null) return { kind: 'refused', code: 'NZ_ROUTE_MALFORMED' }
    neighbour.link.confirmed(confirmed)
    return { kind: 'done', isNewlyUsable: false }
  }

  /** Offers, hellos and repetitions that are due; a neighbour that fell silent is lost. */
  tick(nowMs: number): void {
    for (const [key, neighbour] of this.#neighbours) {
      const heardAtMs = neighbour.link.heardAtMs ?? neighbour.upAtMs
      const isSilent = neighbour.link.isOpen && nowMs - heardAtMs > NEIGHBOUR_TIMEOUT_MS
      if (isSilent) this.#init.onLost(key, nowMs)
      const present = isSilent ? this.#replace(key, nowMs) : neighbour
      const { link } = present
      if (!link.isHeard && nowMs - present.offeredAtMs >= OPEN_INTERVAL_MS) this.#offer(present, nowMs)
      if (link.isOpen && nowMs - present.saidHelloAtMs >= HELLO_INTERVAL_MS) this.#hello(present, nowMs)
      for (const message of link.repeats(nowMs)) this.#init.transmit(key, message, true)
    }
  }

  /** Those that are to be told of all routes; they are not given again before that is due again. */
  takeDue(nowMs: number): readonly Key[] {
    const due = [...this.#neighbours].filter(
      ([, { link, announcedAtMs }]) => link.isOpen && nowMs - announcedAtMs >= ANNOUNCE_INTERVAL_MS,
    )
    for (const [, neighbour] of due) neighbour.announcedAtMs = nowMs
    return due.map(([key]) => key)
  }

  /** Nothing happens while there is no link. */
  send(to: Key, type: MessageType, parts: readonly Uint8Array[], isControl: boolean): void {
    const link = this.#neighbours.get(to)?.link
    if (link?.isOpen === true) this.#init.transmit(to, link.seal(type, ...parts), isControl)
  }

  view(): readonly NeighbourView[] {
    return [...this.#neighbours].map(([neighbour, { link }]) => ({
      neighbour,
      isOpen: link.isOpen,
      cost: link.cost,
      roundTripMs: link.roundTripMs,
      delivery: link.delivery,
    }))
  }

  #receiveOpen(neighbour: Neighbour, message: Uint8Array, nowMs: number): Received {
    const { link } = neighbour
    const state = link.receiveOpen(message)
    if (state === null) return { kind: 'refused', code: 'NZ_ROUTE_FORGED' }
    for (const reply of state.replies) this.#init.transmit(link.neighbour, reply, true)
    if (state.isNew) {
      this.#init.onLost(link.neighbour, nowMs)
      this.#hello(neighbour, nowMs)
      neighbour.announcedAtMs = -Infinity
    }
    return { kind: 'done', isNewlyUsable: false }
  }

  #receiveHello(neighbour: Neighbour, body: Uint8Array, nowMs: number): Received {
    const hello = decodeHello(body)
    if (hello === null) return { kind: 'refused', code: 'NZ_ROUTE_MALFORMED' }
    const { link } = neighbour
    const wasUsable = link.cost !== null
    link.hear(hello, nowMs)
    if (hello.expected === 0 || hello.echo === null) this.#hello(neighbour, nowMs)
    const isNewlyUsable = !wasUsable && link.cost !== null
    if (isNewlyUsable) neighbour.announcedAtMs = nowMs
    return { kind: 'done', isNewlyUsable }
  }

  /** A new link has to be agreed on. */
  #replace(key: Key, nowMs: number): Neighbour {
    const never = -Infinity
    const link = new Link({ ...this.#init, neighbour: key })
    const neighbour = { link, upAtMs: nowMs, offeredAtMs: never, saidHelloAtMs: never, announcedAtMs: never }
    this.#neighbours.set(key, neighbour)
    return neighbour
  }

  #offer(neighbour: Neighbour, nowMs: number): void {
    neighbour.offeredAtMs = nowMs
    this.#init.transmit(neighbour.link.neighbour, neighbour.link.offer(), true)
  }

  #hello(neighbour: Neighbour, nowMs: number): void {
    neighbour.saidHelloAtMs = nowMs
    const { link } = neighbour
    this.send(link.neighbour, messageTypes.hello, [encodeHello(link.nextHello(nowMs))], true)
  }
}
