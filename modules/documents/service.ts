/** What others may know of `documents`: versioned documents that never lose a fork. spec/NZ-DOCUMENTS-01.md. */
import { z } from 'zod'
import { defineErrors, defineEvents, defineService } from '../../kernel/index.ts'
import type { HeadVersion } from '../../protocols/documents/lineage.ts'
import type { Version } from '../../protocols/documents/version.ts'

/**
 * Names of documents are 1 to 256 bytes of text without control characters. A version is named by its id, or by a
 * beginning of it of at least 8 characters that no other version of the document has. Every method may throw
 * NZ_DOCS_NAME_INVALID and what the store throws.
 */
export interface DocumentsService {
  /**
   * A new version; durable when it resolves. `parent` is the version that the author has seen: `head` for whatever it
   * is (none for a new document), absent for a document that must not exist.
   *
   * @throws NZ_DOCS_CONFLICT when the parent is no head and `allowsFork` is not set, NZ_DOCS_FORKED for `head` of several,
   *   NZ_DOCS_NOT_FOUND, NZ_DOCS_TOO_LARGE, NZ_DOCS_QUOTA
   */
  put(document: string, content: Uint8Array, options?: PutOptions): Promise<StoredVersion>
  /** A version that names heads as its parents, and ends their fork. @throws NZ_DOCS_CONFLICT when one is no head, as `put` */
  merge(document: string, content: Uint8Array, options: { readonly parents: readonly string[] }): Promise<StoredVersion>
  /** A tombstone behind `parent`, default `head`. The versions before it stay. @throws as `put` */
  delete(document: string, options?: PutOptions): Promise<StoredVersion>
  /**
   * The content of a version; without one, of the only head.
   *
   * @throws NZ_DOCS_NOT_FOUND (also for a deleted document), NZ_DOCS_FORKED, NZ_DOCS_PRUNED, NZ_DOCS_DAMAGED
   */
  get(document: string, version?: string): Promise<StoredVersion & { readonly content: Uint8Array }>
  /** @throws NZ_DOCS_NOT_FOUND */
  heads(document: string): Promise<DocumentState>
  /** Newest logical time first; of one time in order of id. @throws NZ_DOCS_NOT_FOUND */
  history(document: string, options?: { readonly limit?: number }): Promise<readonly HistoryItem[]>
  /** In order of name. */
  list(options?: ListOptions): Promise<readonly DocumentState[]>
  /**
   * Drops the contents of all versions but the heads and the `keep` newest others; hashes, parents and signatures stay.
   *
   * @throws NZ_DOCS_NOT_FOUND
   */
  prune(
    document: string,
    options: { readonly keep: number },
  ): Promise<{ readonly pruned: number; readonly bytes: number }>
  /**
   * Takes a version of any author as another node had it. One that is there already changes nothing.
   *
   * @throws NZ_DOCS_VERSION_INVALID when it does not prove itself, NZ_DOCS_PARENT_UNKNOWN until its parents were taken
   */
  accept(version: SignedVersion): Promise<StoredVersion>
  /** A version as it was signed, for another node. @throws as `get` */
  signed(document: string, version: string): Promise<SignedVersion>
}

export interface PutOptions {
  readonly parent?: string
  /** Records a fork when the parent is no head any more, in place of a conflict. @default false */
  readonly allowsFork?: boolean
}

export interface StoredVersion extends Version {
  readonly id: string
}

export interface SignedVersion {
  /** As its id is the hash of. */
  readonly encoded: Uint8Array
  readonly signature: Uint8Array
  /** `null` when it was pruned. */
  readonly content: Uint8Array | null
}

export interface HistoryItem extends StoredVersion {
  readonly children: readonly string[]
  readonly isHead: boolean
  readonly isPruned: boolean
}

export interface DocumentState {
  readonly document: string
  readonly heads: readonly HeadVersion[]
  readonly versions: number
  readonly forks: number
  readonly isForked: boolean
  /** Whether every head is a tombstone. */
  readonly isDeleted: boolean
}

export interface ListOptions {
  readonly prefix?: string
  readonly after?: string
  /** 1 to 1,000; default 100. */
  readonly limit?: number
  readonly includesDeleted?: boolean
}

export const DocumentsService = defineService<DocumentsService>('documents')

const kind = z.enum(['put', 'merge', 'delete'])

export const documentEvents = defineEvents('documents', {
  changed: z.strictObject({ document: z.string(), version: z.string(), kind, heads: z.array(z.string()) }),
  forked: z.strictObject({ document: z.string(), parent: z.string().nullable(), children: z.array(z.string()) }),
})

export const documentErrors = defineErrors({
  NZ_DOCS_CONFLICT: {
    message: 'the document has changed since the version it was to follow',
    fix: [
      'nzcore docs get <document>, then put with --parent <version>',
      'to keep both as a fork: nzcore docs put --fork',
    ],
    status: 409,
    exit: 'conflict',
    retryable: false,
  },
  NZ_DOCS_FORKED: {
    message: 'the document has several heads',
    fix: ['nzcore docs heads <document>', 'nzcore docs merge <document> <file> --parents <version>,<version>'],
    status: 409,
    exit: 'conflict',
    retryable: false,
  },
  NZ_DOCS_NOT_FOUND: {
    message: 'there is no such document or version',
    fix: ['nzcore docs list', 'nzcore docs history <document>'],
    status: 404,
    exit: 'notFound',
    retryable: false,
  },
  NZ_DOCS_PRUNED: {
    message: 'the content of this version was pruned',
    fix: ['nzcore docs history <document>'],
    status: 410,
    exit: 'notFound',
    retryable: false,
  },
  NZ_DOCS_NAME_INVALID: {
    message: 'this cannot be the name of a document or version',
    fix: ['use 1 to 256 bytes of text without control characters; 8 to 64 hex digits for a version'],
    status: 400,
    exit: 'usage',
    retryable: false,
  },
  NZ_DOCS_TOO_LARGE: {
    message: 'the content is too large for a document',
    fix: ['keep at most 524,288 bytes in a document; larger things are files'],
    status: 413,
    exit: 'usage',
    retryable: false,
  },
  NZ_DOCS_QUOTA: {
    message: 'the document has as many versions, heads or children of one version as it may have',
    fix: ['nzcore docs merge <document> <file> --parents <version>,<version>', 'nzcore config explain documents'],
    status: 507,
    exit: 'failed',
    retryable: false,
  },
  NZ_DOCS_BUSY: {
    message: 'too many changes of documents wait',
    fix: ['wait, then try again'],
    status: 429,
    exit: 'failed',
    retryable: true,
  },
  NZ_DOCS_VERSION_INVALID: {
    message: 'a version of a document does not prove itself',
    fix: ['ask its author for it again'],
    status: 422,
    exit: 'failed',
    retryable: false,
  },
  NZ_DOCS_PARENT_UNKNOWN: {
    message: 'a version names parents that are not here yet',
    fix: ['take the versions of data.missing first'],
    status: 409,
    exit: 'conflict',
    retryable: true,
  },
  NZ_DOCS_DAMAGED: {
    message: 'a stored version is not what its name says',
    fix: ['nzcore storage check', 'restore the state folder from a copy'],
    status: 500,
    exit: 'damaged',
    retryable: false,
  },
})
