/** Local API: the node's log. */
import { z } from 'zod'
import { defineContract } from '../endpoint.ts'

export const LogLevelName = z.enum(['debug', 'info', 'warn', 'error'])

export const LogItem = z.strictObject({
  id: z.number().int().describe('1 for the first record of this run of the node, then one more for each'),
  atMs: z.number().describe('milliseconds since 1970'),
  level: LogLevelName,
  event: z.string().describe('area.fact, such as network.peerConnected'),
  fields: z.record(z.string(), z.unknown()).describe('facts, without secrets'),
})

const level = LogLevelName.default('debug').describe('least severe records to show')

export const logsContract = defineContract({
  logsRecent: {
    method: 'GET',
    path: '/logs',
    kind: 'call',
    summary: 'Show the newest records of the log',
    command: ['logs'],
    schemaName: 'nz.logs/1',
    params: z.strictObject({
      limit: z.number().int().min(1).max(2_000).default(50).describe('most records to show'),
      level,
    }),
    result: z.strictObject({ records: z.array(LogItem) }),
    capability: 'logs.read',
    errors: [],
  },
  logsFollow: {
    method: 'GET',
    path: '/logs/follow',
    kind: 'stream',
    summary: 'Follow the log',
    command: ['logs'],
    schemaName: 'nz.log/1',
    params: z.strictObject({
      afterId: z.number().int().min(0).optional().describe('go on behind this record; default: from now on'),
      level,
    }),
    result: z.discriminatedUnion('kind', [
      LogItem.extend({ kind: z.literal('record') }),
      z.strictObject({
        kind: z.literal('gap'),
        missed: z.number().int().describe('records that are no longer held'),
        untilId: z.number().int(),
      }),
    ]),
    capability: 'logs.read',
    errors: [],
  },
})
