/**
 * What of a node survives a crash. Batches become durable one after another, each whole or not at all; a crash keeps
 * those that were done and, by chance, some of those under way, in their order.
 */
import type { Chance } from './chance.ts'

export interface Write {
  readonly key: string
  /** `null` deletes. */
  readonly value: Uint8Array | null
}

export interface DiskOptions {
  readonly chance: Chance
  /** Runs `work` after `delayMs`, also when the node is down by then. */
  readonly after: (delayMs: number, work: () => void) => void
  /** Share of batches that the disk refuses, now. */
  readonly errorShare: () => number
}

interface Batch {
  readonly writes: readonly Write[]
  readonly done: (isKept: boolean) => void
}

/** Of one batch, in milliseconds. */
const SYNC_MS = [1, 12] as const

export class SimulatedDisk {
  readonly #options: DiskOptions
  readonly #durable = new Map<string, Uint8Array>()
  #waiting: Batch[] = []
  #life = 0

  constructor(options: DiskOptions) {
    this.#options = options
  }

  /** What is durable, below `prefix`, in order of the keys. */
  read(prefix: string): ReadonlyMap<string, Uint8Array> {
    const keys = [...this.#durable.keys()].filter((key) => key.startsWith(prefix)).toSorted()
    return new Map(keys.map((key) => [key, this.#durable.get(key) ?? new Uint8Array()]))
  }

  /** `done` is told when the batch is durable, or was refused; never when the node crashed before. */
  write(writes: readonly Write[], done: (isKept: boolean) => void): void {
    this.#waiting.push({ writes, done })
    if (this.#waiting.length === 1) this.#syncFirst()
  }

  /** Whoever waits is not told any more. */
  crash(): void {
    this.#life += 1
    const { chance } = this.#options
    const kept = this.#waiting.slice(0, chance.between(0, this.#waiting.length))
    this.#waiting = []
    for (const { writes } of kept) this.#apply(writes)
  }

  /** Puts in place what lay on another disk: a backup that is restored. Only while the node is down. */
  replace(content: ReadonlyMap<string, Uint8Array>): void {
    this.#durable.clear()
    for (const [key, value] of content) this.#durable.set(key, value)
  }

  #syncFirst(): void {
    const { chance, after, errorShare } = this.#options
    const life = this.#life
    after(chance.between(...SYNC_MS), () => {
      const batch = this.#waiting[0]
      if (life !== this.#life || batch === undefined) return
      const isKept = !chance.happens(errorShare())
      if (isKept) this.#apply(batch.writes)
      this.#waiting.shift()
      if (this.#waiting.length > 0) this.#syncFirst()
      batch.done(isKept)
    })
  }

  #apply(writes: readonly Write[]): void {
    for (const { key, value } of writes) {
      if (value === null) this.#durable.delete(key)
      else this.#durable.set(key, value)
    }
  }
}
