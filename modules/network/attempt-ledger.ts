/** What was tried to reach each peer, newest last: the answer to "why am I not connected". */
import type { DialAttempt } from './service.ts'

/** Bounds: what a peer that is dialled for days, and a program that dials strangers, may cost. */
export const MAX_ATTEMPTS_PER_PEER = 32
export const MAX_PEERS_WITH_ATTEMPTS = 1_024

export class AttemptLedger {
  readonly #byPeer = new Map<string, DialAttempt[]>()

  /** At the bounds the oldest attempt of the peer, and the peer tried longest ago, are forgotten. */
  record(peerId: string, attempt: DialAttempt): void {
    const attempts = this.#byPeer.get(peerId) ?? []
    this.#byPeer.delete(peerId)
    this.#byPeer.set(peerId, attempts)
    attempts.push(attempt)
    if (attempts.length > MAX_ATTEMPTS_PER_PEER) attempts.shift()
    const oldest = this.#byPeer.keys().next()
    if (this.#byPeer.size > MAX_PEERS_WITH_ATTEMPTS && oldest.done !== true) this.#byPeer.delete(oldest.value)
  }

  of(peerId: string): readonly DialAttempt[] {
    return [...(this.#byPeer.get(peerId) ?? [])]
  }
}
