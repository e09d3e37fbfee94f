/** Slows down whoever tries wrong tokens: after a few, each further try from that address has to wait longer. */
import type { Clock } from '../../kernel/index.ts'
import { ipcErrors } from '../../protocols/ipc/errors.ts'

/** Wrong tokens of one address that cost nothing. */
export const FREE_ATTEMPTS = 5
export const FIRST_DELAY_MS = 1_000
export const LONGEST_DELAY_MS = 60_000
/** Addresses remembered; the one that failed longest ago is forgotten first. */
export const MAX_LIMITED_ADDRESSES = 1_024

interface Failures {
  readonly count: number
  readonly nextTryMs: number
}

export class LoginLimit {
  readonly #clock: Clock
  /** In the order of their last failure. */
  readonly #failures = new Map<string, Failures>()

  constructor({ clock }: { readonly clock: Clock }) {
    this.#clock = clock
  }

  /** @throws NZ_IPC_LOGIN_LIMITED while the address has to wait */
  check(address: string): void {
    const failures = this.#failures.get(address)
    const retryAfterMs = Math.ceil((failures?.nextTryMs ?? 0) - this.#clock.monotonicMs())
    if (failures !== undefined && retryAfterMs > 0) throw ipcErrors.NZ_IPC_LOGIN_LIMITED({ data: { retryAfterMs } })
  }

  failed(address: string): void {
    const count = (this.#failures.get(address)?.count ?? 0) + 1
    const over = count - FREE_ATTEMPTS
    const delayMs = over < 0 ? 0 : Math.min(FIRST_DELAY_MS * 2 ** over, LONGEST_DELAY_MS)
    this.#failures.delete(address)
    this.#failures.set(address, { count, nextTryMs: this.#clock.monotonicMs() + delayMs })
    const [oldest] = this.#failures.keys()
    if (this.#failures.size > MAX_LIMITED_ADDRESSES && oldest !== undefined) this.#failures.delete(oldest)
  }

  succeeded(address: string): void {
    this.#failures.delete(address)
  }
}
