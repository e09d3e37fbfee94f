/** How values read on a terminal: escaped text, tables, durations, sizes, times and short ids. */

/** Control characters of any kind, and the marks that turn the direction of text. */
const UNSAFE = /[\p{Cc}\p{Cs}\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\u{e0000}-\u{e007f}]/gu

/** `text` with every character that could move the cursor, hide or reorder text written as `\u{…}`. For text of peers. */
export function escapeText(text: string): string {
  return text.toWellFormed().replace(UNSAFE, escapeCharacter)
}

/**
 * What may reach a terminal at all: line feeds, tabs and printable text; anything else is escaped. `escapeText` is for
 * one value, this is the last guard around a whole answer.
 */
export function printable(text: string): string {
  return text
    .toWellFormed()
    .replace(UNSAFE, (character) => (character === '\n' || character === '\t' ? character : escapeCharacter(character)))
}

function escapeCharacter(character: string): string {
  return `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`
}

const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\u33ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\uf900-\ufaff\uff00-\uff60\u{1f300}-\u{1faff}]/u

/** Columns of a terminal that `text` takes; combining marks take none, East Asian wide characters two. */
export function displayWidth(text: string): number {
  let width = 0
  for (const character of text) {
    if (/\p{M}/u.test(character)) continue
    width += WIDE.test(character) ? 2 : 1
  }
  return width
}

/** Rows under upper-case heads, columns two spaces apart; no line ends in spaces. Cells are escaped. */
export function table(heads: readonly string[], rows: ReadonlyArray<readonly string[]>): string {
  const lines = [heads, ...rows.map((row) => row.map(escapeText))]
  const widths = heads.map((_, column) => Math.max(...lines.map((line) => displayWidth(line[column] ?? ''))))
  return lines
    .map((line) =>
      line
        .map((cell, column) => cell + ' '.repeat(Math.max(0, (widths[column] ?? 0) - displayWidth(cell))))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

/** A measured time: `0.42 ms`, `23 ms`, `1.4 s`, `2m 05s`. */
export function formatDuration(durationMs: number): string {
  if (durationMs < 10) return `${trimZeros(durationMs.toFixed(2))} ms`
  if (durationMs < 1_000) return `${Math.round(durationMs)} ms`
  if (durationMs < 10_000) return `${(durationMs / 1_000).toFixed(2)} s`
  if (durationMs < 60_000) return `${(durationMs / 1_000).toFixed(1)} s`
  const seconds = Math.round(durationMs / 1_000)
  if (seconds < 3_600) return `${Math.floor(seconds / 60)}m ${pad(seconds % 60)}s`
  return `${Math.floor(seconds / 3_600)}h ${pad(Math.floor((seconds % 3_600) / 60))}m`
}

const DURATION_UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** `30s`, `10m`, `1h30m`, `500ms`, or plain seconds, in milliseconds; `null` when it is none or longer than ten years. */
export function parseDuration(text: string): number | null {
  if (/^\d+(\.\d+)?$/.test(text)) return bounded(Number(text) * 1_000)
  if (!/^(\d+(\.\d+)?(ms|s|m|h|d))+$/.test(text)) return null
  let totalMs = 0
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)) {
    totalMs += Number(amount) * (DURATION_UNITS[unit ?? ''] ?? Number.NaN)
  }
  return bounded(totalMs)
}

function bounded(durationMs: number): number | null {
  return durationMs <= 315_576_000_000 ? Math.round(durationMs) : null
}

/** How long something has lasted, in its largest unit: `8s`, `2m`, `3h`, `5d`. */
export function formatAge(ageMs: number): string {
  const seconds = Math.max(0, Math.floor(ageMs / 1_000))
  if (seconds < 60) return `${seconds}s`
  if (seconds < 3_600) return `${Math.floor(seconds / 60)}m`
  if (seconds < 86_400) return `${Math.floor(seconds / 3_600)}h`
  return `${Math.floor(seconds / 86_400)}d`
}

const BYTE_UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB']

/** Decimal units: `999 B`, `1.2 kB`, `412 MB`. */
export function formatBytes(bytes: number): string {
  let value = bytes
  let unit = 0
  while (value >= 999.5 && unit < BYTE_UNITS.length - 1) {
    value /= 1_000
    unit += 1
  }
  const digits = unit === 0 || value >= 99.5 ? 0 : 1
  return `${trimZeros(value.toFixed(digits))} ${BYTE_UNITS[unit] ?? ''}`
}

/** Counts in a table: `999`, `1.2k`, `3.4M`. */
export function formatCount(count: number): string {
  if (count < 1_000) return String(count)
  if (count < 999_950) return `${trimZeros((count / 1_000).toFixed(1))}k`
  return `${trimZeros((count / 1_000_000).toFixed(1))}M`
}

/** In the local time zone: `10:21:07` on the day of `nowMs`, else `2026-11-20 10:21:07`. */
export function formatTime(atMs: number, { nowMs }: { readonly nowMs: number }): string {
  const at = new Date(atMs)
  const clock = `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`
  const day = dayOf(at)
  return day === dayOf(new Date(nowMs)) ? clock : `${day} ${clock}`
}

/** `nz1q7k4v…m3p9`: enough of an id for people to tell apart what they see; never for matching. */
export function shortId(id: string): string {
  return id.length <= 14 ? id : `${id.slice(0, 8)}…${id.slice(-4)}`
}

/** The short forms of `ids`, each long enough to be unique among them. */
export function shortIds(ids: readonly string[]): ReadonlyMap<string, string> {
  const shortened = new Map<string, string>()
  for (const id of new Set(ids)) {
    let head = 8
    const isAmbiguous = (): boolean =>
      ids.some(
        (other) => other !== id && other.slice(0, head) === id.slice(0, head) && other.slice(-4) === id.slice(-4),
      )
    while (head < id.length && isAmbiguous()) head += 2
    shortened.set(id, id.length <= head + 6 ? id : `${id.slice(0, head)}…${id.slice(-4)}`)
  }
  return shortened
}

function dayOf(at: Date): string {
  return `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}`
}

function pad(value: number): string {
  return String(value).padStart(2, '0')
}

function trimZeros(digits: string): string {
  return digits.includes('.') ? digits.replace(/\.?0+$/, '') : digits
}
