/** Where some entries lie, so that reading from the middle of a segment does not begin at its start. */
import type { ChainPoint } from './walk.ts'

/** A point every so many entries. */
export const POINT_EVERY = 256
/** Segments whose points are kept; the one that was used longest ago makes room. */
export const MAX_INDEXED_SEGMENTS = 32

export interface IndexPoint {
  readonly offset: number
  readonly chain: ChainPoint
}

export class SparseIndex {
  readonly #segments = new Map<number, IndexPoint[]>()

  /** What was proven up to `offset` of a segment. */
  note(segment: number, point: IndexPoint): void {
    const points = this.#segments.get(segment) ?? []
    const { next } = point.chain
    const at = points.findLastIndex(({ chain }) => chain.next <= next) + 1
    const [before, after] = [points[at - 1], points[at]]
    if (before !== undefined && next < before.chain.next + POINT_EVERY) return
    if (after !== undefined && after.chain.next < next + POINT_EVERY) return
    points.splice(at, 0, point)
    this.#touch(segment, points)
  }

  /** The latest point at or before the entry `sequence`; `null`: begin at the start. */
  pointBefore(segment: number, sequence: number): IndexPoint | null {
    const points = this.#segments.get(segment)
    if (points === undefined) return null
    this.#touch(segment, points)
    return points.findLast(({ chain }) => chain.next <= sequence) ?? null
  }

  forget(segment?: number): void {
    if (segment === undefined) this.#segments.clear()
    else this.#segments.delete(segment)
  }

  get size(): number {
    return this.#segments.size
  }

  #touch(segment: number, points: IndexPoint[]): void {
    this.#segments.delete(segment)
    this.#segments.set(segment, points)
    if (this.#segments.size <= MAX_INDEXED_SEGMENTS) return
    for (const oldest of this.#segments.keys()) {
      this.#segments.delete(oldest)
      return
    }
  }
}
