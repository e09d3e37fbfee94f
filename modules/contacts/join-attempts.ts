/** How often each peer has come with a ticket that was not good: guessing and hammering end early (NZ-INVITE-01 §8). */
import type { Clock } from '../../kernel/index.ts'

export const MAX_FAILED_JOINS = 5
export const FAILED_JOIN_WINDOW_MS = 600_000
/** Peers remembered; the one that failed longest ago is forgotten first. */
export const MAX_REMEMBERED_PEERS = 1_024

export class JoinAttempts {
  readonly #clock: Pick<Clock, 'monotonicMs'>
  readonly #failures = new Map<string, { readonly sinceMs: number; readonly count: number }>()

  constructor(clock: Pick<Clock, 'monotonicMs'>) {
    this.#clock = clock
  }

  isBlocked(peerId: string): boolean {
    const failures = this.#failures.get(peerId)
    return failures !== undefined && !this.#isOver(failures) && failures.count >= MAX_FAILED_JOINS
  }

  failed(peerId: string): void {
    const before = this.#failures.get(peerId)
    this.#failures.delete(peerId)
    const isFresh = before === undefined || this.#isOver(before)
    this.#failures.set(peerId, {
      sinceMs: isFresh ? this.#clock.monotonicMs() : before.sinceMs,
      count: isFresh ? 1 : before.count + 1,
    })
    for (const oldest of this.#failures.keys()) {
      if (this.#failures.size <= MAX_REMEMBERED_PEERS) break
      this.#failures.delete(oldest)
    }
  }

  #isOver({ sinceMs }: { readonly sinceMs: number }): boolean {
    return this.#clock.monotonicMs() - sinceMs >= FAILED_JOIN_WINDOW_MS
  }
}
