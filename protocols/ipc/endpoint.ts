/**
 * The shape of the local API's contract. An endpoint is data: the server, the SDK, the CLI, the JSON Schemas and the
 * OpenAPI document are all derived from it, so they cannot differ.
 */
import type { StandardJSONSchemaV1, StandardSchemaV1 } from '@standard-schema/spec'

/** A schema that validates and that can also describe itself as JSON Schema. */
export interface Schema<Input = unknown, Output = unknown> {
  readonly '~standard': StandardSchemaV1.Props<Input, Output> & StandardJSONSchemaV1.Props<Input, Output>
}

export interface Endpoint<Params extends Schema = Schema, Result extends Schema = Schema> {
  /** `GET` reads, `POST` changes; duplex endpoints are `POST`. */
  readonly method: 'GET' | 'POST'
  /** Path below `/v1`, without parameters: they travel in the query (`GET`, duplex) or the JSON body (`POST`). */
  readonly path: `/${string}`
  /** First line of the CLI help and of the OpenAPI operation. */
  readonly summary: string
  readonly params: Params
  /** One answer (`call`), one item (`stream`), or one control message of the node (`duplex`). */
  readonly result: Result
  /**
   * `call` answers once; `stream` answers with server-sent events, one result each; `duplex` upgrades to frames of
   * application bytes and control messages in both directions (duplex.ts).
   */
  readonly kind: 'call' | 'stream' | 'duplex'
  /** What the caller must have been granted, `area.verb`. */
  readonly capability: `${string}.${string}`
  /** Codes this endpoint may answer with, besides the ones every endpoint may. */
  readonly errors: readonly string[]
  /** Words of the CLI command, such as `['peers', 'list']`. */
  readonly command: readonly [string, ...string[]]
  /** Names of params that the CLI takes as positional arguments, in order. */
  readonly positional?: readonly string[]
  /**
   * Streams only: how a reader goes on after a cut. Each result carries its place in the field `cursor` (sent as the
   * event's `id:`); the param `param` asks for what comes after such a place (filled from `Last-Event-ID`).
   */
  readonly resume?: { readonly cursor: string; readonly param: string }
  /** Calls only: how long the node may take to answer, in milliseconds; default `CALL_DEADLINE_MS`. */
  readonly deadlineMs?: number
  /** `name/version` of the JSON document that `--json` prints, such as `nz.peers/1`. */
  readonly schemaName: `nz.${string}/${number}`
}

export type Contract = Readonly<Record<string, Endpoint>>

/** What a caller must know of an endpoint: plain data, so that a client loads no schemas. */
export type Route<E extends Endpoint = Endpoint> = Pick<E, 'method' | 'path' | 'kind'>
export type Routes<C extends Contract> = { readonly [Id in keyof C]: Route<C[Id]> }

export type InputOf<E extends Endpoint> = StandardSchemaV1.InferInput<E['params']>
export type ParamsOf<E extends Endpoint> = StandardSchemaV1.InferOutput<E['params']>
export type ResultOf<E extends Endpoint> = StandardSchemaV1.InferOutput<E['result']>

export interface CallOptions {
  readonly signal?: AbortSignal
}

/** Who calls: the owner on the Unix socket, or the holder of an access token. */
export interface Caller {
  /** `owner` or the id of the token. */
  readonly id: string
  /** `area.verb`, `area.*` or `*`. */
  readonly capabilities: readonly string[]
  /** When the token expires, wall-clock milliseconds; absent for the owner. */
  readonly expiresAtMs?: number
}

/** What a handler gets beside its params. */
export interface HandlerOptions {
  /** Aborts when the caller is gone, the deadline is over or the node stops. */
  readonly signal: AbortSignal
  /** Absent in process: the owner. Its capability was checked. */
  readonly caller?: Caller
}

/** One end of a duplex: application bytes and control messages, both with back-pressure. */
export interface Duplex<Send = unknown, Receive = unknown> {
  /** Aborts when the duplex ends in any way; in order: when this side said `end` and `read` gave `null`. */
  readonly signal: AbortSignal
  /** Resolves when there is room for more. The bytes may not be changed afterwards; boundaries are not kept. */
  write(bytes: Uint8Array): Promise<void>
  send(message: Send): Promise<void>
  /** The next frame; `null` after the other end said `end`. @throws what the other end failed with */
  read(): Promise<{ readonly bytes: Uint8Array } | { readonly message: Receive } | null>
  /** No more frames follow; reading goes on. */
  end(): Promise<void>
  /** Ends both directions; the other end's `read` throws `error`. Idempotent. */
  fail(error: unknown): void
}

/** What the server must implement. */
export type Handlers<C extends Contract> = {
  readonly [Id in keyof C]: C[Id]['kind'] extends 'stream'
    ? (params: ParamsOf<C[Id]>, options: HandlerOptions) => AsyncIterable<ResultOf<C[Id]>>
    : C[Id]['kind'] extends 'duplex'
      ? (params: ParamsOf<C[Id]>, duplex: Duplex<ResultOf<C[Id]>>, options: HandlerOptions) => Promise<void>
      : (params: ParamsOf<C[Id]>, options: HandlerOptions) => Promise<ResultOf<C[Id]>>
}

/** What the SDK offers. */
export type Client<C extends Contract> = {
  readonly [Id in keyof C]: C[Id]['kind'] extends 'stream'
    ? (params: InputOf<C[Id]>, options?: CallOptions) => AsyncIterable<ResultOf<C[Id]>>
    : C[Id]['kind'] extends 'duplex'
      ? (params: InputOf<C[Id]>, options?: CallOptions) => Promise<Duplex<unknown, ResultOf<C[Id]>>>
      : (params: InputOf<C[Id]>, options?: CallOptions) => Promise<ResultOf<C[Id]>>
}

export function defineContract<const C extends Contract>(contract: C): C {
  return Object.freeze(contract)
}
