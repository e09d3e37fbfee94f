/** Layers whose values come as text: environment variables and `--set key=value` flags. */
import { IssueList } from './config-issues.ts'
import { configTables, keysOf } from './config-keys.ts'
import type { ConfigKey, ConfigSource, JsonSchema } from './config-keys.ts'
import type { ConfigIssue, ConfigOrigin } from './config-issues.ts'
import type { ConfigLayer } from './config.ts'

/** More than this is not a setting of ours. */
const maxTextLength = 65_536

/**
 * The layer of the variables `NZ_<MODULE>_<KEY>`. A variable that begins like a module's but names no key of it is an
 * issue; other `NZ_` variables are somebody else's.
 */
export function environmentLayer(
  sources: readonly ConfigSource[],
  environment: Readonly<Record<string, string | undefined>>,
): ConfigLayer {
  const keys = [...configTables(sources).values()].flatMap(keysOf)
  const byName = new Map(keys.map((key) => [key.environment, key]))
  const prefixes = sources.map(({ name }) => `NZ_${name.toUpperCase().replaceAll('-', '_')}_`)
  const layer = new TextLayer('environment')
  for (const [name, value] of Object.entries(environment)) {
    if (value === undefined || !name.startsWith('NZ_')) continue
    const key = byName.get(name)
    if (key !== undefined) layer.set(key, value)
    else if (prefixes.some((prefix) => name.startsWith(prefix)))
      layer.refuse(name, 'unknown variable', () => byName.keys())
  }
  return layer
}

/** The layer of flags that each read `network.listen=/ip4/0.0.0.0/tcp/4001`. */
export function flagLayer(sources: readonly ConfigSource[], flags: readonly string[]): ConfigLayer {
  const keys = [...configTables(sources).values()].flatMap(keysOf)
  const byPath = new Map(keys.map((key) => [key.path, key]))
  const layer = new TextLayer('flags')
  for (const flag of flags) {
    const end = flag.indexOf('=')
    const path = flag.slice(0, end === -1 ? undefined : end)
    const key = byPath.get(path)
    if (key === undefined) layer.refuse(path, 'unknown key', () => byPath.keys())
    else if (end === -1) layer.refuse(path, 'has no value: write key=value')
    else layer.set(key, flag.slice(end + 1))
  }
  return layer
}

/**
 * A value written as text, read by the type its key's schema names. Text that does not fit is given back as it is, so
 * that the schema says what it wanted.
 */
export function parseConfigText(source: string, schema: JsonSchema): unknown {
  const kinds = typesOf(schema)
  if (kinds.has('null') && source === 'null') return null
  if (kinds.has('boolean') && (source === 'true' || source === 'false')) return source === 'true'
  if ((kinds.has('integer') || kinds.has('number')) && /^-?\d[\d_]*(\.\d+)?(e-?\d+)?$/i.test(source))
    return Number(source.replaceAll('_', ''))
  if (kinds.has('array')) {
    if (source.trimStart().startsWith('[')) return parseJson(source)
    const items = (schema['items'] ?? {}) as JsonSchema
    return source === '' ? [] : source.split(',').map((item) => parseConfigText(item.trim(), items))
  }
  if (kinds.has('object') && source.trimStart().startsWith('{')) return parseJson(source)
  return source
}

class TextLayer implements ConfigLayer {
  readonly origin: ConfigOrigin
  readonly values: Record<string, unknown> = {}
  readonly #issues = new IssueList()

  constructor(origin: ConfigOrigin) {
    this.origin = origin
  }

  get issues(): readonly ConfigIssue[] {
    return this.#issues.all
  }

  set(key: ConfigKey, source: string): void {
    if (source.length > maxTextLength) return this.refuse(key.path, `is longer than ${maxTextLength} characters`)
    const names = key.path.split('.')
    const last = names.pop() ?? ''
    let table = this.values
    for (const name of names) table = (table[name] ??= {}) as Record<string, unknown>
    table[last] = parseConfigText(source, key.schema)
  }

  refuse(path: string, message: string, known?: () => Iterable<string>): void {
    this.#issues.add(path, this.origin, message, known)
  }
}

function typesOf(schema: JsonSchema): ReadonlySet<unknown> {
  const choices = schema['anyOf'] ?? schema['oneOf']
  if (Array.isArray(choices)) return new Set(choices.flatMap((choice: JsonSchema) => [...typesOf(choice)]))
  if (schema['const'] !== undefined) return new Set([schema['const'] === null ? 'null' : typeof schema['const']])
  const type = schema['type']
  return new Set(Array.isArray(type) ? type : [type])
}

function parseJson(source: string): unknown {
  try {
    return JSON.parse(source)
  } catch {
    return source // the schema refuses it by name
  }
}
