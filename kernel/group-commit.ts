/** Changes that arrive while a group is on its way to disk share the next one: one fsync for all of them. */

export interface Waiting {
  /** Bytes that it holds in memory while it waits. */
  readonly bytes: number
}

export interface GroupLimits {
  /** What one group takes at most; a single larger change is a group of its own. */
  readonly maxGroupChanges: number
  readonly maxGroupBytes: number
  /** Changes and bytes that may wait. */
  readonly maxWaiting: number
  readonly maxWaitingBytes: number
  /** The error for who submits more. */
  readonly onFull: () => Error
}

export class GroupCommit<Write extends Waiting> {
  readonly #commit: (group: readonly Write[]) => Promise<void>
  readonly #limits: GroupLimits
  readonly #waiting: Write[] = []
  readonly #tasks: (() => Promise<void>)[] = []
  #round: Promise<void> | null = null
  #waitingBytes = 0

  /** `commit` settles each change of its group itself and never rejects. One group after another. */
  constructor(commit: (group: readonly Write[]) => Promise<void>, limits: GroupLimits) {
    this.#commit = commit
    this.#limits = limits
  }

  /** @throws what `onFull` makes when too much waits */
  submit(write: Write): void {
    const { maxWaiting, maxWaitingBytes, onFull } = this.#limits
    if (this.#waiting.length >= maxWaiting || this.#waitingBytes + write.bytes > maxWaitingBytes) throw onFull()
    this.#waiting.push(write)
    this.#waitingBytes += write.bytes
    this.#start()
  }

  /** Runs `task` between two groups: memory and disk say the same while it runs. */
  async exclusive<T>(task: () => Promise<T>): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    this.#tasks.push(async () => {
      try {
        resolve(await task())
      } catch (error) {
        reject(error as Error)
      }
    })
    this.#start()
    return await promise
  }

  /** Resolves when nothing waits and nothing is under way. */
  async idle(): Promise<void> {
    while (this.#round !== null) await this.#round
  }

  #start(): void {
    this.#round ??= this.#run().finally(() => {
      this.#round = null
      if (this.#waiting.length + this.#tasks.length > 0) this.#start()
    })
  }

  async #run(): Promise<void> {
    // Those who ask in the same turn of the event loop share the first group, too.
    await Promise.resolve()
    for (;;) {
      const task = this.#tasks.shift()
      if (task !== undefined) await task()
      else if (this.#waiting.length > 0) await this.#commit(this.#nextGroup())
      else return
    }
  }

  #nextGroup(): readonly Write[] {
    const { maxGroupChanges, maxGroupBytes } = this.#limits
    let bytes = 0
    let count = 0
    for (const write of this.#waiting) {
      if (count > 0 && (bytes + write.bytes > maxGroupBytes || count === maxGroupChanges)) break
      bytes += write.bytes
      count += 1
    }
    this.#waitingBytes -= bytes
    return this.#waiting.splice(0, count)
  }
}
