/** What happens next: events in order of their time and, at one time, in the order they were planned. A binary heap. */
import type { Timer } from '../../kernel/index.ts'

interface Planned {
  readonly atMs: number
  readonly order: number
  run: (() => void) | null
}

export class Schedule {
  readonly #heap: Planned[] = []
  #order = 0

  at(atMs: number, run: () => void): Timer {
    const planned: Planned = { atMs, order: (this.#order += 1), run }
    this.#heap.push(planned)
    this.#rise(this.#heap.length - 1)
    return { cancel: () => void (planned.run = null) }
  }

  /** Takes out what happens next, if that is not after `untilMs`. */
  next(untilMs: number): { readonly atMs: number; readonly run: () => void } | null {
    for (;;) {
      const first = this.#heap[0]
      if (first === undefined || first.atMs > untilMs) return null
      this.#removeFirst()
      const { atMs, run } = first
      if (run !== null) return { atMs, run }
    }
  }

  #removeFirst(): void {
    const last = this.#heap.pop()
    if (last === undefined || this.#heap.length === 0) return
    this.#heap[0] = last
    this.#sink()
  }

  #rise(at: number): void {
    for (let child = at; child > 0;) {
      const parent = (child - 1) >>> 1
      if (!this.#swapUnlessOrdered(parent, child)) return
      child = parent
    }
  }

  #sink(): void {
    for (let parent = 0; ;) {
      const left = parent * 2 + 1
      const child = this.#isBefore(left + 1, left) ? left + 1 : left
      if (!this.#swapUnlessOrdered(parent, child)) return
      parent = child
    }
  }

  /** @returns whether the two changed places */
  #swapUnlessOrdered(parent: number, child: number): boolean {
    const [upper, lower] = [this.#heap[parent], this.#heap[child]]
    if (upper === undefined || lower === undefined || !this.#isBefore(child, parent)) return false
    this.#heap[parent] = lower
    this.#heap[child] = upper
    return true
  }

  #isBefore(a: number, b: number): boolean {
    const [one, other] = [this.#heap[a], this.#heap[b]]
    if (one === undefined || other === undefined) return false
    return one.atMs === other.atMs ? one.order < other.order : one.atMs < other.atMs
  }
}
