/** Keeps connections to chosen peers: dials again, with growing pauses, as long as somebody holds on. */
import { isNzError, orAbort, sleep } from '../../kernel/index.ts'
import { BackOff } from './back-off.ts'
import type { Clock, Logger, Random } from '../../kernel/index.ts'

export const FIRST_DELAY_MS = 1_000
export const MAX_DELAY_MS = 60_000
/** A connection that lasted this long counts as a success; a shorter one as a failure, so that flapping slows down. */
const STABLE_AFTER_MS = 10_000

export interface KeeperServices {
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  /** Connects, or returns at once when connected. */
  readonly connect: (peerId: string, options: { readonly signal: AbortSignal }) => Promise<unknown>
  /** Resolves when the peer is not connected. */
  readonly lost: (peerId: string) => Promise<void>
}

interface Kept {
  holders: number
  readonly stop: AbortController
}

export class Keeper {
  readonly #services: KeeperServices
  readonly #kept = new Map<string, Kept>()

  constructor(services: KeeperServices) {
    this.#services = services
  }

  isKept(peerId: string): boolean {
    return this.#kept.has(peerId)
  }

  peerIds(): readonly string[] {
    return [...this.#kept.keys()]
  }

  keep(peerId: string): { release(): void } {
    const kept = this.#kept.get(peerId) ?? this.#begin(peerId)
    kept.holders += 1
    let isReleased = false
    return {
      release: () => {
        if (isReleased) return
        isReleased = true
        kept.holders -= 1
        if (kept.holders === 0 && this.#kept.get(peerId) === kept) this.drop(peerId)
      },
    }
  }

  /** Stops keeping the peer, whoever holds on. */
  drop(peerId: string): void {
    this.#kept.get(peerId)?.stop.abort()
    this.#kept.delete(peerId)
  }

  stop(): void {
    for (const peerId of this.peerIds()) this.drop(peerId)
  }

  #begin(peerId: string): Kept {
    const kept: Kept = { holders: 0, stop: new AbortController() }
    this.#kept.set(peerId, kept)
    void this.#run(peerId, kept.stop.signal)
    return kept
  }

  async #run(peerId: string, signal: AbortSignal): Promise<void> {
    const { clock, random, log } = this.#services
    const backOff = new BackOff({ firstDelayMs: FIRST_DELAY_MS, maxDelayMs: MAX_DELAY_MS, unit: () => random.unit() })
    while (!signal.aborted) {
      try {
        await this.#once(peerId, backOff, signal)
      } catch (error) {
        if (signal.aborted) return
        log.debug('network.reconnectFailed', { peerId, code: isNzError(error) ? error.code : String(error) })
      }
      if (signal.aborted) return
      try {
        await sleep(clock, backOff.failed(), { signal })
      } catch {
        return
      }
    }
  }

  /** Connects and waits until the connection is lost. */
  async #once(peerId: string, backOff: BackOff, signal: AbortSignal): Promise<void> {
    const { clock, connect, lost } = this.#services
    await connect(peerId, { signal })
    const sinceMs = clock.monotonicMs()
    await orAbort(lost(peerId), signal)
    if (clock.monotonicMs() - sinceMs >= STABLE_AFTER_MS) backOff.succeeded()
  }
}
