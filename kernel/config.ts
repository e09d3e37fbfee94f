/**
 * Layered, strict configuration: default < composition < file < environment < flags. Every value knows the layer it
 * came from; every mistake is told at once, with its path; secrets never leave in clear. Values come in as plain data:
 * who reads files parses them.
 */
import { isDeepStrictEqual } from 'node:util'
import { kernelErrors } from './catalogue.ts'
import { configTables, keysOf } from './config-keys.ts'
import { IssueList } from './config-issues.ts'
import { nearest } from './nearest.ts'
import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { ConfigIssue, ConfigOrigin } from './config-issues.ts'
import type { ConfigKey, ConfigSource, ConfigTable } from './config-keys.ts'

export interface ConfigLayer {
  readonly origin: ConfigOrigin
  /** Module name → key → value. */
  readonly values: Readonly<Record<string, unknown>>
  /** What was already wrong when the layer was read; told with the rest. */
  readonly issues?: readonly ConfigIssue[]
}

/** A key with its value. A secret's value and default read `redacted`. */
export interface ConfigEntry extends Omit<ConfigKey, 'schema'> {
  readonly value: unknown
  readonly origin: ConfigOrigin
}

/** What is printed in place of a secret. */
export const redacted = '<redacted>'

interface SetValue {
  readonly value: unknown
  readonly origin: ConfigOrigin
}

/**
 * Merges `layers` (weakest first) key by key, checks them against the modules' schemas and fills in defaults. Lists
 * are replaced whole.
 *
 * @throws NZ_KERNEL_CONFIG_INVALID with every `ConfigIssue` in `data.issues`
 */
export function resolveConfig({
  modules,
  layers,
}: {
  readonly modules: readonly ConfigSource[]
  readonly layers: readonly ConfigLayer[]
}): ResolvedConfig {
  const tables = configTables(modules)
  const collector = new Collector(tables)
  for (const layer of layers) collector.addLayer(layer)
  const values: Record<string, unknown> = {}
  for (const { name, config } of modules) {
    const table = tables.get(name)
    if (table !== undefined) values[name] = collector.validate(config, table)
  }
  const issues = collector.issues.all
  if (issues.length > 0) throw invalidConfig(issues)
  return new ResolvedConfig({ sources: modules, layers, tables, set: collector.set, values })
}

interface ResolvedInit {
  readonly sources: readonly ConfigSource[]
  readonly layers: readonly ConfigLayer[]
  readonly tables: ReadonlyMap<string, ConfigTable>
  readonly set: ReadonlyMap<string, SetValue>
  readonly values: Readonly<Record<string, unknown>>
}

/** A configuration that fits its schemas. */
export class ResolvedConfig {
  /** What each module's `setup` receives, by module name. Holds secrets. */
  readonly values: Readonly<Record<string, unknown>>
  readonly #keys: ReadonlyMap<string, ConfigKey>
  readonly #set: ReadonlyMap<string, SetValue>
  readonly #sources: readonly ConfigSource[]
  readonly #layers: readonly ConfigLayer[]

  constructor({ sources, layers, tables, set, values }: ResolvedInit) {
    this.values = Object.freeze(values)
    this.#keys = new Map([...tables.values()].flatMap(keysOf).map((key) => [key.path, key]))
    this.#set = set
    this.#sources = sources
    this.#layers = layers
  }

  /**
   * The same configuration with other layers from the user; what the composition gave stays.
   *
   * @throws NZ_KERNEL_CONFIG_INVALID
   */
  withUserLayers(layers: readonly ConfigLayer[]): ResolvedConfig {
    const own = this.#layers.filter(({ origin }) => origin === 'composition')
    return resolveConfig({ modules: this.#sources, layers: [...own, ...layers] })
  }

  /** Every key with value and origin, secrets redacted; internal keys too, marked as such. */
  entries(): ConfigEntry[] {
    return [...this.#keys.values()].map((key) => this.#entry(key))
  }

  /** The entries whose value is not the default. */
  changes(): ConfigEntry[] {
    return this.entries().filter(({ path }) => {
      const set = this.#set.get(path)
      return set !== undefined && !isDeepStrictEqual(set.value, this.#keys.get(path)?.default)
    })
  }

  /** @throws NZ_KERNEL_CONFIG_KEY_UNKNOWN that names the nearest key */
  explain(path: string): ConfigEntry {
    const key = this.#keys.get(path)
    if (key === undefined) throw unknownKey(path, this.#keys.keys())
    return this.#entry(key)
  }

  /** Names of the modules whose values differ from those in `other`. */
  changedModules(other: ResolvedConfig): string[] {
    const names = new Set([...Object.keys(this.values), ...Object.keys(other.values)])
    return [...names].filter((name) => !isDeepStrictEqual(this.values[name], other.values[name]))
  }

  /** Printing a configuration prints its redacted entries. */
  toJSON(): ConfigEntry[] {
    return this.entries()
  }

  #entry(key: ConfigKey): ConfigEntry {
    const { schema: _, ...facts } = key
    const set = this.#set.get(key.path)
    const value = set === undefined ? (key.default ?? valueAt(this.values, key.path)) : set.value
    const show = (shown: unknown): unknown =>
      key.isSecret && shown !== null && shown !== undefined ? redacted : (shown ?? null)
    return { ...facts, default: show(key.default), value: show(value), origin: set?.origin ?? 'default' }
  }
}

/** What a key means, apart from any value. @throws NZ_KERNEL_CONFIG_KEY_UNKNOWN that names the nearest key */
export function explainKey(sources: readonly ConfigSource[], path: string): ConfigKey {
  const keys = [...configTables(sources).values()].flatMap(keysOf)
  const key = keys.find((candidate) => candidate.path === path)
  if (key !== undefined) return key
  throw unknownKey(
    path,
    keys.map((candidate) => candidate.path),
  )
}

/** Gathers what the layers set, and what is wrong with it. */
class Collector {
  readonly issues = new IssueList()
  readonly set = new Map<string, SetValue>()
  readonly #tables: ReadonlyMap<string, ConfigTable>

  constructor(tables: ReadonlyMap<string, ConfigTable>) {
    this.#tables = tables
  }

  addLayer({ origin, values, issues = [] }: ConfigLayer): void {
    this.issues.addAll(issues)
    for (const [name, value] of Object.entries(values)) {
      const table = this.#tables.get(name)
      if (table === undefined) this.issues.add(name, origin, 'unknown module', () => this.#tables.keys())
      else this.#addTable(table, value, origin)
    }
  }

  /** The parsed configuration of one module; `undefined` when it has issues. */
  validate(schema: ConfigSource['config'], table: ConfigTable): unknown {
    const result = schema['~standard'].validate(this.#input(table) ?? {})
    if (result instanceof Promise) throw new TypeError(`the config schema of ${table.path} validates asynchronously`)
    if (result.issues === undefined) return result.value
    for (const { path, message } of result.issues) {
      const at = [table.path, ...pathNames(path)].join('.')
      const set = this.set.get(at) ?? [...this.set].find(([other]) => at.startsWith(`${other}.`))?.[1]
      this.issues.add(at, set?.origin ?? null, message)
    }
    return undefined
  }

  #addTable(table: ConfigTable, value: unknown, origin: ConfigOrigin): void {
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      return this.issues.add(table.path, origin, 'must be a table of keys')
    for (const [name, item] of Object.entries(value)) {
      const path = `${table.path}.${name}`
      const node = table.children.get(name)
      if (node === undefined) this.issues.add(path, origin, 'unknown key', () => this.#userPaths())
      else if (node.kind === 'table') this.#addTable(node, item, origin)
      else if (node.key.isInternal && origin !== 'composition')
        this.issues.add(path, origin, 'is set by nzcore itself and cannot be configured')
      else if (item !== undefined) this.set.set(path, { value: item, origin })
    }
  }

  /** What the schema of `table` is given: the values that were set, and `undefined` when none was. */
  #input(table: ConfigTable): Record<string, unknown> | undefined {
    const input: Record<string, unknown> = {}
    for (const [name, node] of table.children) {
      const value = node.kind === 'table' ? this.#input(node) : this.set.get(node.key.path)?.value
      if (value !== undefined) input[name] = value
    }
    // A table that is set in part keeps the other defaults of the whole.
    return Object.keys(input).length === 0 ? undefined : { ...table.default, ...input }
  }

  #userPaths(): string[] {
    const keys = [...this.#tables.values()].flatMap(keysOf)
    return keys.filter(({ isInternal }) => !isInternal).map(({ path }) => path)
  }
}

function invalidConfig(issues: readonly ConfigIssue[]): Error {
  const lines = issues.map(({ path, origin, message, nearest: meant }) => {
    const hint = meant === null ? '' : `; did you mean ${meant}?`
    return `${path}${origin === null ? '' : ` (${origin})`}: ${message}${hint}`
  })
  return kernelErrors.NZ_KERNEL_CONFIG_INVALID({ why: lines.join('; '), data: { issues } })
}

function unknownKey(path: string, known: Iterable<string>): Error {
  const meant = nearest(path, known)
  return kernelErrors.NZ_KERNEL_CONFIG_KEY_UNKNOWN({
    why: meant === null ? `no key is called ${path}` : `did you mean ${meant}?`,
    data: { path, nearest: meant },
  })
}

function pathNames(path: StandardSchemaV1.Issue['path'] = []): string[] {
  return path.map((segment) => String(typeof segment === 'object' ? segment.key : segment))
}

function valueAt(values: Readonly<Record<string, unknown>>, path: string): unknown {
  let value: unknown = values
  for (const name of path.split('.')) {
    if (typeof value !== 'object' || value === null) return undefined
    value = (value as Readonly<Record<string, unknown>>)[name]
  }
  return value
}
