/** How long to wait before the next try. */
import type { Random } from './random.ts'

export interface BackoffOptions {
  /** Wait before the first try again, in milliseconds. */
  readonly firstDelayMs: number
  /** No wait is longer, in milliseconds. */
  readonly maxDelayMs: number
  /** Share of the wait that chance decides, 0 (none) … 1: keeps many nodes from trying at the same moment. */
  readonly jitter: number
}

/** The wait before try `attempt` (1, 2, …): doubles each time; with jitter, shortened by up to that share. */
export function backoffDelayMs(attempt: number, options: BackoffOptions, random: Pick<Random, 'unit'>): number {
  const { firstDelayMs, maxDelayMs, jitter } = options
  const fullMs = Math.min(maxDelayMs, firstDelayMs * 2 ** (attempt - 1))
  return jitter === 0 ? fullMs : fullMs * (1 - jitter * random.unit())
}
