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
  /**
   * Tells every listener later, in order; never blocks, never throws for a listener's sake. The payload is plain
   * data; listeners get a frozen copy.
   */
  emit<Payload>(event: EventToken<string, Payload>, payload: Payload): void
  /**
   * Listens until `signal` aborts. There is no `off`: a listener lives as long as its owner. It is told one event
   * after the other, the next when its promise has settled; what waits for it is bounded, the oldest is dropped and
   * counted.
   */
  on<Payload>(
    event: EventToken<string, Payload>,
    listener: (payload: Payload, record: EventRecord) => void | Promise<void>,
    options: { readonly signal: AbortSignal },
  ): void
  /**
   * The timeline from `afterId` on (default: from now), until `signal` aborts or, with `endsNow`, up to what has
   * happened by now. History is bounded; what it no
   * longer holds is told as one gap.
   */
  timeline(options: {
    readonly signal: AbortSignal
    readonly afterId?: number
    /** @default false */
    readonly endsNow?: boolean
    /** Exact names or scopes (`network`); default: all. */
    readonly names?: readonly string[]
  }): AsyncIterable<EventRecord | EventGap>
  /** Counts since the bus was made. */
  stats(): EventBusStats
}

export interface EventBusStats {
  readonly emitted: number
  readonly listeners: number
  /** Events that wait in the queues of listeners now. */
  readonly queued: number
  /** Events that a full queue lost for one listener. */
  readonly dropped: number
  /** Times a listener threw or rejected. */
  readonly failures: number
  /** Payloads that did not fit their schema. */
  readonly invalid: number
}
