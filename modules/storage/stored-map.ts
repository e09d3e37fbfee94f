/** Records of one shape that are few and asked for often: all of them in memory, every change of them in the store. */
import { createHash } from 'node:crypto'
import { isNzError, Turns } from '../../kernel/index.ts'
import { valueCodec } from './collection.ts'
import { storageErrors } from './service.ts'
import type { Health, Logger, NzError } from '../../kernel/index.ts'
import type { HomeService } from '../home/service.ts'
import type { Collection } from './collection.ts'
import type { MapChange, MapInit, Namespace, Operation, StoredMap } from './service.ts'

/** What one batch of an import, or of catching up, takes. */
const AT_ONCE = 512
const BYTES_AT_ONCE = 4_194_304
/** Records that are read at a time. */
const PAGE = 1_000

/** Which older files were imported, by name: a crash before the removal of one must not bring it back later. */
export interface ImportNote {
  readonly sha256: string
}

export interface StoredMapServices {
  readonly namespace: Namespace
  readonly imports: Collection<ImportNote>
  readonly files: Pick<HomeService, 'read' | 'remove'>
  readonly log: Logger
}

export class NamespaceMap<T> implements StoredMap<T> {
  readonly #services: StoredMapServices
  readonly #init: MapInit<T>
  readonly #codec: ReturnType<typeof valueCodec<T>>
  readonly #values = new Map<string, T>()
  readonly #turns = new Turns()
  /** Keys of forced changes that are not on their way yet. */
  readonly #forced = new Set<string>()
  /** A forced change was refused: memory and store may differ anywhere. */
  #isBehind = false
  #trouble: NzError | null = storageErrors.NZ_STORAGE_UNAVAILABLE({ why: 'the records were not read yet' })

  constructor(services: StoredMapServices, init: MapInit<T>) {
    this.#services = services
    this.#init = init
    this.#codec = valueCodec(services.namespace.name, init.schema)
  }

  get name(): string {
    return this.#services.namespace.name
  }

  get trouble(): NzError | null {
    return this.#trouble
  }

  get values(): ReadonlyMap<string, T> {
    if (this.#trouble !== null) throw this.#trouble
    return this.#values
  }

  async load(): Promise<void> {
    await this.#turns.take(async () => await this.#load())
  }

  async change<R>(step: (values: ReadonlyMap<string, T>) => MapChange<T, R>): Promise<R> {
    return await this.#turns.take(async () => {
      const { put = [], remove = [], result } = step(this.values)
      const changes = new Map<string, T | null>([...remove].map((key) => [key, null]))
      for (const [key, value] of put) changes.set(key, value)
      await this.#catchUp()
      await this.#write([...changes].map(([key, value]) => this.#operation(key, value)))
      // What was forced meanwhile is newer.
      for (const [key, value] of changes) if (!this.#forced.has(key)) this.#set(key, value)
      return result
    })
  }

  async force({ put = [], remove = [] }: Omit<MapChange<T, unknown>, 'result'>): Promise<void> {
    if (this.#trouble !== null) throw this.#trouble
    for (const key of remove) this.#force(key, null)
    for (const [key, value] of put) this.#force(key, value)
    await this.#turns.take(async () => {
      await this.#catchUp()
      const keys = [...this.#forced]
      this.#forced.clear()
      try {
        await this.#write(keys.map((key) => this.#operation(key, this.#values.get(key) ?? null)))
      } catch (error) {
        this.#isBehind = true
        throw error
      }
    })
  }

  health(consequence: string): Health {
    if (this.#trouble === null) return { state: 'healthy' }
    const { code, why, message } = this.#trouble
    return { state: 'degraded', code, why: `${why ?? message}: ${consequence}` }
  }

  /** The store takes changes again, or was repaired. Never throws: what is wrong is `trouble`, and is logged. */
  async recover({ wasRepaired }: { readonly wasRepaired: boolean }): Promise<void> {
    try {
      if (this.#trouble !== null) {
        await this.load()
        return
      }
      // Memory has all that was acknowledged: what the repair could not keep comes back from there.
      this.#isBehind ||= wasRepaired
      await this.#turns.take(async () => await this.#catchUp())
    } catch (error) {
      this.#services.log.error('storage.mapNotRead', { namespace: this.name, error })
    }
  }

  async #load(): Promise<void> {
    try {
      await this.#takeOver()
      const found = await this.#read()
      this.#values.clear()
      for (const [key, { value }] of found) this.#values.set(key, value)
      this.#trouble = null
      this.#isBehind = false
      this.#forced.clear()
    } catch (error) {
      if (!isNzError(error)) throw error
      this.#trouble = error
      if (!error.code.startsWith('NZ_STORAGE_')) throw error
      this.#services.log.error('storage.mapNotRead', { namespace: this.name, error })
      return
    }
    this.#init.onLoaded?.()
  }

  /**
   * Takes over what an older version kept in a file. Done again from the start after a crash before the note was made;
   * the keys are the same then. A file that comes back later with other contents is imported as well.
   */
  async #takeOver(): Promise<void> {
    const { older } = this.#init
    const bytes = older === undefined ? null : await this.#services.files.read(older.file)
    if (older === undefined || bytes === null) return
    const { imports, files, log } = this.#services
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    if ((await imports.get(older.file))?.sha256 !== sha256) {
      const records = [...older.records(bytes)]
      await this.#write(records.map(([key, value]) => this.#operation(key, value)))
      await imports.put(older.file, { sha256 })
      log.info('storage.imported', { file: older.file, namespace: this.name, records: records.length })
    }
    try {
      await files.remove(older.file)
    } catch (error) {
      // The note keeps it from being imported twice; the next start removes it.
      log.warn('storage.importedFileKept', { file: older.file, error })
    }
  }

  async #read(): Promise<Map<string, { readonly value: T; readonly text: string }>> {
    const { namespace } = this.#services
    const found = new Map<string, { readonly value: T; readonly text: string }>()
    for (let after: string | null = null; ;) {
      let last: string | null = null
      for await (const { key, value } of namespace.range({ limit: PAGE, ...(after === null ? {} : { after }) })) {
        found.set(key, { value: this.#codec.decode(key, value), text: Buffer.from(value).toString('latin1') })
        last = key
      }
      if (last === null) return found
      after = last
    }
  }

  /** Brings the store to what memory says, when a change was refused before. */
  async #catchUp(): Promise<void> {
    if (this.#trouble !== null) throw this.#trouble
    if (!this.#isBehind) return
    this.#forced.clear()
    const stored = await this.#read()
    const operations: Operation[] = []
    for (const key of stored.keys()) if (!this.#values.has(key)) operations.push({ type: 'delete', key })
    for (const [key, value] of this.#values) {
      const bytes = this.#codec.encode(value)
      if (stored.get(key)?.text !== Buffer.from(bytes).toString('latin1')) operations.push(put(key, bytes))
    }
    await this.#write(operations)
    this.#isBehind = false
  }

  async #write(operations: readonly Operation[]): Promise<void> {
    let some: Operation[] = []
    let bytes = 0
    for (const operation of operations) {
      const size = operation.type === 'put' ? operation.value.byteLength : 0
      if (some.length === AT_ONCE || (some.length > 0 && bytes + size > BYTES_AT_ONCE)) {
        await this.#services.namespace.batch(some)
        some = []
        bytes = 0
      }
      some.push(operation)
      bytes += size
    }
    if (some.length > 0) await this.#services.namespace.batch(some)
  }

  #operation(key: string, value: T | null): Operation {
    return value === null ? { type: 'delete', key } : put(key, this.#codec.encode(value))
  }

  #force(key: string, value: T | null): void {
    this.#set(key, value)
    this.#forced.add(key)
  }

  #set(key: string, value: T | null): void {
    if (value === null) this.#values.delete(key)
    else this.#values.set(key, value)
  }
}

function put(key: string, value: Uint8Array): Operation {
  return { type: 'put', key, value }
}
