/** Tells of records that were refused: each peer and code at most once a minute, with how many there were. Bounded. */
import { discoveryEvents } from './service.ts'
import type { Clock, EventBus, Logger } from '../../kernel/index.ts'

const SPAN_MS = 60_000
export const MAX_NOTED = 256

export class RefusalNotes {
  readonly #services: { readonly clock: Clock; readonly events: EventBus; readonly log: Logger }
  #counts = new Map<string, number>()
  #sinceMs = -Infinity

  constructor(services: { readonly clock: Clock; readonly events: EventBus; readonly log: Logger }) {
    this.#services = services
  }

  note(peerId: string, code: string): void {
    const { clock, events, log } = this.#services
    const nowMs = clock.monotonicMs()
    if (nowMs - this.#sinceMs >= SPAN_MS) {
      this.#counts = new Map()
      this.#sinceMs = nowMs
    }
    const key = `${peerId} ${code}`
    const count = (this.#counts.get(key) ?? 0) + 1
    if (count === 1 && this.#counts.size >= MAX_NOTED) return
    this.#counts.set(key, count)
    // A newer record that is known already is nobody's fault.
    if (count !== 1 || code === 'NZ_DISCOVERY_STALE') return
    events.emit(discoveryEvents.recordRefused, { peerId, code, count })
    log.debug('discovery.recordRefused', { peerId, code })
  }
}
