/** The kernel: puts modules together, runs them in order, watches them, and stops them. */
import { busOfModule, createEventBus } from './event-bus.ts'
import { kernelErrors } from './catalogue.ts'
import { systemClock } from './clock.ts'
import { ResolvedConfig, resolveConfig } from './config.ts'
import { Container } from './container.ts'
import { DependencyGraph } from './graph.ts'
import { kernelEvents, KernelService } from './inspection.ts'
import { bounded } from './bounded.ts'
import { ModuleHost } from './module-host.ts'
import { describeFailure } from './module-run.ts'
import { systemRandom } from './random.ts'
import { provide } from './service.ts'
import { defaultProbeOptions, Supervision } from './supervision.ts'
import { defaultSupervisorOptions, Supervisor } from './supervisor.ts'
import type { Clock } from './clock.ts'
import type { ConfigLayer } from './config.ts'
import type { EventBus } from './events.ts'
import type { KernelState, ModuleStatus, ReloadReport } from './inspection.ts'
import type { StopLimits } from './module-host.ts'
import type { AnyModule, Logger } from './module.ts'
import type { Random } from './random.ts'
import type { ProvidedService, ServiceToken } from './service.ts'
import type { ProbeOptions, SupervisionReports } from './supervision.ts'
import type { SupervisorOptions } from './supervisor.ts'

export interface KernelInit {
  modules: readonly AnyModule[]
  /** Resolved layers, or plain values by module name (then their origin is the composition). */
  config: ResolvedConfig | Readonly<Record<string, unknown>>
  /** Services that exist already; modules require them like any other. */
  services?: readonly ProvidedService[]
  log: Logger
  clock?: Clock
  random?: Random
  /** Deadline for one module's `setup`, and again for its `start`, in milliseconds; default 30 000. */
  startTimeoutMs?: number
  /** Deadline for one module to stop, in milliseconds; default 5 000. */
  stopTimeoutMs?: number
  /**
   * Deadline for the node to stop, in milliseconds; default 8 000. When it is over, modules that are still to stop
   * get 100 ms each.
   */
  shutdownTimeoutMs?: number
  supervision?: Partial<SupervisorOptions & ProbeOptions>
  /** Events whose payload does not fit, or that a module does not declare, throw where they are emitted; default: they are logged and counted. */
  strictEvents?: boolean
}

/** Why and how the node has stopped. */
export interface StopReport {
  readonly reason: string
  /** The failure that stopped it; `null` when it was asked to stop. */
  readonly error: unknown
}

/** What a module gets of the shut-down time when none is left. */
const lastStopMs = 100
const releaseTimeoutMs = 5_000

/**
 * Runs modules: sets all up, then starts them in dependency order, independent ones side by side; stops them in the
 * reverse order. When one fails to start, those already started are stopped. Restarts what fails later. A kernel runs
 * once.
 */
export class Kernel {
  readonly events: EventBus
  /** Resolves when everything has stopped, whoever asked for it; the composition waits for it before it exits. */
  readonly stopped: Promise<StopReport>
  readonly #init: KernelInit
  readonly #clock: Clock
  readonly #container: Container
  readonly #graph: DependencyGraph
  /** In order of start. */
  readonly #hosts = new Map<string, ModuleHost>()
  readonly #supervisor: Supervisor
  readonly #supervision: Supervision
  readonly #resolveStopped: (report: StopReport) => void
  /** Cuts the start of the node. */
  readonly #startCut = new AbortController()
  readonly #finishedEarly: string[] = []
  #config: ResolvedConfig | null = null
  #state: Exclude<KernelState, 'degraded'> = 'created'
  #startedAtMs = 0
  #stopReport: StopReport | null = null
  #stopping: Promise<void> | null = null

  /** @throws NZ_KERNEL_DEPENDENCY_CYCLE, NZ_KERNEL_SERVICE_MISSING, NZ_KERNEL_SERVICE_TWICE, NZ_KERNEL_MODULE_TWICE */
  constructor(init: KernelInit) {
    this.#init = init
    this.#clock = init.clock ?? systemClock
    this.#container = new Container([...(init.services ?? []), provide(KernelService, this.#inspection())])
    this.#graph = new DependencyGraph(init.modules, this.#container.ids())
    this.events = this.#createBus()
    const random = init.random ?? systemRandom
    this.#supervisor = new Supervisor({ ...defaultSupervisorOptions, ...init.supervision }, random)
    for (const module of this.#graph.order) {
      const host = this.#createHost(module, random)
      this.#hosts.set(module.name, host)
      this.#supervisor.add({ name: module.name, restart: module.restart, requires: host.requires })
    }
    this.#supervision = new Supervision(
      {
        supervisor: this.#supervisor,
        clock: this.#clock,
        children: {
          bringUp: async (name, signal) => await this.#bringUp(this.#host(name), signal),
          takeDown: async (name) => await this.#host(name).stop(this.#stopLimits()),
          probe: async (name, timeoutMs, signal) => await this.#host(name).probe(timeoutMs, signal),
        },
      },
      { ...defaultProbeOptions, ...init.supervision },
      { decided: (name, error, verdict) => this.#tell(name, error, verdict) },
    )
    const { promise, resolve } = Promise.withResolvers<StopReport>()
    this.stopped = promise
    this.#resolveStopped = resolve
  }

  get state(): KernelState {
    if (this.#state !== 'running') return this.#state
    const isWhole = [...this.#hosts.values()].every(({ name, state }) => {
      const phase = this.#supervisor.phase(name)
      return phase === 'resting' || ((phase === 'up' || phase === 'starting') && state === 'running')
    })
    return isWhole ? 'running' : 'degraded'
  }

  /** For the composition root (CLI, tests) only; a module declares `requires` instead. */
  get<Service>(token: ServiceToken<Service>): Service {
    return this.#container.get(token)
  }

  /**
   * Resolves when every module runs. When it throws, everything has stopped again.
   *
   * @throws NZ_KERNEL_CONFIG_INVALID before anything runs; NZ_KERNEL_START_TIMEOUT; what a module threw
   */
  async start(): Promise<void> {
    if (this.#state !== 'created')
      throw kernelErrors.NZ_KERNEL_STATE({ data: { expected: 'created', actual: this.#state } })
    this.#state = 'starting'
    this.#startedAtMs = this.#clock.nowMs()
    try {
      this.#config = this.#resolveConfig()
      await this.#startAll()
    } catch (error) {
      this.#startCut.abort(error)
      await this.#stopAll({ reason: 'the start failed', error })
      throw error
    }
    this.#state = 'running'
    for (const name of this.#hosts.keys()) this.#supervision.watch(name)
    for (const name of this.#finishedEarly) this.#supervision.ended(name, 'inOrder', null)
    const facts = { modules: this.#hosts.size, durationMs: this.#clock.nowMs() - this.#startedAtMs }
    this.#init.log.info('kernel.started', facts)
    this.events.emit(kernelEvents.started, facts)
  }

  /** Asks every module for its health now, which the supervisor does in turns of its own; how each is then. */
  async checkHealth({ signal }: { readonly signal: AbortSignal }): Promise<readonly ModuleStatus[]> {
    const { probeTimeoutMs } = { ...defaultProbeOptions, ...this.#init.supervision }
    const hosts = [...this.#hosts.values()]
    await Promise.all(hosts.map(async (host) => await host.probe(probeTimeoutMs, signal)))
    return hosts.map((host) => this.#statusOf(host))
  }

  /** Stops in order, within `shutdownTimeoutMs`; a start under way is cut. Idempotent. */
  async stop(reason = 'stop was called'): Promise<void> {
    this.#stopReport ??= { reason, error: null }
    if (this.#state === 'starting') {
      this.#startCut.abort(kernelErrors.NZ_KERNEL_START_INTERRUPTED({ why: reason }))
      await this.stopped
      return
    }
    await this.#stopAll(this.#stopReport)
  }

  async #startAll(): Promise<void> {
    const { signal } = this.#startCut
    const limits = this.#stopLimits()
    for (const host of this.#hosts.values()) await host.setUp(this.#configOf(host.name), signal, limits)
    const starts = new Map<string, Promise<void>>()
    for (const host of this.#hosts.values()) {
      const start = async (): Promise<void> => {
        await Promise.all(host.requires.flatMap((name) => starts.get(name) ?? []))
        signal.throwIfAborted()
        await host.start(signal, limits)
      }
      starts.set(
        host.name,
        start().catch((error: unknown) => {
          this.#startCut.abort(error) // the first failure; later aborts change nothing
          throw error
        }),
      )
    }
    await Promise.allSettled(starts.values())
    signal.throwIfAborted()
  }

  async #stopAll(report: StopReport): Promise<void> {
    this.#stopReport ??= report
    this.#stopping ??= this.#stopOnce(this.#stopReport)
    await this.#stopping
  }

  async #stopOnce(report: StopReport): Promise<void> {
    this.#state = 'stopping'
    this.#init.log.info('kernel.stopping', report.error === null ? { reason: report.reason } : report)
    const { shutdownTimeoutMs = 8_000 } = this.#init
    const endMs = this.#clock.monotonicMs() + shutdownTimeoutMs
    await bounded(async () => await this.#supervision.close(), {
      clock: this.#clock,
      timeoutMs: shutdownTimeoutMs / 2,
      timeoutError: () => kernelErrors.NZ_KERNEL_STOP_TIMEOUT({ why: 'a restart under way did not end' }),
    }).catch((error: unknown) => this.#init.log.warn('kernel.stopFailed', { error }))
    const stops = new Map<string, Promise<void>>()
    for (const host of [...this.#hosts.values()].toReversed()) {
      const stop = async (): Promise<void> => {
        await Promise.all(this.#graph.dependents(host.name).flatMap((name) => stops.get(name) ?? []))
        await host.stop(this.#stopLimits(endMs))
      }
      stops.set(host.name, stop())
    }
    await Promise.all(stops.values())
    this.#state = 'stopped'
    this.#resolveStopped(report)
  }

  /** A restart of one module by the supervisor. */
  async #bringUp(host: ModuleHost, signal: AbortSignal): Promise<void> {
    const limits = this.#stopLimits()
    await host.setUp(this.#configOf(host.name), signal, limits)
    await host.start(signal, limits)
  }

  #stopLimits(endMs = Infinity): StopLimits {
    const leftMs = Math.max(lastStopMs, endMs - this.#clock.monotonicMs())
    return {
      stopTimeoutMs: Math.min(this.#init.stopTimeoutMs ?? 5_000, leftMs),
      releaseTimeoutMs: Math.min(releaseTimeoutMs, leftMs),
    }
  }

  #onFailed(name: string, error: unknown): void {
    this.#init.log.error('kernel.moduleFailed', { module: name, error })
    if (this.#state === 'starting') this.#startCut.abort(error)
    else this.#supervision.ended(name, 'failed', error)
  }

  #onFinished(name: string): void {
    if (this.#state === 'starting') this.#finishedEarly.push(name)
    else this.#supervision.ended(name, 'inOrder', null)
  }

  #tell(module: string, error: unknown, verdict: Parameters<SupervisionReports['decided']>[2]): void {
    const { code, why } = describeFailure(error)
    if (error !== null) this.#host(module).noteFailure(error)
    if (verdict.action === 'escalate') {
      const data = { module: verdict.child, cause: code }
      const failure = kernelErrors.NZ_KERNEL_ESSENTIAL_FAILED({ why, cause: error, data })
      this.#init.log.error('kernel.essentialFailed', { module: verdict.child, error })
      void this.#stopAll({ reason: `module ${verdict.child} failed`, error: failure })
      return
    }
    const dependents = verdict.takeDown.filter((name) => name !== module)
    if (verdict.action === 'restart') {
      const { delayMs, attempt } = verdict
      this.#init.log.warn('kernel.restartScheduled', { module, code, why, delayMs, attempt, dependents })
      this.events.emit(kernelEvents.restartScheduled, { module, code, delayMs, attempt, dependents })
    } else if (verdict.action === 'giveUp') {
      const { restarts } = verdict
      this.#init.log.error('kernel.moduleGivenUp', { module, code, why, restarts, dependents })
      this.events.emit(kernelEvents.moduleGivenUp, { module, code, restarts, dependents })
    }
  }

  #createBus(): EventBus {
    const { log } = this.#init
    return createEventBus({
      nowMs: () => this.#clock.nowMs(),
      onListenerError: (error, eventName) => log.error('kernel.listenerFailed', { eventName, error }),
      onOverflow: (eventName) => log.warn('kernel.listenerOverflow', { eventName }),
      onInvalidPayload: (eventName, issues) => this.#refuseEvent(`payload of ${eventName}: ${issues.join('; ')}`),
    })
  }

  /** A programmer's mistake: seen at once in tests, survived in a daemon. */
  #refuseEvent(why: string): void {
    if (this.#init.strictEvents === true) throw new TypeError(why)
    this.#init.log.error('kernel.eventInvalid', { why })
  }

  #createHost(module: AnyModule, random: Random): ModuleHost {
    const { log, startTimeoutMs = 30_000 } = this.#init
    const emits = Object.values(module.emits)
    const events = busOfModule(this.events, emits, (event) =>
      this.#refuseEvent(`${module.name} does not declare ${event}`),
    )
    return new ModuleHost({
      module,
      requires: this.#graph.requires(module.name),
      container: this.#container,
      run: { log, events, clock: this.#clock, random },
      events: this.events,
      startTimeoutMs,
      failed: (name, error) => this.#onFailed(name, error),
      finished: (name) => this.#onFinished(name),
    })
  }

  #inspection(): KernelService {
    const kernel = (): Kernel => this
    return {
      get state() {
        return kernel().state
      },
      get startedAtMs() {
        return kernel().#startedAtMs
      },
      get config() {
        return kernel().#resolved()
      },
      modules: () => [...this.#hosts.values()].map((host) => this.#statusOf(host)),
      requestStop: (reason) => {
        if (this.#stopReport !== null) return
        this.#stopReport = { reason, error: null }
        this.events.emit(kernelEvents.stopRequested, { reason })
        this.#clock.setTimer(0, () => void this.stop(reason))
      },
      reload: async (layers) => await this.#reload(layers),
    }
  }

  #statusOf(host: ModuleHost): ModuleStatus {
    const restartAt = this.#supervisor.restartAtMs(host.name)
    const restartAtMs = restartAt === null ? null : this.#clock.nowMs() + restartAt - this.#clock.monotonicMs()
    return { ...host.status(), restarts: this.#supervisor.restarts(host.name), restartAtMs }
  }

  async #reload(layers: readonly ConfigLayer[]): Promise<ReloadReport> {
    const before = this.#resolved()
    const after = before.withUserLayers(layers)
    this.#config = after
    const report = { reloaded: [] as string[], needRestart: [] as string[], failed: [] as string[] }
    for (const name of after.changedModules(before)) {
      const instance = this.#host(name).instance
      if (instance?.reload === undefined) report.needRestart.push(name)
      else {
        try {
          await bounded(async () => await instance.reload?.(after.values[name]), {
            clock: this.#clock,
            timeoutMs: this.#init.startTimeoutMs ?? 30_000,
            timeoutError: () => kernelErrors.NZ_KERNEL_START_TIMEOUT({ data: { module: name, during: 'reload' } }),
          })
          report.reloaded.push(name)
        } catch (error) {
          this.#init.log.error('kernel.reloadFailed', { module: name, error })
          report.failed.push(name)
        }
      }
    }
    this.events.emit(kernelEvents.configReloaded, report)
    return report
  }

  #resolveConfig(): ResolvedConfig {
    const { config, modules } = this.#init
    if (config instanceof ResolvedConfig) return config
    return resolveConfig({ modules, layers: [{ origin: 'composition', values: config }] })
  }

  #resolved(): ResolvedConfig {
    if (this.#config !== null) return this.#config
    throw kernelErrors.NZ_KERNEL_STATE({ data: { expected: 'starting', actual: this.#state } })
  }

  #configOf(name: string): unknown {
    return this.#resolved().values[name]
  }

  #host(name: string): ModuleHost {
    const host = this.#hosts.get(name)
    if (host === undefined) throw new Error(`no such module: ${name}`)
    return host
  }
}
