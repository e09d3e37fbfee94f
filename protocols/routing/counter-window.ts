/** Which counters of a link came already: each is taken once, none far behind the latest (NZ-ROUTING-01 §2.4). */
import { LINK_WINDOW } from './limits.ts'

export class CounterWindow {
  /** By counter modulo the window: the counter that is marked there. */
  readonly #seen = Array.from({ length: LINK_WINDOW }, () => -1)
  #latest = -1

  /** Whether it is new; it is not from then on. */
  take(counter: number): boolean {
    if (counter <= this.#latest - LINK_WINDOW) return false
    const at = counter % LINK_WINDOW
    if (this.#seen[at] === counter) return false
    this.#seen[at] = counter
    this.#latest = Math.max(this.#latest, counter)
    return true
  }
}
