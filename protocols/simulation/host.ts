/** One node of a simulation: its parts, its disk, its clock, and whether it is up. */
import type { Clock, Timer } from '../../kernel/index.ts'
import type { Chance } from './chance.ts'
import type { SimulatedDisk } from './disk.ts'
import type { SimulatedIdentity } from './identities.ts'
import type { Endpoint, SimulatedNetwork } from './network.ts'
import type { Host, Part, Process } from './part.ts'

export interface HostInit {
  readonly node: number
  readonly identity: SimulatedIdentity
  readonly parts: readonly Part[]
  readonly chance: Chance
  readonly disk: SimulatedDisk
  readonly network: SimulatedNetwork
  readonly nowMs: () => number
  readonly after: (delayMs: number, work: () => void) => Timer
  readonly note: (what: string) => void
}

/** Wall-clock time at the beginning of every run, in milliseconds since 1970. */
export const START_MS = 1_800_000_000_000

export class SimulatedHost implements Endpoint {
  readonly #init: HostInit
  #processes: readonly Process[] = []
  #life = 0
  /** How far the wall clock is from the right time. */
  skewMs = 0

  constructor(init: HostInit) {
    this.#init = init
  }

  get isUp(): boolean {
    return this.#processes.length > 0
  }

  start(): void {
    const { parts, note, node } = this.#init
    note(`start ${node}`)
    this.#life += 1
    this.#processes = parts.map((part, at) => part.start(this.#hostOf(part, at)))
    this.#check()
  }

  crash(): void {
    const { parts, disk, note, node, network } = this.#init
    note(`crash ${node}`)
    this.#processes = []
    this.#life += 1
    disk.crash()
    network.crashed(node)
    for (const part of parts) part.crashed(node)
  }

  receive(from: number, part: number, bytes: Uint8Array): void {
    this.#processes[part]?.receive(from, bytes)
    this.#check()
  }

  connected(peer: number): void {
    for (const process of this.#processes) process.connected(peer)
    this.#check()
  }

  disconnected(peer: number): void {
    for (const process of this.#processes) process.disconnected(peer)
    this.#check()
  }

  #check(): void {
    for (const part of this.#init.parts) part.check(this.#init.node)
  }

  #hostOf(part: Part, at: number): Host {
    const { node, identity, network, disk, note, chance } = this.#init
    const prefix = `${part.name}/`
    const life = this.#life
    const isAlive = (): boolean => life === this.#life
    return {
      node,
      identity,
      clock: this.#clock(isAlive),
      random: chance.random,
      neighbours: network.neighbours(node),
      disk: {
        read: () => new Map([...disk.read(prefix)].map(([key, value]) => [key.slice(prefix.length), value])),
        write: (writes, done) => {
          if (!isAlive()) return
          const own = writes.map(({ key, value }) => ({ key: prefix + key, value }))
          disk.write(own, (isKept) => {
            if (!isAlive()) return
            note(`disk ${node} ${writes.length} ${isKept ? 'kept' : 'refused'}`)
            done(isKept)
            this.#check()
          })
        },
      },
      send: (to, bytes) => isAlive() && network.send(node, to, at, bytes),
      sendDatagram: (to, bytes) => {
        if (isAlive()) network.sendDatagram(node, to, at, bytes)
      },
      note: (what) => note(`${part.name} ${node} ${what}`),
    }
  }

  #clock(isAlive: () => boolean): Clock {
    const { nowMs, after, note, node } = this.#init
    return {
      nowMs: () => START_MS + nowMs() + this.skewMs,
      monotonicMs: nowMs,
      setTimer: (delayMs, callback) =>
        after(Math.max(0, Math.ceil(delayMs)), () => {
          if (!isAlive()) return
          note(`timer ${node}`)
          callback()
          this.#check()
        }),
    }
  }
}
