/**
 * The share of backups that lies outside of the store: sealed contents as they are on the disk. The records that name
 * them travel with the store's part. NZ-FILES-01 §7.
 */
import { createHash } from 'node:crypto'
import { z } from 'zod'
import { MAX_ITEM_BYTES } from '../../protocols/backup/part.ts'
import { Damage } from './content-store.ts'
import { readChunks } from './read-content.ts'
import { chunksOf, ContentOpener, headerOf, SEALED_CHUNK_BYTES } from './sealed-content.ts'
import { filesErrors } from './service.ts'
import type { BackupPart, PartExport } from '../../protocols/backup/part.ts'
import type { Snapshot } from '../storage/service.ts'
import type { HomeService } from '../home/service.ts'
import type { Content, ContentStore } from './content-store.ts'
import type { Draft } from './folder.ts'

/** A content begins: JSON. */
const CONTENT = 1
/** Sealed chunks of it. */
const CHUNKS = 2
/** The export ends: JSON. */
const END = 3

/** Below 1 MiB, and so below `MAX_ITEM_BYTES`. */
const CHUNKS_AN_ITEM = 15
/** A state file: what each mark stands for. It stays behind when the store is moved or put back. */
const MARKS_FILE = 'files-marks.json'
/** Marks that are kept; four newer ones may come before one is used. */
const MAX_MARKS = 8
const MARK_BYTES = 16

const hex64 = z.string().regex(/^[0-9a-f]{64}$/)
const Begin = z.object({ contentId: hex64, salt: hex64, size: z.int().min(0) })
type Begin = z.infer<typeof Begin>
const End = z.object({ contents: z.int().min(0) })
const Marks = z.array(z.strictObject({ mark: z.string(), sequence: z.int().min(0) }))

export class FilesBackup implements BackupPart {
  readonly name = 'files'
  readonly #store: ContentStore
  readonly #home: Pick<HomeService, 'read' | 'write'>

  constructor(store: ContentStore, home: Pick<HomeService, 'read' | 'write'>) {
    this.#store = store
    this.#home = home
  }

  /** While it is open, no content is removed from the disk. */
  async export({ since, signal }: { readonly since?: string; readonly signal: AbortSignal }): Promise<PartExport> {
    const { records, random } = this.#store.services
    const known = (await this.#marks()).find(({ mark }) => mark === since)
    const after = known?.sequence ?? 0
    const mark = Buffer.from(random.bytes(MARK_BYTES)).toString('hex')
    return await this.#store.inTurn(async () => {
      const hold = this.#store.hold()
      try {
        const { sequence } = await records.sums()
        const released = [...this.#store.released.values()]
        const snapshot = await records.snapshot()
        const contents = this.#contents(snapshot, released, after)
        return {
          mark,
          isFull: known === undefined,
          items: this.#items(contents, { mark, sequence, signal }),
          root: async () => await this.#rootOf(records.contents({ snapshot }), signal),
          [Symbol.asyncDispose]: async () => {
            hold[Symbol.dispose]()
            await snapshot[Symbol.asyncDispose]()
          },
        }
      } catch (error) {
        hold[Symbol.dispose]()
        throw error
      }
    })
  }

  async restore(items: AsyncIterable<Uint8Array>, { signal }: { readonly signal: AbortSignal }): Promise<void> {
    await this.#home.write(MARKS_FILE, Buffer.from('[]'))
    const incoming = new Incoming(this.#store)
    try {
      for await (const item of items) {
        signal.throwIfAborted()
        await incoming.take(item)
      }
      incoming.requireEnd()
    } finally {
      await incoming.discard()
    }
  }

  /**
   * Which contents the store names (ids and sizes) is part of the store's own root; this one says which of them are
   * missing or damaged. It must not say more: a file may be put between the moments of the two exports.
   */
  async root({ signal }: { readonly signal: AbortSignal }): Promise<string> {
    return await this.#rootOf(this.#store.services.records.contents(), signal)
  }

  async #rootOf(contents: AsyncIterable<[string, Content['record']]>, signal: AbortSignal): Promise<string> {
    const hash = createHash('sha256')
    for await (const [contentId, record] of contents) {
      signal.throwIfAborted()
      if (!(await this.#isThere({ contentId, record }))) hash.update(contentId, 'hex')
    }
    return `files-1-${hash.digest('hex')}`
  }

  async #isThere(content: Content): Promise<boolean> {
    if (this.#store.damaged.has(content.contentId)) return false
    try {
      await (await this.#store.open(content)).file.close()
      return true
    } catch (error) {
      if (error instanceof Damage) return false
      throw error
    }
  }

  /** What was added after `after`, and what a record of the store's export may still name. */
  async *#contents(snapshot: Snapshot, released: readonly Content[], after: number): AsyncGenerator<Content> {
    for (const content of released) if (content.record.sequence > after) yield content
    for await (const [contentId, record] of this.#store.services.records.contents({ snapshot })) {
      if (record.sequence > after) yield { contentId, record }
    }
  }

  async *#items(
    contents: AsyncIterable<Content>,
    { mark, sequence, signal }: { readonly mark: string; readonly sequence: number; readonly signal: AbortSignal },
  ): AsyncGenerator<Uint8Array> {
    let exported = 0
    for await (const content of contents) {
      signal.throwIfAborted()
      try {
        yield* this.#itemsOf(content, signal)
        exported += 1
      } catch (error) {
        // Its loss is told when it is found; it is no reason to lose the rest. The root says that it is missing.
        if (!(error instanceof Damage)) throw error
        await this.#store.damage(content, error.message)
      }
    }
    yield jsonItem(END, { contents: exported })
    await this.#keepMark({ mark, sequence })
  }

  async *#itemsOf(content: Content, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const { contentId, record } = content
    const opened = await this.#store.open(content)
    try {
      yield jsonItem(CONTENT, { contentId, salt: record.salt, size: record.size })
      const last = chunksOf(record.size) - 1
      let item = Buffer.alloc(0)
      for await (const { index, sealed } of readChunks(this.#store, opened, { first: 0, last, signal })) {
        const at = index % CHUNKS_AN_ITEM
        const chunks = Math.min(CHUNKS_AN_ITEM, last - index + 1)
        if (at === 0) item = Buffer.alloc(1 + chunks * SEALED_CHUNK_BYTES, CHUNKS)
        item.set(sealed, 1 + at * SEALED_CHUNK_BYTES)
        if (at === CHUNKS_AN_ITEM - 1 || index === last) yield item
      }
    } finally {
      await opened.file.close()
    }
  }

  /** @throws what the home throws; a file that does not read as marks is none */
  async #marks(): Promise<z.infer<typeof Marks>> {
    const bytes = await this.#home.read(MARKS_FILE)
    if (bytes === null) return []
    try {
      return Marks.parse(JSON.parse(Buffer.from(bytes).toString('utf8')))
    } catch (error) {
      this.#store.services.log.warn('files.marksUnreadable', { error })
      return []
    }
  }

  async #keepMark(mark: { readonly mark: string; readonly sequence: number }): Promise<void> {
    await this.#store.inTurn(async () => {
      const marks = [mark, ...(await this.#marks())].slice(0, MAX_MARKS)
      await this.#home.write(MARKS_FILE, Buffer.from(JSON.stringify(marks)))
    })
  }
}

/** Takes the items of one export apart, proves every chunk and gives each content its place. */
class Incoming {
  readonly #store: ContentStore
  #open: {
    begin: Begin
    draft: Draft
    opener: ContentOpener
    hash: ReturnType<typeof createHash>
    chunk: number
  } | null = null
  #contents = 0
  #isEnded = false

  constructor(store: ContentStore) {
    this.#store = store
  }

  async take(item: Uint8Array): Promise<void> {
    const [kind] = item
    if (this.#isEnded || item.byteLength > MAX_ITEM_BYTES) throw refused('it goes on after its end')
    if (kind === CONTENT && this.#open === null) await this.#begin(parsed(item, Begin))
    else if (kind === CHUNKS && this.#open !== null) await this.#chunks(item.subarray(1))
    else if (kind === CONTENT) {
      // The one before broke off: its file was damaged.
      await this.discard()
      await this.#begin(parsed(item, Begin))
    } else if (kind === END) await this.#end(parsed(item, End))
    else throw refused('it has an unknown part')
  }

  requireEnd(): void {
    if (!this.#isEnded) throw refused('it breaks off')
  }

  async discard(): Promise<void> {
    const open = this.#open
    this.#open = null
    await open?.draft.discard()
  }

  async #begin(begin: Begin): Promise<void> {
    const { keys, folder } = this.#store.services
    const salt = Buffer.from(begin.salt, 'hex')
    const draft = await this.#store.onDisk(async () => await folder.draft())
    const opener = new ContentOpener(keys.content(salt), { salt, size: begin.size })
    this.#open = { begin, draft, opener, hash: createHash('sha256'), chunk: 0 }
    await this.#store.onDisk(async () => await draft.append(headerOf(salt)))
  }

  async #chunks(sealed: Uint8Array): Promise<void> {
    const open = this.#open
    if (open === null || sealed.byteLength === 0) throw refused('it has an empty part')
    for (let at = 0; at < sealed.byteLength; at += SEALED_CHUNK_BYTES) {
      const bytes = open.opener.open(open.chunk, sealed.subarray(at, at + SEALED_CHUNK_BYTES))
      if (bytes === null || open.chunk >= chunksOf(open.begin.size)) {
        throw refused('a content is not sealed by this identity, or damaged')
      }
      open.hash.update(bytes)
      open.chunk += 1
    }
    await this.#store.onDisk(async () => await open.draft.append(sealed))
    if (open.chunk < chunksOf(open.begin.size)) return
    if (open.hash.digest('hex') !== open.begin.contentId) throw refused('a content has another SHA-256')
    const name = this.#store.services.keys.diskName(open.begin.contentId, Buffer.from(open.begin.salt, 'hex'))
    await this.#store.onDisk(async () => {
      await open.draft.finish()
      await open.draft.publish(name)
    })
    this.#contents += 1
    this.#open = null
  }

  async #end({ contents }: z.infer<typeof End>): Promise<void> {
    await this.discard()
    if (contents !== this.#contents) throw refused('contents are missing')
    this.#isEnded = true
  }
}

function jsonItem(kind: number, value: object): Uint8Array {
  return Buffer.concat([Uint8Array.of(kind), Buffer.from(JSON.stringify(value))])
}

function parsed<T>(item: Uint8Array, schema: z.ZodType<T>): T {
  try {
    return schema.parse(JSON.parse(Buffer.from(item.subarray(1)).toString('utf8')))
  } catch (cause) {
    throw refused('a part of it does not read', cause)
  }
}

function refused(why: string, cause?: unknown): Error {
  return filesErrors.NZ_FILES_BACKUP_INVALID({ why, ...(cause === undefined ? {} : { cause }) })
}
