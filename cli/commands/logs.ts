/** `nzcore logs` and `nzcore events`: what the node writes down, and what happens in it. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { isErrno, isNzError, systemClock } from '../../kernel/index.ts'
import { cliErrors } from '../errors.ts'
import { countOption } from '../option-values.ts'
import { escapeText, formatTime, parseDuration } from '../text.ts'
import type { CliContext, CommandInput, CommandSpec, Presenters } from '../command.ts'
import type { contract } from '../../protocols/ipc/contract.ts'
import type { InputOf, ResultOf } from '../../protocols/ipc/endpoint.ts'

type LogItem = ResultOf<(typeof contract)['logsRecent']>['records'][number]
type LogLevel = LogItem['level']
type EventItem = ResultOf<(typeof contract)['eventsFollow']>

const LOG_FILE_NAME = 'nzcore.log'
/** A file that lies beside a stopped node; read whole, it is at most this long. */
const MAX_LOG_FILE_BYTES = 67_108_864
const DEFAULT_RECORDS = 50
const MAX_RECORDS = 2_000
const LEVELS: readonly string[] = ['debug', 'info', 'warn', 'error'] satisfies readonly LogLevel[]

export const logsPresenters: Presenters = {}

export const logsCommands: readonly CommandSpec[] = [
  {
    words: ['logs'],
    summary: 'Show the log of the node, also when it has stopped',
    options: [
      { flags: '-f, --follow', summary: 'go on with what is logged from now on, until Ctrl-C' },
      { flags: '-n, --lines <n>', summary: `how many records to show (default: ${DEFAULT_RECORDS})` },
      { flags: '--level <level>', summary: 'least severe records to show: debug | info | warn | error' },
    ],
    schemaNames: ['nz.logs/1', 'nz.log/1'],
    run: logs,
  },
  {
    words: ['events'],
    summary: 'Follow what happens in the node, until Ctrl-C',
    options: [
      { flags: '-f, --follow', summary: 'go on with what happens from now on (the default)' },
      { flags: '--no-follow', summary: 'end with what has happened; all that is held, or --since' },
      { flags: '--since <when>', summary: 'begin with the past: a duration such as 10m, or the cursor of an event' },
      {
        flags: '--name <name>',
        summary: 'a name (network.peerConnected) or area (network); repeatable',
        isRepeatable: true,
      },
      { flags: '-n, --limit <n>', summary: 'end after so many events' },
    ],
    schemaNames: ['nz.event/1'],
    run: events,
  },
]

async function logs(context: CliContext, input: CommandInput): Promise<void> {
  const { output, signal } = context
  const limit = countOption(input, 'lines', { most: MAX_RECORDS }) ?? DEFAULT_RECORDS
  const level = levelOption(input)
  const isFollowing = input.options['follow'] === true
  const records = await recentRecords(context, { limit, level, isFollowing })
  const show = (record: LogItem): string => recordText(record, systemClock.nowMs())
  if (!isFollowing) {
    output.answer('nz.logs/1', { records }, () =>
      records.length === 0 ? 'nothing logged' : records.map(show).join('\n'),
    )
    return
  }
  for (const record of records) output.answer('nz.log/1', { kind: 'record', ...record }, () => show(record))
  const afterId = records.at(-1)?.id
  const params = { level, ...(afterId === undefined ? {} : { afterId }) }
  for await (const item of (await context.client()).logsFollow(params, { signal })) {
    output.answer('nz.log/1', item, () =>
      item.kind === 'record' ? show(item) : `! ${item.missed} records are no longer held`,
    )
  }
}

function levelOption({ options }: CommandInput): LogLevel {
  const level = options['level'] ?? 'debug'
  if (LEVELS.includes(String(level))) return level as LogLevel
  throw cliErrors.NZ_CLI_USAGE({ why: `--level is one of ${LEVELS.join(', ')}` })
}

/** From the running node; from its file when none runs and nothing needs to be followed. */
async function recentRecords(
  { client, home, signal }: CliContext,
  { limit, level, isFollowing }: { limit: number; level: LogLevel; isFollowing: boolean },
): Promise<readonly LogItem[]> {
  try {
    return (await (await client()).logsRecent({ limit, level }, { signal })).records
  } catch (error) {
    if (isFollowing || !isNzError(error, 'NZ_IPC_NOT_RUNNING')) throw error
    const path = join(home.logDir, LOG_FILE_NAME)
    const records = await recordsOfFile(path)
    return records.filter((record) => LEVELS.indexOf(record.level) >= LEVELS.indexOf(level)).slice(-limit)
  }
}

async function recordsOfFile(path: string): Promise<readonly LogItem[]> {
  let text
  try {
    text = await readFile(path, { encoding: 'utf8', flag: 'r' })
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return []
    throw error
  }
  return text
    .slice(-MAX_LOG_FILE_BYTES)
    .split('\n')
    .flatMap((line, index) => {
      const record = recordOfLine(line)
      return record === null ? [] : [{ id: index + 1, ...record }]
    })
}

/** `null` for a line that was cut by a crash. */
function recordOfLine(line: string): Omit<LogItem, 'id'> | null {
  try {
    const { time, level, event, fields } = JSON.parse(line) as Record<string, unknown>
    if (typeof time !== 'string' || typeof event !== 'string' || !LEVELS.includes(String(level))) return null
    return { atMs: Date.parse(time), level: level as LogLevel, event, fields: (fields ?? {}) as LogItem['fields'] }
  } catch {
    // Not JSON: the rest of a line.
    return null
  }
}

const LEVEL_MARKS: Readonly<Record<LogLevel, string>> = { debug: ' ', info: ' ', warn: '!', error: '✖' }

function recordText({ atMs, level, event, fields }: LogItem, nowMs: number): string {
  return `${LEVEL_MARKS[level]} ${formatTime(atMs, { nowMs })} ${event}${fieldsText(fields)}`
}

async function events(context: CliContext, input: CommandInput): Promise<void> {
  const { output, signal, client } = context
  const limit = countOption(input, 'limit', { most: 1_000_000 }) ?? Number.POSITIVE_INFINITY
  const isFollowing = input.options['follow'] !== false
  const { after, sinceMs } = sinceOption(input, isFollowing)
  const names = input.lists['name']
  const params: InputOf<(typeof contract)['eventsFollow']> = {
    ...(names === undefined ? {} : { names: [...names] }),
    ...(after === undefined ? {} : { after }),
    ...(isFollowing ? {} : { isFollowing }),
  }
  let shown = 0
  for await (const item of (await client()).eventsFollow(params, { signal })) {
    // Reading from the very beginning is told as a gap; nothing was missed then.
    if (sinceMs !== null && (item.kind === 'gap' || item.atMs < sinceMs)) continue
    output.answer('nz.event/1', item, () => eventText(item, systemClock.nowMs()))
    shown += 1
    if (shown >= limit) return
  }
}

/** The cursor of no run of any node: reading goes on with everything the history holds. */
const BEGINNING = '0-0'

function sinceOption(
  { options }: CommandInput,
  isFollowing: boolean,
): { readonly after?: string; readonly sinceMs: number | null } {
  const since = options['since']
  if (typeof since !== 'string') return isFollowing ? { sinceMs: null } : { after: BEGINNING, sinceMs: 0 }
  const durationMs = parseDuration(since)
  if (durationMs !== null) return { after: BEGINNING, sinceMs: systemClock.nowMs() - durationMs }
  if (/^[0-9a-z]{1,16}-\d{1,15}$/.test(since)) return { after: since, sinceMs: null }
  throw cliErrors.NZ_CLI_USAGE({ why: '--since takes a duration such as 10m, or the cursor of an event' })
}

function eventText(item: EventItem, nowMs: number): string {
  if (item.kind === 'gap') {
    const what = item.missed === null ? 'events' : `${item.missed} events`
    return item.reason === 'restart' ? '! the node was started anew' : `! ${what} are no longer held`
  }
  const payload = typeof item.payload === 'object' && item.payload !== null ? item.payload : { value: item.payload }
  return `${formatTime(item.atMs, { nowMs })} ${item.name}${fieldsText(payload)}`
}

/** `  peerId=12D3… rttMs=23` */
function fieldsText(fields: object): string {
  const parts = Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(
      ([key, value]) => `${escapeText(key)}=${escapeText(typeof value === 'string' ? value : JSON.stringify(value))}`,
    )
  return parts.length === 0 ? '' : `  ${parts.join(' ')}`
}
