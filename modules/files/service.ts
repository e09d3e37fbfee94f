/** What others may know of `files`: large contents, encrypted, stored once, by name. spec/NZ-FILES-01.md. */
import { z } from 'zod'
import { defineErrors, defineEvents, defineService } from '../../kernel/index.ts'
import type { BackupPart } from '../../protocols/backup/part.ts'

/** Every method may throw what the store throws (NZ_STORAGE_…), and NZ_FILES_DISK_FAILED. */
export interface FilesService {
  /**
   * Keeps what `source` gives until it ends, in constant memory. Durable when it resolves. A content that is kept
   * already is proven and not stored twice. When anything fails, or `signal` aborts, nothing of it is left.
   *
   * @throws NZ_FILES_NAME_INVALID, NZ_FILES_EXISTS unless `replaces`, NZ_FILES_QUOTA, NZ_FILES_NO_SPACE, NZ_FILES_BUSY
   *   above 16 at once, and what `source` throws
   */
  put(name: string, source: AsyncIterable<Uint8Array>, options: PutFileOptions): Promise<StoredFile>
  /**
   * Opens the content of `name`, or of `sha256:<content id>`, for one pass. Reads only what the range touches; bytes are
   * proven before they are given.
   *
   * @throws NZ_FILES_NOT_FOUND, NZ_FILES_RANGE, NZ_FILES_DAMAGED (also while reading), NZ_FILES_BUSY above 128 at once
   */
  read(name: string, options: ReadFileOptions): Promise<FileReading>
  /** @throws NZ_FILES_NOT_FOUND */
  info(name: string): Promise<FileInfo>
  /** In order of name, as JavaScript compares strings. At most 1,000. */
  list(options: ListOptions): Promise<readonly StoredFile[]>
  /** Forgets the name, and the content when no other name has it. @throws NZ_FILES_NOT_FOUND */
  remove(name: string): Promise<StoredFile>
  /** Reads and proves the content of one name, or of all, each content once. What is damaged is set aside. */
  verify(options: { readonly name?: string; readonly signal: AbortSignal }): AsyncIterable<Verified>
  /** Removes contents without a name and what crashes have left, never what has a name or is being written. */
  collect(options: CollectOptions): Promise<Collected>
  /** Changes of names as they are acknowledged, first those after `after`; a gap says to list anew. */
  watch(options: { readonly after?: number; readonly signal: AbortSignal }): AsyncIterable<FileChange>
  status(): Promise<FilesStatus>
  readonly backup: BackupPart
}

export interface PutFileOptions {
  /** Such as `text/plain`; kept as it is given, at most 255 printable ASCII characters. */
  readonly mime?: string | undefined
  /** Whether a file of that name gives way. @default false */
  readonly replaces?: boolean
  readonly signal: AbortSignal
}

export interface ReadFileOptions {
  readonly range?: ByteRange | undefined
  readonly signal: AbortSignal
}

/** `from` inclusive, `to` exclusive, default the end; or the `last` bytes. */
export type ByteRange = { readonly from: number; readonly to?: number | undefined } | { readonly last: number }

/** Iterate it once, or dispose of it. A damaged part ends the iteration with NZ_FILES_DAMAGED, before its bytes. */
export interface FileReading extends AsyncIterable<Uint8Array>, AsyncDisposable {
  readonly file: StoredFile
  /** The bytes `start` to `end` (exclusive) of the file come. */
  readonly start: number
  readonly end: number
}

export interface StoredFile {
  readonly name: string
  /** SHA-256 of the content, hex. */
  readonly contentId: string
  readonly size: number
  readonly mime: string | null
  readonly createdAtMs: number
  /** When this content was put under this name. */
  readonly modifiedAtMs: number
}

export interface FileInfo extends StoredFile {
  /** Names that have this content. */
  readonly names: number
  /** Bytes the content takes on the disk. */
  readonly storedBytes: number
  /** Whether the content is missing or known to be damaged; `verify` reads all of it. */
  readonly isDamaged: boolean
}

export interface ListOptions {
  readonly prefix?: string | undefined
  readonly after?: string | undefined
  readonly limit: number
}

export interface Verified {
  readonly name: string
  readonly contentId: string
  readonly size: number
  readonly isIntact: boolean
  /** What is wrong with it. */
  readonly why: string | null
}

export interface CollectOptions {
  /** Only says what would be removed. @default false */
  readonly isDryRun?: boolean
  /** Also removes damaged parts that were set aside. @default false */
  readonly includesDamaged?: boolean
  readonly signal: AbortSignal
}

export interface Collected {
  /** Contents that no name had. */
  readonly contents: number
  /** Their ids, at most 100. */
  readonly contentIds: readonly string[]
  /** Files on the disk that were removed. */
  readonly diskFiles: number
}

export type FileChange =
  | { readonly kind: 'put' | 'delete'; readonly name: string; readonly cursor: number }
  | { readonly kind: 'gap'; readonly cursor: number }

export interface FilesStatus {
  /** Names. */
  readonly files: number
  readonly contents: number
  /** Bytes on the disk. */
  readonly storedBytes: number
  readonly maxFiles: number
  readonly maxBytes: number
  /** Contents found to be damaged since the start that still have a name. */
  readonly damaged: number
}

export const FilesService = defineService<FilesService>('files')

export const filesEvents = defineEvents('files', {
  damaged: z.strictObject({ contentId: z.string(), why: z.string() }),
})

export const filesErrors = defineErrors({
  NZ_FILES_NAME_INVALID: {
    message: 'this cannot be the name of a stored file',
    fix: ['use 1 to 500 bytes of text without control characters, `\\`, empty parts, `.` or `..` between its slashes'],
    status: 400,
    exit: 'usage',
    retryable: false,
  },
  NZ_FILES_MIME_INVALID: {
    message: 'this is no media type',
    fix: ['give something like text/plain'],
    status: 400,
    exit: 'usage',
    retryable: false,
  },
  NZ_FILES_EXISTS: {
    message: 'there is a stored file of that name already',
    fix: ['choose another name', 'nzcore files put --force <name> <file>'],
    status: 409,
    exit: 'conflict',
    retryable: false,
  },
  NZ_FILES_NOT_FOUND: {
    message: 'there is no stored file of that name',
    fix: ['nzcore files list'],
    status: 404,
    exit: 'notFound',
    retryable: false,
  },
  NZ_FILES_RANGE: {
    message: 'the file has no such bytes',
    fix: ['nzcore files info <name>'],
    status: 416,
    exit: 'usage',
    retryable: false,
  },
  NZ_FILES_QUOTA: {
    message: 'no more files, or bytes of files, may be kept',
    fix: [
      'nzcore files rm <name>',
      'nzcore config set files.maxBytes <more>',
      'nzcore config set files.maxFiles <more>',
    ],
    status: 507,
    exit: 'failed',
    retryable: false,
  },
  NZ_FILES_NO_SPACE: {
    message: 'the disk is full; nothing of the file was kept',
    fix: ['free disk space, then try again'],
    status: 507,
    exit: 'failed',
    retryable: true,
  },
  NZ_FILES_DISK_FAILED: {
    message: 'the disk refuses to read or write stored files',
    fix: ['nzcore doctor', 'nzcore logs'],
    status: 500,
    exit: 'failed',
    retryable: true,
  },
  NZ_FILES_DAMAGED: {
    message: 'the content of the file is damaged or missing; what is left of it was set aside',
    fix: [
      'put the same content again, under any name: every name of it is whole again',
      'restore a backup',
      'nzcore files verify',
    ],
    status: 500,
    exit: 'damaged',
    retryable: false,
  },
  NZ_FILES_BUSY: {
    message: 'too many files are read or written at once',
    fix: ['wait, then try again'],
    status: 429,
    exit: 'failed',
    retryable: true,
  },
  NZ_FILES_BACKUP_INVALID: {
    message: 'the files of the backup cannot be restored',
    fix: ['restore another backup of this identity', 'nzcore logs'],
    status: 422,
    exit: 'damaged',
    retryable: false,
  },
  NZ_FILES_CLOSED: {
    message: 'the node closes its stored files',
    fix: ['nzcore status', 'try again when it runs'],
    status: 503,
    exit: 'failed',
    retryable: true,
  },
  NZ_FILES_STALLED: {
    message: 'nothing was read or written for too long',
    fix: ['try again with a program that goes on'],
    status: 408,
    exit: 'timedOut',
    retryable: true,
  },
})
