/**
 * The event bus: facts that have happened, told to whoever listens.
 *
 * One ordered timeline: every event gets the next id; listeners see events in the order of `emit`.
 * A listener cannot veto or answer; a question is a service call, not an event.
 */
import type { StandardSchemaV1 } from '@standard-schema/spec'

export interface EventToken<Name extends string = string, Payload = unknown> {
  readonly name: Name
  readonly schema: StandardSchemaV1<unknown, Payload>
}

type Schemas = Record<string, StandardSchemaV1>

export type EventTokens<Scope extends string, S extends Schemas> = {
  readonly [Key in keyof S & string]: EventToken<`${Scope}.${Key}`, StandardSchemaV1.InferOutput<S[Key]>>
}

/** `EventMapOf<typeof trustEvents>` is `{ 'trust.edgeAdded': EdgeAdded, … }`. */
export type EventMapOf<Tokens extends Record<string, EventToken>> = {
  [Key in keyof Tokens as Tokens[Key]['name']]: Tokens[Key] extends EventToken<string, infer Payload> ? Payload : never
}

export function defineEvents<const Scope extends string, S extends Schemas>(
  scope: Scope,
  schemas: S,
): EventTokens<Scope, S> {
  const entries = Object.entries(schemas).map(([key, schema]) => [
    key,
    Object.freeze({ name: `${scope}.${key}`, schema }),
  ])
  return Object.fromEntries(entries) as EventTokens<Scope, S>
}

/** One event of the timeline. */
export interface EventRecord {
  /** 1 for the first event since the process started, then one more for each. */
  readonly id: number
  readonly atMs: number
  readonly name: string
  readonly payload: unknown
}

/** What a reader of the timeline gets instead of events that its bounded queue or the history no longer held. */
export interface EventGap {
  readonly missed: number
  readonly untilId: number
}

export interface EventBus {
  /** Tells every listener later, in order; never blocks, never throws for a listener's sake. */
  emit<Payload>(event: EventToken<string, Payload>, payload: Payload): void
  /** Listens until `signal` aborts. There is no `off`: a listener lives as long as its owner. */
  on<Payload>(
    event: EventToken<string, Payload>,
    listener: (payload: Payload, record: EventRecord) => void | Promise<void>,
    options: { readonly signal: AbortSignal },
  ): void
  /**
   * The timeline from `afterId` on (default: from now), until `signal` aborts. History is bounded; what it no
   * longer holds is told as one gap.
   */
  timeline(options: {
    readonly signal: AbortSignal
    readonly afterId?: number
    /** Exact names or scopes (`network`); default: all. */
    readonly names?: readonly string[]
  }): AsyncIterable<EventRecord | EventGap>
}

export interface EventBusInit {
  onListenerError: (error: unknown, eventName: string) => void
  nowMs?: () => number
  /** Events kept for replay; default 1 000. */
  historyLimit?: number
}

export function createEventBus(init: EventBusInit): EventBus {
  const listeners = new Map<string, Set<(payload: never, record: EventRecord) => void | Promise<void>>>()
  const history: EventRecord[] = []
  const wakers = new Set<() => void>()
  const historyLimit = init.historyLimit ?? 1_000
  let lastId = 0

  async function tell(
    listener: (payload: never, record: EventRecord) => void | Promise<void>,
    record: EventRecord,
  ): Promise<void> {
    try {
      await listener(record.payload as never, record)
    } catch (error) {
      init.onListenerError(error, record.name)
    }
  }

  return {
    emit({ name }, payload) {
      const record = Object.freeze({ id: ++lastId, atMs: init.nowMs?.() ?? 0, name, payload })
      history.push(record)
      if (history.length > historyLimit) history.shift()
      for (const listener of listeners.get(name) ?? []) queueMicrotask(() => void tell(listener, record))
      for (const wake of wakers) wake()
    },
    on({ name }, listener, { signal }) {
      if (signal.aborted) return
      const set = listeners.get(name) ?? new Set()
      listeners.set(name, set.add(listener))
      signal.addEventListener('abort', () => set.delete(listener), { once: true })
    },
    async *timeline({ signal, afterId, names }) {
      let cursor = afterId ?? lastId
      while (!signal.aborted) {
        const oldest = history[0]?.id ?? lastId + 1
        if (cursor + 1 < oldest) {
          yield { missed: oldest - 1 - cursor, untilId: oldest - 1 }
          cursor = oldest - 1
        }
        for (const record of history.filter(({ id }) => id > cursor)) {
          cursor = record.id
          if (names === undefined || names.some((name) => record.name === name || record.name.startsWith(`${name}.`)))
            yield record
        }
        if (cursor < lastId) continue
        const { promise, resolve } = Promise.withResolvers<void>()
        wakers.add(resolve)
        signal.addEventListener('abort', () => resolve(), { once: true })
        await promise
        wakers.delete(resolve)
      }
    },
  }
}
