/** Local API: large files kept encrypted in the profile, by name. */
import { z } from 'zod'
import { defineContract } from '../endpoint.ts'

const timeMs = z.number().describe('milliseconds since 1970')
const count = z.number().int().min(0)
/** One byte of the text may become one character: the node counts the bytes. */
const name = z.string().min(1).max(500).describe('name of the stored file')
const nameOrContent = z.string().min(1).max(500).describe('name of the stored file, or sha256:<content id>')
const storeErrors = ['NZ_STORAGE_DAMAGED', 'NZ_STORAGE_UNAVAILABLE'] as const
const writeErrors = [...storeErrors, 'NZ_STORAGE_READ_ONLY', 'NZ_STORAGE_BUSY', 'NZ_STORAGE_QUOTA'] as const
const nameErrors = ['NZ_FILES_NAME_INVALID', 'NZ_FILES_NOT_FOUND'] as const

export const StoredFileView = z.strictObject({
  name: z.string(),
  contentId: z.string().describe('SHA-256 of the content, hex'),
  size: count.describe('bytes'),
  mime: z.string().nullable().describe('media type, as it was given'),
  createdAtMs: timeMs,
  modifiedAtMs: timeMs.describe('when this content was put under this name'),
})

export const DamagedFileView = z.strictObject({ name: z.string(), contentId: z.string(), why: z.string() })

const file = z.strictObject({ file: StoredFileView })

export const filesContract = defineContract({
  filesPut: {
    method: 'POST',
    path: '/files/put',
    kind: 'duplex',
    summary: 'Keep the bytes written to this connection; the message after their end says that they are durable',
    command: ['files', 'put'],
    schemaName: 'nz.fileKept/1',
    params: z.strictObject({
      name,
      mime: z.string().min(1).max(255).optional().describe('media type, such as text/plain'),
      replaces: z.boolean().default(false).describe('whether a file of that name gives way'),
    }),
    result: file,
    capability: 'blobs.write',
    errors: [
      ...writeErrors,
      'NZ_FILES_NAME_INVALID',
      'NZ_FILES_MIME_INVALID',
      'NZ_FILES_EXISTS',
      'NZ_FILES_QUOTA',
      'NZ_FILES_NO_SPACE',
      'NZ_FILES_DISK_FAILED',
      'NZ_FILES_BUSY',
      'NZ_FILES_STALLED',
    ],
  },
  filesGet: {
    method: 'POST',
    path: '/files/get',
    kind: 'duplex',
    summary: 'One message with what comes, then the bytes, each proven before it is sent',
    command: ['files', 'get'],
    schemaName: 'nz.fileRead/1',
    params: z.strictObject({
      name: nameOrContent,
      from: count.optional().describe('first byte; default: 0'),
      to: count.optional().describe('the byte after the last one; default: the end'),
      last: count.optional().describe('so many bytes from the end, in place of from and to'),
    }),
    result: z.strictObject({
      file: StoredFileView,
      start: count.describe('first byte that comes'),
      end: count.describe('the byte after the last one'),
    }),
    capability: 'blobs.read',
    errors: [
      ...storeErrors,
      ...nameErrors,
      'NZ_FILES_RANGE',
      'NZ_FILES_DAMAGED',
      'NZ_FILES_DISK_FAILED',
      'NZ_FILES_BUSY',
      'NZ_FILES_STALLED',
    ],
  },
  filesInfo: {
    method: 'GET',
    path: '/files/info',
    kind: 'call',
    summary: 'Show what is known of a stored file',
    command: ['files', 'info'],
    positional: ['name'],
    schemaName: 'nz.fileInfo/1',
    params: z.strictObject({ name: nameOrContent }),
    result: z.strictObject({
      file: StoredFileView.extend({
        names: count.describe('names that have this content'),
        storedBytes: count.describe('bytes the content takes on the disk'),
        isDamaged: z.boolean().describe('whether the content is missing or known to be damaged'),
      }),
    }),
    capability: 'blobs.read',
    errors: [...storeErrors, ...nameErrors, 'NZ_FILES_DISK_FAILED'],
  },
  filesList: {
    method: 'GET',
    path: '/files',
    kind: 'call',
    summary: 'List stored files in order of name',
    command: ['files', 'list'],
    positional: ['prefix'],
    schemaName: 'nz.files/1',
    params: z.strictObject({
      prefix: z.string().max(500).optional().describe('only names that begin with this'),
      after: z.string().max(500).optional().describe('only names after this one'),
      limit: z.number().int().min(1).max(1_000).default(100).describe('most files to list'),
    }),
    result: z.strictObject({
      files: z.array(StoredFileView),
      hasMore: z.boolean().describe('whether more follow: pass the last name as `after`'),
      usage: z.strictObject({
        files: count.describe('names'),
        contents: count.describe('contents: the same one is stored once'),
        storedBytes: count.describe('bytes of the disk'),
        maxFiles: count,
        maxBytes: count,
        damaged: count.describe('contents found to be damaged since the start'),
      }),
    }),
    capability: 'blobs.read',
    errors: [...storeErrors, 'NZ_STORAGE_BUSY'],
  },
  filesRemove: {
    method: 'POST',
    path: '/files/remove',
    kind: 'call',
    summary: 'Remove a stored file; its content goes when no other name has it',
    command: ['files', 'rm'],
    positional: ['name'],
    schemaName: 'nz.fileRemoved/1',
    params: z.strictObject({ name }),
    result: file,
    capability: 'blobs.write',
    errors: [...writeErrors, ...nameErrors],
  },
  filesCollect: {
    method: 'POST',
    path: '/files/gc',
    kind: 'call',
    summary: 'Remove contents that no name has, and what crashes have left',
    command: ['files', 'gc'],
    schemaName: 'nz.filesCollected/1',
    params: z.strictObject({
      dryRun: z.boolean().default(false).describe('only say what would be removed'),
      damaged: z.boolean().default(false).describe('also remove damaged parts that were set aside'),
    }),
    result: z.strictObject({
      isDryRun: z.boolean(),
      contents: count.describe('contents without a name'),
      contentIds: z.array(z.string()).describe('their ids, at most 100; read one: nzcore files get sha256:<id>'),
      diskFiles: count.describe('files of the disk'),
    }),
    capability: 'blobs.write',
    errors: [...writeErrors, 'NZ_FILES_DISK_FAILED'],
  },
  filesVerify: {
    method: 'GET',
    path: '/files/verify',
    kind: 'stream',
    summary: 'Read and prove the content of one stored file, or of all; what is damaged is set aside',
    command: ['files', 'verify'],
    positional: ['name'],
    schemaName: 'nz.filesVerifyProgress/1',
    params: z.strictObject({ name: nameOrContent.optional() }),
    result: z.strictObject({
      isDone: z.boolean().describe('whether all were read; the last item'),
      files: count.describe('names so far'),
      bytes: count.describe('bytes of those'),
      damaged: z.array(DamagedFileView).describe('damaged ones since the item before'),
    }),
    capability: 'blobs.read',
    errors: [...storeErrors, ...nameErrors, 'NZ_STORAGE_BUSY', 'NZ_FILES_DISK_FAILED'],
  },
  filesWatch: {
    method: 'GET',
    path: '/files/watch',
    kind: 'stream',
    summary: 'Follow what is put and removed',
    command: ['files', 'watch'],
    schemaName: 'nz.fileChange/1',
    params: z.strictObject({
      after: count.optional().describe('cursor of the last change that was read; default: from now on'),
    }),
    result: z.strictObject({
      kind: z.enum(['put', 'delete', 'gap']).describe('gap: changes are no longer known; list anew'),
      cursor: z.number().int().describe('place among the changes: pass it as `after` to go on from here'),
      name: z.string().nullable().describe('null for a gap'),
    }),
    resume: { cursor: 'cursor', param: 'after' },
    capability: 'blobs.read',
    errors: storeErrors,
  },
})
