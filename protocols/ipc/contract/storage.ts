/** Local API: the owner's own records (`kv`), and the store they and all modules keep theirs in. */
import { z } from 'zod'
import { defineContract } from '../endpoint.ts'

const key = z.string().min(1).max(512).describe('key of the record: 1 to 512 bytes of text')
const encoding = z.enum(['text', 'base64'])
const storeErrors = ['NZ_STORAGE_DAMAGED', 'NZ_STORAGE_UNAVAILABLE', 'NZ_STORAGE_NEWER'] as const
const writeErrors = [...storeErrors, 'NZ_STORAGE_READ_ONLY', 'NZ_STORAGE_BUSY', 'NZ_STORAGE_KEY_INVALID'] as const

export const RecordView = z.strictObject({
  key: z.string(),
  value: z.string(),
  encoding: encoding.describe('`base64` when the value is not UTF-8 text'),
})

const count = z.number().int().min(0)

export const StorageView = z.strictObject({
  state: z
    .enum(['open', 'rotating', 'readOnly', 'safe', 'closed'])
    .describe('readOnly: the disk takes no changes; safe: what is damaged is locked away, the rest works'),
  code: z.string().nullable().describe('why it is not open'),
  why: z.string().nullable(),
  records: count,
  bytes: count.describe('bytes of keys and values'),
  generation: count.describe('how often the keys were changed, from 1'),
  toRotate: count.describe('records that wait for the change of keys'),
  sequence: count.describe('number of the last acknowledged change'),
  quarantined: count.describe('parts that repairs have set aside'),
  namespaces: z.array(
    z.strictObject({
      name: z.string(),
      version: count.describe('of the form its records have'),
      records: count,
      bytes: count,
      isDamaged: z.boolean(),
    }),
  ),
})

export const storageContract = defineContract({
  kvGet: {
    method: 'GET',
    path: '/kv/get',
    kind: 'call',
    summary: 'Show a record of your own',
    command: ['kv', 'get'],
    positional: ['key'],
    schemaName: 'nz.record/1',
    params: z.strictObject({ key }),
    result: z.strictObject({ record: RecordView }),
    capability: 'kv.read',
    errors: [...storeErrors, 'NZ_STORAGE_KEY_INVALID', 'NZ_STORAGE_NOT_FOUND'],
  },
  kvPut: {
    method: 'POST',
    path: '/kv/put',
    kind: 'call',
    summary: 'Keep a record of your own, encrypted and durable',
    command: ['kv', 'put'],
    positional: ['key', 'value'],
    schemaName: 'nz.recordKept/1',
    params: z.strictObject({
      key,
      value: z.string().max(1_000_000).describe('the value'),
      encoding: encoding.default('text').describe('how the value is written here'),
      ttlMs: z
        .number()
        .int()
        .min(1)
        .optional()
        .describe('how long the record lives, in milliseconds; default: for ever'),
    }),
    result: z.strictObject({ key: z.string(), bytes: count.describe('bytes of the value') }),
    capability: 'kv.write',
    errors: [...writeErrors, 'NZ_STORAGE_QUOTA', 'NZ_STORAGE_VALUE_TOO_LARGE'],
  },
  kvDelete: {
    method: 'POST',
    path: '/kv/delete',
    kind: 'call',
    summary: 'Delete a record of your own',
    command: ['kv', 'delete'],
    positional: ['key'],
    schemaName: 'nz.recordDeleted/1',
    params: z.strictObject({ key }),
    result: z.strictObject({ key: z.string(), existed: z.boolean() }),
    capability: 'kv.write',
    errors: writeErrors,
  },
  kvList: {
    method: 'GET',
    path: '/kv',
    kind: 'call',
    summary: 'List your own records in order of key',
    command: ['kv', 'list'],
    positional: ['prefix'],
    schemaName: 'nz.records/1',
    params: z.strictObject({
      prefix: z.string().max(512).optional().describe('only keys that begin with this'),
      after: z.string().max(512).optional().describe('only keys after this one'),
      limit: z.number().int().min(1).max(1_000).default(100).describe('most records to list'),
    }),
    result: z.strictObject({
      records: z.array(z.strictObject({ key: z.string(), bytes: count.describe('bytes of the value') })),
      hasMore: z.boolean().describe('whether more follow: pass the last key as `after`'),
    }),
    capability: 'kv.read',
    errors: [...storeErrors, 'NZ_STORAGE_BUSY'],
  },
  kvWatch: {
    method: 'GET',
    path: '/kv/watch',
    kind: 'stream',
    summary: 'Follow the changes of your own records',
    command: ['kv', 'watch'],
    schemaName: 'nz.recordChange/1',
    params: z.strictObject({
      after: z
        .number()
        .int()
        .min(0)
        .optional()
        .describe('cursor of the last change that was read; default: from now on'),
    }),
    result: z.strictObject({
      kind: z.enum(['put', 'delete', 'gap']).describe('gap: changes are no longer known; list anew'),
      cursor: z.number().int().describe('place among the changes: pass it as `after` to go on from here'),
      key: z.string().nullable().describe('null for a gap'),
    }),
    resume: { cursor: 'cursor', param: 'after' },
    capability: 'kv.read',
    errors: storeErrors,
  },
  storageStatus: {
    method: 'GET',
    path: '/storage',
    kind: 'call',
    summary: 'Show how the encrypted store is',
    command: ['storage', 'status'],
    schemaName: 'nz.storage/1',
    params: z.strictObject({}),
    result: z.strictObject({ storage: StorageView }),
    capability: 'storage.read',
    errors: [],
  },
  storageCheck: {
    method: 'POST',
    path: '/storage/check',
    kind: 'call',
    summary: 'Read every stored record and prove it; changes nothing',
    command: ['storage', 'check'],
    schemaName: 'nz.storageCheck/1',
    params: z.strictObject({}),
    result: z.strictObject({
      isIntact: z.boolean(),
      records: count.describe('records that prove themselves'),
      unreadable: count.describe('parts on disk that prove nothing; harmless unless a namespace is damaged'),
      damaged: z.array(z.string()).describe('namespaces that are not what was acknowledged'),
    }),
    capability: 'storage.read',
    errors: ['NZ_STORAGE_UNAVAILABLE'],
  },
  storageRotate: {
    method: 'POST',
    path: '/storage/rotate',
    kind: 'call',
    summary: 'Seal every stored record under fresh keys, while the node runs',
    command: ['storage', 'rotate'],
    schemaName: 'nz.storage/1',
    params: z.strictObject({}),
    result: z.strictObject({ storage: StorageView }),
    capability: 'storage.write',
    errors: [...storeErrors, 'NZ_STORAGE_READ_ONLY'],
  },
  storageGc: {
    method: 'POST',
    path: '/storage/gc',
    kind: 'call',
    summary: 'Give room back: deleted records leave the files of the store',
    command: ['storage', 'gc'],
    schemaName: 'nz.storageGc/1',
    params: z.strictObject({
      quarantined: z
        .number()
        .int()
        .min(0)
        .max(36_500)
        .optional()
        .describe('also remove what repairs have set aside at least this many days ago; 0: all of it'),
    }),
    result: z.strictObject({
      expired: count.describe('records whose time was over'),
      removed: count.describe('parts that repairs had set aside'),
      bytesBefore: count.describe("bytes of the store's files before"),
      bytesAfter: count.describe('and after'),
      snapshots: count.describe('snapshots that are open: what they can read could not leave'),
    }),
    capability: 'storage.write',
    errors: ['NZ_STORAGE_DAMAGED', 'NZ_STORAGE_UNAVAILABLE', 'NZ_STORAGE_READ_ONLY'],
  },
  storageRepair: {
    method: 'POST',
    path: '/storage/repair',
    kind: 'call',
    summary: 'End safe mode: keep what proves itself, set the rest aside',
    command: ['storage', 'repair'],
    schemaName: 'nz.storageRepair/1',
    params: z.strictObject({}),
    result: z.strictObject({
      kept: count.describe('records that were kept'),
      setAside: count.describe('parts that were set aside'),
      reopened: z.array(z.string()).describe('namespaces that were damaged'),
    }),
    capability: 'storage.write',
    errors: ['NZ_STORAGE_DAMAGED', 'NZ_STORAGE_UNAVAILABLE', 'NZ_STORAGE_READ_ONLY'],
  },
})
