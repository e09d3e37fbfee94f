/** What this node has refused peers since its start: updates and requests, by code. */
import type { TrustCode } from '../../protocols/trust/errors.ts'
import type { Answered } from '../../protocols/trust/exchange.ts'

export type RefusalCode = TrustCode | Exclude<Answered['code'], null>

/** At most one count for each code. */
export class Refusals {
  readonly #counts = new Map<RefusalCode, number>()

  add(code: RefusalCode): void {
    this.#counts.set(code, (this.#counts.get(code) ?? 0) + 1)
  }

  counts(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#counts)
  }
}
