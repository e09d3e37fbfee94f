/** The routing core on a simulated node, over datagrams: they are lost, doubled and overtaken on the way. */
import { Router } from '../../routing/router.ts'
import type { Effect, Opening, RouterInit } from '../../routing/router.ts'
import type { FlowId, Key } from '../../routing/signing.ts'
import type { Host, Process } from '../part.ts'

/** The module ticks a little more often; a run of 50 nodes would spend much of its time on that. */
export const TICK_EVERY_MS = 250
const RELAY_BYTES_PER_SECOND = 1_048_576

export interface RoutingNodeInit {
  readonly host: Host
  readonly keys: readonly Key[]
  readonly verify: RouterInit['verify']
  readonly policy: RouterInit['policy']
  readonly createRouter?: ((init: RouterInit) => Router) | undefined
  /** Everything but messages. */
  readonly onEffect: (node: number, effect: Exclude<Effect, { kind: 'send' }>) => void
}

export class RoutingNode implements Process {
  readonly router: Router
  readonly #init: RoutingNodeInit
  readonly #nodes: ReadonlyMap<Key, number>

  constructor(init: RoutingNodeInit) {
    const { host, keys, verify, policy, createRouter = (options) => new Router(options) } = init
    this.#init = init
    this.#nodes = new Map(keys.map((key, node) => [key, node]))
    this.router = createRouter({
      self: host.identity.key,
      random: host.random,
      sign: (purpose, message) => host.identity.sign(purpose, message),
      verify,
      policy,
      wallClockMs: () => host.clock.nowMs(),
      relayBytesPerSecond: RELAY_BYTES_PER_SECOND,
    })
    this.#tick(Math.floor(host.random.unit() * TICK_EVERY_MS))
  }

  connected(peer: number): void {
    this.#run(this.router.neighbourUp(this.#keyOf(peer), this.#nowMs()))
  }

  disconnected(peer: number): void {
    this.#run(this.router.neighbourDown(this.#keyOf(peer), this.#nowMs()))
  }

  receive(from: number, bytes: Uint8Array): void {
    this.#run(this.router.receive(this.#keyOf(from), bytes, this.#nowMs()))
  }

  open(destination: Key, options: { readonly ttl?: number }): Opening {
    const { effects, ...opening } = this.router.openFlow(destination, this.#nowMs(), options)
    this.#run(effects)
    return opening
  }

  sendPacket(flow: FlowId, payload: Uint8Array): void {
    this.#run(this.router.sendPacket(flow, payload, this.#nowMs()))
  }

  #tick(delayMs: number): void {
    this.#init.host.clock.setTimer(delayMs, () => {
      this.#run(this.router.tick(this.#nowMs()))
      this.#tick(TICK_EVERY_MS)
    })
  }

  #run(effects: readonly Effect[]): void {
    const { host, onEffect } = this.#init
    for (const effect of effects) {
      if (effect.kind === 'send') host.sendDatagram(this.#nodes.get(effect.to) ?? -1, effect.message)
      else onEffect(host.node, effect)
    }
  }

  #keyOf(node: number): Key {
    return this.#init.keys[node] ?? ''
  }

  #nowMs(): number {
    return this.#init.host.clock.monotonicMs()
  }
}
