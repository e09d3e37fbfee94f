/** What goes wrong in a run, when: planned from the seed before anything happens, and all of it over by `healsAtMs`. */
import type { LinkConditions } from './network.ts'
import type { Simulation } from './simulation.ts'

export interface Faults {
  /** Of every link, also after healing. */
  readonly conditions: LinkConditions
  /** How often the nodes fall into two groups that cannot reach each other. */
  readonly partitions: number
  readonly partitionMs: readonly [least: number, most: number]
  /** Links of which one direction is cut for a while. */
  readonly oneWayLinks: number
  readonly oneWayMs: readonly [least: number, most: number]
  readonly crashes: number
  readonly downMs: readonly [least: number, most: number]
  /** Of each wall clock, forward or back. */
  readonly maxSkewMs: number
  /** Wall clocks that are set to another time, by up to a day. */
  readonly clockJumps: number
  /** Share of batches that disks refuse. */
  readonly diskErrorShare: number
}

const DAY_MS = 86_400_000

export interface FaultTimes {
  readonly fromMs: number
  readonly healsAtMs: number
}

export function planFaults(simulation: Simulation, faults: Faults, times: FaultTimes): void {
  const { chance, hosts } = simulation
  simulation.conditions = faults.conditions
  for (const host of hosts) host.skewMs = chance.between(-faults.maxSkewMs, faults.maxSkewMs)
  during(simulation, times, [times.healsAtMs, times.healsAtMs], () => {
    simulation.diskErrorShare = faults.diskErrorShare
    return () => void (simulation.diskErrorShare = 0)
  })
  for (let at = 0; at < faults.partitions; at++) during(simulation, times, faults.partitionMs, () => part(simulation))
  for (let at = 0; at < faults.oneWayLinks; at++) during(simulation, times, faults.oneWayMs, () => oneWay(simulation))
  for (let at = 0; at < faults.crashes; at++) during(simulation, times, faults.downMs, () => crash(simulation))
  for (let at = 0; at < faults.clockJumps; at++) {
    simulation.at(chance.between(times.fromMs, times.healsAtMs), () => {
      chance.pick(hosts).skewMs += chance.between(-DAY_MS, DAY_MS)
    })
  }
}

/** Begins a fault at a time of chance's choosing, and ends it after a while, or when all heals. */
function during(
  simulation: Simulation,
  { fromMs, healsAtMs }: FaultTimes,
  lastsMs: readonly [least: number, most: number],
  begin: () => () => void,
): void {
  const { chance } = simulation
  const length = Math.min(chance.between(...lastsMs), healsAtMs - fromMs)
  const last = healsAtMs - length
  // Half of them last to the end: there must be something to heal.
  const atMs = chance.happens(0.5) ? last : chance.between(fromMs, last)
  simulation.at(atMs, () => {
    const end = begin()
    simulation.at(atMs + length, end)
  })
}

function part(simulation: Simulation): () => void {
  const { chance, network, hosts } = simulation
  const isHere = hosts.map(() => chance.happens(0.5))
  const parted = network.links.filter(([a, b]) => isHere[a] !== isHere[b])
  simulation.trace.note(simulation.nowMs, `part ${isHere.map(Number).join('')}`)
  for (const [a, b] of parted) cutBoth(simulation, a, b)
  return () => {
    simulation.trace.note(simulation.nowMs, 'rejoin')
    for (const [a, b] of parted) {
      network.mend(a, b)
      network.mend(b, a)
    }
  }
}

function cutBoth({ network }: Simulation, a: number, b: number): void {
  network.cut(a, b)
  network.cut(b, a)
}

function oneWay(simulation: Simulation): () => void {
  const { chance, network } = simulation
  const [a, b] = chance.pick(network.links)
  const [from, to] = chance.happens(0.5) ? [a, b] : [b, a]
  simulation.trace.note(simulation.nowMs, `oneway ${from}>${to}`)
  network.cut(from, to)
  return () => network.mend(from, to)
}

function crash({ chance, hosts, network }: Simulation): () => void {
  const up = hosts.flatMap((host, node) => (host.isUp ? [node] : []))
  if (up.length === 0) return () => undefined
  const node = chance.pick(up)
  hosts[node]?.crash()
  return () => {
    hosts[node]?.start()
    network.restarted(node)
  }
}
