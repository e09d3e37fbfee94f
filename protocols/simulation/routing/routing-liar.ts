/** Nodes that attack routing: one that repeats what it saw, and one that others trust and that forges. */
import { encodeAnnouncements, signOrigin } from '../../routing/announcement.ts'
import { encodeClosed } from '../../routing/closed.ts'
import { MAX_HOPS, MAX_MESSAGE_BYTES } from '../../routing/limits.ts'
import { messageTypes } from '../../routing/link-message.ts'
import { Neighbours } from '../../routing/neighbours.ts'
import { createSetup, passOn } from '../../routing/setup.ts'
import { FLOW_BYTES, hexOf } from '../../routing/signing.ts'
import { RoutingNode, TICK_EVERY_MS } from './routing-node.ts'
import type { FlowId, Key, Sign } from '../../routing/signing.ts'
import type { Host, Process } from '../part.ts'
import type { RoutingNodeInit } from './routing-node.ts'

const ATTACK_EVERY_MS = 1_000
const MAX_CAPTURED = 256
/** Nobody is ahead of it by mistake. */
const FORGED_LEAD_MS = 172_800_000
const FORGED_SEQUENCE = 2 ** 40

/** What a liar saw, sent again as it was, damaged, and to others. */
class Captured {
  readonly #host: Host
  readonly #messages: Uint8Array[] = []

  constructor(host: Host) {
    this.#host = host
  }

  keep(bytes: Uint8Array): void {
    if (this.#messages.length >= MAX_CAPTURED) this.#messages.shift()
    this.#messages.push(bytes)
  }

  replay(): void {
    const { neighbours, random } = this.#host
    for (const to of neighbours) {
      const seen = this.#messages[Math.floor(random.unit() * this.#messages.length)]
      if (seen === undefined) continue
      this.#host.sendDatagram(to, seen)
      const damaged = Uint8Array.from(seen)
      const at = Math.floor(random.unit() * damaged.length)
      damaged[at] = (damaged[at] ?? 0) ^ (1 << Math.floor(random.unit() * 8))
      this.#host.sendDatagram(to, damaged)
    }
  }
}

/** A node that keeps to the protocol and, beside that, sends what it saw again, damaged or to somebody else. */
export class RoutingReplayer extends RoutingNode {
  readonly #host: Host
  readonly #captured: Captured

  constructor(init: RoutingNodeInit) {
    super(init)
    this.#host = init.host
    this.#captured = new Captured(init.host)
    this.#attack()
  }

  override receive(from: number, bytes: Uint8Array): void {
    this.#captured.keep(bytes)
    super.receive(from, bytes)
  }

  #attack(): void {
    this.#host.clock.setTimer(ATTACK_EVERY_MS, () => {
      this.#captured.replay()
      this.#attack()
    })
  }
}

export interface ForgerInit extends Pick<RoutingNodeInit, 'host' | 'keys' | 'verify'> {
  /** Honest nodes, whom it claims to be. */
  readonly victims: readonly Key[]
}

/**
 * A node that others route with: it has links with its neighbours, announces nothing true, and sends over them routes and
 * setups in the name of others, and its own setups again. Whoever takes one of these forgot to look.
 */
export class RoutingForger implements Process {
  readonly #init: ForgerInit
  readonly #sign: Sign
  readonly #neighbours: Neighbours
  readonly #captured: Captured
  #own: { readonly to: Key; readonly flow: FlowId; readonly setup: Uint8Array } | null = null
  #attacks = 0

  constructor(init: ForgerInit) {
    const { host, keys, verify } = init
    this.#init = init
    this.#captured = new Captured(host)
    this.#sign = (purpose, message) => host.identity.sign(purpose, message)
    const nodes = new Map(keys.map((key, node) => [key, node]))
    this.#neighbours = new Neighbours({
      self: host.identity.key,
      random: host.random,
      sign: this.#sign,
      verify,
      transmit: (to, message) => host.sendDatagram(nodes.get(to) ?? -1, message),
      onLost: () => undefined,
    })
    this.#tick()
    this.#attack()
  }

  connected(peer: number): void {
    this.#neighbours.add(this.#keyOf(peer), this.#init.host.clock.monotonicMs())
  }

  disconnected(peer: number): void {
    this.#neighbours.remove(this.#keyOf(peer), this.#init.host.clock.monotonicMs())
  }

  receive(from: number, bytes: Uint8Array): void {
    this.#captured.keep(bytes)
    const key = this.#keyOf(from)
    const isTaken = this.#neighbours.has(key) && bytes.length > 0 && bytes.length <= MAX_MESSAGE_BYTES
    if (isTaken) this.#neighbours.receive(key, bytes, this.#init.host.clock.monotonicMs())
  }

  #tick(): void {
    const { clock } = this.#init.host
    clock.setTimer(TICK_EVERY_MS, () => {
      this.#neighbours.tick(clock.monotonicMs())
      this.#tick()
    })
  }

  #attack(): void {
    this.#init.host.clock.setTimer(ATTACK_EVERY_MS, () => {
      this.#captured.replay()
      for (const to of this.#neighbours.open()) {
        this.#forgeRoute(to)
        this.#forgeSetup(to)
      }
      this.#attackByOwn()
      this.#attacks += 1
      this.#attack()
    })
  }

  /** The best route there could be, signed by somebody else than its destination. */
  #forgeRoute(to: Key): void {
    const origin = signOrigin(this.#victim(to), FORGED_SEQUENCE, this.#sign)
    this.#neighbours.send(to, messageTypes.announce, [encodeAnnouncements([{ origin, metric: 0 }])], true)
  }

  /** A path of a victim, which has given it to this node. */
  #forgeSetup(to: Key): void {
    const { host } = this.#init
    const source = this.#victim(to)
    const body = { ...this.#body(), source, sequence: host.clock.nowMs() + FORGED_LEAD_MS }
    if (body.destination === source) return
    const self = host.identity.key
    const setup = passOn(createSetup(body, { ttl: MAX_HOPS, next: self }, this.#sign), { self, next: to }, this.#sign)
    this.#neighbours.send(to, messageTypes.setup, [setup.bytes], true)
  }

  /** A path of its own, which is right; then its end; then the same setup again, in a new message. */
  #attackByOwn(): void {
    const step = this.#attacks % 3
    if (step === 0) {
      const { host } = this.#init
      const [to] = this.#neighbours.open()
      const body = { ...this.#body(), source: host.identity.key, sequence: host.clock.nowMs() + FORGED_LEAD_MS }
      if (to === undefined) return
      this.#own = { to, flow: body.flow, setup: createSetup(body, { ttl: MAX_HOPS, next: to }, this.#sign).bytes }
    }
    if (this.#own === null) return
    const { to, flow, setup } = this.#own
    const closed = { flow, code: 'NZ_ROUTE_CLOSED', by: this.#init.host.identity.key, latest: 0 } as const
    if (step === 1) this.#neighbours.send(to, messageTypes.closed, [encodeClosed(closed)], true)
    else this.#neighbours.send(to, messageTypes.setup, [setup], true)
  }

  #body(): { readonly destination: Key; readonly flow: FlowId } {
    return { destination: this.#victim(), flow: hexOf(this.#init.host.random.bytes(FLOW_BYTES)) }
  }

  #victim(but?: Key): Key {
    const victims = this.#init.victims.filter((key) => key !== but)
    return victims[Math.floor(this.#init.host.random.unit() * victims.length)] ?? ''
  }

  #keyOf(node: number): Key {
    return this.#init.keys[node] ?? ''
  }
}
