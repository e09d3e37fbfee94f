/** The event bus of the node, written to a log. What it cannot take in time is counted and told in the log. */
import { backoffDelayMs, sleep } from '../../kernel/index.ts'
import { MAX_PAYLOAD_BYTES } from '../../protocols/eventlog/entry.ts'
import type { Clock, EventBus, EventGap, EventRecord, Logger } from '../../kernel/index.ts'
import type { RecorderStatus } from './service.ts'
import type { NewEntry } from './tail-writer.ts'

/** Events that wait for the disk; behind them it is the bus that drops, and says how many. */
export const MAX_PENDING = 1_024
const MAX_BATCH = 256
const RETRIES = { firstDelayMs: 1_000, maxDelayMs: 30_000, jitter: 0 }

export interface RecorderServices {
  readonly events: Pick<EventBus, 'timeline'>
  readonly clock: Clock
  readonly log: Logger
  /** Durable when it resolves. */
  readonly write: (entries: readonly NewEntry[]) => Promise<unknown>
}

export interface RecorderOptions {
  readonly log: string
  /** Exact names or scopes; empty: all. */
  readonly names: readonly string[]
}

export class Recorder {
  readonly #services: RecorderServices
  readonly #options: RecorderOptions
  readonly #stopping = new AbortController()
  readonly #pending: NewEntry[] = []
  #wake = (): void => {}
  #room = (): void => {}
  #tried = (): void => {}
  #recorded = 0
  #dropped = 0
  #isOn = false
  #work: Promise<unknown> = Promise.resolve()

  constructor(services: RecorderServices, options: RecorderOptions) {
    this.#services = services
    this.#options = options
  }

  status(): RecorderStatus {
    const { log } = this.#options
    return { isOn: this.#isOn, log, recorded: this.#recorded, dropped: this.#dropped, waiting: this.#pending.length }
  }

  /**
   * Records what has happened since the process started, as far as the bus remembers it, and goes on. Resolves when the
   * first of it is on disk, or when the disk has refused it.
   */
  async start(): Promise<void> {
    const { names } = this.#options
    this.#isOn = true
    this.#pending.push(statement({ recording: 'started', names: names.length === 0 ? null : [...names] }))
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#tried = resolve
    this.#work = Promise.all([this.#take(), this.#put()])
    await promise
  }

  /** Writes what waits, once more, and ends. */
  async stop(): Promise<void> {
    if (!this.#isOn) return
    this.#isOn = false
    this.#pending.push(statement({ recording: 'stopped', recorded: this.#recorded, dropped: this.#dropped }))
    this.#stopping.abort()
    this.#wake()
    this.#room()
    await this.#work
  }

  async #take(): Promise<void> {
    const { names } = this.#options
    const { signal } = this.#stopping
    const wanted = names.length === 0 ? {} : { names }
    for await (const item of this.#services.events.timeline({ signal, afterId: 0, ...wanted })) {
      while (this.#pending.length >= MAX_PENDING && !signal.aborted) {
        await new Promise<void>((resolve) => (this.#room = resolve))
      }
      if (signal.aborted) return
      this.#pending.push(this.#entryOf(item))
      this.#wake()
    }
  }

  #entryOf(item: EventRecord | EventGap): NewEntry {
    if (!('missed' in item)) return eventEntry(item)
    this.#dropped += item.missed
    this.#services.log.warn('eventlog.eventsDropped', { missed: item.missed })
    return statement({ dropped: item.missed })
  }

  async #put(): Promise<void> {
    const { signal } = this.#stopping
    let failures = 0
    for (;;) {
      if (this.#pending.length === 0) {
        if (signal.aborted) return
        await new Promise<void>((resolve) => (this.#wake = resolve))
        continue
      }
      const batch = this.#pending.slice(0, MAX_BATCH)
      try {
        await this.#services.write(batch)
      } catch (error) {
        failures += 1
        this.#tried()
        if (failures === 1) this.#services.log.warn('eventlog.recordingWaits', { error })
        if (signal.aborted) return
        await this.#pause(failures)
        continue
      }
      this.#tried()
      failures = 0
      this.#pending.splice(0, batch.length)
      this.#recorded += batch.filter(({ kind }) => kind === 'event').length
      this.#room()
    }
  }

  async #pause(failures: number): Promise<void> {
    const delayMs = backoffDelayMs(failures, RETRIES, { unit: () => 0 })
    // Who stops is not to wait; the loop sees it.
    await sleep(this.#services.clock, delayMs, this.#stopping).catch(() => undefined)
  }
}

function statement(said: object): NewEntry {
  return { kind: 'statement', payload: Buffer.from(JSON.stringify(said), 'utf8') }
}

function eventEntry({ id, atMs, name, payload }: EventRecord): NewEntry {
  const written = Buffer.from(JSON.stringify({ id, atMs, name, payload }, plain), 'utf8')
  if (written.byteLength <= MAX_PAYLOAD_BYTES) return { kind: 'event', payload: written }
  const cut = { id, atMs, name, payload: null, tooLargeBytes: written.byteLength }
  return { kind: 'event', payload: Buffer.from(JSON.stringify(cut), 'utf8') }
}

function plain(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value
}
