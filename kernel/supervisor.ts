/**
 * Supervision without I/O: facts and time in, verdicts out. Decides when a child that ended is run again, when it is
 * given up, and who goes down with it. Runs the kernel's modules and may run any other children with dependencies.
 * Times are monotonic milliseconds.
 */
import { backoffDelayMs } from './backoff.ts'
import type { BackoffOptions } from './backoff.ts'
import type { Random } from './random.ts'

export type RestartPolicy = 'essential' | 'permanent' | 'transient'

export interface ChildSpec {
  readonly name: string
  readonly restart: RestartPolicy
  /** Children that must be up while this one is; added before it. */
  readonly requires: readonly string[]
}

export interface SupervisorOptions extends BackoffOptions {
  /** A child that is restarted more often than this within `windowMs` is given up. */
  readonly maxRestarts: number
  readonly windowMs: number
  /** A child that was up for so long starts again with the shortest wait. */
  readonly stableAfterMs: number
}

export const defaultSupervisorOptions: SupervisorOptions = Object.freeze({
  firstDelayMs: 1_000,
  maxDelayMs: 60_000,
  jitter: 0,
  maxRestarts: 8,
  windowMs: 600_000,
  stableAfterMs: 60_000,
})

/** What to do about a child that ended. `takeDown` is in the order of stopping, the child itself last. */
export type Verdict =
  | { readonly action: 'ignore' }
  | {
      readonly action: 'restart'
      /** Restarts in a row, this one included. */
      readonly attempt: number
      readonly delayMs: number
      readonly takeDown: readonly string[]
    }
  /** It ended in order and is not to be run again. */
  | { readonly action: 'rest'; readonly takeDown: readonly string[] }
  | { readonly action: 'giveUp'; readonly restarts: number; readonly takeDown: readonly string[] }
  /** Whoever supervises the supervisor must act: `child` is essential and cannot go on. */
  | { readonly action: 'escalate'; readonly child: string }

/**
 * `down`: waits for what it requires; `waiting`: waits for the end of its back-off; `resting`: ended in order;
 * `givenUp`: failed too often.
 */
export type ChildPhase = 'down' | 'starting' | 'up' | 'waiting' | 'resting' | 'givenUp'

interface Child {
  readonly spec: ChildSpec
  phase: ChildPhase
  upSinceMs: number
  restartAtMs: number
  /** Restarts in a row without a stable time between them. */
  attempt: number
  restarts: number
  /** When it was restarted lately; at most `maxRestarts` times. */
  recentMs: number[]
}

export class Supervisor {
  readonly #children = new Map<string, Child>()
  readonly #options: SupervisorOptions
  readonly #random: Pick<Random, 'unit'>

  constructor(options: SupervisorOptions, random: Pick<Random, 'unit'>) {
    this.#options = options
    this.#random = random
  }

  /** Takes a child, not running yet. What it requires must have been added before. */
  add(spec: ChildSpec): void {
    if (this.#children.has(spec.name)) throw new Error(`child added twice: ${spec.name}`)
    for (const name of spec.requires) this.#child(name)
    const fresh = { upSinceMs: 0, restartAtMs: 0, attempt: 0, restarts: 0, recentMs: [] }
    this.#children.set(spec.name, { spec, phase: 'down', ...fresh })
  }

  /** Forgets a child that is not running and that no other requires. */
  remove(name: string): void {
    if (this.#isAlive(this.#child(name)) || this.dependents(name).length > 0)
      throw new Error(`child is in use: ${name}`)
    this.#children.delete(name)
  }

  phase(name: string): ChildPhase {
    return this.#child(name).phase
  }

  /** Restarts since the child was added. */
  restarts(name: string): number {
    return this.#child(name).restarts
  }

  /** When the child's back-off ends; `null` when it is in none. */
  restartAtMs(name: string): number | null {
    const { phase, restartAtMs } = this.#child(name)
    return phase === 'waiting' ? restartAtMs : null
  }

  /** All children that need `name`, directly or not, in order of start. */
  dependents(name: string): string[] {
    const found = new Set([name])
    for (const [other, { spec }] of this.#children)
      if (spec.requires.some((needed) => found.has(needed))) found.add(other)
    found.delete(name)
    return [...found]
  }

  /** Children to start now, each after what it requires. Call `begin` for each when its turn comes. */
  due(nowMs: number): string[] {
    const coming = new Set<string>()
    for (const [name, { spec, phase, restartAtMs }] of this.#children) {
      const isDue = phase === 'down' || (phase === 'waiting' && restartAtMs <= nowMs)
      const isHeld = spec.requires.some((other) => this.#child(other).phase !== 'up' && !coming.has(other))
      if (isDue && !isHeld) coming.add(name)
    }
    return [...coming]
  }

  /** When `due` may have more to say; `null` when only another fact can change it. */
  nextDueMs(): number | null {
    const times = [...this.#children.values()].flatMap(({ spec, phase, restartAtMs }) => {
      const isFree = spec.requires.every((other) => this.#child(other).phase === 'up')
      return phase === 'waiting' && isFree ? [restartAtMs] : []
    })
    return times.length === 0 ? null : Math.min(...times)
  }

  /** The child is being started; `false` when it must not be, because what it requires is not up. */
  begin(name: string): boolean {
    const child = this.#child(name)
    if (child.phase !== 'down' && child.phase !== 'waiting') return false
    if (!child.spec.requires.every((other) => this.#child(other).phase === 'up')) return false
    child.phase = 'starting'
    return true
  }

  /** The child's start has succeeded. Without effect when it was taken down meanwhile. */
  started(name: string, nowMs: number): void {
    const child = this.#child(name)
    if (child.phase !== 'starting') return
    child.phase = 'up'
    child.upSinceMs = nowMs
  }

  /** The child failed, in its start or later, or ended in order. A child that is not running is ignored. */
  ended(name: string, how: 'failed' | 'inOrder', nowMs: number): Verdict {
    const child = this.#child(name)
    if (!this.#isAlive(child)) return { action: 'ignore' }
    const { restart } = child.spec
    if (how === 'failed' && restart === 'essential') return { action: 'escalate', child: name }
    if (how === 'inOrder' && restart !== 'permanent') {
      child.phase = 'resting'
      return { action: 'rest', takeDown: this.#takeDownDependents(name) }
    }
    return this.#restart(child, nowMs)
  }

  #restart(child: Child, nowMs: number): Verdict {
    const { windowMs, maxRestarts, stableAfterMs } = this.#options
    const { name } = child.spec
    child.recentMs = child.recentMs.filter((atMs) => atMs > nowMs - windowMs)
    if (child.recentMs.length >= maxRestarts) {
      const essential = this.dependents(name).find((other) => this.#child(other).spec.restart === 'essential')
      if (essential !== undefined) return { action: 'escalate', child: essential }
      child.phase = 'givenUp'
      return { action: 'giveUp', restarts: child.restarts, takeDown: this.#takeDownDependents(name) }
    }
    if (child.phase === 'up' && nowMs - child.upSinceMs >= stableAfterMs) child.attempt = 0
    child.attempt += 1
    child.restarts += 1
    child.recentMs.push(nowMs)
    const delayMs = backoffDelayMs(child.attempt, this.#options, this.#random)
    child.phase = 'waiting'
    child.restartAtMs = nowMs + delayMs
    return { action: 'restart', attempt: child.attempt, delayMs, takeDown: this.#takeDownDependents(name) }
  }

  /** Marks every running child that needs `name` as down. */
  #takeDownDependents(name: string): string[] {
    const running = this.dependents(name).filter((other) => this.#isAlive(this.#child(other)))
    for (const other of running) this.#child(other).phase = 'down'
    return [...running.toReversed(), name]
  }

  #isAlive({ phase }: Child): boolean {
    return phase === 'starting' || phase === 'up'
  }

  #child(name: string): Child {
    const child = this.#children.get(name)
    if (child === undefined) throw new Error(`no such child: ${name}`)
    return child
  }
}
