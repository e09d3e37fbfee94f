/** The kernel's Logger: pino over one safe record, kept in memory and, veiled, written as one line of JSON. */
import { dirname } from 'node:path'
import { pino } from 'pino'
import { safeFields } from './fields.ts'
import { isAtLeast, RecordRing } from './record-ring.ts'
import { RotatingFile } from './rotating-file.ts'
import { Veil } from './veil.ts'
import type { RotatingFileInit } from './rotating-file.ts'
import type { LogLevel, LogRecord, LogsService } from './service.ts'
import type { Clock, Logger } from '../../kernel/index.ts'

export const LOG_FILE_NAME = 'nzcore.log'
export const MAX_RECENT_RECORDS = 2_000
export const MAX_RECENT_BYTES = 1_048_576

export interface JournalInit {
  readonly level: LogLevel
  readonly clock: Pick<Clock, 'nowMs'>
  /** Absent: nothing is written to disk. */
  readonly file?: RotatingFileInit
  /** Sees every record that is kept; for a terminal in the foreground. */
  readonly mirror?: (record: LogRecord) => void
}

export interface Journal extends LogsService, Logger {
  /** Records after it are kept in memory only, unless another is logged: then the file is opened again. */
  close(): void
}

export function createJournal({ level, clock, file, mirror }: JournalInit): Journal {
  const ring = new RecordRing({ maxRecords: MAX_RECENT_RECORDS, maxBytes: MAX_RECENT_BYTES })
  const output = file === undefined ? null : new RotatingFile(file)
  const veil = file === undefined ? null : new Veil(dirname(file.dir))
  let line = ''
  const logger = pino(
    {
      base: null,
      level: 'debug',
      timestamp: false,
      messageKey: 'event',
      formatters: { level: (label) => ({ level: label }) },
    },
    { write: (text: string) => void (line = text) },
  )
  let current = level

  const log = (at: LogLevel, event: string, fields: object = {}): void => {
    if (!isAtLeast(at, current)) return
    const record: LogRecord = { id: ring.nextId, atMs: clock.nowMs(), level: at, event, fields: safeFields(fields) }
    const fieldsOnDisk = veil?.fields(record.fields) ?? record.fields
    logger[at]({ time: new Date(record.atMs).toISOString(), fields: fieldsOnDisk }, event)
    ring.add(record, line.length)
    output?.write(line)
    mirror?.(record)
  }
  return {
    get level() {
      return current
    },
    set level(next) {
      current = next
    },
    get unwritten() {
      return output?.unwritten ?? 0
    },
    recent: (options) => ring.recent(options),
    follow: (options) => ring.follow(options),
    close: () => output?.close(),
    debug: (event, fields) => log('debug', event, fields),
    info: (event, fields) => log('info', event, fields),
    warn: (event, fields) => log('warn', event, fields),
    error: (event, fields) => log('error', event, fields),
  }
}
