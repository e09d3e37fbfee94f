/** `nzcore log`: append-only logs that prove themselves. */
import { resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import { systemClock } from '../../kernel/index.ts'
import { cliErrors } from '../errors.ts'
import { readLocalFile } from '../local-file.ts'
import { countOption } from '../option-values.ts'
import { escapeText, formatBytes, formatTime, table } from '../text.ts'
import type { eventLogContract } from '../../protocols/ipc/contract/eventlog.ts'
import type { InputOf, ResultOf } from '../../protocols/ipc/endpoint.ts'
import type { CliContext, CommandInput, CommandSpec, Presenters } from '../command.ts'

type Answer<Id extends keyof typeof eventLogContract> = ResultOf<(typeof eventLogContract)[Id]>
type LogView = Answer<'logStatus'>['log']
type Item = Answer<'logTail'>
type Proof = Extract<Answer<'logVerify'>, { readonly type: 'proof' }>

/** Lines of standard input that go in one call, and calls that are under way at once. */
const LINES_AT_ONCE = 200
const MAX_READ = 1_000
const DEFAULT_READ = 100
const CALLS_AT_ONCE = 4

const logArgument = { name: 'log', summary: 'name of the log', isRequired: true } as const

export const eventLogCommands: readonly CommandSpec[] = [
  {
    words: ['log', 'append'],
    summary: 'Append an entry to an event log, or every line of standard input',
    args: [
      logArgument,
      { name: 'entry', summary: 'text of the entry; none, or -: every line of standard input', isRequired: false },
    ],
    schemaNames: ['nz.logAppended/1'],
    run: append,
  },
  {
    words: ['log', 'read'],
    summary: 'Read entries of an event log, each proven',
    args: [logArgument],
    options: [
      { flags: '--after <n>', summary: 'only what comes after this entry' },
      { flags: '-n, --last <n>', summary: 'only so many entries at the end of the log' },
      { flags: '--limit <n>', summary: 'most entries to show (default: 100)' },
    ],
    schemaNames: ['nz.logEntries/1'],
    run: read,
  },
  {
    words: ['log', 'verify'],
    summary: 'Prove every entry of an event log, of all logs, or of an export',
    args: [{ ...logArgument, isRequired: false }],
    options: [{ flags: '--export <file>', summary: 'an export instead, also without a running node' }],
    schemaNames: ['nz.logProof/1', 'nz.logProofs/1', 'nz.logExportProof/1'],
    run: verify,
  },
  {
    words: ['log', 'export'],
    summary: 'Write an event log as lines of JSON that anybody can check, signed by this node',
    args: [logArgument],
    options: [{ flags: '--after <n>', summary: 'only what comes after this entry' }],
    schemaNames: ['nz.logExport/1'],
    run: exportLog,
  },
]

export const eventLogPresenters: Presenters = {
  logTail: (item: Item) => itemText(item),
  logRotate: ({ log }: Answer<'logRotate'>) => `✔ ${log.name} goes on in file ${log.segments}`,
  logTrim: ({ segments, first }: Answer<'logTrim'>) =>
    segments === 0 ? 'nothing is old enough' : `✔ deleted ${segments} files; the log begins with entry ${first}`,
  logRepair: ({ setAside, lost }: Answer<'logRepair'>) =>
    lost.length === 0
      ? `✔ no entry is lost; ${setAside} files set aside`
      : `! lost: entries ${lost.map(rangeText).join(', ')}; ${setAside} files set aside\nThe log takes entries again and says so.`,
  logList({ logs, recorder }: Answer<'logList'>) {
    const lines = recorder.isOn
      ? [
          `events of the node are recorded in ${recorder.log}: ${recorder.recorded} so far` +
            (recorder.dropped === 0 ? '' : `, ${recorder.dropped} were too many for the disk`),
        ]
      : []
    if (logs.length === 0) return [...lines, 'no event logs\nNext: nzcore log append <log> <entry>'].join('\n')
    const rows = logs.map((log) => [log.name, entriesText(log), formatBytes(log.bytes), log.state])
    return [table(['LOG', 'ENTRIES', 'SIZE', 'STATE'], rows), ...lines].join('\n')
  },
  logStatus: ({ log }: Answer<'logStatus'>) => statusText(log),
}

async function append(context: CliContext, { args }: CommandInput): Promise<void> {
  const { client, output, signal } = context
  const log = args['log'] ?? ''
  const { logAppend } = await client()
  const entry = args['entry']
  if (entry !== undefined && entry !== '-') {
    const appended = await logAppend({ log, entries: [entry] }, { signal })
    output.answer('nz.logAppended/1', appended, () => `✔ entry ${appended.last}  ${appended.hash}`)
    return
  }
  const answers: Answer<'logAppend'>[] = []
  const underWay = new Set<Promise<void>>()
  for await (const entries of batchesOf(context.stdin)) {
    const call = logAppend({ log, entries: [...entries] }, { signal }).then((answer) => void answers.push(answer))
    underWay.add(call)
    // Its failure is met below; here it is only no longer under way.
    void call.catch(() => undefined).finally(() => underWay.delete(call))
    if (underWay.size >= CALLS_AT_ONCE) await Promise.race(underWay)
  }
  await Promise.all(underWay)
  const first = answers.reduce((least, answer) => Math.min(least, answer.first), Number.POSITIVE_INFINITY)
  const [latest] = answers.toSorted((a, b) => b.last - a.last)
  if (latest === undefined) throw cliErrors.NZ_CLI_USAGE({ why: 'standard input has no lines' })
  output.answer('nz.logAppended/1', { ...latest, first }, () => `✔ entries ${first} to ${latest.last}  ${latest.hash}`)
}

async function read({ client, output, signal }: CliContext, input: CommandInput): Promise<'damaged' | void> {
  const after = countOption(input, 'after', { least: 0, most: Number.MAX_SAFE_INTEGER })
  const last = countOption(input, 'last', { most: MAX_READ })
  const limit = countOption(input, 'limit', { most: MAX_READ }) ?? Math.max(last ?? 0, DEFAULT_READ)
  const params: InputOf<(typeof eventLogContract)['logRead']> = {
    log: input.args['log'] ?? '',
    limit,
    ...(after === undefined ? {} : { after }),
    ...(last === undefined ? {} : { last }),
  }
  const answer = await (await client()).logRead(params, { signal })
  output.answer('nz.logEntries/1', answer, () => entriesOf(answer, params.log))
  return answer.damage === null ? undefined : 'damaged'
}

function entriesOf({ items, hasMore, damage }: Answer<'logRead'>, log: string): string {
  if (items.length === 0) return 'no entries'
  const lines = items.map(itemText)
  if (damage !== null) lines.push(`! the log is damaged behind this: ${damage}`, `Next: nzcore log verify ${log}`)
  else if (hasMore) lines.push(`more: --after ${items.at(-1)?.cursor ?? 0}`)
  return lines.join('\n')
}

async function* batchesOf(stdin: AsyncIterable<Uint8Array>): AsyncGenerator<readonly string[]> {
  let batch: string[] = []
  for await (const line of createInterface({ input: Readable.from(stdin), crlfDelay: Number.POSITIVE_INFINITY })) {
    batch.push(line)
    if (batch.length < LINES_AT_ONCE) continue
    yield batch
    batch = []
  }
  if (batch.length > 0) yield batch
}

async function verify(context: CliContext, { args, options }: CommandInput): Promise<'damaged' | void> {
  const { client, output, signal } = context
  if (typeof options['export'] === 'string') return await verifyExport(context, options['export'])
  const api = await client()
  const log = args['log']
  const names = log === undefined ? (await api.logList({}, { signal })).logs.map(({ name }) => name) : [log]
  const proofs: Proof[] = []
  for (const name of names) {
    for await (const item of api.logVerify({ log: name }, { signal })) {
      if (item.type === 'progress') output.progress(`${escapeText(name)}: ${item.entries} entries proven`)
      else proofs.push(item)
    }
    output.progress(null)
  }
  const [only] = proofs
  if (log !== undefined && only !== undefined) output.answer('nz.logProof/1', only, () => proofText(only))
  else {
    output.answer('nz.logProofs/1', { proofs }, () =>
      proofs.length === 0 ? 'no event logs' : proofs.map(proofText).join('\n'),
    )
  }
  return proofs.every(({ isIntact }) => isIntact) ? undefined : 'damaged'
}

async function verifyExport({ output }: CliContext, file: string): Promise<void> {
  const { checkLogExport } = await import('../node.ts')
  const input = Readable.from(readLocalFile(resolve(file)))
  const proof = await checkLogExport(createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY }))
  const { log, peerId, after, last, entries, gaps, atMs } = proof
  output.answer('nz.logExportProof/1', proof, () => {
    const when = formatTime(atMs, { nowMs: systemClock.nowMs() })
    const holes = gaps === 0 ? '' : `, ${gaps} gaps`
    return `✔ ${escapeText(log)}: ${entries} entries (${after + 1} to ${last}${holes}) proven, signed by ${peerId} at ${when}`
  })
}

async function exportLog({ client, output, signal }: CliContext, input: CommandInput): Promise<void> {
  const after = countOption(input, 'after', { least: 0, most: Number.MAX_SAFE_INTEGER }) ?? 0
  const params: InputOf<(typeof eventLogContract)['logExport']> = { log: input.args['log'] ?? '', after }
  for await (const line of (await client()).logExport(params, { signal })) {
    // Byte for byte, on a terminal as well: what is shown must be what was signed.
    await output.write(Buffer.from(`${JSON.stringify({ schema: 'nz.logExport/1', ...line })}\n`, 'utf8'))
  }
}

function itemText(item: Item): string {
  if (item.type === 'gap') {
    return `! entries ${rangeText(item)} are ${item.reason === 'trimmed' ? 'deleted as old' : 'lost'}`
  }
  const when = formatTime(item.atMs, { nowMs: systemClock.nowMs() })
  const kind = item.kind === 'entry' ? '' : `${item.kind} `
  return `${item.sequence}  ${when}  ${kind}${escapeText(item.payload)}`
}

function rangeText({ from, to }: { readonly from: number; readonly to: number | null }): string {
  if (to === from) return String(from)
  return to === null ? `from ${from} on` : `${from} to ${to}`
}

function entriesText({ first, last }: Pick<LogView, 'first' | 'last'>): string {
  return last < first ? 'none' : rangeText({ from: first, to: last })
}

function damageLines(damaged: LogView['damaged']): readonly string[] {
  return damaged.map(({ segment, why, ...range }) => `! file ${segment}: ${why}; not proven: ${rangeText(range)}`)
}

function statusText({ name, state, code, why, hash, segments, bytes, damaged, ...log }: LogView): string {
  const mark = state === 'open' ? '✔' : '!'
  return [
    `${mark} ${name} ${state}${code === null ? '' : ` (${code}): ${why ?? ''}`}`,
    `entries ${entriesText(log)} · ${segments} files, ${formatBytes(bytes)} · last hash ${hash}`,
    ...damageLines(damaged),
  ].join('\n')
}

function proofText({ log, isIntact, entries, lost, damaged, hash, isWitnessed }: Proof): string {
  const stated = lost.length === 0 ? '' : `; lost, as stated: ${lost.map(rangeText).join(', ')}`
  const note = isWitnessed ? '' : '; the store could not be asked how far it had come'
  const head = `${isIntact ? '✔' : '!'} ${log}: ${entries} entries proven${stated}${note}  ${hash}`
  if (isIntact) return head
  return [head, ...damageLines(damaged), `Next: restore a copy, or nzcore log repair ${log}`].join('\n')
}
