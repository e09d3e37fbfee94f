/** The later of the clock and the latest time ever seen: a clock that is set back revives nothing (NZ-TRUST-01 §6.5). */
import type { Clock } from '../../kernel/index.ts'
import type { Namespace } from '../storage/service.ts'

const KEY = 'latest-time'
/** How much later it must be before it is written again. */
const WRITE_EVERY_S = 600
/** A clock that is set back further than this is believed: the time before was the mistake. */
export const MAX_BACK_S = 7 * 86_400

export class LatestTime {
  readonly #clock: Clock
  readonly #namespace: Namespace
  #latestS = 0
  #writtenS = 0

  constructor(clock: Clock, namespace: Namespace) {
    this.#clock = clock
    this.#namespace = namespace
  }

  async load(): Promise<void> {
    const bytes = await this.#namespace.get(KEY)
    const stored = bytes === null ? 0 : Number(Buffer.from(bytes).toString('latin1'))
    this.#latestS = Number.isSafeInteger(stored) ? stored : 0
    this.#writtenS = this.#latestS
  }

  /** Seconds since 1970; goes back by more than `MAX_BACK_S` or not at all. */
  nowS(): number {
    const clockS = Math.floor(this.#clock.nowMs() / 1_000)
    this.#latestS = this.#latestS - clockS > MAX_BACK_S ? clockS : Math.max(this.#latestS, clockS)
    return this.#latestS
  }

  /** To be called now and then. */
  async keep(): Promise<void> {
    const nowS = this.nowS()
    if (Math.abs(nowS - this.#writtenS) < WRITE_EVERY_S) return
    await this.#namespace.put(KEY, Buffer.from(String(nowS), 'latin1'))
    this.#writtenS = nowS
  }
}
