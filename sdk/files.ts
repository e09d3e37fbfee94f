/** Files kept encrypted on the node's machine: put and read as bytes, at the pace of the slower side. */
import { ipcErrors } from '../protocols/ipc/errors.ts'
import { giveSource } from './give-source.ts'
import type { filesContract } from '../protocols/ipc/contract/files.ts'
import type { Duplex, ResultOf } from '../protocols/ipc/endpoint.ts'
import type { NzClient } from './client.ts'

type Kept = ResultOf<(typeof filesContract)['filesPut']>
type Read = ResultOf<(typeof filesContract)['filesGet']>

export type StoredFile = Kept['file']

export interface PutFileOptions {
  /** Such as `text/plain`. */
  readonly mime?: string
  /** Whether a file of that name gives way. @default false */
  readonly replaces?: boolean
  readonly signal?: AbortSignal
}

export interface ReadFileOptions {
  /** First byte. @default 0 */
  readonly from?: number
  /** The byte after the last one; default: the end. */
  readonly to?: number
  /** So many bytes from the end, in place of `from` and `to`. */
  readonly last?: number
  readonly signal?: AbortSignal
}

export interface StoredFiles {
  /**
   * Keeps what `source` gives under `name`; durable when it resolves. When anything fails nothing is kept.
   *
   * @throws NZ_FILES_EXISTS, NZ_FILES_QUOTA, NZ_FILES_NO_SPACE, …, and what `source` throws
   */
  put(name: string, source: Uint8Array | AsyncIterable<Uint8Array>, options?: PutFileOptions): Promise<StoredFile>
  /** Opens it, whole or in part. @throws NZ_FILES_NOT_FOUND, NZ_FILES_RANGE, NZ_FILES_DAMAGED */
  read(name: string, options?: ReadFileOptions): Promise<FileReading>
  /** In order of name; asks the node for more as it is iterated. */
  list(options?: { readonly prefix?: string; readonly signal?: AbortSignal }): AsyncIterable<StoredFile>
  /** @throws NZ_FILES_NOT_FOUND */
  remove(name: string, options?: { readonly signal?: AbortSignal }): Promise<StoredFile>
}

/** Iterate it once. The node proves every part before it sends it; what is damaged ends the iteration with an error. */
export class FileReading implements AsyncIterable<Uint8Array> {
  readonly file: StoredFile
  /** The bytes `start` to `end` (exclusive) come. */
  readonly start: number
  readonly end: number
  readonly #duplex: Duplex<unknown, Read>

  constructor(duplex: Duplex<unknown, Read>, { file, start, end }: Read) {
    this.#duplex = duplex
    this.file = file
    this.start = start
    this.end = end
  }

  /** Leaving the loop early closes the connection. @throws NZ_FILES_DAMAGED, NZ_IPC_CONNECTION_LOST */
  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void> {
    let left = this.end - this.start
    let isOver = false
    try {
      for (let item = await this.#duplex.read(); item !== null; item = await this.#duplex.read()) {
        if (!('bytes' in item)) continue
        left -= item.bytes.byteLength
        yield item.bytes
      }
      if (left !== 0) throw ipcErrors.NZ_IPC_ANSWER_INVALID({ why: 'the file ended early' })
      isOver = true
    } finally {
      if (!isOver) this.#duplex.fail(new DOMException('the reader left', 'AbortError'))
    }
  }

  /** All of it, for what fits into memory. */
  async bytes(): Promise<Uint8Array> {
    const parts: Uint8Array[] = []
    for await (const part of this) parts.push(part)
    return new Uint8Array(Buffer.concat(parts))
  }
}

const PAGE = 500

export function createStoredFiles(api: NzClient): StoredFiles {
  return {
    async put(name, source, { signal, ...params } = {}) {
      const duplex = await api.filesPut({ name, ...params }, signal === undefined ? {} : { signal })
      const given = giveSource(duplex, source instanceof Uint8Array ? [source] : source)
      let kept: Kept | null = null
      try {
        for (let item = await duplex.read(); item !== null; item = await duplex.read()) {
          if ('message' in item) kept = item.message
        }
      } catch (error) {
        throw given.failure === null ? error : given.failure.reason
      }
      return (kept ?? missing()).file
    },
    async read(name, { signal, ...params } = {}) {
      const duplex = await api.filesGet({ name, ...params }, signal === undefined ? {} : { signal })
      // There is nothing to say; the node closes the connection after its last byte.
      await duplex.end()
      const first = await duplex.read()
      return first !== null && 'message' in first ? new FileReading(duplex, first.message) : missing()
    },
    async *list({ signal, ...range } = {}) {
      const options = signal === undefined ? {} : { signal }
      let after: string | undefined
      for (;;) {
        const params = { ...range, limit: PAGE, ...(after === undefined ? {} : { after }) }
        const { files, hasMore } = await api.filesList(params, options)
        yield* files
        after = files.at(-1)?.name
        if (!hasMore) return
      }
    },
    remove: async (name, options) => (await api.filesRemove({ name }, options)).file,
  }
}

function missing(): never {
  throw ipcErrors.NZ_IPC_ANSWER_INVALID({ why: 'the node said nothing of the file' })
}
