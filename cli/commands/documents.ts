/** `nzcore docs`: versioned documents. */
import { resolve } from 'node:path'
import { cliErrors } from '../errors.ts'
import { readLocalFile } from '../local-file.ts'
import { escapeText, formatBytes, formatTime, table } from '../text.ts'
import { systemClock } from '../../kernel/index.ts'
import type { documentsContract } from '../../protocols/ipc/contract/documents.ts'
import type { ResultOf } from '../../protocols/ipc/endpoint.ts'
import type { CliContext, CommandInput, CommandSpec, Presenters } from '../command.ts'

type Answer<Id extends keyof typeof documentsContract> = ResultOf<(typeof documentsContract)[Id]>
type Version = Answer<'docsPut'>['version']
type State = Answer<'docsHeads'>['state']

/** The largest content; one byte more is read to see that there is more. */
const MAX_CONTENT_BYTES = 524_288
/** Digits of an id that are shown: enough for people, and accepted wherever a version is named. */
const SHORT_ID_DIGITS = 12

const documentArgument = { name: 'document', summary: 'name of the document', isRequired: true } as const
const fileArgument = {
  name: 'file',
  summary: 'path, or - for standard input',
  isRequired: true,
  completes: 'file',
} as const

export const documentsCommands: readonly CommandSpec[] = [
  {
    words: ['docs', 'put'],
    summary: 'Add a version to a document, from a file or standard input',
    args: [documentArgument, fileArgument],
    options: [
      { flags: '--parent <version>', summary: 'the version it follows, or head; default: the document is new' },
      { flags: '--fork', summary: 'record a fork when that version is no head any more' },
    ],
    schemaNames: ['nz.documentVersion/1'],
    run: async (context, input) => {
      const { client, output, signal } = context
      const { parent, fork } = input.options
      const params = { ...(await contentOf(context, input)), ...(typeof parent === 'string' ? { parent } : {}) }
      const { version } = await (await client()).docsPut({ ...params, allowsFork: fork === true }, { signal })
      output.answer('nz.documentVersion/1', { version }, () => madeText(version))
    },
  },
  {
    words: ['docs', 'merge'],
    summary: 'End a fork by a version that names all of its heads',
    args: [documentArgument, fileArgument],
    options: [
      { flags: '--parents <versions>', summary: 'the heads it brings together, separated by commas (required)' },
    ],
    schemaNames: ['nz.documentVersion/1'],
    run: async (context, input) => {
      const { client, output, signal } = context
      const parents = String(input.options['parents'] ?? '')
        .split(',')
        .filter((id) => id !== '')
      if (parents.length < 2) throw cliErrors.NZ_CLI_USAGE({ why: '--parents takes two or more versions' })
      const { version } = await (
        await client()
      ).docsMerge({ ...(await contentOf(context, input)), parents }, { signal })
      output.answer('nz.documentVersion/1', { version }, () => madeText(version))
    },
  },
  {
    words: ['docs', 'get'],
    summary: 'Show a document; without a terminal, the bytes of its content',
    args: [documentArgument],
    options: [{ flags: '--version <version>', summary: 'one version; default: the only head' }],
    schemaNames: ['nz.document/1'],
    run: async ({ client, output, signal }, { args, options }) => {
      const version = typeof options['version'] === 'string' ? { version: options['version'] } : {}
      const found = await (await client()).docsGet({ document: args['document'] ?? '', ...version }, { signal })
      const bytes = Buffer.from(found.content, found.encoding === 'text' ? 'utf8' : 'base64')
      if (output.isJson || output.isTty) output.answer('nz.document/1', found, () => escapeLines(found.content))
      else await output.write(bytes)
    },
  },
]

export const documentsPresenters: Presenters = {
  docsDelete: ({ version }: Answer<'docsDelete'>) =>
    `✔ deleted ${escapeText(version.document)}; its history stays (tombstone ${short(version.id)})`,
  docsHistory({ versions }: Answer<'docsHistory'>) {
    const rows = versions.map(({ id, kind, time, atMs, size, parents, isHead, isPruned, children }) => [
      isHead ? `* ${short(id)}` : `  ${short(id)}`,
      String(time),
      kind,
      kind === 'delete' ? '' : isPruned ? 'pruned' : formatBytes(size),
      parents.map(short).join(' '),
      formatTime(atMs, { nowMs: systemClock.nowMs() }),
      children.length > 1 ? 'forked here' : '',
    ])
    return table(['VERSION', 'TIME', 'KIND', 'SIZE', 'FOLLOWS', 'MADE', ''], rows)
  },
  docsHeads: ({ state }: Answer<'docsHeads'>) => headsText(state),
  docsList({ documents, hasMore }: Answer<'docsList'>) {
    if (documents.length === 0) return 'no documents\nNext: nzcore docs put <document> <file>'
    const rows = documents.map(({ document, heads, versions, isForked, isDeleted }) => [
      document,
      heads[0] === undefined ? '' : short(heads[0].id),
      String(versions),
      isDeleted ? 'deleted' : isForked ? `forked, ${heads.length} heads` : 'ok',
    ])
    const last = documents.at(-1)
    const listed = table(['DOCUMENT', 'HEAD', 'VERSIONS', 'STATE'], rows)
    return hasMore && last !== undefined ? `${listed}\nmore: --after ${escapeText(last.document)}` : listed
  },
  docsPrune: ({ pruned, bytes }: Answer<'docsPrune'>) =>
    pruned === 0 ? 'nothing to prune' : `✔ dropped ${pruned} contents (${formatBytes(bytes)}); their hashes stay`,
}

/** The document and what is to be in it. @throws NZ_CLI_USAGE when it is too large, NZ_CLI_FILE_UNREADABLE */
async function contentOf(
  context: CliContext,
  { args }: CommandInput,
): Promise<{ readonly document: string; readonly content: string; readonly encoding: 'base64' }> {
  const file = args['file'] ?? '-'
  const parts: Uint8Array[] = []
  let size = 0
  const source = file === '-' ? context.stdin : readLocalFile(resolve(file))
  for await (const part of source) {
    parts.push(part)
    size += part.byteLength
    if (size > MAX_CONTENT_BYTES) throw cliErrors.NZ_CLI_USAGE({ why: 'a document has at most 524,288 bytes' })
  }
  return { document: args['document'] ?? '', content: Buffer.concat(parts).toString('base64'), encoding: 'base64' }
}

function madeText({ document, id, kind, time }: Version): string {
  return `✔ ${escapeText(document)} version ${time} (${kind === 'merge' ? 'merge ' : ''}${short(id)})`
}

function headsText({ document, heads, versions, isForked, isDeleted }: State): string {
  const about = isDeleted ? 'deleted' : isForked ? `forked: ${heads.length} heads` : '1 head'
  const rows = heads.map(({ id, time, kind, atMs, author, size }) => [
    short(id),
    String(time),
    kind,
    formatBytes(size),
    formatTime(atMs, { nowMs: systemClock.nowMs() }),
    author,
  ])
  const lines = [
    `${escapeText(document)}: ${about}, ${versions} versions`,
    table(['HEAD', 'TIME', 'KIND', 'SIZE', 'MADE', 'AUTHOR'], rows),
  ]
  if (!isForked) return lines.join('\n')
  const ids = heads.map(({ id }) => short(id)).join(',')
  return [...lines, `Next: nzcore docs merge ${escapeText(document)} <file> --parents ${ids}`].join('\n')
}

function short(id: string): string {
  return id.slice(0, SHORT_ID_DIGITS)
}

function escapeLines(text: string): string {
  return text.split('\n').map(escapeText).join('\n')
}
