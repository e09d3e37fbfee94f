/** The event bus at work: one queue per listener, one bounded history for readers of the timeline. */
import { frozenCopy } from './frozen-copy.ts'
import type { EventBus, EventBusStats, EventGap, EventRecord, EventToken } from './events.ts'

export interface EventBusInit {
  readonly onListenerError: (error: unknown, eventName: string) => void
  readonly nowMs?: () => number
  /** Events kept for replay; default 1 000. */
  readonly historyLimit?: number
  /** Events that may wait for one listener; default 1 024. */
  readonly queueLimit?: number
  /** Told when a listener's queue begins to lose events, once until it has caught up. */
  readonly onOverflow?: (eventName: string) => void
  /** Told of payloads that do not fit; throws where a programmer's mistake should be seen. */
  readonly onInvalidPayload?: (eventName: string, issues: readonly string[]) => void
}

type AnyListener = (payload: never, record: EventRecord) => void | Promise<void>

export function createEventBus(init: EventBusInit): EventBus {
  return new QueuedEventBus(init)
}

/** The bus as a module sees it: it may listen to everything and tell only what it says it `emits`. */
export function busOfModule(
  bus: EventBus,
  emits: readonly EventToken[],
  onUndeclared: (eventName: string) => void,
): EventBus {
  const names = new Set(emits.map(({ name }) => name))
  return {
    emit(event, payload) {
      if (!names.has(event.name)) onUndeclared(event.name)
      bus.emit(event, payload)
    },
    on: (event, listener, options) => bus.on(event, listener, options),
    timeline: (options) => bus.timeline(options),
    stats: () => bus.stats(),
  }
}

class QueuedEventBus implements EventBus {
  readonly #init: EventBusInit
  readonly #history: EventRecord[] = []
  readonly #historyLimit: number
  readonly #listeners = new Map<string, Set<ListenerQueue>>()
  readonly #wakers = new Set<() => void>()
  readonly #counts = { emitted: 0, dropped: 0, failures: 0, invalid: 0 }

  constructor(init: EventBusInit) {
    this.#init = init
    this.#historyLimit = init.historyLimit ?? 1_000
  }

  emit<Payload>(event: EventToken<string, Payload>, payload: Payload): void {
    const { name } = event
    const checked = this.#check(event, payload)
    const id = ++this.#counts.emitted
    const record = Object.freeze({ id, atMs: this.#init.nowMs?.() ?? 0, name, payload: frozenCopy(checked) })
    this.#history.push(record)
    if (this.#history.length > this.#historyLimit) this.#history.shift()
    for (const queue of this.#listeners.get(name) ?? []) queue.push(record)
    for (const wake of this.#wakers) wake()
  }

  on<Payload>(
    { name }: EventToken<string, Payload>,
    listener: (payload: Payload, record: EventRecord) => void | Promise<void>,
    { signal }: { readonly signal: AbortSignal },
  ): void {
    if (signal.aborted) return
    const queue = new ListenerQueue(listener as AnyListener, this.#init.queueLimit ?? 1_024, {
      failed: (error) => {
        this.#counts.failures += 1
        this.#init.onListenerError(error, name)
      },
      dropped: (isFirst) => {
        this.#counts.dropped += 1
        if (isFirst) this.#init.onOverflow?.(name)
      },
    })
    const queues = this.#listeners.get(name) ?? new Set()
    this.#listeners.set(name, queues.add(queue))
    const remove = (): void => {
      queue.close()
      queues.delete(queue)
    }
    signal.addEventListener('abort', remove, { once: true })
  }

  timeline({
    signal,
    afterId = this.#counts.emitted,
    endsNow = false,
    names,
  }: {
    readonly signal: AbortSignal
    readonly afterId?: number
    readonly endsNow?: boolean
    readonly names?: readonly string[]
  }): AsyncIterable<EventRecord | EventGap> {
    const isWanted = (name: string): boolean => names === undefined || names.some((wanted) => isWithin(name, wanted))
    const untilId = endsNow ? this.#counts.emitted : Number.POSITIVE_INFINITY
    return this.#read({ afterId: Math.min(afterId, this.#counts.emitted), untilId }, isWanted, signal)
  }

  async *#read(
    { afterId, untilId }: { readonly afterId: number; readonly untilId: number },
    isWanted: (name: string) => boolean,
    signal: AbortSignal,
  ): AsyncGenerator<EventRecord | EventGap, void, undefined> {
    let cursor = afterId
    let wake = (): void => {}
    const onWake = (): void => wake()
    this.#wakers.add(onWake)
    signal.addEventListener('abort', onWake, { once: true })
    try {
      while (!signal.aborted && cursor < untilId) {
        const woken = new Promise<void>((resolve) => (wake = resolve))
        const oldestId = this.#counts.emitted - this.#history.length + 1
        if (cursor + 1 < oldestId) {
          const gap = { missed: oldestId - 1 - cursor, untilId: oldestId - 1 }
          cursor = gap.untilId
          yield gap
          continue
        }
        const record = this.#history[cursor + 1 - oldestId]
        if (record === undefined) {
          await woken
          continue
        }
        cursor = record.id
        if (isWanted(record.name)) yield record
      }
    } finally {
      this.#wakers.delete(onWake)
      signal.removeEventListener('abort', onWake)
    }
  }

  stats(): EventBusStats {
    const queues = [...this.#listeners.values()].flatMap((set) => [...set])
    return { ...this.#counts, listeners: queues.length, queued: queues.reduce((sum, { size }) => sum + size, 0) }
  }

  /** What the schema makes of `payload`; the payload itself when it does not fit. */
  #check({ name, schema }: EventToken, payload: unknown): unknown {
    const result = schema['~standard'].validate(payload)
    if (result instanceof Promise) return payload
    if (result.issues === undefined) return result.value
    this.#counts.invalid += 1
    this.#init.onInvalidPayload?.(
      name,
      result.issues.map(({ message }) => message),
    )
    return payload
  }
}

interface QueueReports {
  readonly failed: (error: unknown) => void
  readonly dropped: (isFirst: boolean) => void
}

/** What one listener has still to be told. */
class ListenerQueue {
  readonly #listener: AnyListener
  readonly #limit: number
  readonly #reports: QueueReports
  #waiting: EventRecord[] = []
  #isPumping = false
  #isOverflowing = false
  #isClosed = false

  constructor(listener: AnyListener, limit: number, reports: QueueReports) {
    this.#listener = listener
    this.#limit = limit
    this.#reports = reports
  }

  get size(): number {
    return this.#waiting.length
  }

  push(record: EventRecord): void {
    this.#waiting.push(record)
    if (this.#waiting.length > this.#limit) {
      this.#waiting.shift()
      this.#reports.dropped(!this.#isOverflowing)
      this.#isOverflowing = true
    }
    if (this.#isPumping) return
    this.#isPumping = true
    queueMicrotask(() => void this.#pump())
  }

  close(): void {
    this.#isClosed = true
    this.#waiting = []
  }

  async #pump(): Promise<void> {
    for (let record = this.#waiting.shift(); record !== undefined && !this.#isClosed; record = this.#waiting.shift()) {
      try {
        await this.#listener(record.payload as never, record) // the token's schema says what the payload is
      } catch (error) {
        this.#reports.failed(error)
      }
    }
    this.#isPumping = false
    this.#isOverflowing = false
  }
}

function isWithin(eventName: string, nameOrScope: string): boolean {
  return eventName === nameOrScope || eventName.startsWith(`${nameOrScope}.`)
}
