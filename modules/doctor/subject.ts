/** What the checks look at, and what a check is. */
import type { Clock, ModuleStatus, ResolvedConfig } from '../../kernel/index.ts'
import type { Home } from '../../protocols/ipc/home.ts'
import type { IdentityFacts } from '../identity/service.ts'
import type { BackendChoice, Reachability } from '../network/service.ts'
import type { Finding } from './service.ts'

export interface Subject {
  readonly home: Home
  readonly clock: Clock
  /** The configuration a node of this profile has or would have. @throws NZ_KERNEL_CONFIG_INVALID and the like */
  readonly readConfig: () => Promise<ResolvedConfig>
  /** `null` when the profile has no identity. @throws what is wrong with its files */
  readonly readIdentity: () => Promise<IdentityFacts | null>
  /** The stack of TCP connections, of the running node or of the next one. */
  readonly readBackend: () => Promise<BackendChoice>
  /** The node that examines itself; `null` when none runs. */
  readonly node: {
    modules(): readonly ModuleStatus[]
    addresses(): readonly string[]
    reachability(): Reachability
  } | null
}

export type Check = (subject: Subject, options: { readonly signal: AbortSignal }) => Promise<readonly Finding[]>

export function ok(check: string, what: string): Finding {
  return { check, state: 'ok', what, fix: [] }
}

export function warn(check: string, what: string, ...fix: readonly string[]): Finding {
  return { check, state: 'warn', what, fix }
}

export function fail(check: string, what: string, ...fix: readonly string[]): Finding {
  return { check, state: 'fail', what, fix }
}
