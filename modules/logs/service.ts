/** What others may know of `logs`: the recent records of this process, and the level that is written. */
import { defineErrors, defineService } from '../../kernel/index.ts'

/** Least to most severe. */
export const logLevels = ['debug', 'info', 'warn', 'error'] as const
export type LogLevel = (typeof logLevels)[number]

/** One record; fields are JSON values without secrets. */
export interface LogRecord {
  /** 1 for the first record since the process started, then one more for each. */
  readonly id: number
  readonly atMs: number
  readonly level: LogLevel
  /** `network.peerConnected` */
  readonly event: string
  readonly fields: Readonly<Record<string, unknown>>
}

/** What a reader gets instead of records that the bounded memory no longer holds. */
export interface LogGap {
  readonly missed: number
  readonly untilId: number
}

export interface LogsService {
  /** Records below it are neither kept nor written. */
  level: LogLevel
  /** The newest `limit` records of at least `level`, oldest first. */
  recent(options: { readonly limit: number; readonly level?: LogLevel }): readonly LogRecord[]
  /** Records after `afterId` (default: from now), in order, until `signal` aborts. */
  follow(options: {
    readonly signal: AbortSignal
    readonly afterId?: number
    readonly level?: LogLevel
  }): AsyncIterable<LogRecord | LogGap>
  /** Records that could not be written to the file since the process started. */
  readonly unwritten: number
}

export const LogsService = defineService<LogsService>('logs')

export const logsErrors = defineErrors({
  NZ_LOGS_UNWRITABLE: {
    message: 'log records cannot be written to the log file',
    fix: ['free disk space or correct the permissions of data.path', 'nzcore doctor'],
    status: 507,
    exit: 'failed',
    retryable: true,
  },
})
