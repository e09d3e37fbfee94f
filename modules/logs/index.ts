/**
 * The node's log. The journal itself is made by the composition before the kernel, so that nothing is lost; this module
 * gives it its level from the configuration and tells when records cannot be written.
 */
import { z } from 'zod'
import { defineModule } from '../../kernel/index.ts'
import { logLevels, logsErrors, LogsService } from './service.ts'

export { createJournal, LOG_FILE_NAME } from './journal.ts'
export type { Journal, JournalInit } from './journal.ts'

export const logsConfig = z.strictObject({
  level: z.enum(logLevels).default('info').describe('least severe records that are kept and written'),
  maxFileBytes: z
    .number()
    .int()
    .min(65_536)
    .max(1_073_741_824)
    .default(8_388_608)
    .describe('size at which the log file is set aside')
    .meta({ unit: 'bytes' }),
  maxFiles: z.number().int().min(2).max(100).default(4).describe('log files that are kept, the current one included'),
})

export type LogsConfig = z.infer<typeof logsConfig>

export default defineModule({
  name: 'logs',
  config: logsConfig,
  requires: { logs: LogsService },
  provides: {},
  emits: {},
  capabilities: [],
  restart: 'permanent',

  setup(_context, { logs }, { level }) {
    logs.level = level
    let seenUnwritten = 0
    return {
      services: {},
      async health() {
        const { unwritten } = logs
        const isLosing = unwritten > seenUnwritten
        seenUnwritten = unwritten
        if (!isLosing) return { state: 'healthy' }
        const { code, message } = logsErrors.NZ_LOGS_UNWRITABLE()
        return { state: 'degraded', code, why: message }
      },
      async reload(config) {
        logs.level = logsConfig.parse(config).level
      },
    }
  },
})
