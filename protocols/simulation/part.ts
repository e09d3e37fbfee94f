/**
 * What a core needs to run in the simulator: a process for each node, and what must hold. A further core is one file
 * that implements `Part`, and a line in scenarios.ts.
 */
import type { Clock, Random } from '../../kernel/index.ts'
import type { Chance } from './chance.ts'
import type { SimulatedIdentity, VerifySignature } from './identities.ts'
import type { SimulatedDisk } from './disk.ts'

/** What a process may touch. Everything it set going ends with its crash. */
export interface Host {
  readonly node: number
  readonly identity: SimulatedIdentity
  /** The wall clock of this node, which may be wrong and may jump; its timers run true. */
  readonly clock: Clock
  readonly random: Random
  /** Keys are this part's own. */
  readonly disk: Pick<SimulatedDisk, 'write'> & { read(): ReadonlyMap<string, Uint8Array> }
  readonly neighbours: readonly number[]
  /** By the connection with a neighbour: in order, nothing lost. @returns whether there is one */
  send(to: number, bytes: Uint8Array): boolean
  /** May be lost, doubled, overtaken. */
  sendDatagram(to: number, bytes: Uint8Array): void
  /** A line of the trace. */
  note(what: string): void
}

/** One run of a core on a node: from its start to its crash. */
export interface Process {
  receive(from: number, bytes: Uint8Array): void
  connected(peer: number): void
  disconnected(peer: number): void
}

/** What the parts of a scenario share. */
export interface World {
  readonly seed: number
  readonly chance: Chance
  readonly identities: readonly SimulatedIdentity[]
  /** Real Ed25519, each signature computed once. */
  readonly verify: VerifySignature
  readonly isLiar: (node: number) => boolean
  readonly isUp: (node: number) => boolean
  readonly nowMs: () => number
  /** Does `work` at `atMs`, whatever becomes of any node. */
  readonly at: (atMs: number, work: () => void) => void
  /** A run with a violation has failed. */
  readonly violate: (what: string) => void
  readonly count: (what: string, by?: number) => void
  /** A line of the trace. */
  readonly note: (what: string) => void
}

export interface Part {
  readonly name: string
  /** The process of a node; of a liar, one that lies. Called again after each crash. */
  start(host: Host): Process
  /** The node is down, and what it had not kept is lost. */
  crashed(node: number): void
  /** Plans what people do between `fromMs` and `untilMs`. */
  plan(times: { readonly fromMs: number; readonly untilMs: number }): void
  /** Called after every event that touched `node`. */
  check(node: number): void
  /** What still differs between honest nodes; `null` when they agree. */
  difference(): string | null
  /** The last look, at everything. */
  finish(): void
}
