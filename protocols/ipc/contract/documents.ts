/** Local API: versioned documents (`docs`). spec/NZ-DOCUMENTS-01.md. */
import { z } from 'zod'
import { versionKinds } from '../../documents/kinds.ts'
import { defineContract } from '../endpoint.ts'

const document = z.string().min(1).max(256).describe('name of the document')
const versionName = z.string().min(4).max(64)
const count = z.number().int().min(0)
const encoding = z.enum(['text', 'base64'])
const content = z.string().max(700_000).describe('the content')
const writtenAs = encoding.default('text').describe('how the content is written here')
const storeErrors = ['NZ_STORAGE_DAMAGED', 'NZ_STORAGE_UNAVAILABLE'] as const
const readErrors = [...storeErrors, 'NZ_DOCS_NOT_FOUND', 'NZ_DOCS_NAME_INVALID', 'NZ_DOCS_DAMAGED'] as const
const writeErrors = [
  ...readErrors,
  'NZ_DOCS_CONFLICT',
  'NZ_DOCS_QUOTA',
  'NZ_DOCS_BUSY',
  'NZ_STORAGE_READ_ONLY',
  'NZ_STORAGE_QUOTA',
  'NZ_STORAGE_BUSY',
] as const

const facts = {
  id: z.string().describe('names the version: hash of what it says'),
  kind: z.enum(versionKinds).describe('delete: a tombstone'),
  time: count.describe('logical time: one more than the latest parent'),
  atMs: count.describe("the author's clock, milliseconds since 1970"),
  author: z.string().describe('peer id'),
  size: count.describe('bytes of the content'),
}
const HeadView = z.strictObject(facts)
const VersionView = z.strictObject({
  document: z.string(),
  ...facts,
  parents: z.array(z.string()),
  contentHash: z.string().describe('SHA-256 of the content'),
})
const DocumentView = z.strictObject({
  document: z.string(),
  heads: z.array(HeadView).describe('versions that nothing follows; more than one: the document is forked'),
  versions: count,
  forks: count.describe('versions that more than one version follows'),
  isForked: z.boolean(),
  isDeleted: z.boolean(),
})

export const documentsContract = defineContract({
  docsPut: {
    method: 'POST',
    path: '/docs/put',
    kind: 'call',
    summary: 'Add a version to a document',
    command: ['docs', 'put'],
    schemaName: 'nz.documentVersion/1',
    params: z.strictObject({
      document,
      content,
      encoding: writtenAs,
      parent: versionName
        .optional()
        .describe('the version it follows: an id or its beginning, or `head`; default: the document is new'),
      allowsFork: z.boolean().default(false).describe('record a fork when that version is no head any more'),
    }),
    result: z.strictObject({ version: VersionView }),
    capability: 'docs.write',
    errors: [...writeErrors, 'NZ_DOCS_FORKED', 'NZ_DOCS_TOO_LARGE'],
  },
  docsMerge: {
    method: 'POST',
    path: '/docs/merge',
    kind: 'call',
    summary: 'End a fork by a version that names all of its heads',
    command: ['docs', 'merge'],
    schemaName: 'nz.documentVersion/1',
    params: z.strictObject({
      document,
      content,
      encoding: writtenAs,
      parents: z.array(versionName).min(2).max(16).describe('the heads it brings together'),
    }),
    result: z.strictObject({ version: VersionView }),
    capability: 'docs.write',
    errors: [...writeErrors, 'NZ_DOCS_TOO_LARGE'],
  },
  docsDelete: {
    method: 'POST',
    path: '/docs/delete',
    kind: 'call',
    summary: 'Delete a document by a tombstone; its history stays',
    command: ['docs', 'rm'],
    positional: ['document'],
    schemaName: 'nz.documentVersion/1',
    params: z.strictObject({
      document,
      parent: versionName.default('head').describe('the version it follows: an id or its beginning, or `head`'),
    }),
    result: z.strictObject({ version: VersionView }),
    capability: 'docs.write',
    errors: [...writeErrors, 'NZ_DOCS_FORKED'],
  },
  docsGet: {
    method: 'GET',
    path: '/docs/get',
    kind: 'call',
    summary: 'Show a document, or one version of it',
    command: ['docs', 'get'],
    schemaName: 'nz.document/1',
    params: z.strictObject({
      document,
      version: versionName.optional().describe('an id or its beginning; default: the only head'),
    }),
    result: z.strictObject({
      version: VersionView,
      encoding: encoding.describe('`base64` when the content is not UTF-8 text'),
      content: z.string(),
    }),
    capability: 'docs.read',
    errors: [...readErrors, 'NZ_DOCS_FORKED', 'NZ_DOCS_PRUNED'],
  },
  docsHistory: {
    method: 'GET',
    path: '/docs/history',
    kind: 'call',
    summary: 'List the versions of a document, newest first',
    command: ['docs', 'history'],
    positional: ['document'],
    schemaName: 'nz.documentHistory/1',
    params: z.strictObject({
      document,
      limit: z.number().int().min(1).max(10_000).default(100).describe('most versions to list'),
    }),
    result: z.strictObject({
      versions: z.array(
        VersionView.extend({
          children: z.array(z.string()),
          isHead: z.boolean(),
          isPruned: z.boolean().describe('whether the content was dropped'),
        }),
      ),
    }),
    capability: 'docs.read',
    errors: readErrors,
  },
  docsHeads: {
    method: 'GET',
    path: '/docs/heads',
    kind: 'call',
    summary: 'Show the heads of a document',
    command: ['docs', 'heads'],
    positional: ['document'],
    schemaName: 'nz.documentHeads/1',
    params: z.strictObject({ document }),
    result: z.strictObject({ state: DocumentView }),
    capability: 'docs.read',
    errors: readErrors,
  },
  docsList: {
    method: 'GET',
    path: '/docs',
    kind: 'call',
    summary: 'List documents in order of name',
    command: ['docs', 'list'],
    positional: ['prefix'],
    schemaName: 'nz.documents/1',
    params: z.strictObject({
      prefix: z.string().max(256).optional().describe('only names that begin with this'),
      after: z.string().max(256).optional().describe('only names after this one'),
      limit: z.number().int().min(1).max(1_000).default(100).describe('most documents to list'),
      deleted: z.boolean().default(false).describe('deleted ones as well'),
    }),
    result: z.strictObject({
      documents: z.array(DocumentView),
      hasMore: z.boolean().describe('whether more follow: pass the last name as `after`'),
    }),
    capability: 'docs.read',
    errors: [...storeErrors, 'NZ_STORAGE_BUSY', 'NZ_DOCS_DAMAGED'],
  },
  docsPrune: {
    method: 'POST',
    path: '/docs/prune',
    kind: 'call',
    summary: 'Drop contents of old versions; their hashes and parents stay',
    command: ['docs', 'prune'],
    positional: ['document'],
    schemaName: 'nz.documentPruned/1',
    params: z.strictObject({
      document,
      keep: z.number().int().min(0).max(100_000).describe('how many contents to keep beside those of the heads'),
    }),
    result: z.strictObject({ pruned: count.describe('contents that were dropped'), bytes: count }),
    capability: 'docs.write',
    errors: writeErrors,
  },
})
