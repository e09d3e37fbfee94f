/** A run: nodes, network, disks and time from one seed. Nothing in it asks the machine for time, chance or files. */
import { Chance } from './chance.ts'
import { SimulatedDisk } from './disk.ts'
import { SimulatedHost } from './host.ts'
import { identityNamed, verifyOnce } from './identities.ts'
import { SimulatedNetwork } from './network.ts'
import { Schedule } from './schedule.ts'
import { Trace } from './trace.ts'
import type { Timer } from '../../kernel/index.ts'
import type { LinkConditions } from './network.ts'
import type { Part, World } from './part.ts'

/** Violations told one by one; further ones are counted. */
export const MAX_VIOLATIONS_TOLD = 20
/** More events at one moment are a core that wakes itself for ever: the run ends. */
export const MAX_EVENTS_AT_ONCE = 100_000

export interface SimulationInit {
  readonly seed: number
  readonly nodes: number
  /** The last so many nodes lie. */
  readonly liars: number
  readonly onLine?: ((line: string) => void) | undefined
  readonly createParts: (world: World) => readonly Part[]
}

export class Simulation {
  readonly chance: Chance
  readonly network: SimulatedNetwork
  readonly hosts: readonly SimulatedHost[]
  readonly disks: readonly SimulatedDisk[]
  readonly parts: readonly Part[]
  readonly trace: Trace
  readonly counts = new Map<string, number>()
  conditions: LinkConditions = { loss: 0, duplicate: 0, reorder: 0, delayMs: [5, 50] }
  /** Share of batches that disks refuse. */
  diskErrorShare = 0
  readonly #schedule = new Schedule()
  readonly #violations: string[] = []
  #violationCount = 0
  #eventsNow = 0
  #nowMs = 0

  constructor({ seed, nodes, liars, onLine, createParts }: SimulationInit) {
    this.chance = new Chance(seed, 'faults')
    this.trace = new Trace({ onLine })
    const note = (what: string): void => this.trace.note(this.#nowMs, what)
    const after = (delayMs: number, work: () => void): Timer => this.#schedule.at(this.#nowMs + delayMs, work)
    this.network = new SimulatedNetwork({
      chance: new Chance(seed, 'network'),
      conditions: () => this.conditions,
      nowMs: () => this.#nowMs,
      after,
      endpoint: (node) => this.host(node),
      note,
    })
    const numbers = Array.from({ length: nodes }, (_, node) => node)
    const identities = numbers.map((node) => identityNamed(seed, `node ${node}`))
    this.parts = createParts({
      seed,
      chance: new Chance(seed, 'people'),
      identities,
      verify: verifyOnce(),
      isLiar: (node) => node >= nodes - liars,
      isUp: (node) => this.host(node).isUp,
      nowMs: () => this.#nowMs,
      at: (atMs, work) => void this.#schedule.at(atMs, work),
      note,
      violate: (what) => this.violate(what),
      count: (what, by = 1) => void this.counts.set(what, (this.counts.get(what) ?? 0) + by),
    })
    const errorShare = (): number => this.diskErrorShare
    this.disks = numbers.map(
      (node) => new SimulatedDisk({ chance: new Chance(seed, `disk ${node}`), after, errorShare }),
    )
    this.hosts = identities.map((identity, node) => {
      const chance = new Chance(seed, `node ${node}`)
      const disk = this.disk(node)
      const { network, parts } = this
      return new SimulatedHost({ node, identity, parts, chance, disk, network, nowMs: () => this.#nowMs, after, note })
    })
  }

  get nowMs(): number {
    return this.#nowMs
  }

  /** The first of them, in words. */
  get violations(): readonly string[] {
    const more = this.#violationCount - this.#violations.length
    return more === 0 ? this.#violations : [...this.#violations, `and ${more} more`]
  }

  host(node: number): SimulatedHost {
    const host = this.hosts[node]
    if (host === undefined) throw new RangeError(`no node ${node}`)
    return host
  }

  disk(node: number): SimulatedDisk {
    const disk = this.disks[node]
    if (disk === undefined) throw new RangeError(`no node ${node}`)
    return disk
  }

  at(atMs: number, work: () => void): void {
    this.#schedule.at(atMs, work)
  }

  /** Lets everything happen up to `untilMs`. */
  run(untilMs: number): void {
    for (let next = this.#schedule.next(untilMs); next !== null; next = this.#schedule.next(untilMs)) {
      this.#eventsNow = next.atMs === this.#nowMs ? this.#eventsNow + 1 : 0
      if (this.#eventsNow > MAX_EVENTS_AT_ONCE) {
        this.violate('time stands still: something wakes itself for ever')
        return
      }
      this.#nowMs = next.atMs
      next.run()
    }
    this.#nowMs = untilMs
  }

  violate(what: string): void {
    this.#violationCount += 1
    this.trace.note(this.#nowMs, `violation ${what}`)
    if (this.#violations.length < MAX_VIOLATIONS_TOLD) this.#violations.push(`${this.#nowMs} ms: ${what}`)
  }
}
