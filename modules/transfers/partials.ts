/** Unfinished files: found again when their sender comes back, bounded in number, bytes and age. */
import { readdir, stat, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { isErrno } from '../../kernel/index.ts'
import { PartFile, removeFile, storageError } from './part-file.ts'
import { FileSink } from './sink.ts'
import { transfersErrors } from './service.ts'
import type { Clock, Logger } from '../../kernel/index.ts'
import type { Offer } from '../../protocols/transfer/messages.ts'
import type { Inbox } from './service.ts'
import type { TransferSettings } from './settings.ts'
import type { PartialRecord, TransferState } from './state.ts'

/** Free space that a transfer leaves on the disk it goes to. */
const SPARE_BYTES = 16 * 2 ** 20

export interface Partial {
  record: PartialRecord
  readonly sink: FileSink
}

export class Partials {
  readonly #state: TransferState
  readonly #settings: TransferSettings
  readonly #clock: Clock
  readonly #log: Logger
  /** Those of this process, with the hash of what they hold. */
  readonly #known = new Map<string, Partial>()
  readonly #busy = new Set<string>()
  /** Hidden names that are needed until the store has noted that their files are complete. */
  readonly #unrecorded = new Set<PartFile>()

  constructor(state: TransferState, settings: TransferSettings, clock: Clock, log: Logger) {
    this.#state = state
    this.#settings = settings
    this.#clock = clock
    this.#log = log
  }

  /** Takes hold of what is there of the offer, or of a new file. @throws NZ_TRANSFERS_NO_SPACE, NZ_TRANSFERS_STORAGE_FAILED */
  async take(offer: Offer, peerId: string, inbox: Inbox): Promise<Partial> {
    const id = Buffer.from(offer.id).toString('hex')
    const found = this.#find(offer, id, peerId, inbox)
    const nowMs = this.#clock.nowMs()
    const file = found?.file ?? `.nzcore-${id}.part`
    this.#busy.add(file)
    try {
      const record: PartialRecord = {
        id,
        token: offer.token === null ? null : Buffer.from(offer.token).toString('hex'),
        peerId,
        name: offer.name,
        size: offer.size,
        inboxId: inbox.id,
        directory: inbox.directory,
        file,
        bytes: found?.bytes ?? 0,
        createdAtMs: found?.createdAtMs ?? nowMs,
        touchedAtMs: nowMs,
        complete: null,
      }
      const partial = this.#known.get(file) ?? { record, sink: new FileSink(join(inbox.directory, file)) }
      partial.record = record
      if (found === undefined) await removeFile(partial.sink.file.path)
      await this.#checkSpace(offer, partial)
      await this.#state.putPartial(record)
      this.#known.set(file, partial)
      await this.expire()
      return partial
    } catch (error) {
      this.#busy.delete(file)
      throw storageError(error)
    }
  }

  /** Those that wait for their sender. */
  waiting(): readonly PartialRecord[] {
    return [...this.#state.partials.values()].filter(({ file }) => !this.#busy.has(file))
  }

  /** Lets go; what is held may be taken again later. */
  async release({ record, sink }: Partial): Promise<void> {
    this.#busy.delete(record.file)
    const current = this.#state.partials.get(record.file)
    if (current === undefined) return
    const touchedAtMs = this.#clock.nowMs()
    await this.#noted(this.#state.notePartial({ ...current, bytes: sink.file.offset, touchedAtMs }))
  }

  /** Its file has its final name, and its record is gone. */
  forget({ record }: Partial): void {
    this.#known.delete(record.file)
    this.#busy.delete(record.file)
  }

  /** Deletes the hidden name of a file that has its final one, once the store has noted that. */
  async removeLater(file: PartFile): Promise<void> {
    await file.close()
    this.#unrecorded.add(file)
  }

  /** The store takes changes again. */
  async settle(): Promise<void> {
    await this.#state.settle()
    for (const file of this.#unrecorded) {
      this.#unrecorded.delete(file)
      await file.remove()
    }
  }

  /** Deletes what is held. */
  async drop(record: PartialRecord): Promise<void> {
    const path = join(record.directory, record.file)
    await (this.#known.get(record.file)?.sink.file ?? new PartFile(path)).remove()
    await this.#forget(record)
  }

  /** Removes what is too old, and the oldest beyond the bounds of number and bytes. */
  async expire(): Promise<void> {
    const nowMs = this.#clock.nowMs()
    const idle = [...this.#state.partials.values()]
      .filter(({ file, complete }) => !this.#busy.has(file) && complete === null)
      .toSorted((a, b) => a.touchedAtMs - b.touchedAtMs)
    let count = idle.length
    const sizes = await Promise.all(idle.map(async (record) => await heldBytes(record)))
    let bytes = sizes.reduce((sum, size) => sum + size, 0)
    for (const [index, record] of idle.entries()) {
      // Its sender may have come back while the others were looked at.
      if (this.#busy.has(record.file)) continue
      const isOld = nowMs - record.touchedAtMs > this.#settings.partialMaxAgeMs
      if (!isOld && count <= this.#settings.maxPartials && bytes <= this.#settings.maxPartialBytes) continue
      count -= 1
      bytes -= sizes[index] ?? 0
      this.#log.info('transfers.partialExpired', { id: record.id, isOld })
      await this.drop(record)
    }
  }

  /** Deletes hidden files in a receiving folder that no record knows and that nobody has written to for long. */
  async sweep(directory: string): Promise<void> {
    for (const file of await readdir(directory)) {
      if (!/^\.nzcore-[0-9a-f]{32}\.part$/.test(file) || this.#state.partials.has(file)) continue
      const path = join(directory, file)
      const { mtimeMs } = await stat(path)
      if (this.#clock.nowMs() - mtimeMs > this.#settings.partialMaxAgeMs) await removeFile(path)
    }
  }

  async #forget(record: PartialRecord): Promise<void> {
    this.#known.delete(record.file)
    this.#busy.delete(record.file)
    await this.#noted(this.#state.removePartial(record.file))
  }

  /** What is known of a file on disk is a hint: when the store does not take it now, it does later. */
  async #noted(written: Promise<void>): Promise<void> {
    try {
      await written
    } catch (error) {
      this.#log.warn('transfers.notRecorded', { error })
    }
  }

  #find(offer: Offer, id: string, peerId: string, inbox: Inbox): PartialRecord | undefined {
    const token = offer.token === null ? null : Buffer.from(offer.token).toString('hex')
    const mine = [...this.#state.partials.values()].filter(
      (record) =>
        record.peerId === peerId &&
        record.directory === inbox.directory &&
        record.name === offer.name &&
        record.size === offer.size &&
        record.complete === null &&
        !this.#busy.has(record.file),
    )
    return mine.find((record) => record.id === id) ?? mine.find((record) => token !== null && record.token === token)
  }

  async #checkSpace({ size }: Offer, { record }: Partial): Promise<void> {
    const { bavail, bsize } = await statfs(record.directory)
    const needed = (size ?? 0) - (await heldBytes(record)) + SPARE_BYTES
    if (bavail * bsize < needed) {
      throw transfersErrors.NZ_TRANSFERS_NO_SPACE({ data: { neededBytes: needed, freeBytes: bavail * bsize } })
    }
  }
}

async function heldBytes({ directory, file }: PartialRecord): Promise<number> {
  try {
    return (await stat(join(directory, file))).size
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR', 'EACCES')) return 0
    throw error
  }
}
