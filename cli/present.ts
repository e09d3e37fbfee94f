/** How an answer reads when nobody wrote a presenter for it: `key: value` lines, and tables for lists of objects. */
import { escapeText, formatBytes, formatDuration, formatTime, table } from './text.ts'

/** Depth at which nested values are written as JSON. */
const MAX_DEPTH = 3

export function presentAnswer(answer: unknown, { nowMs }: { readonly nowMs: number }): string {
  if (typeof answer !== 'object' || answer === null) return valueText('', answer, nowMs)
  const lines = block(answer, 0, nowMs)
  return lines.length === 0 ? '✔ done' : lines.join('\n')
}

function block(object: object, depth: number, nowMs: number): string[] {
  const entries = Object.entries(object).filter(([, value]) => value !== undefined)
  const width = Math.max(0, ...entries.map(([key]) => labelOf(key).length))
  const indent = '  '.repeat(depth)
  return entries.flatMap(([key, value]) => {
    const label = `${indent}${`${escapeText(labelOf(key))}:`.padEnd(width + 1)}`
    if (isListOfObjects(value)) {
      const lines = listTable(value, nowMs).split('\n')
      return entries.length === 1 ? lines : [label.trimEnd(), ...lines.map((line) => `${indent}  ${line}`)]
    }
    if (isRecord(value) && depth < MAX_DEPTH) return [label.trimEnd(), ...block(value, depth + 1, nowMs)]
    return [`${label} ${valueText(key, value, nowMs)}`]
  })
}

function listTable(items: readonly object[], nowMs: number): string {
  const keys = [...new Set(items.flatMap((item) => Object.keys(item)))]
  return table(
    keys.map((key) => labelOf(key).toUpperCase()),
    items.map((item) => keys.map((key) => valueText(key, (item as Record<string, unknown>)[key], nowMs))),
  )
}

function valueText(key: string, value: unknown, nowMs: number): string {
  if (value === null || value === undefined) return '-'
  if (typeof value === 'boolean') return value ? 'yes' : 'no'
  if (typeof value === 'number') {
    if (key.endsWith('AtMs')) return formatTime(value, { nowMs })
    if (key.endsWith('Ms')) return formatDuration(value)
    if (key.endsWith('Bytes')) return formatBytes(value)
    return String(value)
  }
  if (typeof value === 'string') return escapeText(value)
  if (Array.isArray(value) && value.every((item) => typeof item !== 'object')) {
    return value.length === 0 ? '-' : value.map((item) => escapeText(String(item))).join(', ')
  }
  return escapeText(JSON.stringify(value))
}

/** `rttMs` reads `rtt`, `openedAtMs` reads `opened at`: the unit shows in the value. */
function labelOf(key: string): string {
  return key.replace(/(?<=.)(Ms|Bytes)$/, '').replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)
}

function isRecord(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isListOfObjects(value: unknown): value is readonly object[] {
  return Array.isArray(value) && value.length > 0 && value.every(isRecord)
}
