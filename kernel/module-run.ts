/**
 * One run of one module, from `setup` to the release of its resources. Every call into the module has a deadline; a
 * call that is cut can neither hold up the node nor leak what it opens afterwards.
 */
import { bounded } from './bounded.ts'
import { kernelErrors } from './catalogue.ts'
import { LifetimeScope } from './lifetime.ts'
import type { Clock } from './clock.ts'
import type { EventBus } from './events.ts'
import type { AnyModule, Health, Logger, ModuleContext, ModuleInstance } from './module.ts'
import type { Random } from './random.ts'
import type { ServiceToken } from './service.ts'

export type AnyInstance = ModuleInstance<Record<string, ServiceToken<unknown>>>

/** What modules get of the kernel, and what their runs need of it. */
export interface RunServices {
  readonly log: Logger
  readonly events: EventBus
  readonly clock: Clock
  readonly random: Random
}

export interface RunReports {
  /** The module reported a failure while it ran. */
  readonly failed: (error: unknown) => void
  /** The module reported the end of its work. */
  readonly finished: () => void
}

type Phase = 'idle' | 'opening' | 'running' | 'closed'

export class ModuleRun {
  readonly #module: AnyModule
  readonly #services: RunServices
  readonly #reports: RunReports
  readonly #scope: LifetimeScope
  /** Cuts `setup` and `start` when the module reports a failure from within. */
  readonly #failure = new AbortController()
  #phase: Phase = 'idle'
  #instance: AnyInstance | null = null
  #isStartCalled = false

  constructor(module: AnyModule, services: RunServices, reports: RunReports) {
    this.#module = module
    this.#services = services
    this.#reports = reports
    this.#scope = new LifetimeScope({ clock: services.clock, onLateFailure: (error) => this.#warn('release', error) })
  }

  get instance(): AnyInstance | null {
    return this.#instance
  }

  /** @throws what `setup` threw, or NZ_KERNEL_START_TIMEOUT; call `close` then */
  async setUp(
    required: Readonly<Record<string, unknown>>,
    config: unknown,
    { timeoutMs, signal }: { readonly timeoutMs: number; readonly signal: AbortSignal },
  ): Promise<AnyInstance> {
    this.#phase = 'opening'
    const setup = async (): Promise<AnyInstance> => await this.#module.setup(this.#context(), required, config)
    this.#instance = await bounded(setup, {
      ...this.#bound('setup', timeoutMs, signal),
      onLate: (instance) => this.#disposeLate(instance),
    })
    return this.#instance
  }

  /** @throws what `start` threw, or NZ_KERNEL_START_TIMEOUT; call `close` then */
  async start({ timeoutMs, signal }: { readonly timeoutMs: number; readonly signal: AbortSignal }): Promise<void> {
    const instance = this.#instance
    if (instance === null) throw new Error(`module ${this.#module.name} is not set up`)
    this.#isStartCalled = true
    await bounded(async (cut) => await instance.start?.({ signal: cut }), {
      ...this.#bound('start', timeoutMs, signal),
      onLate: () => this.#disposeLate(instance),
    })
    this.#phase = 'running'
  }

  /** Stops and releases; never throws. What does not end within its time is logged and left behind. */
  async close({
    stopTimeoutMs,
    releaseTimeoutMs,
  }: {
    readonly stopTimeoutMs: number
    readonly releaseTimeoutMs: number
  }): Promise<void> {
    this.#phase = 'closed'
    const instance = this.#instance
    if (instance !== null && this.#isStartCalled) await this.#stopInstance(instance, stopTimeoutMs)
    try {
      await this.#scope.close({ releaseTimeoutMs })
    } catch (error) {
      this.#warn('release', error)
    }
  }

  /** Never throws: a probe that throws or takes too long answers `unhealthy`. */
  async probe({ timeoutMs, signal }: { readonly timeoutMs: number; readonly signal: AbortSignal }): Promise<Health> {
    const instance = this.#instance
    if (instance?.health === undefined) return { state: 'healthy' }
    const health = async (cut: AbortSignal): Promise<Health> =>
      (await instance.health?.({ signal: cut })) ?? { state: 'healthy' }
    try {
      return await bounded(health, {
        clock: this.#services.clock,
        timeoutMs,
        signal,
        timeoutError: () => kernelErrors.NZ_KERNEL_PROBE_TIMEOUT({ data: { module: this.#module.name } }),
      })
    } catch (error) {
      const { code, why } = describeFailure(error)
      return { state: 'unhealthy', code, why }
    }
  }

  #context(): ModuleContext {
    const { log, events, clock, random } = this.#services
    return {
      name: this.#module.name,
      log,
      events,
      clock,
      random,
      scope: this.#scope,
      fail: (error) => {
        if (this.#phase === 'opening') this.#failure.abort(error)
        else if (this.#phase === 'running') this.#reports.failed(error)
        else this.#noteLate('stop', error)
      },
      finish: () => {
        if (this.#phase === 'running') this.#reports.finished()
      },
    }
  }

  #bound(
    during: 'setup' | 'start',
    timeoutMs: number,
    signal: AbortSignal,
  ): {
    clock: Clock
    timeoutMs: number
    signal: AbortSignal
    timeoutError: () => Error
    onLateError: (error: unknown) => void
  } {
    const { name } = this.#module
    return {
      clock: this.#services.clock,
      timeoutMs,
      signal: AbortSignal.any([signal, this.#failure.signal]),
      timeoutError: () => kernelErrors.NZ_KERNEL_START_TIMEOUT({ data: { module: name, during, timeoutMs } }),
      onLateError: (error) => this.#noteLate(during, error),
    }
  }

  /** What a cut `setup` or `start` brought too late is stopped; what it deferred, the closed scope has released. */
  #disposeLate(instance: AnyInstance): void {
    this.#services.log.warn('kernel.lateStart', { module: this.#module.name })
    void this.#stopInstance(instance, 5_000)
  }

  async #stopInstance(instance: AnyInstance, timeoutMs: number): Promise<void> {
    const { name } = this.#module
    try {
      await bounded(async (cut) => await instance.stop?.({ signal: cut }), {
        clock: this.#services.clock,
        timeoutMs,
        timeoutError: () => kernelErrors.NZ_KERNEL_STOP_TIMEOUT({ data: { module: name, timeoutMs } }),
        onLateError: (error) => this.#warn('stop', error),
      })
    } catch (error) {
      this.#warn('stop', error)
    }
  }

  /** A failure of a run that has failed or is ending already. */
  #noteLate(during: 'setup' | 'start' | 'stop', error: unknown): void {
    this.#services.log.debug('kernel.lateFailure', { module: this.#module.name, during, error })
  }

  #warn(during: 'stop' | 'release', error: unknown): void {
    const event = during === 'stop' ? 'kernel.stopFailed' : 'kernel.releaseFailed'
    this.#services.log.warn(event, { module: this.#module.name, error })
  }
}

/** Code and reason of anything that was thrown. */
export function describeFailure(error: unknown): { readonly code: string; readonly why: string } {
  const code = (error as { code?: unknown } | null | undefined)?.code // errors of other origin have codes too
  const why = error instanceof Error ? error.message : String(error)
  return { code: typeof code === 'string' ? code : 'NZ_KERNEL_MODULE_FAILED', why }
}
