/** What a module is: one folder, one `index.ts`, one `defineModule` as its default export. */
import type { Clock } from './clock.ts'
import type { ConfigSchema } from './config-keys.ts'
import type { EventBus, EventToken } from './events.ts'
import type { LifetimeScope } from './lifetime.ts'
import type { Random } from './random.ts'
import type { RestartPolicy } from './supervisor.ts'
import type { ServicesOf, ServiceTokens } from './service.ts'

/** A permission that a module asks for, or that an API caller holds, as `area.verb`. */
export type Capability = `${string}.${string}`

/** An event name (`network.peerConnected`) and fields; no secrets, no sentences. */
export interface Logger {
  debug(event: string, fields?: object): void
  info(event: string, fields?: object): void
  warn(event: string, fields?: object): void
  /** A human must act. */
  error(event: string, fields?: object): void
}

/** Everything a module may touch besides the services it requires. */
export interface ModuleContext {
  readonly name: string
  readonly log: Logger
  readonly events: EventBus
  readonly clock: Clock
  readonly random: Random
  /** Owns the module's resources; closed after `stop`. */
  readonly scope: LifetimeScope
  /** Reports a failure outside of any call; the supervisor handles it by the module's restart policy. */
  readonly fail: (error: unknown) => void
  /** Reports that the module's work has ended in order: `permanent` modules are run again, `transient` ones rest. */
  readonly finish: () => void
}

export type Health =
  | { readonly state: 'healthy' }
  | { readonly state: 'degraded' | 'unhealthy'; readonly code: string; readonly why: string }

/** What `setup` returns. */
export interface ModuleInstance<Provides extends ServiceTokens> {
  readonly services: ServicesOf<Provides>
  /** Opens sockets, joins networks. Every required service has started before. */
  start?(options: { signal: AbortSignal }): Promise<void>
  /**
   * Stops accepting work and drains. Runs before any required service stops; also after a `start` that failed, and
   * once more when a `start` that was cut returns late.
   */
  stop?(options: { signal: AbortSignal }): Promise<void>
  /** Health means work done, not a port open. Probed at the supervisor's interval. */
  health?(options: { signal: AbortSignal }): Promise<Health>
  /** Takes over a changed configuration without a restart; absent when the module needs one. */
  reload?(config: unknown): Promise<void>
}

export interface ModuleDefinition<
  Config = unknown,
  Requires extends ServiceTokens = ServiceTokens,
  Provides extends ServiceTokens = ServiceTokens,
> {
  readonly name: string
  /** Validated strictly; `setup` receives the parsed value with defaults filled in. */
  readonly config: ConfigSchema<Config>
  readonly requires: Requires
  readonly provides: Provides
  readonly emits: Readonly<Record<string, EventToken>>
  readonly capabilities: readonly Capability[]
  /**
   * `essential`: its failure stops the node; `permanent`: restarted whenever it ends;
   * `transient`: restarted only when it failed.
   */
  readonly restart: RestartPolicy
  /**
   * Builds the instance. Quick, no network. What it opens it defers to `context.scope`. All modules are set up before
   * the first one starts: keep the services given, and call what needs them running from `start` on.
   */
  setup(
    context: ModuleContext,
    services: ServicesOf<Requires>,
    config: Config,
  ): ModuleInstance<Provides> | Promise<ModuleInstance<Provides>>
}

/** A definition whose type parameters are forgotten, as the kernel keeps it. */
// oxlint-disable-next-line typescript/no-explicit-any -- `setup` is contravariant in its parameters
export type AnyModule = ModuleDefinition<any, any, any>

export function defineModule<Config, Requires extends ServiceTokens, Provides extends ServiceTokens>(
  definition: ModuleDefinition<Config, Requires, Provides>,
): ModuleDefinition<Config, Requires, Provides> {
  return Object.freeze(definition)
}
