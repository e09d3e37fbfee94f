/** One module over all its runs: its state as others see it. */
import { kernelEvents } from './inspection.ts'
import { describeFailure, ModuleRun } from './module-run.ts'
import type { Container } from './container.ts'
import type { ModuleState, ModuleStatus } from './inspection.ts'
import type { AnyModule, Health } from './module.ts'
import type { AnyInstance, RunServices } from './module-run.ts'
import type { EventBus } from './events.ts'

export interface ModuleHostInit {
  readonly module: AnyModule
  /** Names of the modules whose services it uses. */
  readonly requires: readonly string[]
  readonly container: Container
  readonly run: RunServices
  /** The kernel's own view of the bus. */
  readonly events: EventBus
  readonly startTimeoutMs: number
  readonly failed: (name: string, error: unknown) => void
  readonly finished: (name: string) => void
}

/** Longest waits of one stop, in milliseconds. */
export interface StopLimits {
  readonly stopTimeoutMs: number
  readonly releaseTimeoutMs: number
}

export class ModuleHost {
  readonly name: string
  readonly requires: readonly string[]
  readonly #init: ModuleHostInit
  #state: ModuleState = 'created'
  #sinceMs: number
  #health: Health | null = null
  #lastErrorCode: string | null = null
  #hasFailed = false
  #run: ModuleRun | null = null
  #stopping: Promise<void> = Promise.resolve()

  constructor(init: ModuleHostInit) {
    this.#init = init
    this.name = init.module.name
    this.requires = init.requires
    this.#sinceMs = init.run.clock.nowMs()
  }

  get state(): ModuleState {
    return this.#state
  }

  get instance(): AnyInstance | null {
    return this.#run?.instance ?? null
  }

  status(): Omit<ModuleStatus, 'restarts' | 'restartAtMs'> {
    const { name, requires } = this
    const [state, sinceMs, health, lastErrorCode] = [this.#state, this.#sinceMs, this.#health, this.#lastErrorCode]
    return { name, state, sinceMs, health, lastErrorCode, requires }
  }

  /** Begins a new run. When it throws, everything is released again. */
  async setUp(config: unknown, signal: AbortSignal, limits: StopLimits): Promise<void> {
    const { module, container, run: services, startTimeoutMs } = this.#init
    this.#hasFailed = false
    this.#health = null
    this.#enter('setting-up')
    const run = new ModuleRun(module, services, {
      failed: (error) => this.#init.failed(this.name, error),
      finished: () => this.#init.finished(this.name),
    })
    this.#run = run
    try {
      const required = container.servicesFor(module)
      const instance = await run.setUp(required, config, { timeoutMs: startTimeoutMs, signal })
      container.publish(module, instance.services)
    } catch (error) {
      await this.#fail(error, limits)
    }
    this.#enter('ready')
  }

  /** When it throws, the module has stopped and released everything. */
  async start(signal: AbortSignal, limits: StopLimits): Promise<void> {
    this.#enter('starting')
    try {
      await this.#run?.start({ timeoutMs: this.#init.startTimeoutMs, signal })
    } catch (error) {
      await this.#fail(error, limits)
    }
    this.#enter('running')
  }

  /** Ends the run, if there is one; waits for a stop under way. Never throws. */
  async stop(limits: StopLimits): Promise<void> {
    const run = this.#run
    this.#run = null
    if (run !== null) this.#stopping = this.#stop(run, limits)
    await this.#stopping
  }

  async #stop(run: ModuleRun, limits: StopLimits): Promise<void> {
    this.#enter('stopping')
    await run.close(limits)
    this.#init.container.withdraw(this.#init.module)
    this.#enter(this.#hasFailed ? 'failed' : 'stopped')
  }

  /** The next stop is the end of a run that failed. */
  noteFailure(error: unknown): void {
    this.#lastErrorCode = describeFailure(error).code
    this.#hasFailed = true
  }

  /** `null` when the module does not run, or has no probe. */
  async probe(timeoutMs: number, signal: AbortSignal): Promise<Health | null> {
    const run = this.#run
    if (run?.instance?.health === undefined || !this.#isRunning()) return null
    const health = await run.probe({ timeoutMs, signal })
    if (run !== this.#run || !this.#isRunning()) return null
    const before = this.#health
    this.#health = health
    const code = health.state === 'healthy' ? null : health.code
    if (before?.state !== health.state)
      this.#init.events.emit(kernelEvents.healthChanged, { module: this.name, state: health.state, code })
    this.#enter(health.state === 'healthy' ? 'running' : 'degraded')
    return health
  }

  async #fail(error: unknown, limits: StopLimits): Promise<never> {
    this.noteFailure(error)
    await this.stop(limits)
    throw error
  }

  #isRunning(): boolean {
    return this.#state === 'running' || this.#state === 'degraded'
  }

  #enter(to: ModuleState): void {
    const from = this.#state
    if (from === to) return
    this.#state = to
    this.#sinceMs = this.#init.run.clock.nowMs()
    this.#init.events.emit(kernelEvents.moduleStateChanged, { module: this.name, from, to })
  }
}
