/**
 * The keys of a configuration, read from the JSON Schemas of the modules' `config`: path, type, unit, default,
 * description. Unit, secrecy and the like are said in the schema itself: `.meta({ unit: 'ms', isSecret: true })`.
 */
import type { StandardJSONSchemaV1, StandardSchemaV1 } from '@standard-schema/spec'

/** A schema that validates and that can also describe itself as JSON Schema; zod's do. */
export interface ConfigSchema<Config = unknown> {
  readonly '~standard': StandardSchemaV1.Props<unknown, Config> & StandardJSONSchemaV1.Props<unknown, Config>
}

/** What the configuration needs to know of a module. */
export interface ConfigSource {
  readonly name: string
  readonly config: ConfigSchema
}

export type JsonSchema = Readonly<Record<string, unknown>>

/** One key that a value can be given to. */
export interface ConfigKey {
  /** Dotted, the module's name first: `network.listen`. */
  readonly path: string
  readonly module: string
  /** For people: `integer`, `array of string`, `"a" | "b"`. */
  readonly type: string
  readonly unit: string | null
  /** `null` when there is none. */
  readonly default: unknown
  readonly description: string | null
  /** The environment variable that sets it. */
  readonly environment: string
  readonly isRequired: boolean
  /** Never printed in clear. */
  readonly isSecret: boolean
  /** Given by the composition; refused from the user. */
  readonly isInternal: boolean
  readonly schema: JsonSchema
}

/** A table of keys, or a key. */
export type ConfigNode =
  | { readonly kind: 'key'; readonly key: ConfigKey }
  | {
      readonly kind: 'table'
      readonly path: string
      readonly default: JsonSchema
      readonly children: ReadonlyMap<string, ConfigNode>
    }

export type ConfigTable = Extract<ConfigNode, { kind: 'table' }>

/** Deeper tables than this are a mistake in a schema. */
const maxDepth = 8

/** The tables of all modules, by module name. */
export function configTables(sources: readonly ConfigSource[]): ReadonlyMap<string, ConfigTable> {
  const tables = new Map<string, ConfigTable>()
  for (const { name, config } of sources) {
    const schema = inputSchema(config)
    const node = nodeOf(schema, { path: name, module: name, isRequired: false, isInternal: false, isSecret: false })
    if (node.kind !== 'table') throw new TypeError(`the config schema of module ${name} is not an object`)
    tables.set(name, node)
  }
  return tables
}

/** Every key of every module, in the order of the schemas. */
export function configKeys(sources: readonly ConfigSource[]): ConfigKey[] {
  return [...configTables(sources).values()].flatMap(keysOf)
}

/** The keys under `node`. */
export function keysOf(node: ConfigNode): ConfigKey[] {
  return node.kind === 'key' ? [node.key] : [...node.children.values()].flatMap(keysOf)
}

/** JSON Schema (draft 2020-12) of everything a user may configure. */
export function configJsonSchema(sources: readonly ConfigSource[]): JsonSchema {
  const properties: Record<string, JsonSchema> = {}
  for (const { name, config } of sources) {
    const schema = withoutInternal(inputSchema(config))
    if (schema !== null && Object.keys(record(schema['properties'])).length > 0) properties[name] = schema
  }
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'nzcore configuration',
    type: 'object',
    properties,
    additionalProperties: false,
  }
}

interface Place {
  readonly path: string
  readonly module: string
  readonly isRequired: boolean
  readonly isInternal: boolean
  readonly isSecret: boolean
}

function nodeOf(schema: JsonSchema, place: Place): ConfigNode {
  const isInternal = place.isInternal || schema['isInternal'] === true
  const isSecret = place.isSecret || schema['isSecret'] === true
  const { path, module, isRequired } = place
  if (schema['properties'] === undefined) {
    const key: ConfigKey = {
      path,
      module,
      isRequired,
      isInternal,
      isSecret,
      schema,
      type: typeText(schema),
      unit: text(schema['unit']),
      default: schema['default'] ?? null,
      description: text(schema['description']),
      environment: environmentName(path),
    }
    return { kind: 'key', key }
  }
  if (path.split('.').length > maxDepth) throw new RangeError(`config tables are nested too deeply at ${path}`)
  const required = new Set(Array.isArray(schema['required']) ? schema['required'] : [])
  const children = new Map<string, ConfigNode>()
  for (const [name, child] of Object.entries(record(schema['properties']))) {
    const at = { path: `${path}.${name}`, module, isRequired: required.has(name), isInternal, isSecret }
    children.set(name, nodeOf(record(child), at))
  }
  return { kind: 'table', path, default: record(schema['default']), children }
}

/** `network.limits.maxPeers` as `NZ_NETWORK_LIMITS_MAX_PEERS`. */
function environmentName(path: string): string {
  const snake = path.replaceAll(/([a-z0-9])([A-Z])/g, '$1_$2').replaceAll(/[.-]/g, '_')
  return `NZ_${snake.toUpperCase()}`
}

function inputSchema({ '~standard': standard }: ConfigSchema): JsonSchema {
  const { $schema: _, ...schema } = standard.jsonSchema.input({ target: 'draft-2020-12' })
  return schema
}

function withoutInternal(schema: JsonSchema): JsonSchema | null {
  if (schema['isInternal'] === true) return null
  if (schema['properties'] === undefined) return schema
  const kept: Record<string, JsonSchema> = {}
  for (const [name, child] of Object.entries(record(schema['properties']))) {
    const visible = withoutInternal(record(child))
    if (visible !== null) kept[name] = visible
  }
  const required = (Array.isArray(schema['required']) ? schema['required'] : []).filter((name) => name in kept)
  const { required: _, ...rest } = schema
  return { ...rest, properties: kept, ...(required.length === 0 ? {} : { required }) }
}

function typeText(schema: JsonSchema): string {
  if (Array.isArray(schema['enum'])) return schema['enum'].map((value) => JSON.stringify(value)).join(' | ')
  if (schema['const'] !== undefined) return JSON.stringify(schema['const'])
  const choices = schema['anyOf'] ?? schema['oneOf']
  if (Array.isArray(choices)) return choices.map((choice) => typeText(record(choice))).join(' | ')
  if (schema['type'] === 'array') return `array of ${typeText(record(schema['items']))}`
  if (Array.isArray(schema['type'])) return schema['type'].join(' | ')
  return text(schema['type']) ?? 'any'
}

function record(value: unknown): JsonSchema {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as JsonSchema) : {}
}

function text(value: unknown): string | null {
  return typeof value === 'string' ? value : null
}
