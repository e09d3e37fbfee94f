/** Routers over simulated links: delayed, lost, doubled and overtaking messages under a seed; signatures that cost nothing. */
import { hash } from 'node:crypto'
import { seededRandom } from '../../kernel/index.ts'
import { Router, TICK_INTERVAL_MS } from '../../protocols/routing/router.ts'
import type { Random } from '../../kernel/index.ts'
import type { Effect, RouterInit } from '../../protocols/routing/router.ts'
import type { Key, Sign, Verify } from '../../protocols/routing/signing.ts'

/** Made without a private key: stands for a signature where nobody in the test forges. */
export function signAs(key: Key): Sign {
  return (purpose, message) => {
    const seal = hash('sha256', Buffer.concat([Buffer.from(`${purpose}/${key}/`), message]), 'buffer')
    return Buffer.concat([seal, seal])
  }
}

export const verifyFake: Verify = (purpose, message, signature, publicKey) =>
  Buffer.compare(signAs(Buffer.from(publicKey).toString('hex'))(purpose, message), signature) === 0

/** The same key for the same name. */
export function keyOfName(name: string): Key {
  return hash('sha256', name, 'hex')
}

export interface MeshInit {
  readonly seed?: number
  readonly loss?: number
  readonly duplication?: number
  /** Of one hop; messages overtake each other within it. */
  readonly delayMs?: readonly [least: number, most: number]
  readonly policy?: (self: Key) => Partial<RouterInit['policy']>
  /** After each message and each tick. */
  readonly onStep?: (mesh: Mesh) => void
}

interface InFlight {
  readonly dueMs: number
  readonly order: number
  readonly from: Key
  readonly to: Key
  readonly message: Uint8Array
}

export class Mesh {
  readonly random: Random
  readonly routers = new Map<Key, Router>()
  /** All but messages, by node. */
  readonly facts = new Map<Key, Effect[]>()
  readonly #init: MeshInit
  readonly #links = new Set<string>()
  #inFlight: InFlight[] = []
  #order = 0
  #nextTickMs = 0
  nowMs = 0

  constructor(init: MeshInit = {}) {
    this.#init = init
    this.random = seededRandom(init.seed ?? 1)
  }

  /** Sees every message before it travels; `null` loses it. */
  tamper: (from: Key, to: Key, message: Uint8Array) => Uint8Array | null = (_from, _to, message) => message

  add(name: string, wallClockMs: () => number = () => 1_700_000_000_000 + this.nowMs): Key {
    const self = keyOfName(name)
    const policy = { mayRelayFor: () => true, mayRouteThrough: () => true, mayReachHere: () => true }
    const router = new Router({
      self,
      random: this.random,
      sign: signAs(self),
      verify: verifyFake,
      policy: { ...policy, ...this.#init.policy?.(self) },
      wallClockMs,
      relayBytesPerSecond: 64 * 1024 * 1024,
    })
    this.routers.set(self, router)
    this.facts.set(self, [])
    return self
  }

  router(key: Key): Router {
    const router = this.routers.get(key)
    if (router === undefined) throw new Error('no such node')
    return router
  }

  isLinked(a: Key, b: Key): boolean {
    return this.#links.has([a, b].toSorted().join())
  }

  link(a: Key, b: Key): void {
    this.#links.add([a, b].toSorted().join())
    this.run(a, this.router(a).neighbourUp(b, this.nowMs))
    this.run(b, this.router(b).neighbourUp(a, this.nowMs))
  }

  /** Nothing passes any more; the ends are told, or notice it themselves. */
  cut(a: Key, b: Key, { isTold = true } = {}): void {
    this.#links.delete([a, b].toSorted().join())
    if (!isTold) return
    this.run(a, this.router(a).neighbourDown(b, this.nowMs))
    this.run(b, this.router(b).neighbourDown(a, this.nowMs))
  }

  run(from: Key, effects: readonly Effect[]): void {
    for (const effect of effects) {
      if (effect.kind === 'send') this.#send(from, effect.to, effect.message)
      else this.facts.get(from)?.push(effect)
    }
  }

  /** Puts a message on a link as it is. */
  inject(from: Key, to: Key, message: Uint8Array): void {
    this.#put(from, to, message)
  }

  advance(durationMs: number): void {
    const endMs = this.nowMs + durationMs
    for (;;) {
      const next = this.#inFlight[0]
      if (next !== undefined && next.dueMs <= Math.min(endMs, this.#nextTickMs)) {
        this.#inFlight.shift()
        this.nowMs = Math.max(this.nowMs, next.dueMs)
        if (this.isLinked(next.from, next.to))
          this.run(next.to, this.router(next.to).receive(next.from, next.message, this.nowMs))
      } else if (this.#nextTickMs <= endMs) {
        this.nowMs = Math.max(this.nowMs, this.#nextTickMs)
        this.#nextTickMs += TICK_INTERVAL_MS
        for (const [key, router] of this.routers) this.run(key, router.tick(this.nowMs))
      } else break
      this.#init.onStep?.(this)
    }
    this.nowMs = endMs
  }

  /** The facts of one kind at a node so far. */
  told<K extends Effect['kind']>(key: Key, kind: K): ReadonlyArray<Extract<Effect, { kind: K }>> {
    return (this.facts.get(key) ?? []).filter((fact): fact is Extract<Effect, { kind: K }> => fact.kind === kind)
  }

  #send(from: Key, to: Key, message: Uint8Array): void {
    const { loss = 0, duplication = 0 } = this.#init
    const tampered = this.tamper(from, to, message)
    if (tampered === null || this.random.unit() < loss) return
    this.#put(from, to, tampered)
    if (this.random.unit() < duplication) this.#put(from, to, tampered)
  }

  #put(from: Key, to: Key, message: Uint8Array): void {
    const [least, most] = this.#init.delayMs ?? [1, 1]
    const dueMs = this.nowMs + least + this.random.unit() * (most - least)
    const inFlight: InFlight = { dueMs, order: this.#order++, from, to, message }
    const at = this.#inFlight.findIndex((each) => each.dueMs > dueMs)
    this.#inFlight.splice(at === -1 ? this.#inFlight.length : at, 0, inFlight)
  }
}

/** A–B–C and A–D–C, linked. */
export function diamond(init: MeshInit = {}): { mesh: Mesh; a: Key; b: Key; c: Key; d: Key } {
  const mesh = new Mesh(init)
  const [a, b, c, d] = [mesh.add('a'), mesh.add('b'), mesh.add('c'), mesh.add('d')]
  mesh.link(a, b)
  mesh.link(b, c)
  mesh.link(a, d)
  mesh.link(d, c)
  return { mesh, a, b, c, d }
}

/** The nodes of the names in a line, each linked to the one before. */
export function line(
  names: string,
  { clocks = {}, ...init }: MeshInit & { readonly clocks?: Readonly<Record<string, () => number>> } = {},
): { mesh: Mesh; keys: readonly Key[] } {
  const mesh = new Mesh(init)
  const keys = names.split('').map((name) => mesh.add(name, clocks[name]))
  for (let at = 1; at < keys.length; at++) mesh.link(keys[at - 1] ?? '', keys[at] ?? '')
  return { mesh, keys }
}

/** The nodes a packet may visit on the way to `destination`, if there is a circle among next hops: that circle. */
export function loopOf(routers: ReadonlyMap<Key, Router>, destination: Key): readonly Key[] | null {
  const done = new Set<Key>()
  for (const start of routers.keys()) {
    const path: Key[] = []
    for (let at: Key | null = start; at !== null && at !== destination && !done.has(at);) {
      if (path.includes(at)) return path.slice(path.indexOf(at))
      path.push(at)
      at = routers.get(at)?.nextHop(destination) ?? null
    }
    for (const key of path) done.add(key)
  }
  return null
}
