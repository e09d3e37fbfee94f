/** The kernel's public surface: everything else imports from here and from nowhere else in `kernel/`. */
export { deadline, sleep, systemClock } from './clock.ts'
export { redacted, explainKey, ResolvedConfig, resolveConfig } from './config.ts'
export { configJsonSchema, configKeys } from './config-keys.ts'
export { environmentLayer, flagLayer } from './config-text.ts'
export { defineErrors, exitCodes, filledSteps, isNzError, knownErrors, NzError } from './errors.ts'
export { backoffDelayMs } from './backoff.ts'
export { createEventBus } from './event-bus.ts'
export { defineEvents } from './events.ts'
export { kernelEvents, KernelService, moduleStates } from './inspection.ts'
export { GroupCommit } from './group-commit.ts'
export { Kernel } from './kernel.ts'
export { LifetimeScope } from './lifetime.ts'
export { defineModule } from './module.ts'
export { seededRandom, systemRandom } from './random.ts'
export { SimulatedClock } from './simulated-clock.ts'
export { isErrno } from './system-errors.ts'
export { syncAncestors, syncFolder } from './sync-folder.ts'
export { Turns } from './turns.ts'
export { defaultProbeOptions, Supervision } from './supervision.ts'
export { defaultSupervisorOptions, Supervisor } from './supervisor.ts'
export { bounded } from './bounded.ts'
export { defineService, provide } from './service.ts'
export type { Clock, Deadline, Timer } from './clock.ts'
export type { ConfigEntry, ConfigLayer } from './config.ts'
export type { ConfigIssue, ConfigOrigin } from './config-issues.ts'
export type { ConfigKey, ConfigSchema, ConfigSource, JsonSchema } from './config-keys.ts'
export type { ErrorCatalogue, ErrorDocument, ErrorSpec, ExitName, NzErrorInit } from './errors.ts'
export type { BackoffOptions } from './backoff.ts'
export type { Bound } from './bounded.ts'
export type { EventBusInit } from './event-bus.ts'
export type { EventBus, EventBusStats, EventGap, EventMapOf, EventRecord, EventToken } from './events.ts'
export type { GroupLimits } from './group-commit.ts'
export type { KernelInit, StopReport } from './kernel.ts'
export type { KernelState, ModuleState, ModuleStatus, ReloadReport } from './inspection.ts'
export type {
  AnyModule,
  Capability,
  Health,
  Logger,
  ModuleContext,
  ModuleDefinition,
  ModuleInstance,
} from './module.ts'
export type { LifetimeScopeInit, Release } from './lifetime.ts'
export type { Children, ProbeOptions } from './supervision.ts'
export type { ChildPhase, ChildSpec, RestartPolicy, SupervisorOptions, Verdict } from './supervisor.ts'
export type { Random } from './random.ts'
export type { ProvidedService, ServicesOf, ServiceToken, ServiceTokens } from './service.ts'
