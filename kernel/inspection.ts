/** What the kernel lets modules see of itself: states, health, configuration, and the wish to stop. */
import { defineEvents } from './events.ts'
import { defineService } from './service.ts'
import { aNumber, anInteger, aText, listOf, oneOf, orNull, shape } from './shape.ts'
import type { ConfigLayer, ResolvedConfig } from './config.ts'
import type { Health } from './module.ts'

/** `degraded`: it runs, but a module of it is degraded, failed or being restarted. */
export type KernelState = 'created' | 'starting' | 'running' | 'degraded' | 'stopping' | 'stopped'

export const moduleStates = [
  'created',
  'setting-up',
  'ready',
  'starting',
  'running',
  'degraded',
  'stopping',
  'stopped',
  'failed',
] as const

/**
 * `ready`: set up, not started; `degraded`: runs, and its last health probe was not `healthy`; `stopped`: also while
 * what it requires is restarted; `failed`: its last run failed, `restartAtMs` says whether there will be another.
 */
export type ModuleState = (typeof moduleStates)[number]

export interface ModuleStatus {
  readonly name: string
  readonly state: ModuleState
  /** When it entered this state, wall-clock milliseconds. */
  readonly sinceMs: number
  /** The last probe's answer; `null` before the first and for modules without a probe. */
  readonly health: Health | null
  /** Restarts by the supervisor since the node started. */
  readonly restarts: number
  /** Code of the last failure; `NZ_KERNEL_MODULE_FAILED` when the failure had none. */
  readonly lastErrorCode: string | null
  /** When the supervisor runs it again, wall-clock milliseconds; `null` when no restart is due. */
  readonly restartAtMs: number | null
  /** Names of the modules whose services it uses. */
  readonly requires: readonly string[]
}

/** What became of a changed configuration. */
export interface ReloadReport {
  /** Modules that have taken over their new values. */
  readonly reloaded: readonly string[]
  /** Modules whose new values need a restart of the node; they go on with the old ones. */
  readonly needRestart: readonly string[]
  /** Modules that threw at the new values; they go on with the old ones. */
  readonly failed: readonly string[]
}

export interface KernelService {
  readonly state: KernelState
  /** Wall-clock time at which the node began to start, in milliseconds. */
  readonly startedAtMs: number
  /** As last resolved. `entries()` is safe to print; `values` holds secrets. */
  readonly config: ResolvedConfig
  /** All modules in the order they start. */
  modules(): readonly ModuleStatus[]
  /** Stops the node soon and in order; returns at once, so that the caller can still answer. Idempotent. */
  requestStop(reason: string): void
  /**
   * Replaces the layers of `file`, `environment` and `flags` and lets modules take their new values over.
   *
   * @throws NZ_KERNEL_CONFIG_INVALID; nothing has changed then
   */
  reload(layers: readonly ConfigLayer[]): Promise<ReloadReport>
}

/** Provided by the kernel itself to every module that requires it. */
export const KernelService = defineService<KernelService>('kernel')

export const kernelEvents = defineEvents('kernel', {
  moduleStateChanged: shape({
    module: aText,
    from: oneOf(moduleStates),
    to: oneOf(moduleStates),
  }),
  /** Every module runs; from now on the supervisor watches. */
  started: shape({ modules: anInteger, durationMs: aNumber }),
  stopRequested: shape({ reason: aText }),
  /** A module failed and is run again after `delayMs`, with the modules in `dependents`. */
  restartScheduled: shape({
    module: aText,
    code: aText,
    delayMs: aNumber,
    attempt: anInteger,
    dependents: listOf(aText),
  }),
  /** A module failed too often; it and `dependents` stay stopped. */
  moduleGivenUp: shape({
    module: aText,
    code: aText,
    restarts: anInteger,
    dependents: listOf(aText),
  }),
  healthChanged: shape({
    module: aText,
    state: oneOf(['healthy', 'degraded', 'unhealthy']),
    code: orNull(aText),
  }),
  configReloaded: shape({
    reloaded: listOf(aText),
    needRestart: listOf(aText),
    failed: listOf(aText),
  }),
})
