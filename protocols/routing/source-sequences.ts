/** Replay protection: each sequence of a source is taken once, also across restarts of this node (NZ-ROUTING-01 §5.3). */
import { MAX_SEQUENCES_PER_SOURCE, MAX_SOURCES } from './limits.ts'
import type { Key } from './signing.ts'

export class SourceSequences {
  /** Ascending, of each source; the source used last is last. */
  readonly #sources = new Map<Key, number[]>()
  /** Sequences of sources that are not remembered must be above it. */
  #floor: number

  /** `floor`: by the time of the start, since what came before it is not remembered. */
  constructor({ floor }: { readonly floor: number }) {
    this.#floor = floor
  }

  get size(): number {
    return this.#sources.size
  }

  /** What the next sequence of the source must be above to be taken for sure. */
  latest(source: Key): number {
    return this.#sources.get(source)?.at(-1) ?? this.#floor
  }

  isNew(source: Key, sequence: number): boolean {
    const seen = this.#sources.get(source)
    if (seen === undefined) return sequence > this.#floor
    const oldest = seen.length < MAX_SEQUENCES_PER_SOURCE ? this.#floor : (seen[0] ?? this.#floor)
    return sequence > oldest && !seen.includes(sequence)
  }

  /** Whether it is new; it is not from then on. */
  take(source: Key, sequence: number): boolean {
    if (!this.isNew(source, sequence)) return false
    const seen = [...(this.#sources.get(source) ?? []), sequence].toSorted((a, b) => a - b)
    this.#sources.delete(source)
    this.#sources.set(source, seen.slice(-MAX_SEQUENCES_PER_SOURCE))
    if (this.#sources.size > MAX_SOURCES) this.#forgetOldest()
    return true
  }

  /** What is forgotten stays refused. */
  #forgetOldest(): void {
    const [oldest] = this.#sources
    if (oldest === undefined) return
    const [source, seen] = oldest
    this.#floor = Math.max(this.#floor, seen.at(-1) ?? 0)
    this.#sources.delete(source)
  }
}
