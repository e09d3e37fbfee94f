/** Sets one key in the text of a TOML file and leaves the rest of it, comments included, as it stands. */
import { isDeepStrictEqual } from 'node:util'
import { parse, stringify, TomlError } from 'smol-toml'

/**
 * `text` with the key at `path` set to `value`, or removed when it is `undefined`. The file must be valid TOML. Where
 * the key stands in a form that cannot be edited in place, the file is written anew, without its comments.
 */
export function setConfigKey(text: string, path: readonly string[], value: unknown): string {
  const expected = withKey(parse(text), path, value)
  const edited = editLines(text, path, value)
  return isSameToml(edited, expected) ? edited : stringify(expected)
}

function editLines(text: string, path: readonly string[], value: unknown): string {
  const key = path.at(-1) ?? ''
  const table = path.slice(0, -1).join('.')
  const lines = text === '' ? [] : text.replace(/\n$/, '').split('\n')
  const start = lines.findIndex((line) => tableName(line) === table)
  const line = value === undefined ? [] : [`${key} = ${valueText(value)}`]
  if (start === -1) return `${[...lines, ...(lines.length === 0 ? [] : ['']), `[${table}]`, ...line].join('\n')}\n`
  const following = lines.findIndex((candidate, index) => index > start && /^\s*\[/.test(candidate))
  const end = following === -1 ? lines.length : following
  const at = lines.findIndex((candidate, index) => index > start && index < end && keyName(candidate) === key)
  if (at === -1) {
    let last = end
    while (last > start + 1 && lines[last - 1]?.trim() === '') last -= 1
    lines.splice(last, 0, ...line)
  } else {
    const height = valueHeight(lines.slice(at, end))
    const comment = height === 1 ? trailingComment(lines[at] ?? '') : ''
    lines.splice(at, height, ...line.map((written) => written + comment))
  }
  return `${lines.join('\n')}\n`
}

function tableName(line: string): string | null {
  return /^\s*\[([A-Za-z0-9_.-]+)\]\s*(?:#.*)?$/.exec(line)?.[1] ?? null
}

function keyName(line: string): string | null {
  return /^\s*([A-Za-z0-9_-]+)\s*=/.exec(line)?.[1] ?? null
}

/** Lines that the assignment at the head of `lines` takes: as many as make it valid TOML. */
function valueHeight(lines: readonly string[]): number {
  for (let height = 1; height <= lines.length; height += 1) {
    if (isToml(lines.slice(0, height).join('\n'))) return height
  }
  return 1
}

/** The comment behind a value: the longest tail from a `#` on without which the line is still an assignment. */
function trailingComment(line: string): string {
  for (let at = line.indexOf('#'); at !== -1; at = line.indexOf('#', at + 1)) {
    const before = line.slice(0, at)
    if (isToml(before)) return before.slice(before.trimEnd().length) + line.slice(at)
  }
  return ''
}

function valueText(value: unknown): string {
  return stringify({ value })
    .trim()
    .replace(/^value = /, '')
}

function withKey(
  document: Record<string, unknown>,
  [name = '', ...rest]: readonly string[],
  value: unknown,
): Record<string, unknown> {
  const { [name]: existing, ...others } = document
  if (rest.length === 0) return value === undefined ? others : { ...document, [name]: value }
  const table = typeof existing === 'object' && existing !== null && !Array.isArray(existing) ? existing : {}
  return { ...document, [name]: withKey(table as Record<string, unknown>, rest, value) }
}

function isSameToml(text: string, expected: Record<string, unknown>): boolean {
  try {
    return isDeepStrictEqual(plain(parse(text)), plain(expected))
  } catch (error) {
    if (error instanceof TomlError) return false
    throw error
  }
}

function isToml(text: string): boolean {
  try {
    parse(text)
    return true
  } catch (error) {
    if (error instanceof TomlError) return false
    throw error
  }
}

/** Without prototypes, which differ between parsed and made tables. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value))
}
