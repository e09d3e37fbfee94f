/** `nzcore kv` and `nzcore storage`: how the answers of the encrypted store read. */
import { cliErrors } from '../errors.ts'
import { countOption } from '../option-values.ts'
import { escapeText, formatBytes, table } from '../text.ts'
import type { storageContract } from '../../protocols/ipc/contract/storage.ts'
import type { ResultOf } from '../../protocols/ipc/endpoint.ts'
import type { CliContext, CommandInput, CommandSpec, Presenters } from '../command.ts'

type Answer<Id extends keyof typeof storageContract> = ResultOf<(typeof storageContract)[Id]>

/** As base64 it is what the local API takes at most in one value. */
const MAX_STDIN_BYTES = 750_000

export const storageCommands: readonly CommandSpec[] = [
  {
    words: ['kv', 'get'],
    summary: 'Show a record of your own; without a terminal, the bytes of its value',
    args: [{ name: 'key', summary: 'key of the record: 1 to 512 bytes of text', isRequired: true }],
    schemaNames: ['nz.record/1'],
    run: async ({ client, output, signal }, { args }) => {
      const { record } = await (await client()).kvGet({ key: args['key'] ?? '' }, { signal })
      if (output.isJson || output.isTty) output.answer('nz.record/1', { record }, () => escapeText(record.value))
      else await output.write(Buffer.from(record.value, record.encoding === 'text' ? 'utf8' : 'base64'))
    },
  },
  {
    words: ['kv', 'put'],
    summary: 'Keep a record of your own, encrypted and durable',
    args: [
      { name: 'key', summary: 'key of the record: 1 to 512 bytes of text', isRequired: true },
      {
        name: 'value',
        summary: 'the value, or - for standard input: what must not show in the list of processes',
        isRequired: true,
      },
    ],
    options: [
      { flags: '--encoding <value>', summary: 'how a typed value is written (text | base64; default: "text")' },
      { flags: '--ttl-ms <n>', summary: 'how long the record lives, in milliseconds; default: for ever' },
    ],
    schemaNames: ['nz.recordKept/1'],
    run: async (context, input) => {
      const { client, output, signal } = context
      const ttlMs = countOption(input, 'ttlMs', { most: Number.MAX_SAFE_INTEGER })
      const key = input.args['key'] ?? ''
      const given = await valueOf(context, input)
      const kept = await (
        await client()
      ).kvPut({ key, ...given, ...(ttlMs === undefined ? {} : { ttlMs }) }, { signal })
      output.answer('nz.recordKept/1', kept, () => `✔ kept ${escapeText(kept.key)} (${formatBytes(kept.bytes)})`)
    },
  },
  {
    words: ['storage', 'check'],
    summary: 'Read every stored record and prove it; changes nothing',
    schemaNames: ['nz.storageCheck/1'],
    run: async ({ client, output, signal }) => {
      const report = await (await client()).storageCheck({}, { signal })
      output.answer('nz.storageCheck/1', report, () => checkText(report))
      return report.isIntact ? undefined : 'damaged'
    },
  },
]

export const storagePresenters: Presenters = {
  kvDelete: ({ key, existed }: Answer<'kvDelete'>) =>
    existed ? `✔ deleted ${escapeText(key)}` : `there was no ${escapeText(key)}`,
  kvList({ records, hasMore }: Answer<'kvList'>) {
    if (records.length === 0) return 'no records\nNext: nzcore kv put <key> <value>'
    const rows = table(
      ['KEY', 'SIZE'],
      records.map(({ key, bytes }) => [key, formatBytes(bytes)]),
    )
    const last = records.at(-1)
    return hasMore && last !== undefined ? `${rows}\nmore: --after ${escapeText(last.key)}` : rows
  },
  kvWatch: ({ kind, key, cursor }: Answer<'kvWatch'>) => `${cursor} ${kind} ${escapeText(key ?? '')}`.trimEnd(),
  storageStatus: ({ storage }: Answer<'storageStatus'>) => statusText(storage),
  storageRotate: ({ storage }: Answer<'storageRotate'>) =>
    storage.toRotate === 0
      ? `✔ every record is under the keys of generation ${storage.generation}`
      : `! ${storage.toRotate} records wait for the keys of generation ${storage.generation}`,
  storageGc({ expired, removed, bytesBefore, bytesAfter, snapshots }: Answer<'storageGc'>) {
    const freed = Math.max(0, bytesBefore - bytesAfter)
    const gone = [
      expired > 0 ? `${expired} records whose time was over` : '',
      removed > 0 ? `${removed} parts that repairs had set aside` : '',
    ].filter((part) => part !== '')
    const lines = [`✔ freed ${formatBytes(freed)}; the store has ${formatBytes(bytesAfter)}`]
    if (gone.length > 0) lines.push(`removed ${gone.join(', ')}`)
    if (snapshots > 0) lines.push(`${snapshots} snapshots are open: what they can read stays until they end`)
    return lines.join('\n')
  },
  storageRepair: ({ kept, setAside, reopened }: Answer<'storageRepair'>, _context: CliContext) =>
    `✔ kept ${kept} records, set ${setAside} parts aside${reopened.length === 0 ? '' : `; open again: ${reopened.join(', ')}`}`,
}

async function valueOf(
  { stdin }: CliContext,
  { args, options }: CommandInput,
): Promise<{ readonly value: string; readonly encoding: 'text' | 'base64' }> {
  const { value = '' } = args
  const { encoding = 'text' } = options
  if (encoding !== 'text' && encoding !== 'base64') {
    throw cliErrors.NZ_CLI_USAGE({ why: '--encoding is one of text, base64' })
  }
  if (value !== '-') return { value, encoding }
  const pieces: Uint8Array[] = []
  let size = 0
  for await (const bytes of stdin) {
    size += bytes.byteLength
    if (size > MAX_STDIN_BYTES) {
      throw cliErrors.NZ_CLI_USAGE({ why: `a record takes at most ${MAX_STDIN_BYTES} bytes of standard input` })
    }
    pieces.push(bytes)
  }
  return { value: Buffer.concat(pieces).toString('base64'), encoding: 'base64' }
}

function statusText({ state, code, why, namespaces, ...storage }: Answer<'storageStatus'>['storage']): string {
  const lines = [
    `${state === 'open' || state === 'rotating' ? '✔' : '!'} ${state}${code === null ? '' : ` (${code}): ${why ?? ''}`}`,
    `${storage.records} records, ${formatBytes(storage.bytes)} · change ${storage.sequence} · keys ${storage.generation}`,
  ]
  if (storage.toRotate > 0) lines.push(`${storage.toRotate} records wait for the change of keys`)
  if (storage.quarantined > 0) lines.push(`${storage.quarantined} parts were set aside by repairs`)
  if (namespaces.length === 0) return lines.join('\n')
  const rows = namespaces.map((one) => [
    one.name,
    String(one.version),
    String(one.records),
    formatBytes(one.bytes),
    one.isDamaged ? 'damaged' : 'ok',
  ])
  return [...lines, table(['NAMESPACE', 'VERSION', 'RECORDS', 'SIZE', 'STATE'], rows)].join('\n')
}

function checkText({ isIntact, records, unreadable, damaged }: Answer<'storageCheck'>): string {
  const rest = unreadable === 0 ? '' : `; ${unreadable} parts prove nothing`
  if (isIntact) return `✔ ${records} records proven${rest}`
  const which = damaged.length === 0 ? 'the store' : damaged.join(', ')
  return `! damaged: ${which}; ${records} records prove themselves${rest}\nNext: restore a copy, or nzcore storage repair`
}
