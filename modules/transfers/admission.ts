/** How many transfers a peer, and all peers together, may have going; how many offers a minute. */
import { transfersErrors } from './service.ts'
import type { Clock } from '../../kernel/index.ts'
import type { TransferSettings } from './settings.ts'

/** Peers whose offers are counted; all are contacts. */
const MAX_COUNTED_PEERS = 4_096

const MINUTE_MS = 60_000

export class Admission {
  readonly #settings: TransferSettings
  readonly #clock: Clock
  readonly #active = new Map<string, number>()
  /** Times of the last offers, oldest first. */
  readonly #offers = new Map<string, number[]>()
  #total = 0

  constructor(settings: TransferSettings, clock: Clock) {
    this.#settings = settings
    this.#clock = clock
  }

  /** Counts an offer. @throws NZ_TRANSFERS_BUSY */
  offer(peerId: string): void {
    const nowMs = this.#clock.monotonicMs()
    const recent = (this.#offers.get(peerId) ?? []).filter((atMs) => nowMs - atMs < MINUTE_MS)
    if (recent.length >= this.#settings.maxOffersPerMinute) {
      throw transfersErrors.NZ_TRANSFERS_BUSY({ why: 'too many offers in a minute', data: { peerId } })
    }
    recent.push(nowMs)
    this.#offers.delete(peerId)
    this.#offers.set(peerId, recent)
    const [oldest] = this.#offers.keys()
    if (this.#offers.size > MAX_COUNTED_PEERS && oldest !== undefined) this.#offers.delete(oldest)
  }

  /** Takes a place; call what it returns, once, to give it back. @throws NZ_TRANSFERS_BUSY */
  enter(peerId: string): () => void {
    const mine = this.#active.get(peerId) ?? 0
    if (mine >= this.#settings.maxIncomingPerPeer || this.#total >= this.#settings.maxIncoming) {
      throw transfersErrors.NZ_TRANSFERS_BUSY({ why: 'too many transfers at once', data: { peerId } })
    }
    this.#active.set(peerId, mine + 1)
    this.#total += 1
    return () => this.#leave(peerId)
  }

  #leave(peerId: string): void {
    const left = (this.#active.get(peerId) ?? 1) - 1
    if (left === 0) this.#active.delete(peerId)
    else this.#active.set(peerId, left)
    this.#total -= 1
  }
}
