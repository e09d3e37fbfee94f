/** The documents of a profile: versions are added, never changed; a fork is recorded and told. NZ-DOCUMENTS-01 §3. */
import { extended, NO_LINEAGE, nextTime } from '../../protocols/documents/lineage.ts'
import {
  decodeVersion,
  encodeVersion,
  hashOfContent,
  isDocumentName,
  isSigned,
  MAX_CONTENT_BYTES,
  MAX_PARENTS,
  VERSION_PURPOSE,
  versionId,
} from '../../protocols/documents/version.ts'
import { documentErrors, documentEvents } from './service.ts'
import { contentRecord, lineageRecord, versionRecord } from './shelf.ts'
import type { Clock, EventBus } from '../../kernel/index.ts'
import type { Lineage } from '../../protocols/documents/lineage.ts'
import type { Version, VersionKind } from '../../protocols/documents/version.ts'
import type { IdentityService } from '../identity/service.ts'
import type {
  DocumentsService,
  DocumentState,
  HistoryItem,
  ListOptions,
  PutOptions,
  SignedVersion,
  StoredVersion,
} from './service.ts'
import type { Shelf, VersionRecord } from './shelf.ts'

/** Children of one version. */
export const MAX_CHILDREN = 256
/** Changes that may wait, of all documents. */
export const MAX_WAITING = 1_024
const PRUNED_AT_ONCE = 256
const DEFAULT_LIST = 100

export interface DocumentsInit {
  readonly shelf: Shelf
  readonly identity: Pick<IdentityService, 'self' | 'signAsNode' | 'verify'>
  readonly clock: Clock
  readonly events: Pick<EventBus, 'emit'>
}

export interface DocumentLimits {
  readonly maxVersions: number
  readonly maxHeads: number
}

export class Documents implements DocumentsService {
  readonly #init: DocumentsInit
  readonly #limits: DocumentLimits
  readonly #queues = new Map<string, Promise<unknown>>()
  #waiting = 0

  constructor(init: DocumentsInit, limits: DocumentLimits) {
    this.#init = init
    this.#limits = limits
  }

  async put(
    document: string,
    content: Uint8Array,
    { parent, allowsFork = false }: PutOptions = {},
  ): Promise<StoredVersion> {
    return await this.#inTurn(document, async () => {
      const lineage = await this.#init.shelf.lineage(document)
      const parents = await this.#parentsOf(document, lineage, { parent, allowsFork })
      return await this.#add(document, lineage, { kind: 'put', parents, content: Uint8Array.from(content) })
    })
  }

  async merge(
    document: string,
    content: Uint8Array,
    { parents }: { readonly parents: readonly string[] },
  ): Promise<StoredVersion> {
    return await this.#inTurn(document, async () => {
      const lineage = requireLineage(document, await this.#init.shelf.lineage(document))
      const ids = new Set<string>()
      for (const parent of parents.slice(0, MAX_PARENTS + 1)) ids.add(await this.#init.shelf.resolve(document, parent))
      if (ids.size < 2 || ids.size > MAX_PARENTS || ids.size !== parents.length) {
        throw documentErrors.NZ_DOCS_NAME_INVALID({ why: `a merge names 2 to ${MAX_PARENTS} different versions` })
      }
      for (const id of ids) requireHead(document, lineage, id)
      const known = [...ids].toSorted()
      return await this.#add(document, lineage, { kind: 'merge', parents: known, content: Uint8Array.from(content) })
    })
  }

  async delete(document: string, { parent = 'head', allowsFork = false }: PutOptions = {}): Promise<StoredVersion> {
    return await this.#inTurn(document, async () => {
      const lineage = requireLineage(document, await this.#init.shelf.lineage(document))
      const parents = await this.#parentsOf(document, lineage, { parent, allowsFork })
      return await this.#add(document, lineage, { kind: 'delete', parents, content: new Uint8Array() })
    })
  }

  async get(document: string, version?: string): Promise<StoredVersion & { readonly content: Uint8Array }> {
    const record = await this.#wanted(document, version)
    const content = await this.#init.shelf.content(document, record)
    if (content === null) throw documentErrors.NZ_DOCS_PRUNED({ data: { document, version: record.id } })
    return { id: record.id, ...record.version, content }
  }

  async heads(document: string): Promise<DocumentState> {
    requireName(document)
    return stateOf(document, requireLineage(document, await this.#init.shelf.lineage(document)))
  }

  async history(document: string, { limit = Number.POSITIVE_INFINITY }: { readonly limit?: number } = {}) {
    requireName(document)
    const { heads } = requireLineage(document, await this.#init.shelf.lineage(document))
    const items: HistoryItem[] = []
    for await (const { id, version, children, isPruned } of this.#init.shelf.versions(document)) {
      items.push({ id, ...version, children, isPruned, isHead: heads.some((head) => head.id === id) })
    }
    return items.toSorted(newestFirst).slice(0, limit)
  }

  async list({ prefix, after, limit = DEFAULT_LIST, includesDeleted = false }: ListOptions = {}) {
    const found: DocumentState[] = []
    const range = { ...(prefix === undefined ? {} : { prefix }), ...(after === undefined ? {} : { after }) }
    for await (const { document, lineage } of this.#init.shelf.lineages(range)) {
      if (found.length === limit) break
      const state = stateOf(document, lineage)
      if (includesDeleted || !state.isDeleted) found.push(state)
    }
    return found
  }

  async prune(document: string, { keep }: { readonly keep: number }) {
    return await this.#inTurn(document, async () => {
      const history = await this.history(document)
      const old = history.filter(({ isHead, isPruned, size }) => !isHead && !isPruned && size > 0).slice(keep)
      for (let at = 0; at < old.length; at += PRUNED_AT_ONCE) {
        const some = old.slice(at, at + PRUNED_AT_ONCE)
        const records = await Promise.all(some.map(async ({ id }) => await this.#known(document, id)))
        await this.#init.shelf.write(
          records.flatMap((record) => [
            versionRecord(document, { ...record, isPruned: true }),
            contentRecord(document, record.id, null),
          ]),
        )
      }
      return { pruned: old.length, bytes: old.reduce((sum, { size }) => sum + size, 0) }
    })
  }

  async accept({ encoded, signature, content }: SignedVersion): Promise<StoredVersion> {
    const version = decodeVersion(encoded)
    const verify = this.#init.identity.verify.bind(this.#init.identity, VERSION_PURPOSE)
    const isContent =
      content === null || (content.byteLength === version?.size && hashOfContent(content) === version.contentHash)
    if (version === null || !isContent || !isSigned(encoded, signature, verify)) {
      throw documentErrors.NZ_DOCS_VERSION_INVALID()
    }
    const { document } = version
    return await this.#inTurn(document, async () => {
      const id = versionId(encoded)
      const known = await this.#init.shelf.version(document, id)
      if (known !== null) return { id, ...version }
      const lineage = await this.#init.shelf.lineage(document)
      const copy = { encoded: Uint8Array.from(encoded), signature: Uint8Array.from(signature) }
      const own = content === null ? null : Uint8Array.from(content)
      return await this.#store(document, lineage, { ...copy, id, version, content: own })
    })
  }

  async signed(document: string, version: string): Promise<SignedVersion> {
    const record = await this.#wanted(document, version)
    const { encoded, signature } = record
    return { encoded, signature, content: await this.#init.shelf.content(document, record) }
  }

  async #wanted(document: string, version: string | undefined): Promise<VersionRecord> {
    requireName(document)
    const lineage = requireLineage(document, await this.#init.shelf.lineage(document))
    if (version !== undefined) return await this.#known(document, await this.#init.shelf.resolve(document, version))
    const [head, another] = lineage.heads
    if (head === undefined || stateOf(document, lineage).isDeleted) {
      throw documentErrors.NZ_DOCS_NOT_FOUND({ why: 'it was deleted', data: { document } })
    }
    if (another !== undefined) throw forked(document, lineage)
    return await this.#known(document, head.id)
  }

  /** The ids of what a version is to follow, as its author asked. */
  async #parentsOf(
    document: string,
    lineage: Lineage | null,
    { parent, allowsFork }: { readonly parent: string | undefined; readonly allowsFork: boolean },
  ): Promise<readonly string[]> {
    if (parent === undefined) {
      if (lineage !== null) throw conflict(document, lineage, 'the document exists')
      return []
    }
    if (parent === 'head') {
      const [head, another] = lineage?.heads ?? []
      if (lineage !== null && another !== undefined) throw forked(document, lineage)
      return head === undefined ? [] : [head.id]
    }
    const id = await this.#init.shelf.resolve(document, parent)
    if (!allowsFork) requireHead(document, requireLineage(document, lineage), id)
    return [id]
  }

  async #add(
    document: string,
    lineage: Lineage | null,
    added: { readonly kind: VersionKind; readonly parents: readonly string[]; readonly content: Uint8Array },
  ): Promise<StoredVersion> {
    const { kind, parents, content } = added
    if (content.byteLength > MAX_CONTENT_BYTES) {
      throw documentErrors.NZ_DOCS_TOO_LARGE({ data: { document, bytes: content.byteLength } })
    }
    const { clock, identity } = this.#init
    const known = await Promise.all(parents.map(async (id) => (await this.#known(document, id)).version))
    const version: Version = {
      document,
      kind,
      parents,
      time: nextTime(known),
      atMs: Math.max(0, Math.floor(clock.nowMs())),
      author: identity.self.peerId,
      contentHash: hashOfContent(content),
      size: content.byteLength,
    }
    const encoded = encodeVersion(version)
    const id = versionId(encoded)
    // The same content behind the same parents in the same millisecond is the same version.
    if ((await this.#init.shelf.version(document, id)) !== null) return { id, ...version }
    const signature = identity.signAsNode(VERSION_PURPOSE, encoded)
    return await this.#store(document, lineage, { id, version, encoded, signature, content })
  }

  /** Everything that a version changes, in one batch; then it is told. */
  async #store(
    document: string,
    lineage: Lineage | null,
    added: SignedVersion & { readonly id: string; readonly version: Version },
  ): Promise<StoredVersion> {
    const { id, version, encoded, signature, content } = added
    const parents = await Promise.all(
      version.parents.map(async (parent) => [parent, await this.#init.shelf.version(document, parent)] as const),
    )
    const missing = parents.flatMap(([parent, record]) => (record === null ? [parent] : []))
    if (missing.length > 0) throw documentErrors.NZ_DOCS_PARENT_UNKNOWN({ data: { document, missing } })
    const records = parents.flatMap(([, record]) => (record === null ? [] : [record]))
    const { kind, time, atMs, author, size } = version
    const known = records.map((record) => ({ ...record, time: record.version.time }))
    if (time !== nextTime(known)) {
      throw documentErrors.NZ_DOCS_VERSION_INVALID({ why: 'its logical time does not follow its parents' })
    }
    const next = extended(lineage ?? NO_LINEAGE, { id, kind, time, atMs, author, size }, known)
    this.#requireRoom(document, next.lineage, records)
    await this.#init.shelf.write([
      lineageRecord(document, next.lineage),
      versionRecord(document, { id, encoded, signature, children: [], isPruned: content === null && size > 0 }),
      ...(content === null || size === 0 ? [] : [contentRecord(document, id, content)]),
      ...records.map((record) => versionRecord(document, { ...record, children: [...record.children, id].toSorted() })),
    ])
    const { events } = this.#init
    events.emit(documentEvents.changed, {
      document,
      version: id,
      kind,
      heads: next.lineage.heads.map((head) => head.id),
    })
    for (const { parent, children } of next.forks) {
      events.emit(documentEvents.forked, { document, parent, children: [...children] })
    }
    return { id, ...version }
  }

  #requireRoom(document: string, { versions, heads, roots }: Lineage, parents: readonly VersionRecord[]): void {
    const { maxVersions, maxHeads } = this.#limits
    const children = parents.reduce((most, parent) => Math.max(most, parent.children.length + 1), roots.length)
    if (versions <= maxVersions && heads.length <= maxHeads && children <= MAX_CHILDREN) return
    throw documentErrors.NZ_DOCS_QUOTA({ data: { document, versions, heads: heads.length, children } })
  }

  async #known(document: string, id: string): Promise<VersionRecord> {
    const record = await this.#init.shelf.version(document, id)
    if (record === null) throw documentErrors.NZ_DOCS_NOT_FOUND({ data: { document, version: id } })
    return record
  }

  /** Changes of one document happen one after another. */
  async #inTurn<T>(document: string, work: () => Promise<T>): Promise<T> {
    requireName(document)
    if (this.#waiting >= MAX_WAITING) throw documentErrors.NZ_DOCS_BUSY()
    this.#waiting += 1
    const before = this.#queues.get(document) ?? Promise.resolve()
    const mine = before.then(work, work)
    this.#queues.set(document, mine)
    try {
      return await mine
    } finally {
      this.#waiting -= 1
      if (this.#queues.get(document) === mine) this.#queues.delete(document)
    }
  }
}

function newestFirst(a: HistoryItem, b: HistoryItem): number {
  return a.time === b.time ? (a.id < b.id ? -1 : 1) : b.time - a.time
}

function stateOf(document: string, { heads, versions, forks }: Lineage): DocumentState {
  const isDeleted = heads.every(({ kind }) => kind === 'delete')
  return { document, heads, versions, forks, isForked: heads.length > 1, isDeleted }
}

function requireName(document: string): void {
  if (!isDocumentName(document)) throw documentErrors.NZ_DOCS_NAME_INVALID()
}

function requireLineage(document: string, lineage: Lineage | null): Lineage {
  if (lineage === null) throw documentErrors.NZ_DOCS_NOT_FOUND({ data: { document } })
  return lineage
}

function requireHead(document: string, lineage: Lineage, id: string): void {
  if (!lineage.heads.some((head) => head.id === id)) throw conflict(document, lineage, 'the parent is no head any more')
}

function conflict(document: string, { heads }: Lineage, why: string): Error {
  return documentErrors.NZ_DOCS_CONFLICT({ why, data: { document, heads: heads.map(({ id }) => id) } })
}

function forked(document: string, { heads }: Lineage): Error {
  return documentErrors.NZ_DOCS_FORKED({ data: { document, heads: heads.map(({ id }) => id) } })
}
