/**
 * Params in a query string. Strings travel as they are, everything else as JSON; the schema of a param tells which it
 * is, so contracts need no coercion: `limit=10`, `follow=true`, `names=["network"]`, or `names=network&names=contacts`.
 */
import { ipcErrors } from './errors.ts'
import type { Schema } from './endpoint.ts'

export function encodeQuery(params: object): URLSearchParams {
  const query = new URLSearchParams()
  for (const [key, value] of Object.entries(params)) {
    if (value !== undefined) query.set(key, typeof value === 'string' ? value : JSON.stringify(value))
  }
  return query
}

/** The raw params, still to be validated by `schema`. @throws NZ_IPC_PARAMS_INVALID when a single value comes twice */
export function decodeQuery(schema: Schema, query: URLSearchParams): Record<string, unknown> {
  const kinds = paramKinds(schema)
  const params: Record<string, unknown> = Object.create(null) as Record<string, unknown>
  for (const key of new Set(query.keys())) {
    const values = query.getAll(key)
    const kind = kinds.get(key) ?? 'text'
    if (kind === 'list' && (values.length > 1 || !(values[0] ?? '').startsWith('['))) params[key] = values
    else if (values.length > 1) {
      throw ipcErrors.NZ_IPC_PARAMS_INVALID({ data: { issues: [{ path: key, message: 'given more than once' }] } })
    } else params[key] = kind === 'text' ? values[0] : parsed(values[0] ?? '')
  }
  return { ...params }
}

type ParamKind = 'text' | 'list' | 'json'

interface JsonSchema {
  readonly type?: string
  readonly enum?: readonly unknown[]
  readonly const?: unknown
  readonly anyOf?: readonly JsonSchema[]
  readonly oneOf?: readonly JsonSchema[]
  readonly properties?: Readonly<Record<string, JsonSchema>>
}

const known = new WeakMap<Schema, ReadonlyMap<string, ParamKind>>()

function paramKinds(schema: Schema): ReadonlyMap<string, ParamKind> {
  const before = known.get(schema)
  if (before !== undefined) return before
  const json = schema['~standard'].jsonSchema.input({ target: 'draft-2020-12' }) as JsonSchema
  const kinds = new Map(Object.entries(json.properties ?? {}).map(([key, property]) => [key, kindOf(property)]))
  known.set(schema, kinds)
  return kinds
}

function kindOf(schema: JsonSchema): ParamKind {
  if (schema.type === 'array') return 'list'
  if (schema.type === 'string' || typeof schema.const === 'string') return 'text'
  if (schema.enum?.every((value) => typeof value === 'string') === true) return 'text'
  const choices = schema.anyOf ?? schema.oneOf ?? []
  return choices.some((choice) => kindOf(choice) === 'text') ? 'text' : 'json'
}

/** A value that is no JSON stays text; the schema then says what is wrong with it. */
function parsed(value: string): unknown {
  try {
    return JSON.parse(value) as unknown
  } catch {
    return value
  }
}
