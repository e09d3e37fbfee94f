/** The service: names and what they stand for. spec/NZ-FILES-01.md. */
import { contentIdOf, mimeOf, nameOf } from './name.ts'
import { FilesBackup } from './backup-part.ts'
import { collectAbandoned, collectContents, recountAfterRepair } from './collect.ts'
import { ContentStore, Damage } from './content-store.ts'
import { boundsOf, proveContent, readBytes } from './read-content.ts'
import { SALT_BYTES } from './keys.ts'
import { storedBytesOf } from './sealed-content.ts'
import { filesErrors } from './service.ts'
import { verifyFiles } from './verify.ts'
import { withoutName } from './name-removal.ts'
import { writeContent } from './write-content.ts'
import type { HomeService } from '../home/service.ts'
import type { Content, ContentServices, OpenContent } from './content-store.ts'
import type { Draft } from './folder.ts'
import type { Change, ContentRecord, NameRecord } from './records.ts'
import type { SealedContent } from './sealed-content.ts'
import type {
  Collected,
  CollectOptions,
  FileChange,
  FileInfo,
  FileReading,
  FilesService,
  FilesStatus,
  ListOptions,
  PutFileOptions,
  ReadFileOptions,
  StoredFile,
  Verified,
} from './service.ts'

export const MAX_PUTS = 16
export const MAX_READS = 128
/** A content that is replaced again and again while it is opened. */
const MAX_OPEN_TRIES = 3

export interface FilesOptions {
  readonly maxFiles: number
  readonly maxBytes: number
  /** How long a file of the disk that no record knows is kept, for it may be of a store that is put back. */
  readonly keepUnknownMs: number
}

export interface FilesInit extends ContentServices {
  /** Marks of backups lie beside the store: they must not come back with it. */
  readonly home: Pick<HomeService, 'read' | 'write'>
}

export class Files implements FilesService {
  readonly backup: FilesBackup
  readonly #init: FilesInit
  readonly #options: FilesOptions
  readonly #store: ContentStore
  readonly #stopped = new AbortController()
  #isOpen = false
  #puts = 0
  #reads = 0
  /** Bytes on the disk of what is being written. */
  #writingBytes = 0

  constructor(init: FilesInit, options: FilesOptions) {
    this.#init = init
    this.#options = options
    this.#store = new ContentStore(init)
    this.backup = new FilesBackup(this.#store, init.home)
  }

  /** Contents known to be damaged. */
  get damaged(): number {
    return this.#store.damaged.size
  }

  /** Makes the folder ready; what a crash has left is removed. @throws NZ_FILES_NO_SPACE, NZ_FILES_DISK_FAILED */
  async open(): Promise<void> {
    await this.#store.onDisk(async () => await this.#init.folder.open())
    this.#isOpen = true
  }

  /** Removes files of the disk that no record has known for long. */
  async upkeep(): Promise<void> {
    if (!this.#isOpen) await this.open()
    if (this.#init.storeState() === 'whole') await collectAbandoned(this.#store, this.#options)
  }

  async close(): Promise<void> {
    this.#stopped.abort(filesErrors.NZ_FILES_CLOSED())
    await this.#store.close()
  }

  async put(typed: string, source: AsyncIterable<Uint8Array>, options: PutFileOptions): Promise<StoredFile> {
    const name = nameOf(typed)
    const mime = mimeOf(options.mime)
    const { replaces = false } = options
    const signal = AbortSignal.any([options.signal, this.#stopped.signal])
    if (!this.#isOpen) await this.open()
    await this.#requireRoom(name, { replaces })
    if (this.#puts >= MAX_PUTS) throw filesErrors.NZ_FILES_BUSY()
    this.#puts += 1
    const salt = this.#init.random.bytes(SALT_BYTES)
    let draft: Draft | null = null
    let writing = 0
    try {
      const { storedBytes } = await this.#init.records.sums()
      const onSize = (size: number): void => {
        const bytes = storedBytesOf(size)
        this.#writingBytes += bytes - writing
        writing = bytes
        if (storedBytes + this.#writingBytes > this.#options.maxBytes) throw this.#quota()
      }
      onSize(0)
      draft = await this.#store.onDisk(async () => await this.#init.folder.draft())
      const key = this.#init.keys.content(salt)
      const onDisk: ContentStore['onDisk'] = async (work) => await this.#store.onDisk(work)
      const sealed = await writeContent(source, { draft, key, salt, onDisk, onSize, signal })
      return await this.#keep({ name, mime, replaces, draft, salt, sealed, signal })
    } finally {
      this.#puts -= 1
      this.#writingBytes -= writing
      await this.#discard(draft)
    }
  }

  async read(typed: string, { range, signal }: ReadFileOptions): Promise<FileReading> {
    if (this.#reads >= MAX_READS) throw filesErrors.NZ_FILES_BUSY()
    this.#reads += 1
    let opened: OpenContent | null = null
    let isClosed = false
    const close = async (): Promise<void> => {
      if (isClosed) return
      isClosed = true
      this.#reads -= 1
      await opened?.file.close()
    }
    try {
      const found = await this.#open(typed, signal)
      opened = found.opened
      const { start, end } = boundsOf(range, found.file.size)
      const ended = AbortSignal.any([signal, this.#stopped.signal])
      return {
        file: found.file,
        start,
        end,
        [Symbol.asyncIterator]: () => this.#bytesOf(found, { start, end, signal: ended, close }),
        [Symbol.asyncDispose]: close,
      }
    } catch (error) {
      await close()
      throw error
    }
  }

  async info(typed: string): Promise<FileInfo> {
    const file = await this.#find(typed)
    const record = await this.#init.records.content(file.contentId)
    const size = { ...file, names: record?.names ?? 0, storedBytes: storedBytesOf(file.size) }
    if (record === null || this.#store.damaged.has(file.contentId)) return { ...size, isDamaged: true }
    try {
      const { file: found } = await this.#store.open({ contentId: file.contentId, record })
      await found.close()
      return { ...size, isDamaged: false }
    } catch (error) {
      if (error instanceof Damage) return { ...size, isDamaged: true }
      throw error
    }
  }

  async list({ prefix, after, limit }: ListOptions): Promise<readonly StoredFile[]> {
    if (!Number.isInteger(limit) || limit < 1 || limit > 1_000) throw new RangeError('limit is 1 to 1,000')
    const found: StoredFile[] = []
    const range = {
      ...(prefix === undefined ? {} : { prefix: prefix.normalize('NFC') }),
      ...(after === undefined ? {} : { after: after.normalize('NFC') }),
    }
    for await (const [name, record] of this.#init.records.names(range)) {
      found.push({ name, ...record })
      if (found.length === limit) break
    }
    return found
  }

  async remove(typed: string): Promise<StoredFile> {
    const name = nameOf(typed)
    const { records } = this.#init
    return await this.#store.inTurn(async () => {
      await recountAfterRepair(this.#store)
      const record = await records.name(name)
      if (record === null) throw filesErrors.NZ_FILES_NOT_FOUND({ data: { name } })
      const sums = await records.sums()
      const dropped = await withoutName(records, record.contentId, { ...sums, names: sums.names - 1 })
      await records.change({ name: [name, null], contents: dropped.contents, sums: dropped.sums })
      if (dropped.released !== null) this.#store.release(dropped.released)
      return { name, ...record }
    })
  }

  async *verify({ name, signal }: { readonly name?: string; readonly signal: AbortSignal }): AsyncGenerator<Verified> {
    const one = name === undefined ? undefined : await this.#find(name)
    const ended = AbortSignal.any([signal, this.#stopped.signal])
    yield* verifyFiles(this.#store, { signal: ended, ...(one === undefined ? {} : { one }) })
  }

  async collect({ isDryRun = false, includesDamaged = false, signal }: CollectOptions): Promise<Collected> {
    const ended = AbortSignal.any([signal, this.#stopped.signal])
    return await collectContents(this.#store, { isDryRun, includesDamaged, signal: ended })
  }

  async *watch(options: { readonly after?: number; readonly signal: AbortSignal }): AsyncGenerator<FileChange> {
    for await (const { kind, name, cursor } of this.#init.records.watch(options)) {
      if (kind === 'gap' || name === null) yield { kind: 'gap', cursor }
      else yield { kind, name, cursor }
    }
  }

  async status(): Promise<FilesStatus> {
    const { names, contents, storedBytes } = await this.#init.records.sums()
    const { maxFiles, maxBytes } = this.#options
    return { files: names, contents, storedBytes, maxFiles, maxBytes, damaged: this.damaged }
  }

  /** Before anything is written, and again when it is. */
  async #requireRoom(name: string, { replaces }: { readonly replaces: boolean }): Promise<NameRecord | null> {
    const before = await this.#init.records.name(name)
    if (before !== null && !replaces) throw filesErrors.NZ_FILES_EXISTS({ data: { name } })
    const { names } = await this.#init.records.sums()
    if (before === null && names >= this.#options.maxFiles) throw this.#quota()
    return before
  }

  /** Gives the finished draft its place, or lets go of it when the same content is there and whole. */
  async #keep(put: {
    readonly name: string
    readonly mime: string | null
    readonly replaces: boolean
    readonly draft: Draft
    readonly salt: Uint8Array
    readonly sealed: SealedContent
    readonly signal: AbortSignal
  }): Promise<StoredFile> {
    const { name, mime, sealed, draft } = put
    const { contentId, size } = sealed
    const { records, clock } = this.#init
    const proven = await this.#proven(contentId, put.signal)
    return await this.#store.inTurn(async () => {
      put.signal.throwIfAborted()
      await recountAfterRepair(this.#store)
      const before = await this.#requireRoom(name, put)
      const found = await records.content(contentId)
      const isThere = found !== null && found.salt === proven
      let sums = await records.sums()
      if (found === null && sums.storedBytes + storedBytesOf(size) > this.#options.maxBytes) throw this.#quota()
      // A repair may have lost the record of a content and kept its names.
      const left = found === null && sums.counted !== sums.names ? await records.namesOf(contentId) : 0
      const fresh = { size, salt: Buffer.from(put.salt).toString('hex'), names: found?.names ?? left }
      const kept: ContentRecord = isThere ? found : { ...fresh, sequence: sums.sequence + 1 }
      if (!isThere) await this.#store.publish(draft, { contentId, record: kept })
      const isSame = before?.contentId === contentId
      const content: ContentRecord = { ...kept, names: kept.names + (isSame ? 0 : 1) }
      sums = {
        ...sums,
        counted: sums.counted + content.names - (found?.names ?? 0),
        names: sums.names + (before === null ? 1 : 0),
        contents: sums.contents + (found === null ? 1 : 0),
        storedBytes: sums.storedBytes + (found === null ? storedBytesOf(size) : 0),
        sequence: isThere ? sums.sequence : kept.sequence,
      }
      const dropped = before === null || isSame ? null : await withoutName(records, before.contentId, sums)
      const nowMs = clock.nowMs()
      const record: NameRecord = {
        contentId,
        size,
        mime,
        createdAtMs: before?.createdAtMs ?? nowMs,
        modifiedAtMs: nowMs,
      }
      const contents = [...(dropped?.contents ?? []), [contentId, content]] as const
      await this.#change(
        { name: [name, record], contents, sums: dropped?.sums ?? sums },
        isThere ? null : { contentId, record: kept },
      )
      this.#store.damaged.delete(contentId)
      if (found !== null && !isThere) this.#store.release({ contentId, record: found })
      if (dropped !== null && dropped.released !== null) this.#store.release(dropped.released)
      return { name, ...record }
    })
  }

  /** The salt under which the content is there and whole; `null` when it must be written anew. */
  async #proven(contentId: string, signal: AbortSignal): Promise<string | null> {
    const record = await this.#init.records.content(contentId)
    if (record === null) return null
    try {
      await proveContent(this.#store, { contentId, record }, signal)
      return record.salt
    } catch (error) {
      if (!(error instanceof Damage)) throw error
      await this.#store.damage({ contentId, record }, error.message)
      return null
    }
  }

  /** A batch that fails may be there all the same, so `published` is not removed before that is known. */
  async #change(change: Change, published: Content | null): Promise<void> {
    try {
      await this.#init.records.change(change)
    } catch (error) {
      if (published !== null) this.#store.release(published)
      throw error
    }
  }

  /** @throws NZ_FILES_NOT_FOUND */
  async #find(typed: string): Promise<StoredFile> {
    const { records } = this.#init
    const contentId = contentIdOf(typed)
    if (contentId === null) {
      const name = nameOf(typed)
      const record = await records.name(name)
      if (record === null) throw filesErrors.NZ_FILES_NOT_FOUND({ data: { name } })
      return { name, ...record }
    }
    const content = await records.content(contentId)
    if (content === null) throw filesErrors.NZ_FILES_NOT_FOUND({ data: { name: typed } })
    return { name: typed, contentId, size: content.size, mime: null, createdAtMs: 0, modifiedAtMs: 0 }
  }

  async #open(
    typed: string,
    signal: AbortSignal,
  ): Promise<{ readonly file: StoredFile; readonly content: Content; readonly opened: OpenContent }> {
    for (let tries = 1; ; tries++) {
      signal.throwIfAborted()
      const file = await this.#find(typed)
      const { contentId } = file
      const record = await this.#init.records.content(contentId)
      if (record === null) {
        // Its name may just have been given to another content.
        const now = await this.#find(typed)
        if (now.contentId !== contentId && tries < MAX_OPEN_TRIES) continue
        throw filesErrors.NZ_FILES_DAMAGED({ why: 'nothing is known of its content', data: { contentId } })
      }
      const content = { contentId, record }
      try {
        return { file, content, opened: await this.#store.open(content) }
      } catch (error) {
        if (!(error instanceof Damage)) throw error
        const damaged = await this.#store.damage(content, error.message)
        if (damaged !== null || tries >= MAX_OPEN_TRIES) throw damaged ?? filesErrors.NZ_FILES_BUSY({ cause: error })
      }
    }
  }

  async *#bytesOf(
    { content, opened }: { readonly content: Content; readonly opened: OpenContent },
    { close, ...range }: { start: number; end: number; signal: AbortSignal; close: () => Promise<void> },
  ): AsyncGenerator<Uint8Array> {
    try {
      yield* readBytes(this.#store, opened, range)
    } catch (error) {
      if (!(error instanceof Damage)) throw error
      const damaged = await this.#store.damage(content, error.message)
      throw damaged ?? filesErrors.NZ_FILES_DAMAGED({ why: error.message, data: { contentId: content.contentId } })
    } finally {
      await close()
    }
  }

  async #discard(draft: Draft | null): Promise<void> {
    try {
      await draft?.discard()
    } catch (error) {
      // The next start removes it.
      this.#init.log.warn('files.draftLeft', { error })
    }
  }

  #quota(): Error {
    const { maxFiles, maxBytes } = this.#options
    return filesErrors.NZ_FILES_QUOTA({ data: { maxFiles, maxBytes } })
  }
}
