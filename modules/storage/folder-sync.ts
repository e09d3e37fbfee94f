/**
 * Makes the names in a folder durable, and knows when they are already. A sync of a folder in which nothing changed
 * still costs a flush of the disk; LevelDB makes new names only now and then, and does not sync those of its logs.
 */
import { fstatSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import type { Clock } from '../../kernel/index.ts'

/**
 * Change times are kept in ticks, of up to two seconds on old file systems: a time that was seen this long ago is not
 * given to another change.
 */
export const SETTLED_AFTER_MS = 2_500

export class FolderSync {
  readonly #folder: FileHandle
  readonly #clock: Pick<Clock, 'monotonicMs'>
  readonly #timeOf: (folder: FileHandle) => bigint
  /** Whether this file system notes changes of a folder at all. */
  readonly #isTimed: boolean
  readonly #changed: () => Promise<void>
  #seen: { readonly time: bigint; readonly sinceMs: number } | null = null
  /** The change time whose names are durable, and which no later change can have. */
  #settled: bigint | null = null

  /**
   * `isTimed`: whether the folder's change time was seen to change. `changed` is called in `sync` when names may be new
   * since it was last, and at least once after each change.
   */
  constructor(
    folder: FileHandle,
    clock: Pick<Clock, 'monotonicMs'>,
    {
      isTimed,
      timeOf = changeTime,
      changed = async () => await Promise.resolve(),
    }: {
      readonly isTimed: boolean
      readonly timeOf?: (folder: FileHandle) => bigint
      readonly changed?: () => Promise<void>
    },
  ) {
    this.#folder = folder
    this.#clock = clock
    this.#isTimed = isTimed
    this.#timeOf = timeOf
    this.#changed = changed
  }

  /** Every name that was in the folder at the call is durable when it resolves. */
  async sync(): Promise<void> {
    if (!this.#isTimed) {
      await this.#changed()
      return await this.#folder.sync()
    }
    const time = this.#timeOf(this.#folder)
    if (time === this.#settled) return
    const nowMs = this.#clock.monotonicMs()
    const isNew = this.#seen?.time !== time
    const seen = this.#seen === null || isNew ? { time, sinceMs: nowMs } : this.#seen
    this.#seen = seen
    const isOld = nowMs - seen.sinceMs >= SETTLED_AFTER_MS
    this.#settled = null
    // Again when it is old: another change may have had the same time.
    if (isNew || isOld) await this.#changed()
    await this.#folder.sync()
    if (isOld) this.#settled = time
  }
}

/** When a name in it was last made, changed or removed. */
function changeTime({ fd }: FileHandle): bigint {
  return fstatSync(fd, { bigint: true }).mtimeNs
}

/** `null` for a folder that is not there. */
export async function changeTimeOf(path: string): Promise<bigint | null> {
  const found = await stat(path, { bigint: true }).catch(() => null)
  return found?.mtimeNs ?? null
}
