/** JSON Schemas (draft 2020-12) of what the contract says. */
import type { Contract, Schema } from './endpoint.ts'

export type JsonSchema = Readonly<Record<string, unknown>>

/** Without `$schema`, to be put inside another document. */
export function jsonSchemaOf(schema: Schema, side: 'input' | 'output'): JsonSchema {
  const { $schema: _, ...json } = schema['~standard'].jsonSchema[side]({ target: 'draft-2020-12' })
  return side === 'input' ? json : (opened(json) as JsonSchema)
}

/** Answers may gain members within a version, so readers must not refuse those they do not know. */
function opened(json: unknown): unknown {
  if (Array.isArray(json)) return json.map(opened)
  if (typeof json !== 'object' || json === null) return json
  return Object.fromEntries(
    Object.entries(json)
      .filter(([key, value]) => key !== 'additionalProperties' || value !== false)
      .map(([key, value]) => [key, opened(value)]),
  )
}

/** The document `{ schema, …result }` that `--json` prints, as a JSON Schema of its own. */
export function documentSchema(name: string, result: Schema): JsonSchema {
  const tag = { type: 'object', properties: { schema: { const: name } }, required: ['schema'] }
  const { description, ...body } = jsonSchemaOf(result, 'output')
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    $id: `urn:nzcore:schema:${name}`,
    title: name,
    ...(description === undefined ? {} : { description }),
    ...tagged(name, body, tag),
  }
}

/** The documents of all endpoints whose answers are printed; a name that comes twice must mean the same. */
export function contractDocuments(contract: Contract): ReadonlyMap<string, Schema> {
  const documents = new Map<string, Schema>()
  for (const { kind, schemaName, result } of Object.values(contract)) {
    if (kind === 'duplex') continue
    const before = documents.get(schemaName)
    if (before !== undefined && !isSame(before, result)) throw new TypeError(`two documents are called ${schemaName}`)
    documents.set(schemaName, result)
  }
  return documents
}

function isSame(a: Schema, b: Schema): boolean {
  return JSON.stringify(jsonSchemaOf(a, 'output')) === JSON.stringify(jsonSchemaOf(b, 'output'))
}

/** A closed object gets one more property; of a choice, every branch does. */
function tagged(name: string, body: JsonSchema, tag: JsonSchema): JsonSchema {
  for (const key of ['oneOf', 'anyOf']) {
    const branches = body[key]
    if (Array.isArray(branches)) {
      return { ...body, [key]: branches.map((branch: JsonSchema) => tagged(name, branch, tag)) }
    }
  }
  if (body['type'] !== 'object') return { allOf: [tag, body] }
  const required = Array.isArray(body['required']) ? (body['required'] as readonly string[]) : []
  return {
    ...body,
    properties: { schema: { const: name }, ...(body['properties'] as object | undefined) },
    required: ['schema', ...required],
  }
}
