/** All logs of a profile by name: made with their first entry, opened with the node. spec/NZ-LOG-01.md. */
import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { isNzError, syncFolder } from '../../kernel/index.ts'
import { isLogName, MAX_PAYLOAD_BYTES, hexOf } from '../../protocols/eventlog/entry.ts'
import { LogBackup } from './backup-part.ts'
import { exportLog } from './export.ts'
import { readHead } from './head-file.ts'
import { Log } from './log.ts'
import { readLog, tailLog } from './reading.ts'
import { listSegments } from './segment-file.ts'
import { eventLogErrors, eventLogEvents } from './service.ts'
import { proveLog } from './verify.ts'
import { SegmentDamage, walkSegment } from './walk.ts'
import type { EventBus } from '../../kernel/index.ts'
import type { BackupPart } from '../../protocols/backup/part.ts'
import type { ExportLine } from '../../protocols/eventlog/export.ts'
import type { LogWitness } from '../../protocols/eventlog/frame.ts'
import type { Signer } from './export.ts'
import type { LogLimits, LogServices } from './log.ts'
import type {
  Appended,
  EventLogService,
  LogItem,
  LogProof,
  LogRepair,
  LogStatus,
  ReadOptions,
  RecorderStatus,
  Retention,
  Trimmed,
  VerifyOptions,
} from './service.ts'
import type { NewEntry } from './tail-writer.ts'
import type { WitnessNotes } from './witness.ts'

export const MAX_LOGS = 64
/** What one call appends at most. */
export const MAX_APPEND_ENTRIES = 1_024
const MAX_APPEND_BYTES = 4_194_304

export interface EventLogsServices extends Omit<LogServices, 'onTrouble' | 'note' | 'noted'> {
  readonly notes: WitnessNotes
  /** Signs exports. */
  readonly signer: Signer
  readonly events: Pick<EventBus, 'emit'>
}

export class EventLogs implements EventLogService {
  readonly #dir: string
  readonly #services: EventLogsServices
  readonly #limits: LogLimits
  readonly #logs = new Map<string, Log>()
  readonly #making = new Map<string, Promise<Log>>()
  readonly backup: BackupPart = new LogBackup(this)
  #recorder: { status(): RecorderStatus } | null = null

  constructor(dir: string, services: EventLogsServices, limits: LogLimits) {
    this.#dir = dir
    this.#services = services
    this.#limits = limits
  }

  /** Opens every log. Never throws for a log that is damaged: that is its status. */
  async open(): Promise<void> {
    const names = new Set<string>()
    try {
      await mkdir(this.#dir, { recursive: true, mode: 0o700 })
      await syncFolder(join(this.#dir, '..'))
      for (const folder of await readdir(this.#dir)) {
        const name = await this.#nameIn(folder)
        if (name === null) this.#services.log.warn('eventlog.unknownFolder', { folder })
        else names.add(name)
      }
      for (const name of (await this.#services.notes.all()).keys()) if (isLogName(name)) names.add(name)
    } catch (error) {
      this.#services.log.error('eventlog.notListed', { error })
    }
    for (const name of [...names].slice(0, MAX_LOGS)) {
      const log = this.#log(name)
      if (await log.open()) this.#logs.set(name, log)
    }
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.#making.values())
    await Promise.all([...this.#logs.values()].map(async (log) => await log.close()))
  }

  async append(name: string, payloads: readonly Uint8Array[]): Promise<Appended> {
    // Copies: the caller may reuse its buffers before the entries are sealed.
    return await this.write(
      name,
      payloads.map((payload) => ({ kind: 'entry', payload: Uint8Array.from(payload) })),
    )
  }

  /** As `append`, for entries of every kind. */
  async write(name: string, entries: readonly NewEntry[]): Promise<Appended> {
    const bytes = entries.reduce((sum, { payload }) => sum + payload.byteLength, 0)
    const isTooMuch = entries.length > MAX_APPEND_ENTRIES || bytes > MAX_APPEND_BYTES || entries.length === 0
    if (isTooMuch || entries.some(({ payload }) => payload.byteLength > MAX_PAYLOAD_BYTES)) {
      throw eventLogErrors.NZ_LOG_TOO_LARGE({ data: { entries: entries.length, bytes } })
    }
    return await (await this.#logToWrite(name)).append(entries)
  }

  get recorder(): RecorderStatus {
    return this.#recorder?.status() ?? { isOn: false, log: '', recorded: 0, dropped: 0, waiting: 0 }
  }

  /** Whose status `recorder` tells. */
  attach(recorder: { status(): RecorderStatus }): void {
    this.#recorder = recorder
  }

  read(name: string, options: ReadOptions): AsyncIterable<LogItem> {
    return readLog(this.existing(name), options)
  }

  tail(name: string, options: ReadOptions): AsyncIterable<LogItem> {
    return tailLog(this.existing(name), options)
  }

  export(name: string, options: ReadOptions): AsyncIterable<ExportLine> {
    return exportLog(this.existing(name), this.#services, options)
  }

  async verify(name: string, options: VerifyOptions): Promise<LogProof> {
    return await proveLog(this.existing(name), await this.#noted(name), options)
  }

  async rotate(name: string): Promise<LogStatus> {
    const log = this.existing(name)
    await log.rotate()
    return log.status()
  }

  async trim(name: string, keep: Retention): Promise<Trimmed> {
    const log = this.existing(name)
    const number = await this.#oldestKept(log, keep)
    const gone = log.segments.filter((segment) => segment.number < number)
    const kept = log.segments.find((segment) => segment.number === number)
    const first = kept?.first ?? log.status().first
    if (gone.length === 0) return { segments: 0, first }
    const statement = { trimmed: { from: log.status().first, to: first - 1 } }
    await log.append([{ kind: 'statement', payload: Buffer.from(JSON.stringify(statement)) }])
    await log.dropBefore(number)
    const trimmed = { segments: gone.length, first }
    this.#services.events.emit(eventLogEvents.trimmed, { log: name, ...trimmed })
    return trimmed
  }

  async repair(name: string): Promise<LogRepair> {
    const log = this.existing(name)
    const repaired = await log.repair()
    const { setAside, lost } = repaired
    if (setAside > 0 || lost.length > 0) {
      await log.append([{ kind: 'statement', payload: Buffer.from(JSON.stringify({ repaired })) }])
    }
    this.#services.log.warn('eventlog.repaired', { name, ...repaired })
    this.#services.events.emit(eventLogEvents.repaired, { log: name, setAside, lost: lost.length })
    return repaired
  }

  status(name: string): LogStatus {
    return this.existing(name).status()
  }

  list(): readonly LogStatus[] {
    return [...this.#logs.values()].map((log) => log.status()).toSorted((a, b) => (a.name < b.name ? -1 : 1))
  }

  /** Notes outside of the logs how far each has come, where it has changed. */
  async keepWitnesses(): Promise<void> {
    for (const log of this.#logs.values()) await log.keepWitness()
  }

  /** @throws NZ_LOG_NOT_FOUND, NZ_LOG_NAME_INVALID */
  existing(name: string): Log {
    if (!isLogName(name)) throw eventLogErrors.NZ_LOG_NAME_INVALID()
    const log = this.#logs.get(name)
    if (log === undefined) throw eventLogErrors.NZ_LOG_NOT_FOUND({ data: { log: name } })
    return log
  }

  async #logToWrite(name: string): Promise<Log> {
    if (!isLogName(name)) throw eventLogErrors.NZ_LOG_NAME_INVALID()
    const known = this.#logs.get(name) ?? this.#making.get(name)
    if (known !== undefined) return await known
    if (this.#logs.size + this.#making.size >= MAX_LOGS) throw eventLogErrors.NZ_LOG_TOO_MANY()
    const making = this.#make(name).finally(() => this.#making.delete(name))
    this.#making.set(name, making)
    return await making
  }

  async #make(name: string): Promise<Log> {
    const log = this.#log(name)
    if (!(await log.open())) await log.create()
    this.#logs.set(name, log)
    return log
  }

  #log(name: string): Log {
    const { notes, events, ...services } = this.#services
    const logId = services.keys.logId(name)
    const place = { dir: join(this.#dir, hexOf(logId)), name, logId }
    return new Log(
      place,
      {
        ...services,
        note: async (head) => await notes.keep(head),
        noted: async (log) => await this.#noted(log),
        onTrouble: (log, trouble, why) => {
          if (trouble === 'readOnly') events.emit(eventLogEvents.readOnly, { log, why })
          else if (trouble === 'writable') events.emit(eventLogEvents.writable, { log })
          else events.emit(eventLogEvents.damaged, { log, segment: trouble.segment, from: trouble.from, why })
        },
      },
      this.#limits,
    )
  }

  /** What is noted of a log; `null` when nothing is, or when the store cannot tell now. */
  async #noted(name: string): Promise<LogWitness | null> {
    try {
      return await this.#services.notes.of(name)
    } catch (error) {
      if (!isNzError(error)) throw error
      this.#services.log.warn('eventlog.notCompared', { name, error })
      return null
    }
  }

  /** A log by this name that begins where `begin` says, for what a backup holds. Where there is one already: that. */
  async restored(name: string, begin: Parameters<Log['writer']['createAt']>[0]): Promise<Log> {
    const known = this.#logs.get(name)
    // A store that was restored before knows of a log that is not there yet.
    if (known !== undefined && (known.head !== null || known.segments.length > 0)) return known
    const log = known ?? this.#log(name)
    await log.restart(begin)
    this.#logs.set(name, log)
    return log
  }

  get logs(): Iterable<Log> {
    return this.#logs.values()
  }

  async #nameIn(folder: string): Promise<string | null> {
    try {
      return await this.#nameOf(folder)
    } catch (error) {
      this.#services.log.error('eventlog.folderUnreadable', { folder, error })
      return null
    }
  }

  /** The name of the log in a folder, as its head or the start of a segment says it. */
  async #nameOf(folder: string): Promise<string | null> {
    if (!/^[0-9a-f]{32}$/.test(folder)) return null
    const { keys } = this.#services
    const dir = join(this.#dir, folder)
    const logId = new Uint8Array(Buffer.from(folder, 'hex'))
    const { head } = await readHead(dir, { keys, logId })
    if (head !== null) return head.name
    for (const segment of await listSegments(dir)) {
      try {
        for await (const step of walkSegment({ keys, logId, segment })) {
          if (step.type === 'start') return step.start.name
          break
        }
      } catch (error) {
        if (!(error instanceof SegmentDamage)) throw error
        // Another segment may still tell.
      }
    }
    return null
  }

  /** The number of the oldest segment that `keep` lets stay; the one that is written stays always. */
  async #oldestKept(log: Log, { keepBytes, keepMs, before }: Retention): Promise<number> {
    const { segments } = log
    const oldestMs = keepMs === undefined ? null : this.#services.clock.nowMs() - keepMs
    let bytes = log.status().bytes
    for (const [at, segment] of segments.entries()) {
      const following = segments[at + 1]
      if (following === undefined) return segment.number
      const isOverSize = keepBytes !== undefined && bytes > keepBytes
      const isBefore = before !== undefined && following.first <= before
      const isOld = oldestMs !== null && ((await startedAtMs(log, following)) ?? oldestMs) < oldestMs
      if (!isOverSize && !isBefore && !isOld) return segment.number
      bytes -= segment.bytes
    }
    return 0
  }
}

/** When a segment was begun: everything in those before it is older. */
async function startedAtMs(log: Log, segment: Log['segments'][number]): Promise<number | null> {
  try {
    for await (const step of walkSegment({ ...log.place, segment })) {
      return step.type === 'start' ? step.start.atMs : null
    }
  } catch (error) {
    if (!(error instanceof SegmentDamage)) throw error
    // Damage is for `verify` to tell; such a segment is not deleted for its age.
  }
  return null
}
