/** Documents as records of the store: one of each document, one of each version, one of each content. NZ-DOCUMENTS-01 §4. */
import { createHash } from 'node:crypto'
import { decode, encode } from 'cborg'
import { z } from 'zod'
import { decodeVersion, hashOfContent, versionId, versionKinds } from '../../protocols/documents/version.ts'
import { documentErrors } from './service.ts'
import type { Lineage } from '../../protocols/documents/lineage.ts'
import type { Version } from '../../protocols/documents/version.ts'
import type { Namespace, Operation, Snapshot } from '../storage/service.ts'

const id = z.string().regex(/^[0-9a-f]{64}$/)
const count = z.number().int().min(0)
const StoredLineage = z.strictObject({
  heads: z.array(
    z.strictObject({ id, kind: z.enum(versionKinds), time: count, atMs: count, author: z.string(), size: count }),
  ),
  roots: z.array(id),
  versions: count,
  forks: count,
})
const bytes = z.custom<Uint8Array>((value) => value instanceof Uint8Array)
const StoredRecord = z.strictObject({ encoded: bytes, signature: bytes, children: z.array(id), isPruned: z.boolean() })

export interface VersionRecord {
  readonly id: string
  readonly version: Version
  readonly encoded: Uint8Array
  readonly signature: Uint8Array
  readonly children: readonly string[]
  readonly isPruned: boolean
}

/** Records that one read of the store gives. */
const PAGE = 1_000
/** Beginning of an id by which a version may be named. */
const SHORT_ID = /^[0-9a-f]{8,64}$/

export class Shelf {
  readonly #records: Namespace

  constructor(records: Namespace) {
    this.#records = records
  }

  async lineage(document: string): Promise<Lineage | null> {
    const value = await this.#records.get(lineageKey(document))
    return value === null ? null : lineageOf(document, value)
  }

  /** Documents after `after` whose names begin with `prefix`, in order of name. */
  async *lineages({ prefix = '', after }: { readonly prefix?: string; readonly after?: string }) {
    let last = after === undefined ? undefined : lineageKey(after)
    for (;;) {
      let isEnd = true
      const range = { prefix: lineageKey(prefix), limit: PAGE, ...(last === undefined ? {} : { after: last }) }
      for await (const { key, value } of this.#records.range(range)) {
        isEnd = false
        last = key
        const document = key.slice(lineageKey('').length)
        yield { document, lineage: lineageOf(document, value) }
      }
      if (isEnd) return
    }
  }

  /** By its whole id. @throws NZ_DOCS_DAMAGED */
  async version(document: string, versionOf: string): Promise<VersionRecord | null> {
    const value = await this.#records.get(versionKey(document, versionOf))
    return value === null ? null : recordOf(document, versionOf, value)
  }

  /** The whole id that begins with `short`. @throws NZ_DOCS_NOT_FOUND when there is none or more than one */
  async resolve(document: string, short: string): Promise<string> {
    if (!SHORT_ID.test(short)) throw documentErrors.NZ_DOCS_NAME_INVALID()
    const found: string[] = []
    const prefix = versionKey(document, short)
    for await (const { key } of this.#records.range({ prefix, limit: 2 })) found.push(key.slice(-64))
    const [only, another] = found
    if (only !== undefined && another === undefined) return only
    const why = only === undefined ? 'no version begins so' : 'more than one version begins so'
    throw documentErrors.NZ_DOCS_NOT_FOUND({ why, data: { document, version: short } })
  }

  /** Every version, in order of id, of one moment. */
  async *versions(document: string): AsyncGenerator<VersionRecord> {
    const snapshot = await this.#records.snapshot()
    try {
      yield* this.#versionsOf(document, snapshot)
    } finally {
      await snapshot[Symbol.asyncDispose]()
    }
  }

  /** `null` when it was pruned or never there. @throws NZ_DOCS_DAMAGED */
  async content(document: string, { id: versionOf, version }: VersionRecord): Promise<Uint8Array | null> {
    const value = await this.#records.get(contentKey(document, versionOf))
    if (value === null && version.size === 0) return new Uint8Array()
    if (value !== null && hashOfContent(value) !== version.contentHash) {
      throw documentErrors.NZ_DOCS_DAMAGED({ data: { document, version: versionOf } })
    }
    return value
  }

  /** All of it or nothing, durable when it resolves. */
  async write(operations: readonly Operation[]): Promise<void> {
    await this.#records.batch(operations)
  }

  async *#versionsOf(document: string, snapshot: Snapshot): AsyncGenerator<VersionRecord> {
    const prefix = versionKey(document, '')
    let last: string | undefined
    for (;;) {
      let isEnd = true
      const range = { prefix, limit: PAGE, snapshot, ...(last === undefined ? {} : { after: last }) }
      for await (const { key, value } of this.#records.range(range)) {
        isEnd = false
        last = key
        yield recordOf(document, key.slice(prefix.length), value)
      }
      if (isEnd) return
    }
  }
}

export function lineageRecord(document: string, lineage: Lineage): Operation {
  return { type: 'put', key: lineageKey(document), value: encode(lineage) }
}

export function versionRecord(document: string, record: Omit<VersionRecord, 'version'>): Operation {
  const { id: versionOf, encoded, signature, children, isPruned } = record
  return {
    type: 'put',
    key: versionKey(document, versionOf),
    value: encode({ encoded, signature, children, isPruned }),
  }
}

export function contentRecord(document: string, versionOf: string, content: Uint8Array | null): Operation {
  const key = contentKey(document, versionOf)
  return content === null ? { type: 'delete', key } : { type: 'put', key, value: content }
}

function lineageKey(document: string): string {
  return `d/${document}`
}

function versionKey(document: string, versionOf: string): string {
  return `v/${shelfMark(document)}/${versionOf}`
}

function contentKey(document: string, versionOf: string): string {
  return `c/${shelfMark(document)}/${versionOf}`
}

/** Names may hold slashes and be long; their versions lie under a hash. */
function shelfMark(document: string): string {
  return createHash('sha256').update(document).digest('hex').slice(0, 32)
}

function lineageOf(document: string, value: Uint8Array): Lineage {
  const parsed = StoredLineage.safeParse(decoded(value))
  if (!parsed.success) throw documentErrors.NZ_DOCS_DAMAGED({ cause: parsed.error, data: { document } })
  return parsed.data
}

function recordOf(document: string, versionOf: string, value: Uint8Array): VersionRecord {
  const parsed = StoredRecord.safeParse(decoded(value))
  const version = parsed.success ? decodeVersion(parsed.data.encoded) : null
  const isNamed = parsed.success && versionId(parsed.data.encoded) === versionOf && version?.document === document
  if (!parsed.success || version === null || !isNamed) {
    throw documentErrors.NZ_DOCS_DAMAGED({ data: { document, version: versionOf } })
  }
  return { id: versionOf, version, ...parsed.data }
}

function decoded(value: Uint8Array): unknown {
  try {
    return decode(value)
  } catch {
    // Not CBOR; the schema says so.
    return undefined
  }
}
