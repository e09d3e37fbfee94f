import { systemClock } from './clock.ts'
import { kernelErrors } from './catalogue.ts'
import { createEventBus } from './events.ts'
import { startOrder } from './graph.ts'
import { systemRandom } from './random.ts'
import { LifetimeScope } from './lifetime.ts'
import { ResolvedConfig, resolveConfig } from './config.ts'
import { isNzError } from './errors.ts'
import { kernelEvents, KernelService } from './inspection.ts'
import type { ConfigLayer } from './config.ts'
import type { KernelState, ModuleState, ModuleStatus, ReloadReport } from './inspection.ts'
import type { Clock } from './clock.ts'
import type { EventBus } from './events.ts'
import type { Random } from './random.ts'
import type { AnyModule, Logger, ModuleInstance } from './module.ts'
import type { ProvidedService, ServiceToken } from './service.ts'

export interface KernelInit {
  modules: readonly AnyModule[]
  /** Resolved layers, or plain values by module name (then their origin is the composition). */
  config: ResolvedConfig | Readonly<Record<string, unknown>>
  /** Services that exist already; modules require them like any other. */
  services?: readonly ProvidedService[]
  log: Logger
  clock?: Clock
  random?: Random
  /** Deadline for one module to set up and start, in milliseconds; default 30 000. */
  startTimeoutMs?: number
  /** Deadline for one module to stop, in milliseconds; default 10 000. */
  stopTimeoutMs?: number
}

/** Why and how the node has stopped. */
export interface StopReport {
  readonly reason: string
  /** The failure that stopped it; `null` when it was asked to stop. */
  readonly error: unknown
}

/** A module and what is known of it. */
interface Runner {
  readonly module: AnyModule
  readonly requires: readonly string[]
  state: ModuleState
  sinceMs: number
  lastErrorCode: string | null
  run: { readonly instance: AnyInstance; readonly scope: LifetimeScope; isStarted: boolean } | null
}

type AnyInstance = ModuleInstance<Record<string, ServiceToken<unknown>>>

/**
 * Runs modules: sets all up, then starts them in dependency order; stops them in the reverse order. When one fails to
 * start, those already started are stopped. A kernel runs once.
 */
export class Kernel {
  readonly events: EventBus
  /** Resolves when everything has stopped, whoever asked for it; composition waits for it before it exits. */
  readonly stopped: Promise<StopReport>
  readonly #init: KernelInit
  readonly #clock: Clock
  readonly #runners: readonly Runner[]
  readonly #services = new Map<string, unknown>()
  readonly #resolveStopped: (report: StopReport) => void
  #config: ResolvedConfig | null = null
  #state: KernelState = 'created'
  #startedAtMs = 0
  #stopping: Promise<void> | null = null

  constructor(init: KernelInit) {
    this.#init = init
    this.#clock = init.clock ?? systemClock
    for (const { token, value } of init.services ?? []) {
      if (this.#services.has(token.id) || token.id === KernelService.id)
        throw kernelErrors.NZ_KERNEL_SERVICE_TWICE({ data: { service: token.id, modules: ['composition'] } })
      this.#services.set(token.id, value)
    }
    this.#services.set(KernelService.id, this.#service())
    const order = startOrder(init.modules, new Set(this.#services.keys()))
    this.#runners = order.map((module) => ({
      module,
      requires: order.filter((other) => isRequired(module, other)).map(({ name }) => name),
      state: 'created',
      sinceMs: this.#clock.nowMs(),
      lastErrorCode: null,
      run: null,
    }))
    this.events = createEventBus({
      nowMs: () => this.#clock.nowMs(),
      onListenerError: (error, eventName) => init.log.error('kernel.listenerFailed', { eventName, error }),
    })
    const { promise, resolve } = Promise.withResolvers<StopReport>()
    this.stopped = promise
    this.#resolveStopped = resolve
  }

  get state(): KernelState {
    return this.#state
  }

  /** For the composition root (CLI, tests) only; a module declares `requires` instead. */
  get<Service>(token: ServiceToken<Service>): Service {
    if (!this.#services.has(token.id)) throw kernelErrors.NZ_KERNEL_SERVICE_MISSING({ data: { service: token.id } })
    return this.#services.get(token.id) as Service
  }

  async start(): Promise<void> {
    this.#expect('created')
    this.#state = 'starting'
    this.#startedAtMs = this.#clock.nowMs()
    try {
      const { config, modules } = this.#init
      const plain = (values: Readonly<Record<string, unknown>>): ResolvedConfig =>
        resolveConfig({ modules, layers: [{ origin: 'composition', values }] })
      this.#config = config instanceof ResolvedConfig ? config : plain(config)
      for (const runner of this.#runners) await this.#setUp(runner, this.#config.values[runner.module.name])
      for (const runner of this.#runners) await this.#startModule(runner)
      this.#state = 'running'
      const durationMs = this.#clock.nowMs() - this.#startedAtMs
      this.events.emit(kernelEvents.started, { modules: this.#runners.length, durationMs })
    } catch (error) {
      await this.#stopAll({ reason: 'start failed', error })
      throw error
    }
  }

  /** Idempotent; waits until everything has stopped. */
  async stop(reason = 'stop was called'): Promise<void> {
    if (this.#state === 'created') this.#expect('running')
    await this.#stopAll({ reason, error: null })
  }

  async #setUp(runner: Runner, config: unknown): Promise<void> {
    const { module } = runner
    const scope = new LifetimeScope()
    const context = {
      name: module.name,
      log: this.#init.log,
      events: this.events,
      clock: this.#clock,
      random: this.#init.random ?? systemRandom,
      scope,
      fail: (error: unknown) => this.#init.log.error('kernel.moduleFailed', { module: module.name, error }),
      finish: () => this.#init.log.info('kernel.moduleFinished', { module: module.name }),
    }
    const required = Object.entries(module.requires as Record<string, ServiceToken<unknown>>).map(([key, token]) => [
      key,
      this.get(token),
    ])
    this.#enter(runner, 'setting-up')
    try {
      const instance: AnyInstance = await this.#inTime(runner, async () => {
        return await module.setup(context, Object.fromEntries(required), config)
      })
      runner.run = { instance, scope, isStarted: false }
      for (const [key, token] of Object.entries(module.provides as Record<string, ServiceToken<unknown>>))
        this.#services.set(token.id, instance.services[key])
      this.#enter(runner, 'ready')
    } catch (error) {
      await scope[Symbol.asyncDispose]()
      throw error
    }
  }

  async #startModule(runner: Runner): Promise<void> {
    const { run } = runner
    if (run === null) return
    this.#enter(runner, 'starting')
    run.isStarted = true
    await this.#inTime(runner, async (signal) => await run.instance.start?.({ signal }))
    this.#enter(runner, 'running')
  }

  async #inTime<T>(runner: Runner, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const signal = AbortSignal.timeout(this.#init.startTimeoutMs ?? 30_000)
    try {
      return await before(signal, work(signal))
    } catch (cause) {
      const { name } = runner.module
      const error = signal.aborted ? kernelErrors.NZ_KERNEL_START_TIMEOUT({ cause, data: { module: name } }) : cause
      runner.lastErrorCode = isNzError(error) ? error.code : 'NZ_KERNEL_MODULE_FAILED'
      this.#enter(runner, 'failed')
      throw error
    }
  }

  async #stopAll(report: StopReport): Promise<void> {
    this.#stopping ??= this.#stopOnce(report)
    await this.#stopping
  }

  async #stopOnce(report: StopReport): Promise<void> {
    this.#state = 'stopping'
    for (const runner of this.#runners.toReversed()) {
      const { run, module } = runner
      runner.run = null
      if (run === null) continue
      this.#enter(runner, 'stopping')
      const signal = AbortSignal.timeout(this.#init.stopTimeoutMs ?? 10_000)
      try {
        if (run.isStarted) await before(signal, run.instance.stop?.({ signal }))
      } catch (error) {
        this.#init.log.error('kernel.stopFailed', { module: module.name, error })
      }
      try {
        await run.scope[Symbol.asyncDispose]()
      } catch (error) {
        this.#init.log.error('kernel.releaseFailed', { module: module.name, error })
      }
      this.#enter(runner, 'stopped')
    }
    this.#state = 'stopped'
    this.#resolveStopped(report)
  }

  #enter(runner: Runner, to: ModuleState): void {
    const { state: from, module } = runner
    runner.state = to
    runner.sinceMs = this.#clock.nowMs()
    this.events.emit(kernelEvents.moduleStateChanged, { module: module.name, from, to })
  }

  #service(): KernelService {
    const state = (): KernelState => this.#state
    const startedAtMs = (): number => this.#startedAtMs
    const config = (): ResolvedConfig => this.#resolved()
    return {
      get state() {
        return state()
      },
      get startedAtMs() {
        return startedAtMs()
      },
      get config() {
        return config()
      },
      modules: () => this.#runners.map((runner) => statusOf(runner)),
      requestStop: (reason) => {
        if (this.#stopping !== null) return
        this.events.emit(kernelEvents.stopRequested, { reason })
        this.#clock.setTimer(0, () => void this.#stopAll({ reason, error: null }))
      },
      reload: async (layers) => await this.#reload(layers),
    }
  }

  async #reload(layers: readonly ConfigLayer[]): Promise<ReloadReport> {
    const before = this.#resolved()
    const after = before.withUserLayers(layers)
    const report = { reloaded: [] as string[], needRestart: [] as string[] }
    for (const name of after.changedModules(before)) {
      const instance = this.#runners.find(({ module }) => module.name === name)?.run?.instance
      if (instance?.reload !== undefined) await instance.reload(after.values[name])
      report[instance?.reload === undefined ? 'needRestart' : 'reloaded'].push(name)
    }
    this.#config = after
    this.events.emit(kernelEvents.configReloaded, report)
    return report
  }

  #resolved(): ResolvedConfig {
    if (this.#config === null)
      throw kernelErrors.NZ_KERNEL_STATE({ data: { expected: 'starting', actual: this.#state } })
    return this.#config
  }

  #expect(state: KernelState): void {
    if (this.#state !== state) throw kernelErrors.NZ_KERNEL_STATE({ data: { expected: state, actual: this.#state } })
  }
}

function statusOf({ module, state, sinceMs, lastErrorCode, requires }: Runner): ModuleStatus {
  return { name: module.name, state, sinceMs, health: null, restarts: 0, lastErrorCode, restartAtMs: null, requires }
}

function isRequired(module: AnyModule, other: AnyModule): boolean {
  const ids = (tokens: AnyModule['requires']): string[] =>
    Object.values(tokens as Record<string, ServiceToken<unknown>>).map(({ id }) => id)
  return ids(module.requires).some((id) => ids(other.provides).includes(id))
}

/** Waits for `work`, at the latest until `signal` aborts. */
async function before<T>(signal: AbortSignal, work: T | Promise<T>): Promise<T> {
  signal.throwIfAborted()
  const { promise, reject } = Promise.withResolvers<never>()
  const onAbort = (): void => reject(signal.reason as Error)
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    return await Promise.race([work, promise])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
