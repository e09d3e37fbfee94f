/** `nzcore files`: large files kept encrypted in the profile. */
import { resolve } from 'node:path'
import { systemClock } from '../../kernel/index.ts'
import { cliErrors } from '../errors.ts'
import { openLocalTarget, readLocalFile, sizeOfLocalFile } from '../local-file.ts'
import { escapeText, formatBytes, formatTime, table } from '../text.ts'
import { ProgressLine } from '../transfer-progress.ts'
import type { filesContract } from '../../protocols/ipc/contract/files.ts'
import type { Duplex, ResultOf } from '../../protocols/ipc/endpoint.ts'
import type { CliContext, CommandInput, CommandSpec, Presenters } from '../command.ts'

type Answer<Id extends keyof typeof filesContract> = ResultOf<(typeof filesContract)[Id]>
type StoredFile = Answer<'filesPut'>['file']

/** Damaged files that are named in one answer. */
const MAX_NAMED = 1_000

const NAME = { name: 'name', summary: 'name of the stored file', isRequired: true, completes: 'stored-file' } as const

export const filesCommands: readonly CommandSpec[] = [
  {
    words: ['files', 'put'],
    summary: 'Keep a file, or standard input, encrypted and durable',
    args: [NAME, { name: 'file', summary: 'path, or - for standard input', isRequired: true, completes: 'file' }],
    options: [
      { flags: '--mime <type>', summary: 'media type to keep with it, such as text/plain' },
      { flags: '--force', summary: 'replace a stored file of that name' },
    ],
    schemaNames: ['nz.fileKept/1'],
    run: async (context, input) => {
      const file = await put(context, input)
      context.output.answer('nz.fileKept/1', { file }, () => `✔ kept ${describe(file)}`)
    },
  },
  {
    words: ['files', 'get'],
    summary: 'Write a stored file, or a part of it, to a file or to standard output',
    args: [NAME, { name: 'file', summary: 'path, or - for standard output', isRequired: true, completes: 'file' }],
    options: [
      {
        flags: '--range <first-last>',
        summary: 'only these bytes, from 0: 0-99, 100- (to the end), or -100 (the last)',
      },
      { flags: '--force', summary: 'replace a file of that path' },
    ],
    schemaNames: ['nz.fileRead/1'],
    run: get,
  },
  {
    words: ['files', 'info'],
    summary: 'Show what is known of a stored file',
    args: [{ ...NAME, summary: 'name of the stored file, or sha256:<content id>' }],
    schemaNames: ['nz.fileInfo/1'],
    run: async ({ client, output, signal }, { args }) => {
      const { file } = await (await client()).filesInfo({ name: args['name'] ?? '' }, { signal })
      output.answer('nz.fileInfo/1', { file }, () => infoText(file))
    },
  },
  {
    words: ['files', 'rm'],
    summary: 'Remove a stored file; its content goes when no other name has it',
    args: [NAME],
    schemaNames: ['nz.fileRemoved/1'],
    run: async ({ client, output, signal }, { args }) => {
      const { file } = await (await client()).filesRemove({ name: args['name'] ?? '' }, { signal })
      output.answer(
        'nz.fileRemoved/1',
        { file },
        () => `✔ removed ${escapeText(file.name)} (${formatBytes(file.size)})`,
      )
    },
  },
  {
    words: ['files', 'verify'],
    summary: 'Read and prove the content of one stored file, or of all; what is damaged is set aside',
    args: [{ ...NAME, isRequired: false }],
    schemaNames: ['nz.filesVerify/1'],
    run: verify,
  },
]

export const filesPresenters: Presenters = {
  filesList({ files, hasMore, usage }: Answer<'filesList'>) {
    if (files.length === 0) return 'no stored files\nNext: nzcore files put <name> <file>'
    const nowMs = systemClock.nowMs()
    const rows = files.map(({ name, size, modifiedAtMs, mime, contentId }) => [
      name,
      formatBytes(size),
      formatTime(modifiedAtMs, { nowMs }),
      mime ?? '-',
      `${contentId.slice(0, 8)}…`,
    ])
    const last = files.at(-1)
    return [
      table(['NAME', 'SIZE', 'SINCE', 'TYPE', 'SHA256'], rows),
      ...(hasMore && last !== undefined ? [`more: --after ${escapeText(last.name)}`] : []),
      `${usage.files} files, ${usage.contents} contents, ${formatBytes(usage.storedBytes)} of ${formatBytes(usage.maxBytes)}`,
      ...(usage.damaged > 0 ? [`! ${usage.damaged} contents are damaged: nzcore files verify`] : []),
    ].join('\n')
  },
  filesCollect({ isDryRun, contents, contentIds, diskFiles }: Answer<'filesCollect'>) {
    const what = `${contents} contents without a name, ${diskFiles} files of the disk`
    if (!isDryRun) return `✔ removed ${what}`
    return [`would remove ${what}`, ...contentIds.map((id) => `sha256:${id}`)].join('\n')
  },
  filesWatch: ({ kind, name, cursor }: Answer<'filesWatch'>) => `${cursor} ${kind} ${escapeText(name ?? '')}`.trimEnd(),
}

async function put(context: CliContext, { args, options }: CommandInput): Promise<StoredFile> {
  const { output, signal } = context
  const name = args['name'] ?? ''
  const path = args['file'] ?? '-'
  const size = path === '-' ? null : await sizeOfLocalFile(resolve(path))
  const mime = typeof options['mime'] === 'string' ? { mime: options['mime'] } : {}
  const client = await context.client()
  const duplex = await client.filesPut({ name, replaces: options['force'] === true, ...mime }, { signal })
  const source = path === '-' ? context.stdin : readLocalFile(resolve(path))
  const line = new ProgressLine(output, systemClock)
  const write = async (): Promise<never> => {
    let bytes = 0
    try {
      for await (const piece of source) {
        await duplex.write(piece)
        bytes += piece.byteLength
        line.show({ peer: '', name, state: 'moving', size, bytes })
      }
    } catch (error) {
      duplex.fail(error)
      throw error
    }
    await duplex.end()
    return await new Promise<never>(() => undefined)
  }
  try {
    return await Promise.race([answerOf(duplex), write()])
  } finally {
    line.clear()
  }
}

async function answerOf(duplex: Duplex<unknown, Answer<'filesPut'>>): Promise<StoredFile> {
  let file: StoredFile | null = null
  for (let frame = await duplex.read(); frame !== null; frame = await duplex.read()) {
    if ('message' in frame) file = frame.message.file
  }
  if (file === null) throw cliErrors.NZ_CLI_INTERRUPTED()
  return file
}

async function get(context: CliContext, { args, options }: CommandInput): Promise<void> {
  const { output, signal } = context
  const typed = args['file'] ?? '-'
  const range = rangeOf(options['range'])
  if (typed === '-' && output.isTty) {
    throw cliErrors.NZ_CLI_USAGE({ why: 'standard output is a terminal: give a path, or pipe it into something' })
  }
  const path = typed === '-' ? null : resolve(typed)
  const target = path === null ? null : await openLocalTarget(path, { replaces: options['force'] === true })
  try {
    const duplex = await (await context.client()).filesGet({ name: args['name'] ?? '', ...range }, { signal })
    const read = await take(context, duplex, async (bytes) => await (target ?? output).write(bytes))
    await target?.publish()
    const document = { ...read, path }
    if (path !== null) output.answer('nz.fileRead/1', document, () => readText(read, path))
    // Standard output carries the bytes.
    else if (output.isJson) output.note(JSON.stringify({ schema: 'nz.fileRead/1', ...document }))
  } finally {
    await target?.discard()
  }
}

async function take(
  { output, signal }: CliContext,
  duplex: Duplex<unknown, Answer<'filesGet'>>,
  write: (bytes: Uint8Array) => Promise<void>,
): Promise<Answer<'filesGet'>> {
  const line = new ProgressLine(output, systemClock)
  let read: Answer<'filesGet'> | null = null
  let bytes = 0
  try {
    // There is nothing to say; the node closes the connection after its last byte.
    await duplex.end()
    for (let frame = await duplex.read(); frame !== null; frame = await duplex.read()) {
      if ('message' in frame) {
        read = frame.message
        continue
      }
      await write(frame.bytes)
      bytes += frame.bytes.byteLength
      if (read !== null) {
        line.show({ peer: '', name: read.file.name, state: 'moving', size: read.end - read.start, bytes })
      }
    }
  } catch (error) {
    duplex.fail(error)
    throw error
  } finally {
    line.clear()
  }
  signal.throwIfAborted()
  if (read === null || bytes !== read.end - read.start) throw cliErrors.NZ_CLI_INTERRUPTED()
  return read
}

async function verify({ client, output, signal }: CliContext, { args }: CommandInput): Promise<'damaged' | undefined> {
  const name = args['name']
  const damaged: Answer<'filesVerify'>['damaged'] = []
  let files = 0
  let bytes = 0
  const told = (await client()).filesVerify(name === undefined ? {} : { name }, { signal })
  for await (const item of told) {
    files = item.files
    bytes = item.bytes
    damaged.push(...item.damaged.slice(0, MAX_NAMED - damaged.length))
    output.progress(`${files} files, ${formatBytes(bytes)} read`)
  }
  output.progress(null)
  signal.throwIfAborted()
  const isIntact = damaged.length === 0
  output.answer('nz.filesVerify/1', { isIntact, files, bytes, damaged }, () =>
    isIntact
      ? `✔ ${files} files proven, ${formatBytes(bytes)} read`
      : [
          ...damaged.map((one) => `✖ ${escapeText(one.name)}: ${escapeText(one.why)}`),
          `! ${damaged.length} of ${files} files are damaged`,
          'Next: put the same contents again, or restore a backup',
        ].join('\n'),
  )
  return isIntact ? undefined : 'damaged'
}

/** `first-last` as HTTP has it, last included. @throws NZ_CLI_USAGE */
export function rangeOf(typed: string | boolean | undefined): { from?: number; to?: number; last?: number } {
  if (typeof typed !== 'string') return {}
  const [, first = '', last = ''] = /^(\d{0,15})-(\d{0,15})$/.exec(typed) ?? []
  if (first === '' && last === '') throw cliErrors.NZ_CLI_USAGE({ why: '--range takes 0-99, 100- or -100' })
  if (first === '') return { last: Number(last) }
  return last === '' ? { from: Number(first) } : { from: Number(first), to: Number(last) + 1 }
}

function describe({ name, size, contentId }: StoredFile): string {
  return `${escapeText(name)}  ${formatBytes(size)}, sha256 ${contentId.slice(0, 8)}…`
}

function readText({ file, start, end }: Answer<'filesGet'>, path: string): string {
  const isWhole = start === 0 && end === file.size
  return isWhole
    ? `✔ ${escapeText(path)}  ${formatBytes(file.size)}, sha256 ${file.contentId.slice(0, 8)}…`
    : `✔ ${escapeText(path)}  bytes ${start} to ${end - 1} of ${file.size}`
}

function infoText(file: Answer<'filesInfo'>['file']): string {
  const nowMs = systemClock.nowMs()
  const names = file.names === 1 ? '' : ` · ${file.names} names have it`
  return [
    `${file.isDamaged ? '! damaged: ' : ''}${escapeText(file.name)}  ${formatBytes(file.size)} (${file.size} bytes)`,
    `sha256   ${file.contentId}`,
    `type     ${escapeText(file.mime ?? '-')}`,
    `since    ${file.modifiedAtMs === 0 ? '-' : formatTime(file.modifiedAtMs, { nowMs })}`,
    `on disk  ${formatBytes(file.storedBytes)}${names}`,
  ].join('\n')
}
