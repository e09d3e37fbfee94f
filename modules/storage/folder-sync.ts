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
  #seen: { readonly time: bigint; readonly sinceMs: number } | null = null
  /** The change time whose names are durable, and which no later change can have. */
  #settled: bigint | null = null

  /** `isTimed`: whether the folder's change time was seen to change. */
  constructor(
    folder: FileHandle,
    clock: Pick<Clock, 'monotonicMs'>,
    { isTimed, timeOf = changeTime }: { readonly isTimed: boolean; readonly timeOf?: (folder: FileHandle) => bigint },
  ) {
    this.#folder = folder
    this.#clock = clock
    this.#isTimed = isTimed
    this.#timeOf = timeOf
  }

  /** Every name that was in the folder at the call is durable when it resolves. */
  async sync(): Promise<void> {
    if (!this.#isTimed) return await this.#folder.sync()
    const time = this.#timeOf(this.#folder)
    if (time === this.#settled) return
    const nowMs = this.#clock.monotonicMs()
    if (this.#seen?.time !== time) this.#seen = { time, sinceMs: nowMs }
    const isOld = nowMs - this.#seen.sinceMs >= SETTLED_AFTER_MS
    this.#settled = null
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
