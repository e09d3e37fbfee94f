/** Modules and loggers that record what happens to them. */
import { z } from 'zod'
import { defineModule, defineService, Kernel, SimulatedClock } from '../../../kernel/index.ts'
import type {
  AnyModule,
  KernelInit,
  Logger,
  ModuleContext,
  ModuleInstance,
  RestartPolicy,
} from '../../../kernel/index.ts'

export interface LogLine {
  readonly level: keyof Logger
  readonly event: string
  readonly fields: Readonly<Record<string, unknown>>
}

export function recordingLogger(): Logger & { readonly lines: LogLine[] } {
  const lines: LogLine[] = []
  const write =
    (level: keyof Logger) =>
    (event: string, fields: object = {}) => {
      lines.push({ level, event, fields: { ...fields } })
    }
  return { lines, debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') }
}

type Instance = ModuleInstance<Record<string, never>>

export interface Behaviour {
  readonly restart?: RestartPolicy
  readonly setup?: (context: ModuleContext) => void | Promise<void>
  readonly start?: (context: ModuleContext, signal: AbortSignal) => void | Promise<void>
  readonly stop?: (signal: AbortSignal) => void | Promise<void>
  readonly health?: NonNullable<Instance['health']>
  readonly reload?: (config: unknown) => Promise<void>
}

/** A module that provides a service under its own name and records its life in `trace`. */
export function recorder(
  name: string,
  needs: readonly string[],
  trace: string[],
  behaviour: Behaviour = {},
): AnyModule {
  const { health, reload } = behaviour
  return defineModule({
    name,
    config: z.strictObject({ level: z.int().default(0) }),
    requires: Object.fromEntries(needs.map((id) => [id, defineService<unknown>(id)])),
    provides: { self: defineService<unknown>(name) },
    emits: {},
    capabilities: [],
    restart: behaviour.restart ?? 'permanent',
    async setup(context, _services, config) {
      trace.push(`setup ${name}`)
      context.scope.defer(() => {
        trace.push(`release ${name}`)
      })
      await behaviour.setup?.(context)
      return {
        services: { self: { name, config } },
        async start({ signal }) {
          await behaviour.start?.(context, signal)
          trace.push(`start ${name}`)
        },
        async stop({ signal }) {
          trace.push(`stop ${name}`)
          await behaviour.stop?.(signal)
        },
        ...(health === undefined ? {} : { health }),
        ...(reload === undefined ? {} : { reload }),
      }
    },
  })
}

export interface Fixture {
  readonly kernel: Kernel
  readonly clock: SimulatedClock
  readonly log: ReturnType<typeof recordingLogger>
}

/** A kernel under a simulated clock. */
export function kernelOf(modules: readonly AnyModule[], init: Partial<KernelInit> = {}): Fixture {
  const clock = new SimulatedClock()
  const log = recordingLogger()
  return { kernel: new Kernel({ modules, config: {}, log, clock, strictEvents: true, ...init }), clock, log }
}

/** Work that never ends. */
export async function forever(): Promise<never> {
  return await new Promise<never>(() => {})
}

export function without(trace: readonly string[], ...words: readonly string[]): string[] {
  return trace.filter((line) => !words.some((word) => line.startsWith(`${word} `)))
}
