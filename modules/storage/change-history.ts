/** The last acknowledged changes of a store, shared by all who watch: a slow one falls behind it and is told of a gap. */
import type { WatchItem } from './service.ts'

/** Changes that are remembered; up to twice as many are in memory. */
export const MAX_CHANGES = 1_024

export interface Change {
  readonly sequence: number
  readonly namespace: string
  readonly kind: 'put' | 'delete'
  readonly key: string
}

export class ChangeHistory {
  #changes: Change[] = []
  /** Changes up to this one are no longer known. */
  #forgottenUntil = 0
  #last = 0
  #next = Promise.withResolvers<void>()

  /** Nothing is known of what came up to `sequence`. */
  startAt(sequence: number): void {
    this.#changes = []
    this.#forgottenUntil = sequence
    this.#last = sequence
    this.#wake()
  }

  add(changes: readonly Change[]): void {
    this.#changes.push(...changes)
    const over = this.#changes.length - MAX_CHANGES
    this.#forgottenUntil = Math.max(this.#forgottenUntil, this.#changes[over - 1]?.sequence ?? 0)
    // Moved away many at a time: every single one would move all that stay.
    if (over >= MAX_CHANGES) this.#changes = this.#changes.slice(over)
    this.#last = Math.max(this.#last, changes.at(-1)?.sequence ?? 0)
    this.#wake()
  }

  /** `latest` is the number of the namespace's last change: what lies behind it is no gap. */
  async *watch(
    namespace: string,
    {
      after = this.#last,
      latest,
      signal,
    }: { readonly after?: number | undefined; readonly latest: () => number; readonly signal: AbortSignal },
  ): AsyncGenerator<WatchItem> {
    const stopped = Promise.withResolvers<void>()
    const onAbort = (): void => stopped.resolve()
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      let at = after
      while (!signal.aborted) {
        const next = this.#next.promise
        if (at > this.#last || (at < this.#forgottenUntil && at < latest())) {
          at = this.#forgottenUntil
          yield { kind: 'gap', cursor: at }
        }
        const seen = this.#last
        // A copy: while the reader is busy, the history goes on.
        const news = this.#changes.filter((change) => change.namespace === namespace && change.sequence > at)
        for (const { sequence, kind, key } of news) {
          if (signal.aborted) return
          yield { kind, key, cursor: sequence }
        }
        at = Math.max(at, seen)
        await Promise.race([next, stopped.promise])
      }
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }

  #wake(): void {
    const { resolve } = this.#next
    this.#next = Promise.withResolvers()
    resolve()
  }
}
