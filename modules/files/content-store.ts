/**
 * Contents on the disk by what the store's records say of them: opened and proven, released when nobody names them any
 * more, set aside when damaged. One change at a time.
 */
import { isErrno, isNzError } from '../../kernel/index.ts'
import { ContentOpener, HEADER_BYTES, storedBytesOf } from './sealed-content.ts'
import { filesErrors, filesEvents } from './service.ts'
import type { Clock, EventBus, Logger, Random, Timer } from '../../kernel/index.ts'
import type { ContentFile, ContentFolder, Draft } from './folder.ts'
import type { FileKeys } from './keys.ts'
import type { ContentRecord, FileRecords } from './records.ts'

export interface ContentServices {
  readonly records: FileRecords
  readonly folder: ContentFolder
  readonly keys: FileKeys
  readonly clock: Clock
  readonly random: Random
  readonly log: Logger
  readonly events: Pick<EventBus, 'emit'>
  readonly storeState: () => StoreState
  /** Tells the store's repairs apart; 0: there was none. */
  readonly repaired: () => number
}

/**
 * `whole`: the records are all there. `repaired`: a repair has set some aside. `unsettled`: it is read-only, locked or
 * closed, and a write that failed may be there or not.
 */
export type StoreState = 'whole' | 'repaired' | 'unsettled'

/** A content as the records know it. */
export interface Content {
  readonly contentId: string
  readonly record: ContentRecord
}

export interface OpenContent {
  readonly file: ContentFile
  readonly opener: ContentOpener
}

/** What nobody names stays this long: a backup that is being opened may have a record that names it. */
export const LINGER_MS = 60_000
/** Damaged contents that are remembered; with more, only the count is short. */
const MAX_REMEMBERED = 1_000

/** Not what was sealed. Becomes NZ_FILES_DAMAGED once the records were asked again. */
export class Damage extends Error {}

export class ContentStore {
  readonly services: ContentServices
  /** Ids of contents found to be damaged in this run. */
  readonly damaged = new Set<string>()
  /** Contents that no record names, by their name on the disk; removed when their time is over. */
  readonly released = new Map<string, Content & { readonly untilMs: number }>()
  #holds = 0
  #turn: Promise<unknown> = Promise.resolve()
  #timer: Timer | null = null
  #isClosed = false

  constructor(services: ContentServices) {
    this.services = services
  }

  /** Runs `work` after every change asked for before, whatever became of those. */
  async inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(work, work)
    this.#turn = mine.catch(() => undefined)
    return await mine
  }

  diskName({ contentId, record }: Content): string {
    return this.services.keys.diskName(contentId, Buffer.from(record.salt, 'hex'))
  }

  /** The content's file, its size and header proven. Close it. @throws Damage */
  async open(content: Content): Promise<OpenContent> {
    const { record } = content
    const file = await this.onDisk(async () => await this.services.folder.read(this.diskName(content)))
    if (file === null) throw new Damage('its file is missing')
    try {
      const salt = Buffer.from(record.salt, 'hex')
      const opener = new ContentOpener(this.services.keys.content(salt), { salt, size: record.size })
      if (file.size !== storedBytesOf(record.size)) throw new Damage('its file has another size')
      const header = new Uint8Array(HEADER_BYTES)
      await this.onDisk(async () => await file.readAt(header, 0))
      if (!opener.isHeader(header)) throw new Damage('its file has another header')
      return { file, opener }
    } catch (error) {
      await file.close()
      throw error
    }
  }

  /**
   * Sets the content's file aside, unless the records speak of another one by now.
   *
   * @returns NZ_FILES_DAMAGED, or `null` when it was replaced or removed meanwhile
   */
  async damage({ contentId, record }: Content, why: string): Promise<Error | null> {
    const { records, folder, log, events } = this.services
    return await this.inTurn(async () => {
      const now = await records.content(contentId)
      if (now?.salt !== record.salt) return null
      await this.onDisk(async () => await folder.setAside(this.diskName({ contentId, record })))
      if (!this.damaged.has(contentId)) {
        log.error('files.damaged', { why })
        events.emit(filesEvents.damaged, { contentId, why })
      }
      if (this.damaged.size < MAX_REMEMBERED) this.damaged.add(contentId)
      return filesErrors.NZ_FILES_DAMAGED({ why, data: { contentId } })
    })
  }

  /**
   * Removes the file of a content after a while, unless a record names it then: also one whose record may have been
   * written although the store said that it failed. That is known when the store has opened anew.
   */
  release(content: Content): void {
    const untilMs = this.services.clock.monotonicMs() + LINGER_MS
    this.released.set(this.diskName(content), { ...content, untilMs })
    this.damaged.delete(content.contentId)
    this.#wake()
  }

  /** Gives a finished draft its place. */
  async publish(draft: Draft, content: Content): Promise<void> {
    const name = this.diskName(content)
    try {
      await this.onDisk(async () => await draft.publish(name))
    } catch (error) {
      // The name may be there, though not durably; no record knows it.
      await this.services.folder.remove(name).catch(() => undefined)
      throw error
    }
  }

  /** While held, no released content is removed. */
  hold(): Disposable {
    let isHeld = true
    this.#holds += 1
    return {
      [Symbol.dispose]: () => {
        if (isHeld) this.#holds -= 1
        isHeld = false
        this.#wake()
      },
    }
  }

  get isHeld(): boolean {
    return this.#holds > 0
  }

  /** Removes released contents whose time is over, or all; none while they are held. How many. */
  async sweep({ isAll }: { readonly isAll: boolean }): Promise<number> {
    if (this.isHeld) return 0
    const { clock, folder, records, storeState } = this.services
    if (storeState() === 'unsettled') return 0
    const nowMs = clock.monotonicMs()
    let removed = 0
    for (const [name, { contentId, record, untilMs }] of this.released) {
      if (!isAll && untilMs > nowMs) continue
      const isNamed = (await records.content(contentId))?.salt === record.salt
      if (!isNamed) await this.onDisk(async () => await folder.remove(name))
      this.released.delete(name)
      if (!isNamed) removed += 1
    }
    return removed
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#timer?.cancel()
    await this.inTurn(async () => await this.sweep({ isAll: true })).catch((error: unknown) =>
      this.services.log.warn('files.sweepFailed', { error }),
    )
  }

  /** What the disk refuses, as an error of the catalogue. @throws NZ_FILES_NO_SPACE, NZ_FILES_DISK_FAILED */
  async onDisk<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      if (isNzError(error)) throw error
      if (isErrno(error, 'ENOSPC', 'EDQUOT')) throw filesErrors.NZ_FILES_NO_SPACE({ cause: error })
      const why = error instanceof Error && 'code' in error ? String(error.code) : 'it takes no bytes'
      throw filesErrors.NZ_FILES_DISK_FAILED({ cause: error, why })
    }
  }

  #wake(): void {
    if (this.#timer !== null || this.#isClosed || this.released.size === 0 || this.isHeld) return
    const sweep = async (): Promise<void> => {
      this.#timer = null
      try {
        await this.inTurn(async () => await this.sweep({ isAll: false }))
      } catch (error) {
        this.services.log.warn('files.sweepFailed', { error })
      }
      this.#wake()
    }
    this.#timer = this.services.clock.setTimer(LINGER_MS, () => void sweep(), { unref: true })
  }
}
