/**
 * Supervision at work: carries out what `Supervisor` decides and probes the health of running children. Operations on
 * one child follow each other, and a child stops after its dependents; children that do not need each other do not wait
 * for each other.
 */
import { kernelErrors } from './catalogue.ts'
import type { Clock, Timer } from './clock.ts'
import type { Health } from './module.ts'
import type { Supervisor, Verdict } from './supervisor.ts'

export interface ProbeOptions {
  /** Time between the end of one probe and the next, in milliseconds. */
  readonly probeIntervalMs: number
  readonly probeTimeoutMs: number
  /** So many `unhealthy` answers in a row are a failure of the child. */
  readonly maxFailedProbes: number
}

export const defaultProbeOptions: ProbeOptions = Object.freeze({
  probeIntervalMs: 15_000,
  probeTimeoutMs: 5_000,
  maxFailedProbes: 3,
})

/** The children, as something that can be run. */
export interface Children {
  /** Resolves when the child runs; leaves nothing behind when it throws. */
  bringUp(name: string, signal: AbortSignal): Promise<void>
  /** Never throws, and comes to an end. */
  takeDown(name: string): Promise<void>
  /** `null` when the child cannot be probed. */
  probe(name: string, timeoutMs: number, signal: AbortSignal): Promise<Health | null>
}

export interface SupervisionReports {
  readonly decided: (name: string, error: unknown, verdict: Exclude<Verdict, { action: 'ignore' }>) => void
}

interface Probing {
  timer: Timer
  failed: number
}

export class Supervision {
  readonly #supervisor: Supervisor
  readonly #children: Children
  readonly #clock: Clock
  readonly #probes: ProbeOptions
  readonly #reports: SupervisionReports
  readonly #controller = new AbortController()
  readonly #probing = new Map<string, Probing>()
  /** For each child, the end of the operations on it that were asked for so far. */
  readonly #tails = new Map<string, Promise<void>>()
  /** Cuts a start under way, by child. */
  readonly #starting = new Map<string, AbortController>()
  #timer: Timer | null = null

  constructor(
    { supervisor, children, clock }: { supervisor: Supervisor; children: Children; clock: Clock },
    probes: ProbeOptions,
    reports: SupervisionReports,
  ) {
    this.#supervisor = supervisor
    this.#children = children
    this.#clock = clock
    this.#probes = probes
    this.#reports = reports
  }

  /** The child runs, started by somebody else; from now on it is watched. Call it in order of start. */
  watch(name: string): void {
    this.#supervisor.begin(name)
    this.#noteStarted(name)
  }

  /** The child failed (`error`), or ended in order. */
  ended(name: string, how: 'failed' | 'inOrder', error: unknown): void {
    if (this.#controller.signal.aborted) return
    const verdict = this.#supervisor.ended(name, how, this.#clock.monotonicMs())
    if (verdict.action === 'ignore') return
    this.#reports.decided(name, error, verdict)
    if (verdict.action === 'escalate') return
    const { takeDown } = verdict
    for (const child of takeDown) {
      this.#stopProbing(child)
      this.#starting.get(child)?.abort(kernelErrors.NZ_KERNEL_DEPENDENCY_FAILED({ data: { child: name } }))
    }
    this.#operate(takeDown, this.#supervisor.dependents(name), async () => {
      for (const child of takeDown) await this.#children.takeDown(child)
      this.#advance()
    })
  }

  /** Decides and starts nothing more; resolves when the operations under way have ended. */
  async close(): Promise<void> {
    this.#controller.abort(kernelErrors.NZ_KERNEL_START_INTERRUPTED())
    this.#timer?.cancel()
    for (const name of this.#probing.keys()) this.#stopProbing(name)
    await Promise.all(this.#tails.values())
  }

  /** Runs `operation`, which never throws, on `children` when the operations before it, also on `others`, have ended. */
  #operate(children: readonly string[], others: readonly string[], operation: () => Promise<void>): void {
    const before = [...children, ...others].flatMap((name) => this.#tails.get(name) ?? [])
    const done = Promise.all(before).then(operation)
    for (const name of children) this.#tails.set(name, done)
  }

  /** Starts what may be started now, and comes back when there will be more. */
  #advance(): void {
    const { signal } = this.#controller
    this.#timer?.cancel()
    if (signal.aborted) return
    for (const name of this.#supervisor.due(this.#clock.monotonicMs()))
      if (this.#supervisor.begin(name)) this.#operate([name], [], this.#bringUp(name))
    const dueMs = this.#supervisor.nextDueMs()
    if (dueMs === null) return
    const delayMs = Math.max(0, dueMs - this.#clock.monotonicMs())
    this.#timer = this.#clock.setTimer(delayMs, () => this.#advance())
  }

  #bringUp(name: string): () => Promise<void> {
    const cut = new AbortController()
    this.#starting.set(name, cut)
    return async () => {
      try {
        await this.#children.bringUp(name, AbortSignal.any([cut.signal, this.#controller.signal]))
        this.#noteStarted(name)
        this.#advance()
      } catch (error) {
        this.ended(name, 'failed', error)
      } finally {
        if (this.#starting.get(name) === cut) this.#starting.delete(name)
      }
    }
  }

  #noteStarted(name: string): void {
    this.#supervisor.started(name, this.#clock.monotonicMs())
    if (this.#supervisor.phase(name) === 'up') this.#probeLater(name, 0)
  }

  #probeLater(name: string, failed: number): void {
    const probing: Probing = {
      failed,
      timer: this.#clock.setTimer(this.#probes.probeIntervalMs, () => void this.#probe(name, probing)),
    }
    this.#probing.set(name, probing)
  }

  async #probe(name: string, probing: Probing): Promise<void> {
    const health = await this.#children.probe(name, this.#probes.probeTimeoutMs, this.#controller.signal)
    if (health === null || this.#probing.get(name) !== probing) return
    const failed = health.state === 'unhealthy' ? probing.failed + 1 : 0
    if (health.state !== 'unhealthy' || failed < this.#probes.maxFailedProbes) return this.#probeLater(name, failed)
    const { code, why } = health
    this.ended(name, 'failed', kernelErrors.NZ_KERNEL_UNHEALTHY({ why, data: { child: name, code, probes: failed } }))
  }

  #stopProbing(name: string): void {
    this.#probing.get(name)?.timer.cancel()
    this.#probing.delete(name)
  }
}
