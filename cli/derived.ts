/** Commands derived from the contract: arguments, options and help from an endpoint's JSON Schema. */
import { cliErrors } from './errors.ts'
import type { Argument, CommandInput, Option } from './command.ts'
import type { Schema } from '../protocols/ipc/endpoint.ts'

export type ParamType = 'string' | 'integer' | 'number' | 'boolean' | 'list' | 'json'

/** One parameter of an endpoint as the command line takes it. */
export interface DerivedParam {
  readonly name: string
  readonly type: ParamType
  readonly isPositional: boolean
  readonly isRequired: boolean
  /** What may be given, when it is a closed set. */
  readonly choices?: readonly string[]
}

export interface DerivedCommand {
  readonly args: readonly Argument[]
  readonly options: readonly Option[]
  readonly params: readonly DerivedParam[]
}

interface Property {
  readonly type?: string | readonly string[]
  readonly description?: string
  readonly default?: unknown
  readonly enum?: readonly unknown[]
  readonly anyOf?: readonly Property[]
}

export function paramsOfEndpoint(schema: Schema, positional: readonly string[]): DerivedCommand {
  // The draft has no narrower type; these are the members JSON Schema gives an object.
  const { properties = {}, required = [] } = schema['~standard'].jsonSchema.input({ target: 'draft-2020-12' }) as {
    properties?: Record<string, Property>
    required?: readonly string[]
  }
  const args: Argument[] = []
  const options: Option[] = []
  const params: DerivedParam[] = []
  for (const name of [...positional, ...Object.keys(properties).filter((key) => !positional.includes(key))]) {
    const property = properties[name]
    if (property === undefined) throw new Error(`positional parameter without a schema: ${name}`)
    const isPositional = positional.includes(name)
    const isRequired = required.includes(name)
    const type = typeOf(property)
    const choices = property.enum?.map(String)
    params.push({ name, type, isPositional, isRequired, ...(choices === undefined ? {} : { choices }) })
    const summary = summaryOf(property, choices, { isMarkedRequired: isRequired && !isPositional })
    if (isPositional) args.push({ name, summary, isRequired, ...completionOf(name) })
    else options.push({ flags: flagsOf(name, type, property.default), summary })
  }
  return { args, options, params }
}

/** The endpoint's parameters from what was typed; what was not typed is left to the endpoint's defaults. */
export function paramsFromInput(params: readonly DerivedParam[], { args, options }: CommandInput): object {
  const values: Record<string, unknown> = {}
  for (const param of params) {
    const typed = param.isPositional ? args[param.name] : options[param.name]
    if (typed === undefined) {
      if (param.isRequired && !param.isPositional) {
        throw cliErrors.NZ_CLI_USAGE({ why: `--${kebab(param.name)} is missing` })
      }
      continue
    }
    values[param.name] = typeof typed === 'boolean' ? typed : convert(param, typed)
  }
  return values
}

function convert({ name, type, choices, isPositional }: DerivedParam, typed: string): unknown {
  const shown = isPositional ? `<${name}>` : `--${kebab(name)}`
  if (choices !== undefined && !choices.includes(typed)) {
    throw cliErrors.NZ_CLI_USAGE({ why: `${shown} is one of ${choices.join(', ')}` })
  }
  switch (type) {
    case 'string':
      return typed
    case 'boolean':
      if (typed === 'true' || typed === 'false') return typed === 'true'
      throw cliErrors.NZ_CLI_USAGE({ why: `${shown} is true or false` })
    case 'integer':
    case 'number': {
      const value = typed.trim() === '' ? Number.NaN : Number(typed)
      if (Number.isFinite(value) && (type === 'number' || Number.isInteger(value))) return value
      throw cliErrors.NZ_CLI_USAGE({ why: `${shown} takes ${type === 'integer' ? 'a whole number' : 'a number'}` })
    }
    case 'list':
      return typed.split(',').filter((item) => item !== '')
    case 'json':
      try {
        return JSON.parse(typed)
      } catch (error) {
        throw cliErrors.NZ_CLI_USAGE({ why: `${shown} takes JSON`, cause: error })
      }
  }
}

function typeOf(property: Property): ParamType {
  const types = [property.type ?? property.anyOf?.flatMap(({ type = [] }) => type) ?? 'string'].flat()
  if (types.includes('string')) return 'string'
  if (types.includes('integer')) return 'integer'
  if (types.includes('number')) return 'number'
  if (types.includes('boolean')) return 'boolean'
  if (types.includes('array')) return 'list'
  return 'json'
}

function flagsOf(name: string, type: ParamType, assumed: unknown): string {
  if (type === 'boolean') return assumed === true ? `--no-${kebab(name)}` : `--${kebab(name)}`
  const placeholder = { string: 'value', integer: 'n', number: 'n', list: 'a,b', json: 'json' }[type]
  return `--${kebab(name)} <${placeholder}>`
}

function summaryOf(
  { description = '', default: assumed }: Property,
  choices: readonly string[] | undefined,
  { isMarkedRequired }: { isMarkedRequired: boolean },
): string {
  const notes = [
    ...(choices === undefined ? [] : [choices.join(' | ')]),
    ...(assumed === undefined || assumed === null || typeof assumed === 'boolean'
      ? []
      : [`default: ${JSON.stringify(assumed)}`]),
    ...(isMarkedRequired ? ['required'] : []),
  ]
  return [description, ...(notes.length === 0 ? [] : [`(${notes.join('; ')})`])].filter((part) => part !== '').join(' ')
}

function completionOf(name: string): Pick<Argument, 'completes'> {
  if (name === 'peer' || name === 'contact') return { completes: 'peer' }
  if (name === 'profile' || name === 'service') return { completes: name }
  return {}
}

function kebab(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}
