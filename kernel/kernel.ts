import { systemClock } from './clock.ts'
import { kernelErrors } from './catalogue.ts'
import { createEventBus } from './events.ts'
import { startOrder } from './graph.ts'
import { systemRandom } from './random.ts'
import { LifetimeScope } from './lifetime.ts'
import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { Clock } from './clock.ts'
import type { EventBus } from './events.ts'
import type { Random } from './random.ts'
import type { AnyModule, Logger, ModuleInstance } from './module.ts'
import type { ServiceToken } from './service.ts'

export type KernelState = 'stopped' | 'starting' | 'running' | 'stopping'

export interface KernelInit {
  modules: readonly AnyModule[]
  /** One entry per module name; unknown names are an error. */
  config: Readonly<Record<string, unknown>>
  log: Logger
  clock?: Clock
  random?: Random
  /** Deadline for one module to set up and start, in milliseconds; default 30 000. */
  startTimeoutMs?: number
  /** Deadline for one module to stop, in milliseconds; default 10 000. */
  stopTimeoutMs?: number
}

interface Running {
  readonly name: string
  readonly instance: ModuleInstance<Record<string, ServiceToken<unknown>>>
  readonly scope: LifetimeScope
}

/**
 * Runs modules: sets up and starts them in dependency order, stops them in the
 * reverse order. When one fails to start, those already started are stopped.
 */
export class Kernel {
  readonly events: EventBus
  readonly #init: KernelInit
  readonly #order: readonly AnyModule[]
  readonly #services = new Map<string, unknown>()
  readonly #running: Running[] = []
  #state: KernelState = 'stopped'

  constructor(init: KernelInit) {
    this.#init = init
    this.#order = startOrder(init.modules)
    const unknown = Object.keys(init.config).filter((name) => !init.modules.some((module) => module.name === name))
    if (unknown.length > 0) throw kernelErrors.NZ_KERNEL_CONFIG_INVALID({ data: { unknownModules: unknown } })
    this.events = createEventBus({
      onListenerError: (error, eventName) => init.log.error('kernel.listenerFailed', { eventName, error }),
    })
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
    this.#expect('stopped')
    this.#state = 'starting'
    try {
      for (const module of this.#order) await this.#startModule(module)
      this.#state = 'running'
    } catch (error) {
      await this.#stopAll()
      throw error
    }
  }

  async stop(): Promise<void> {
    if (this.#state === 'stopped') return
    this.#expect('running')
    await this.#stopAll()
  }

  async #startModule(module: AnyModule): Promise<void> {
    const config = await this.#parseConfig(module)
    const scope = new LifetimeScope()
    const context = {
      name: module.name,
      log: this.#init.log,
      events: this.events,
      clock: this.#init.clock ?? systemClock,
      random: this.#init.random ?? systemRandom,
      scope,
      fail: (error: unknown) => this.#init.log.error('kernel.moduleFailed', { module: module.name, error }),
    }
    const required = Object.fromEntries(
      Object.entries(module.requires as Record<string, ServiceToken<unknown>>).map(([key, token]) => [
        key,
        this.get(token),
      ]),
    )
    const signal = AbortSignal.timeout(this.#init.startTimeoutMs ?? 30_000)
    try {
      const instance = await before(signal, module.setup(context, required, config))
      this.#running.push({ name: module.name, instance, scope })
      await before(signal, instance.start?.({ signal }))
      for (const [key, token] of Object.entries(module.provides as Record<string, ServiceToken<unknown>>)) {
        this.#services.set(token.id, instance.services[key])
      }
    } catch (error) {
      if (!this.#running.some((running) => running.scope === scope)) await scope[Symbol.asyncDispose]()
      if (signal.aborted) throw kernelErrors.NZ_KERNEL_START_TIMEOUT({ cause: error, data: { module: module.name } })
      throw error
    }
  }

  async #stopAll(): Promise<void> {
    this.#state = 'stopping'
    for (let running = this.#running.pop(); running !== undefined; running = this.#running.pop()) {
      const signal = AbortSignal.timeout(this.#init.stopTimeoutMs ?? 10_000)
      try {
        await before(signal, running.instance.stop?.({ signal }))
      } catch (error) {
        this.#init.log.error('kernel.stopFailed', { module: running.name, error })
      }
      try {
        await running.scope[Symbol.asyncDispose]()
      } catch (error) {
        this.#init.log.error('kernel.releaseFailed', { module: running.name, error })
      }
    }
    this.#services.clear()
    this.#state = 'stopped'
  }

  async #parseConfig(module: AnyModule): Promise<unknown> {
    const result = await module.config['~standard'].validate(this.#init.config[module.name] ?? {})
    if (result.issues === undefined) return result.value
    const issues = result.issues.map(({ path, message }) => ({ path: configPath(path), message }))
    throw kernelErrors.NZ_KERNEL_CONFIG_INVALID({ data: { module: module.name, issues } })
  }

  #expect(state: KernelState): void {
    if (this.#state !== state) throw kernelErrors.NZ_KERNEL_STATE({ data: { expected: state, actual: this.#state } })
  }
}

/** `['listen', 0, 'port']` as `listen.0.port`. */
function configPath(path: StandardSchemaV1.Issue['path'] = []): string {
  return path.map((segment) => String(typeof segment === 'object' ? segment.key : segment)).join('.')
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
