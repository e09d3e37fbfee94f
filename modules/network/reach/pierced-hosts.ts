/** Hosts that a NAT may let in because this node has sent to them: that they come in proves nothing for others. */
import { hostOf } from '../address.ts'
import type { Clock } from '../../../kernel/index.ts'

/** Hosts that are remembered; the one sent to longest ago goes first. */
export const MAX_PIERCED_HOSTS = 256
/** Longer than NATs keep a TCP connection that did not come about (RFC 5382 §5: four minutes). */
const MEMORY_MS = 600_000

export class PiercedHosts {
  readonly #clock: Pick<Clock, 'monotonicMs'>
  readonly #sentAtMs = new Map<string, number>()

  constructor(clock: Pick<Clock, 'monotonicMs'>) {
    this.#clock = clock
  }

  /** A multiaddr is dialled from the listening port. */
  dialled(address: string): void {
    const host = hostOf(address)
    if (host === null) return
    this.#sentAtMs.delete(host)
    this.#sentAtMs.set(host, this.#clock.monotonicMs())
    const [oldest] = this.#sentAtMs.keys()
    if (this.#sentAtMs.size > MAX_PIERCED_HOSTS && oldest !== undefined) this.#sentAtMs.delete(oldest)
  }

  has(address: string): boolean {
    const sentAtMs = this.#sentAtMs.get(hostOf(address) ?? '')
    return sentAtMs !== undefined && this.#clock.monotonicMs() - sentAtMs < MEMORY_MS
  }
}
