/**
 * An in-memory mesh of `NetworkService`s with the promises of the real one: connections that can be cut and healed,
 * streams with back-pressure and half-close, requests, keep, block, attempts. No sockets, no crypto.
 *
 *   const mesh = createFakeNetwork()
 *   const desk = mesh.add('desk')
 *   const laptop = mesh.add('laptop')
 *   await desk.connect('laptop', { addresses: laptop.addresses(), signal })
 *   mesh.cut('desk', 'laptop') // both see their streams reset
 */
import { orAbort, sleep, systemClock } from '../../kernel/index.ts'
import { FakeNode } from './mesh-node.ts'
import type { Clock, EventBus } from '../../kernel/index.ts'
import type { NetworkService } from '../../modules/network/service.ts'
import type { FakeMesh } from './mesh-node.ts'

export interface FakeNetworkInit {
  readonly clock?: Clock
  /** One way. Above zero, time must pass on `clock`. */
  readonly latencyMs?: number
  /** Default 256 KiB, as yamux. */
  readonly windowBytes?: number
}

export interface FakeNetwork {
  /** A new node of the mesh, reachable by everyone who knows its address. Emits its events on `events`. */
  add(peerId: string, options?: { readonly events?: Pick<EventBus, 'emit'> }): NetworkService
  /** Takes the node off the mesh; its connections break. */
  remove(peerId: string): void
  /** Breaks the connection of the two and refuses new ones until `heal`. */
  cut(a: string, b: string): void
  /** Lets the two connect again; kept connections come back. */
  heal(a: string, b: string): void
}

export function createFakeNetwork(init: FakeNetworkInit = {}): FakeNetwork {
  const mesh = new Mesh(init)
  return {
    add: (peerId, options = {}) => mesh.add(peerId, options.events),
    remove: (peerId) => mesh.remove(peerId),
    cut: (a, b) => mesh.cut(a, b),
    heal: (a, b) => mesh.heal(a, b),
  }
}

class Mesh implements FakeMesh {
  readonly clock: Clock
  readonly latencyMs: number
  readonly windowBytes: number
  readonly nodes = new Map<string, FakeNode>()
  readonly #cuts = new Set<string>()
  #nextPort = 4001

  constructor({ clock = systemClock, latencyMs = 0, windowBytes = 256 * 1024 }: FakeNetworkInit) {
    this.clock = clock
    this.latencyMs = latencyMs
    this.windowBytes = windowBytes
  }

  add(peerId: string, events?: Pick<EventBus, 'emit'>): NetworkService {
    if (this.nodes.has(peerId)) throw new Error(`peer is in the mesh already: ${peerId}`)
    const node = new FakeNode(this, peerId, `/ip4/127.0.0.1/tcp/${this.#nextPort++}/p2p/${peerId}`, events)
    this.nodes.set(peerId, node)
    return node
  }

  remove(peerId: string): void {
    const node = this.nodes.get(peerId)
    this.nodes.delete(peerId)
    for (const other of node?.connected() ?? []) this.breakLink(peerId, other, node)
  }

  isCut(a: string, b: string): boolean {
    return this.#cuts.has(pairOf(a, b))
  }

  cut(a: string, b: string): void {
    this.#cuts.add(pairOf(a, b))
    this.breakLink(a, b)
  }

  heal(a: string, b: string): void {
    this.#cuts.delete(pairOf(a, b))
    this.nodes.get(a)?.reconnect(b)
    this.nodes.get(b)?.reconnect(a)
  }

  breakLink(a: string, b: string, gone?: FakeNode): void {
    ;(this.nodes.get(a) ?? gone)?.lose(b)
    this.nodes.get(b)?.lose(a)
  }

  async delay(signal: AbortSignal): Promise<void> {
    if (this.latencyMs > 0) await sleep(this.clock, this.latencyMs, { signal })
    else await orAbort(Promise.resolve(), signal)
  }
}

function pairOf(a: string, b: string): string {
  return JSON.stringify([a, b].toSorted())
}
