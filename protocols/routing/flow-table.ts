/** Paths that go through this node, begin or end here: what belongs to which, and where it goes on (NZ-ROUTING-01 §7). */
import { MAX_FLOWS, MAX_FLOWS_PER_SOURCE } from './limits.ts'
import type { FlowId, Key } from './signing.ts'
import type { Setup } from './setup.ts'

export interface Flow {
  readonly id: FlowId
  readonly source: Key
  readonly destination: Key
  /** Where the setup came from; `null` at the source. */
  readonly upstream: Key | null
  /** Where it went; `null` at the destination. */
  readonly downstream: Key | null
  /** As it left here; at the source to compare the answer with. */
  readonly setup: Setup
  readonly startedAtMs: number
  /** How often the source had to take a later sequence. */
  readonly renewals: number
  isOpen: boolean
  movedAtMs: number
}

export class FlowTable {
  readonly #flows = new Map<FlowId, Flow>()
  readonly #perSource = new Map<Key, number>()

  get size(): number {
    return this.#flows.size
  }

  get(id: FlowId): Flow | undefined {
    return this.#flows.get(id)
  }

  all(): readonly Flow[] {
    return [...this.#flows.values()]
  }

  /** Whether one more of the source finds room. */
  hasRoom(source: Key): boolean {
    return this.#flows.size < MAX_FLOWS && (this.#perSource.get(source) ?? 0) < MAX_FLOWS_PER_SOURCE
  }

  add(flow: Flow): void {
    this.#flows.set(flow.id, flow)
    this.#perSource.set(flow.source, (this.#perSource.get(flow.source) ?? 0) + 1)
  }

  remove({ id, source }: Flow): boolean {
    if (!this.#flows.delete(id)) return false
    const left = (this.#perSource.get(source) ?? 1) - 1
    if (left > 0) this.#perSource.set(source, left)
    else this.#perSource.delete(source)
    return true
  }
}
