/** Makes the fields of a record safe to keep: JSON values, bounded, no secrets. */
import { isNzError, redacted } from '../../kernel/index.ts'

/** Longest text of one field. */
export const MAX_TEXT_LENGTH = 4_096
export const MAX_ITEMS = 64
export const MAX_DEPTH = 5

const SECRET_NAME =
  /pass(phrase|word)|secret|private|^(seed|mnemonic|words|token|psk|ticket|authorization|cookie)$|(access|bearer|session)token|keybytes/i

/** `fields` as JSON values. A field whose name says secret, and raw bytes, never show. */
export function safeFields(fields: object): Record<string, unknown> {
  return safeObject(fields, 0)
}

function safeObject(value: object, depth: number): Record<string, unknown> {
  const safe: Record<string, unknown> = {}
  for (const [key, item] of Object.entries(value).slice(0, MAX_ITEMS)) {
    if (item !== undefined) safe[key] = SECRET_NAME.test(key) ? redacted : safeValue(item, depth + 1)
  }
  return safe
}

function safeValue(value: unknown, depth: number): unknown {
  switch (typeof value) {
    case 'string':
      return value.length <= MAX_TEXT_LENGTH ? value : `${value.slice(0, MAX_TEXT_LENGTH)}…`
    case 'number':
      return Number.isFinite(value) ? value : String(value)
    case 'boolean':
      return value
    case 'bigint':
      return value.toString()
    case 'object':
      return value === null ? null : safeReference(value, depth)
    case 'function':
    case 'symbol':
    case 'undefined':
      return null
  }
}

function safeReference(value: object, depth: number): unknown {
  if (ArrayBuffer.isView(value)) return `<${value.byteLength} bytes>`
  if (depth > MAX_DEPTH) return '<too deep>'
  if (value instanceof Error) return safeError(value, depth)
  if (value instanceof Date) return value.toISOString()
  if (Array.isArray(value)) return value.slice(0, MAX_ITEMS).map((item) => safeValue(item, depth + 1))
  if (value instanceof Map || value instanceof Set) return safeValue([...value], depth)
  return safeObject(value, depth)
}

function safeError(error: Error, depth: number): Record<string, unknown> {
  const code = isNzError(error) || 'code' in error ? safeValue(error.code, depth) : undefined
  return {
    ...(code === undefined ? {} : { code }),
    message: safeValue(error.message, depth),
    ...(isNzError(error)
      ? { why: error.why, data: safeValue(error.data, depth + 1) }
      : { stack: safeValue(error.stack, depth) }),
    ...(error.cause === undefined ? {} : { cause: safeValue(error.cause, depth + 1) }),
  }
}
