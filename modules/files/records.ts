/**
 * What the store keeps of files: names, contents and their sums, in one namespace, so that a change of all three is one
 * batch. NZ-FILES-01 §5.
 */
import { z } from 'zod'
import { storageErrors } from '../storage/service.ts'
import type { Namespace, Operation, Snapshot, WatchItem } from '../storage/service.ts'

const NAME = 'name/'
const CONTENT = 'content/'
const SUMS = 'sums'
/** Records of one page: one snapshot of the store each, so that none is held for long. */
const PAGE = 500

const count = z.int().min(0)
const hex64 = z.string().regex(/^[0-9a-f]{64}$/)

const NameRecord = z.strictObject({
  contentId: hex64,
  size: count,
  mime: z.string().nullable(),
  createdAtMs: z.number(),
  modifiedAtMs: z.number(),
})
export type NameRecord = z.infer<typeof NameRecord>

const ContentRecord = z.strictObject({
  size: count,
  /** Hex. With the content id it tells the file on the disk and its key. */
  salt: hex64,
  /** Names that have this content. */
  names: count,
  /** Contents are numbered as they are added, from 1. */
  sequence: count,
})
export type ContentRecord = z.infer<typeof ContentRecord>

const Sums = z
  .strictObject({
    names: count,
    /** Names that the contents count: fewer than `names` while a repair has left names without their content. */
    counted: count.optional(),
    contents: count,
    storedBytes: count,
    /** Number of the content added last. */
    sequence: count,
    /** The repair of the store after which all this was counted last. */
    recounted: count.optional(),
  })
  .transform(({ counted, recounted = 0, ...sums }) => ({ ...sums, counted: counted ?? sums.names, recounted }))
export type Sums = z.infer<typeof Sums>

export const NO_SUMS: Sums = { names: 0, counted: 0, contents: 0, storedBytes: 0, sequence: 0, recounted: 0 }

export interface Change {
  readonly name?: readonly [name: string, record: NameRecord | null]
  readonly contents?: ReadonlyArray<readonly [contentId: string, record: ContentRecord | null]>
  readonly sums: Sums
}

export class FileRecords {
  readonly #namespace: Namespace

  constructor(namespace: Namespace) {
    this.#namespace = namespace
  }

  async name(name: string): Promise<NameRecord | null> {
    return await this.#get(`${NAME}${name}`, NameRecord)
  }

  async content(contentId: string): Promise<ContentRecord | null> {
    return await this.#get(`${CONTENT}${contentId}`, ContentRecord)
  }

  async sums(): Promise<Sums> {
    return (await this.#get(SUMS, Sums)) ?? NO_SUMS
  }

  /** All of it or nothing, also after a crash. Durable when it resolves. */
  async change({ name, contents = [], sums }: Change): Promise<void> {
    const operations = contents.map(([contentId, record]) => operation(`${CONTENT}${contentId}`, record))
    if (name !== undefined) operations.push(operation(`${NAME}${name[0]}`, name[1]))
    await this.#namespace.batch([...operations, operation(SUMS, sums)])
  }

  /** In order of name. Sees changes made while it runs. */
  names(options: { readonly prefix?: string; readonly after?: string } = {}): AsyncGenerator<[string, NameRecord]> {
    return this.#all(NAME, NameRecord, options)
  }

  /** How many names have the content, whatever its record says: reads them all. */
  async namesOf(contentId: string): Promise<number> {
    let names = 0
    for await (const [, record] of this.names()) if (record.contentId === contentId) names += 1
    return names
  }

  /** In order of content id. Sees changes made while it runs, unless `snapshot` is given. */
  contents(options: { readonly snapshot?: Snapshot } = {}): AsyncGenerator<[string, ContentRecord]> {
    return this.#all(CONTENT, ContentRecord, options)
  }

  async snapshot(): Promise<Snapshot> {
    return await this.#namespace.snapshot()
  }

  /** Changes of names; `name` is `null` for a gap. */
  async *watch(options: {
    readonly after?: number
    readonly signal: AbortSignal
  }): AsyncGenerator<{ readonly kind: WatchItem['kind']; readonly name: string | null; readonly cursor: number }> {
    for await (const item of this.#namespace.watch(options)) {
      if (item.kind === 'gap') yield { kind: 'gap', name: null, cursor: item.cursor }
      else if (item.key.startsWith(NAME)) yield { ...item, name: item.key.slice(NAME.length) }
    }
  }

  async #get<T>(key: string, schema: z.ZodType<T>): Promise<T | null> {
    const value = await this.#namespace.get(key)
    return value === null ? null : this.#valueOf(key, value, schema)
  }

  async *#all<T>(
    kind: string,
    schema: z.ZodType<T>,
    {
      prefix = '',
      after,
      snapshot,
    }: { readonly prefix?: string; readonly after?: string; readonly snapshot?: Snapshot },
  ): AsyncGenerator<[string, T]> {
    let last = after === undefined ? undefined : `${kind}${after}`
    for (;;) {
      const page: [string, T][] = []
      const range = {
        prefix: `${kind}${prefix}`,
        limit: PAGE,
        ...(last === undefined ? {} : { after: last }),
        ...(snapshot === undefined ? {} : { snapshot }),
      }
      for await (const { key, value } of this.#namespace.range(range)) {
        last = key
        page.push([key.slice(kind.length), this.#valueOf(key, value, schema)])
      }
      // Only now: a reader may take its time, and a range keeps a snapshot open.
      yield* page
      if (page.length < PAGE) return
    }
  }

  #valueOf<T>(key: string, value: Uint8Array, schema: z.ZodType<T>): T {
    try {
      return schema.parse(JSON.parse(Buffer.from(value).toString('utf8')))
    } catch (error) {
      throw storageErrors.NZ_STORAGE_VALUE_INVALID({ cause: error, data: { namespace: this.#namespace.name, key } })
    }
  }
}

function operation(key: string, record: object | null): Operation {
  if (record === null) return { type: 'delete', key }
  return { type: 'put', key, value: Buffer.from(JSON.stringify(record), 'utf8') }
}
