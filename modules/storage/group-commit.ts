/** Changes that arrive while a batch is on its way to disk share the next one: one fsync for all of them. */
import { storageErrors } from './service.ts'

/** Changes that may wait. */
const MAX_WAITING = 8_192
/** What one batch takes at most. */
const MAX_GROUP_CHANGES = 1_024
const MAX_GROUP_BYTES = 8_388_608

export interface Waiting {
  /** Bytes of its values. */
  readonly bytes: number
}

export class GroupCommit<Write extends Waiting> {
  readonly #commit: (group: readonly Write[]) => Promise<void>
  readonly #waiting: Write[] = []
  readonly #tasks: (() => Promise<void>)[] = []
  #round: Promise<void> | null = null

  /** `commit` settles each change of its group itself and never rejects. One group after another. */
  constructor(commit: (group: readonly Write[]) => Promise<void>) {
    this.#commit = commit
  }

  /** @throws NZ_STORAGE_BUSY when 8,192 changes wait */
  submit(write: Write): void {
    if (this.#waiting.length >= MAX_WAITING) throw storageErrors.NZ_STORAGE_BUSY({ why: 'too many changes wait' })
    this.#waiting.push(write)
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
    let bytes = 0
    let count = 0
    for (const write of this.#waiting) {
      bytes += write.bytes
      if (count > 0 && (bytes > MAX_GROUP_BYTES || count === MAX_GROUP_CHANGES)) break
      count += 1
    }
    return this.#waiting.splice(0, count)
  }
}
