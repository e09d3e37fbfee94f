/** The latest time this node has seen, kept over restarts. */
import { LatestTime } from '../../protocols/trust/latest-time.ts'
import type { Clock } from '../../kernel/index.ts'
import type { Namespace } from '../storage/service.ts'

const KEY = 'latest-time'
/** How much later it must be before it is written again. */
const WRITE_EVERY_S = 600

export class StoredTime {
  readonly #clock: Clock
  readonly #namespace: Namespace
  #latest = new LatestTime(0)
  #writtenS = 0

  constructor(clock: Clock, namespace: Namespace) {
    this.#clock = clock
    this.#namespace = namespace
  }

  async load(): Promise<void> {
    const bytes = await this.#namespace.get(KEY)
    const stored = bytes === null ? 0 : Number(Buffer.from(bytes).toString('latin1'))
    this.#writtenS = Number.isSafeInteger(stored) ? stored : 0
    this.#latest = new LatestTime(this.#writtenS)
  }

  /** Seconds since 1970, as NZ-TRUST-01 §6.5 has it. */
  nowS(): number {
    return this.#latest.at(Math.floor(this.#clock.nowMs() / 1_000))
  }

  /** To be called now and then. */
  async keep(): Promise<void> {
    const nowS = this.nowS()
    if (Math.abs(nowS - this.#writtenS) < WRITE_EVERY_S) return
    await this.#namespace.put(KEY, Buffer.from(String(nowS), 'latin1'))
    this.#writtenS = nowS
  }
}
