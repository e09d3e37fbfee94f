/** Local API: append-only event logs that prove themselves (`log`). spec/NZ-LOG-01.md. */
import { z } from 'zod'
import { entryKinds } from '../../eventlog/names.ts'
import { ExportLine } from '../../eventlog/export-line.ts'
import { defineContract } from '../endpoint.ts'

const name = z
  .string()
  .min(1)
  .max(64)
  .describe('name of the log: a-z, 0-9, dot, dash, underscore; at most 64 characters')
const count = z.number().int().min(0)
const encoding = z.enum(['text', 'base64'])
const readErrors = ['NZ_LOG_NOT_FOUND', 'NZ_LOG_NAME_INVALID', 'NZ_LOG_DAMAGED', 'NZ_LOG_UNAVAILABLE'] as const
const writeErrors = [...readErrors, 'NZ_LOG_READ_ONLY', 'NZ_LOG_BUSY'] as const

const Damage = z.strictObject({
  segment: count.describe('number of the segment; 0: the log as a whole'),
  from: count.describe('first entry that cannot be proven'),
  to: count.nullable().describe('the last one; null when it is not known'),
  why: z.string(),
})

const Lost = z.strictObject({ from: count, to: count })

export const EventLogView = z.strictObject({
  name: z.string(),
  state: z
    .enum(['open', 'readOnly', 'damaged'])
    .describe('readOnly: the disk refused, the next append tries again; damaged: see damaged'),
  code: z.string().nullable(),
  why: z.string().nullable(),
  isAppendable: z.boolean(),
  first: count.describe('oldest entry that is kept'),
  last: count.describe('newest entry; below first when there is none'),
  hash: z.string().describe('hash of the newest entry, which stands for all before it'),
  segments: count,
  bytes: count.describe('bytes on disk'),
  damaged: z.array(Damage),
})

export const LogProofView = z.strictObject({
  type: z.literal('proof'),
  log: z.string(),
  isIntact: z.boolean(),
  entries: count.describe('entries that prove themselves'),
  first: count,
  last: count,
  hash: z.string(),
  damaged: z.array(Damage),
  lost: z.array(Lost).describe('entries that repairs have stated to be lost'),
  isWitnessed: z.boolean().describe('whether the note in the store could be compared'),
})

const cursor = count.describe('place in the log: pass it as `after` to go on from here')

const LogItem = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('entry'),
    cursor,
    sequence: count,
    atMs: count.describe('milliseconds since 1970'),
    kind: z.enum(entryKinds).describe('entry: of an application; event: of the node; statement: of the log itself'),
    encoding: encoding.describe('`base64` when the payload is not UTF-8 text'),
    payload: z.string(),
    hash: z.string(),
  }),
  z.strictObject({
    type: z.literal('gap'),
    cursor,
    from: count,
    to: count,
    reason: z.enum(['trimmed', 'lost']).describe('trimmed: deleted as old; lost: stated by a repair'),
  }),
])

const after = count.default(0).describe('only what comes after this entry')

export const eventLogContract = defineContract({
  logAppend: {
    method: 'POST',
    path: '/log/append',
    kind: 'call',
    summary: 'Append entries to an event log, durable when it answers',
    command: ['log', 'append'],
    schemaName: 'nz.logAppended/1',
    params: z.strictObject({
      log: name,
      entries: z.array(z.string().max(700_000)).min(1).max(1_000).describe('the payloads, in order'),
      encoding: encoding.default('text').describe('how the payloads are written here'),
    }),
    result: z.strictObject({
      log: z.string(),
      first: count.describe('sequence of the first of them'),
      last: count,
      hash: z.string().describe('hash of the last of them'),
    }),
    capability: 'log.write',
    errors: [...writeErrors, 'NZ_LOG_TOO_LARGE', 'NZ_LOG_QUOTA', 'NZ_LOG_TOO_MANY'],
  },
  logRead: {
    method: 'GET',
    path: '/log/read',
    kind: 'call',
    summary: 'Read entries of an event log, each proven',
    command: ['log', 'read'],
    positional: ['log'],
    schemaName: 'nz.logEntries/1',
    params: z.strictObject({
      log: name,
      after: count.optional().describe('only what comes after this entry; default: from the beginning'),
      last: z.number().int().min(1).max(1_000).optional().describe('only so many entries at the end of the log'),
      limit: z.number().int().min(1).max(1_000).default(100).describe('most entries to show'),
    }),
    result: z.strictObject({
      items: z.array(LogItem),
      hasMore: z.boolean().describe('whether more follow: pass the last cursor as `after`'),
      damage: z.string().nullable().describe('why the entries end here, when the log is damaged behind them'),
    }),
    capability: 'log.read',
    errors: readErrors,
  },
  logTail: {
    method: 'GET',
    path: '/log/tail',
    kind: 'stream',
    summary: 'Follow an event log',
    command: ['log', 'tail'],
    positional: ['log'],
    schemaName: 'nz.logItem/1',
    params: z.strictObject({
      log: name,
      after: count.optional().describe('go on behind this entry; default: from now on'),
    }),
    result: LogItem,
    resume: { cursor: 'cursor', param: 'after' },
    capability: 'log.read',
    errors: [...readErrors, 'NZ_LOG_BUSY'],
  },
  logVerify: {
    method: 'GET',
    path: '/log/verify',
    kind: 'stream',
    summary: 'Read an event log and prove every entry; changes nothing',
    command: ['log', 'verify'],
    schemaName: 'nz.logProof/1',
    params: z.strictObject({ log: name }),
    result: z.discriminatedUnion('type', [
      z.strictObject({ type: z.literal('progress'), entries: count }),
      LogProofView,
    ]),
    capability: 'log.read',
    errors: readErrors,
  },
  logExport: {
    method: 'GET',
    path: '/log/export',
    kind: 'stream',
    summary: 'Export an event log as lines of JSON that anybody can check, signed by this node',
    command: ['log', 'export'],
    schemaName: 'nz.logExport/1',
    params: z.strictObject({ log: name, after }),
    result: ExportLine,
    capability: 'log.read',
    errors: readErrors,
  },
  logRotate: {
    method: 'POST',
    path: '/log/rotate',
    kind: 'call',
    summary: 'End the file that an event log is written to, and begin another',
    command: ['log', 'rotate'],
    positional: ['log'],
    schemaName: 'nz.eventLog/1',
    params: z.strictObject({ log: name }),
    result: z.strictObject({ log: EventLogView }),
    capability: 'log.write',
    errors: writeErrors,
  },
  logTrim: {
    method: 'POST',
    path: '/log/trim',
    kind: 'call',
    summary: 'Delete whole old files of an event log; a statement stays in it',
    command: ['log', 'trim'],
    positional: ['log'],
    schemaName: 'nz.logTrimmed/1',
    params: z.strictObject({
      log: name,
      keepBytes: z.number().int().min(1).optional().describe('delete the oldest files above this size'),
      keepMs: z.number().int().min(1).optional().describe('delete files whose entries are all older, in milliseconds'),
      before: z.number().int().min(1).optional().describe('delete files that end before this entry'),
    }),
    result: z.strictObject({
      segments: count.describe('files that were deleted'),
      first: count.describe('oldest entry that is left'),
    }),
    capability: 'log.write',
    errors: writeErrors,
  },
  logRepair: {
    method: 'POST',
    path: '/log/repair',
    kind: 'call',
    summary: 'Set aside what is damaged of an event log, state what is lost, and go on',
    command: ['log', 'repair'],
    positional: ['log'],
    schemaName: 'nz.logRepair/1',
    params: z.strictObject({ log: name }),
    result: z.strictObject({
      setAside: count.describe('files of which a copy lies in the folder `damaged` of the log'),
      lost: z.array(Lost),
    }),
    capability: 'log.write',
    errors: writeErrors,
  },
  logList: {
    method: 'GET',
    path: '/log',
    kind: 'call',
    summary: 'List the event logs',
    command: ['log', 'list'],
    schemaName: 'nz.eventLogs/1',
    params: z.strictObject({}),
    result: z.strictObject({
      logs: z.array(EventLogView),
      recorder: z.strictObject({
        isOn: z.boolean().describe('whether events of the node are recorded: eventlog.record.enabled'),
        log: z.string(),
        recorded: count.describe('events since the node started'),
        dropped: count.describe('events that were too many for the disk'),
        waiting: count,
      }),
    }),
    capability: 'log.read',
    errors: [],
  },
  logStatus: {
    method: 'GET',
    path: '/log/status',
    kind: 'call',
    summary: 'Show how an event log is',
    command: ['log', 'status'],
    positional: ['log'],
    schemaName: 'nz.eventLog/1',
    params: z.strictObject({ log: name }),
    result: z.strictObject({ log: EventLogView }),
    capability: 'log.read',
    errors: readErrors,
  },
})
