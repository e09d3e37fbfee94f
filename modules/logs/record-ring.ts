/** The newest log records in memory, bounded by count and bytes, and readers that follow them. */
import { logLevels } from './service.ts'
import type { LogGap, LogLevel, LogRecord, LogsService } from './service.ts'

export interface RecordRingLimits {
  readonly maxRecords: number
  /** Of the records as JSON. */
  readonly maxBytes: number
}

export class RecordRing {
  readonly #limits: RecordRingLimits
  readonly #records: Array<{ readonly record: LogRecord; readonly bytes: number }> = []
  readonly #wakers = new Set<() => void>()
  #bytes = 0
  #lastId = 0

  constructor(limits: RecordRingLimits) {
    this.#limits = limits
  }

  get nextId(): number {
    return this.#lastId + 1
  }

  /** `bytes` is the size of the record as JSON. */
  add(record: LogRecord, bytes: number): void {
    this.#lastId = record.id
    this.#records.push({ record, bytes })
    this.#bytes += bytes
    while (this.#records.length > this.#limits.maxRecords || this.#bytes > this.#limits.maxBytes) {
      this.#bytes -= this.#records.shift()?.bytes ?? 0
    }
    for (const wake of this.#wakers) wake()
  }

  recent({ limit, level = 'debug' }: Parameters<LogsService['recent']>[0]): readonly LogRecord[] {
    return this.#records
      .filter(({ record }) => isAtLeast(record.level, level))
      .slice(-limit)
      .map(({ record }) => record)
  }

  async *follow({
    signal,
    afterId = this.#lastId,
    level = 'debug',
  }: Parameters<LogsService['follow']>[0]): AsyncGenerator<LogRecord | LogGap> {
    let cursor = afterId
    while (!signal.aborted) {
      const next = this.#records.find(({ record }) => record.id > cursor)?.record
      if (next === undefined) {
        await this.#nextRecord(signal)
        continue
      }
      if (next.id > cursor + 1) yield { missed: next.id - cursor - 1, untilId: next.id - 1 }
      cursor = next.id
      if (isAtLeast(next.level, level)) yield next
    }
  }

  async #nextRecord(signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#wakers.add(resolve)
    signal.addEventListener('abort', () => resolve(), { once: true })
    try {
      await promise
    } finally {
      this.#wakers.delete(resolve)
    }
  }
}

export function isAtLeast(level: LogLevel, least: LogLevel): boolean {
  return logLevels.indexOf(level) >= logLevels.indexOf(least)
}
