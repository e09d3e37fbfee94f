/** What others may know of `eventlog`: append-only, hash-chained, encrypted logs. spec/NZ-LOG-01.md. */
import { z } from 'zod'
import { defineErrors, defineEvents, defineService } from '../../kernel/index.ts'
import type { BackupPart } from '../../protocols/backup/part.ts'
import type { EntryKind } from '../../protocols/eventlog/entry.ts'
import type { ExportLine } from '../../protocols/eventlog/export.ts'

export type { ProvenExport } from '../../protocols/eventlog/export.ts'

/** Every method that names a log throws NZ_LOG_NAME_INVALID for what cannot be a name. */
export interface EventLogService {
  /**
   * Adds entries at the end of a log, in this order, and makes the log when there is none. Durable when it resolves.
   *
   * @throws NZ_LOG_TOO_LARGE, NZ_LOG_QUOTA, NZ_LOG_BUSY, NZ_LOG_READ_ONLY, NZ_LOG_DAMAGED, NZ_LOG_TOO_MANY
   */
  append(log: string, payloads: readonly Uint8Array[]): Promise<Appended>
  /**
   * Entries after `after` in order, each proven. Entries that are no longer there are told as gaps.
   *
   * @throws NZ_LOG_NOT_FOUND; NZ_LOG_DAMAGED at the place where a log is damaged, after all entries before it
   */
  read(log: string, options: ReadOptions): AsyncIterable<LogItem>
  /** As `read`, then goes on with what is appended until `signal` aborts. @throws as `read`, NZ_LOG_BUSY */
  tail(log: string, options: ReadOptions): AsyncIterable<LogItem>
  /** Reads and proves every entry. Changes nothing. @throws NZ_LOG_NOT_FOUND */
  verify(log: string, options: VerifyOptions): Promise<LogProof>
  /** Ends the segment that is written and begins another. @throws NZ_LOG_NOT_FOUND, as `append` */
  rotate(log: string): Promise<LogStatus>
  /** Deletes whole old segments, leaving a statement in the log. The segment that is written stays. @throws as `rotate` */
  trim(log: string, keep: Retention): Promise<Trimmed>
  /**
   * Sets what is damaged aside (a copy stays in the log's folder), states which entries are lost, and lets the log go on.
   *
   * @throws NZ_LOG_NOT_FOUND, NZ_LOG_READ_ONLY
   */
  repair(log: string): Promise<LogRepair>
  /** What was acknowledged by now, as lines that anybody can check, signed by this node. NZ-LOG-01 §7. @throws as `read` */
  export(log: string, options: ReadOptions): AsyncIterable<ExportLine>
  /** @throws NZ_LOG_NOT_FOUND */
  status(log: string): LogStatus
  list(): readonly LogStatus[]
  readonly recorder: RecorderStatus
  readonly backup: BackupPart
}

export interface Appended {
  readonly first: number
  readonly last: number
  /** Hash of the last one. */
  readonly hash: Uint8Array
}

export interface ReadOptions {
  /** @default 0: from the beginning */
  readonly after?: number
  /** Ends after so many items; default: none. */
  readonly limit?: number
  readonly signal: AbortSignal
}

export type LogItem =
  | {
      readonly type: 'entry'
      readonly kind: EntryKind
      readonly sequence: number
      readonly atMs: number
      readonly payload: Uint8Array
      readonly previous: Uint8Array
      readonly hash: Uint8Array
    }
  | {
      readonly type: 'gap'
      readonly from: number
      readonly to: number
      /** `trimmed`: deleted by retention; `lost`: stated by a repair. */
      readonly reason: 'trimmed' | 'lost'
      /** What the entry after the gap has for its predecessor. */
      readonly previous: Uint8Array
    }

export interface VerifyOptions {
  readonly signal: AbortSignal
  /** Told now and then, with how many entries were proven so far. */
  readonly onProgress?: (entries: number) => void
}

export interface LogDamage {
  readonly segment: number
  /** Entries that cannot be proven; `to` is `null` when it is not known how far. */
  readonly from: number
  readonly to: number | null
  readonly why: string
}

export interface LogProof {
  readonly log: string
  readonly isIntact: boolean
  /** Entries that prove themselves. */
  readonly entries: number
  /** First and last entry that the log holds now; 0 when it is empty. */
  readonly first: number
  readonly last: number
  readonly hash: Uint8Array
  readonly damaged: readonly LogDamage[]
  /** Entries that a repair has stated to be lost. */
  readonly lost: readonly { readonly from: number; readonly to: number }[]
  /** Whether the note outside of the log could be compared. */
  readonly isWitnessed: boolean
}

/** What is kept; a segment goes when any of them says so. */
export interface Retention {
  readonly keepBytes?: number
  readonly keepMs?: number
  /** Entries before this one may go. */
  readonly before?: number
}

export interface Trimmed {
  readonly segments: number
  /** First entry that is left. */
  readonly first: number
}

export interface LogRepair {
  readonly setAside: number
  readonly lost: readonly { readonly from: number; readonly to: number }[]
}

export interface LogStatus {
  readonly name: string
  /** `readOnly`: the disk refused the last append, the next one tries again; `damaged`: see `damaged`. */
  readonly state: 'open' | 'readOnly' | 'damaged'
  readonly code: string | null
  readonly why: string | null
  /** Whether entries can be appended. */
  readonly isAppendable: boolean
  /** First and last entry; `last` below `first` when there is none. */
  readonly first: number
  readonly last: number
  readonly hash: Uint8Array
  readonly segments: number
  readonly bytes: number
  readonly damaged: readonly LogDamage[]
}

export interface RecorderStatus {
  readonly isOn: boolean
  readonly log: string
  /** Since the node started. */
  readonly recorded: number
  readonly dropped: number
  readonly waiting: number
}

export const EventLogService = defineService<EventLogService>('eventlog')

export const eventLogEvents = defineEvents('eventlog', {
  damaged: z.strictObject({ log: z.string(), segment: z.number().int(), from: z.number().int(), why: z.string() }),
  readOnly: z.strictObject({ log: z.string(), why: z.string() }),
  writable: z.strictObject({ log: z.string() }),
  repaired: z.strictObject({ log: z.string(), setAside: z.number().int(), lost: z.number().int() }),
  trimmed: z.strictObject({ log: z.string(), segments: z.number().int(), first: z.number().int() }),
})

export const eventLogErrors = defineErrors({
  NZ_LOG_DAMAGED: {
    message: 'an event log is damaged, cut or older than what was acknowledged',
    fix: ['nzcore log verify <log>', 'restore the state folder from a copy, or: nzcore log repair <log>'],
    status: 500,
    exit: 'damaged',
    retryable: false,
  },
  NZ_LOG_READ_ONLY: {
    message: 'the disk does not take entries',
    fix: ['free disk space or correct the disk; the next append tries again', 'nzcore log status <log>'],
    status: 507,
    exit: 'failed',
    retryable: true,
  },
  NZ_LOG_UNAVAILABLE: {
    message: 'the event log cannot be read or written now',
    fix: ['nzcore log status <log>', 'nzcore logs'],
    status: 503,
    exit: 'failed',
    retryable: true,
  },
  NZ_LOG_NOT_FOUND: {
    message: 'there is no such event log',
    fix: ['nzcore log list'],
    status: 404,
    exit: 'notFound',
    retryable: false,
  },
  NZ_LOG_NAME_INVALID: {
    message: 'this cannot be the name of an event log',
    fix: ['use 1 to 64 of a-z, 0-9, dot, dash and underscore, beginning with a letter or digit'],
    status: 400,
    exit: 'usage',
    retryable: false,
  },
  NZ_LOG_TOO_LARGE: {
    message: 'the entry is too large',
    fix: ['append at most 262,144 bytes an entry, 1,024 entries and 4,194,304 bytes at once'],
    status: 413,
    exit: 'usage',
    retryable: false,
  },
  NZ_LOG_QUOTA: {
    message: 'the event log has no room for more entries',
    fix: ['nzcore log trim <log> --keep-bytes <n>', 'nzcore config set eventlog.maxLogBytes <more>'],
    status: 507,
    exit: 'failed',
    retryable: false,
  },
  NZ_LOG_TOO_MANY: {
    message: 'there are as many event logs as there may be',
    fix: ['use one of: nzcore log list'],
    status: 507,
    exit: 'failed',
    retryable: false,
  },
  NZ_LOG_BUSY: {
    message: 'too much is asked of the event log at once',
    fix: ['wait, then try again'],
    status: 429,
    exit: 'failed',
    retryable: true,
  },
  NZ_LOG_EXPORT_INVALID: {
    message: 'the export of a log does not prove itself',
    fix: ['export it again: nzcore log export <log>'],
    status: 422,
    exit: 'damaged',
    retryable: false,
  },
})
