/** A named run: how many nodes, what goes wrong, which cores take part, and the verdict on it. */
import { planFaults } from './faults.ts'
import { Simulation } from './simulation.ts'
import type { Faults } from './faults.ts'
import type { Part, World } from './part.ts'
import type { RoutingCore } from './routing/routing-part.ts'
import type { TrustCore } from './trust/trust-part.ts'

/** Cores that take the place of the real ones: how tests plant a bug. */
export interface Cores {
  readonly trust?: TrustCore
  readonly routing?: RoutingCore
}

export interface Scenario {
  readonly name: string
  readonly summary: string
  readonly nodes: number
  readonly minNodes: number
  /** Share of the nodes that lie. */
  readonly liarShare: number
  /** Links of each node beside those to its two neighbours on the ring, on average. */
  readonly chords: number
  readonly faults: Faults
  /** How long everything may go wrong. */
  readonly troubleMs: number
  readonly createParts: (world: World, cores: Cores) => readonly Part[]
}

export interface RunOptions {
  /** A whole number from 0 to 2^53 - 1. */
  readonly seed: number
  /** @default the scenario's */
  readonly nodes?: number
  readonly cores?: Cores
  /** Sees every line of the trace. */
  readonly onLine?: (line: string) => void
}

export interface Verdict {
  readonly scenario: string
  readonly seed: number
  readonly nodes: number
  readonly liars: number
  readonly isPassed: boolean
  /** What must not have happened and did, with its simulated time. */
  readonly violations: readonly string[]
  /** Simulated time from healing until honest nodes agreed; `null`: they did not. */
  readonly convergedAfterMs: number | null
  readonly simulatedMs: number
  /** Lines of the trace. */
  readonly events: number
  /** SHA-256 over the trace: equal for the same seed, scenario, count of nodes and version. */
  readonly digest: string
  readonly counts: Readonly<Record<string, number>>
}

export const MAX_NODES = 500
/** Honest nodes must agree, and reach each other, so soon after everything healed. */
export const CONVERGE_MS = 10_000
/** Nodes start within this time; then the trouble begins. */
const START_MS = 2_000
const QUIET_START_MS = 5_000
const LOOK_EVERY_MS = 100
const STEP_MS = 1_000
/** How long liars go on after honest nodes agreed. */
const AFTERMATH_MS = 3_000

export function runScenario(scenario: Scenario, options: RunOptions): Verdict {
  const steps = simulate(scenario, options)
  for (let step = steps.next(); ; step = steps.next()) if (step.done === true) return step.value
}

/**
 * The same in steps of a simulated second, for who must look at a signal in between; yields the simulated time.
 *
 * @throws RangeError for a seed or a count of nodes out of bounds
 */
export function* simulate(scenario: Scenario, options: RunOptions): Generator<number, Verdict> {
  const { seed, nodes = scenario.nodes, cores = {}, onLine } = options
  requireSize(scenario, seed, nodes)
  const liars = Math.floor(nodes * scenario.liarShare)
  const createParts = (world: World): readonly Part[] => scenario.createParts(world, cores)
  const simulation = new Simulation({ seed, nodes, liars, onLine, createParts })
  const healsAtMs = QUIET_START_MS + scenario.troubleMs
  link(simulation, { honest: nodes - liars, chords: scenario.chords })
  start(simulation)
  planFaults(simulation, scenario.faults, { fromMs: QUIET_START_MS, healsAtMs })
  for (const part of simulation.parts) part.plan({ fromMs: QUIET_START_MS, untilMs: healsAtMs })
  for (let untilMs = STEP_MS; untilMs < healsAtMs; untilMs += STEP_MS) {
    simulation.run(untilMs)
    yield untilMs
  }
  simulation.run(healsAtMs)
  const convergedAfterMs = convergence(simulation, healsAtMs)
  simulation.run(simulation.nowMs + AFTERMATH_MS)
  for (const part of simulation.parts) {
    const difference = convergedAfterMs === null ? null : part.difference()
    if (difference !== null) simulation.violate(`${part.name}: apart again: ${difference}`)
    part.finish()
  }
  const { violations, trace, counts, network } = simulation
  return {
    scenario: scenario.name,
    seed,
    nodes,
    liars,
    isPassed: violations.length === 0,
    violations,
    convergedAfterMs,
    simulatedMs: simulation.nowMs,
    events: trace.lines,
    digest: trace.digest(),
    counts: { delivered: network.delivered, lost: network.lost, ...Object.fromEntries(counts) },
  }
}

function requireSize({ minNodes, name }: Scenario, seed: number, nodes: number): void {
  if (!Number.isSafeInteger(seed) || seed < 0) throw new RangeError('a seed is a whole number from 0')
  if (!Number.isSafeInteger(nodes) || nodes < minNodes || nodes > MAX_NODES) {
    throw new RangeError(`${name} runs with ${minNodes} to ${MAX_NODES} nodes`)
  }
}

/** Honest nodes in a ring with chords, so that no liar stands between all of them; each liar beside a few of them. */
function link({ network, chance, hosts }: Simulation, { honest, chords }: { honest: number; chords: number }): void {
  for (let node = 0; node < honest; node++) network.link(node, (node + 1) % honest)
  for (let count = 0; count < (honest * chords) / 2; count++) {
    const [a, b] = [chance.between(0, honest - 1), chance.between(0, honest - 1)]
    if (a !== b) network.link(a, b)
  }
  const all = hosts.map((_, node) => node)
  for (let liar = honest; liar < hosts.length; liar++) {
    for (const other of chance.some(all.slice(0, liar), 2 + chords)) network.link(other, liar)
  }
}

function start(simulation: Simulation): void {
  const { chance, hosts, network } = simulation
  for (const [node, host] of hosts.entries()) {
    simulation.at(chance.between(0, START_MS), () => {
      host.start()
      network.restarted(node)
    })
  }
}

/** Runs on until honest nodes agree in every part. @returns after how long */
function convergence(simulation: Simulation, healsAtMs: number): number | null {
  const differences = (): readonly string[] =>
    simulation.parts.flatMap((part) => {
      const difference = part.difference()
      return difference === null ? [] : [`${part.name}: ${difference}`]
    })
  while (differences().length > 0) {
    if (simulation.nowMs >= healsAtMs + CONVERGE_MS) {
      simulation.violate(`not agreed ${CONVERGE_MS} ms after healing: ${differences().join('; ')}`)
      return null
    }
    simulation.run(simulation.nowMs + LOOK_EVERY_MS)
  }
  return simulation.nowMs - healsAtMs
}
