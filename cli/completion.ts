/** What may stand next on a command line: commands, options, and live names from the node. */
import { readdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { parentSummaries } from './commands/index.ts'
import { escapeText, formatBytes } from './text.ts'
import type { Argument, CliContext } from './command.ts'
import type { CommandEntry } from './command-table.ts'

export interface Candidate {
  readonly value: string
  readonly about: string
}

const GLOBAL_OPTIONS: ReadonlyArray<Candidate & { readonly takesValue: boolean }> = [
  { value: '--json', about: 'one JSON document on stdout', takesValue: false },
  { value: '--profile', about: 'profile to use', takesValue: true },
  { value: '--home', about: 'keep every file below this folder', takesValue: true },
  { value: '--help', about: 'help for the command', takesValue: false },
]

/** How long a shell waits for names. */
const NAMES_TIMEOUT_MS = 1_000

/** Candidates for the last of `words`, which may be empty or half a word. */
export async function candidatesFor(
  words: readonly string[],
  { table, context }: { readonly table: readonly CommandEntry[]; readonly context: CliContext },
): Promise<readonly Candidate[]> {
  const partial = words.at(-1) ?? ''
  const { entry, path, positionals, isOptionValue } = locate(words.slice(0, -1), table)
  if (isOptionValue) return []
  const all = partial.startsWith('-')
    ? [...optionsOf(entry), ...GLOBAL_OPTIONS]
    : [...subcommands(path, table), ...(await namesFor(entry?.args[positionals], context))]
  return all.filter(({ value }) => value.startsWith(partial)).map(({ value, about }) => ({ value, about }))
}

interface Place {
  readonly path: readonly string[]
  readonly entry: CommandEntry | undefined
  /** How many arguments stand before the word. */
  readonly positionals: number
  /** The word is the value of the option before it. */
  readonly isOptionValue: boolean
}

function locate(words: readonly string[], table: readonly CommandEntry[]): Place {
  let path: readonly string[] = []
  let positionals = 0
  let isOptionValue = false
  for (const word of words) {
    if (isOptionValue) isOptionValue = false
    else if (word.startsWith('-')) isOptionValue = takesValue(word, entryAt(path, table))
    else if (positionals === 0 && table.some((entry) => startsWith(entry.words, [...path, word])))
      path = [...path, word]
    else positionals += 1
  }
  return { path, entry: entryAt(path, table), positionals, isOptionValue }
}

function entryAt(path: readonly string[], table: readonly CommandEntry[]): CommandEntry | undefined {
  return table.find(({ words }) => words.length === path.length && startsWith(words, path))
}

function startsWith(words: readonly string[], path: readonly string[]): boolean {
  return path.every((word, index) => words[index] === word)
}

function takesValue(word: string, entry: CommandEntry | undefined): boolean {
  if (word.includes('=')) return false
  if (GLOBAL_OPTIONS.some((option) => option.value === word && option.takesValue)) return true
  return entry?.options.some(({ flags }) => /[<[]/.test(flags) && flags.split(/[ ,]+/).includes(word)) ?? false
}

function optionsOf(entry: CommandEntry | undefined): readonly Candidate[] {
  return (entry?.options ?? []).flatMap(({ flags, summary }) =>
    flags
      .split(/[ ,]+/)
      .filter((flag) => flag.startsWith('--'))
      .map((value) => ({ value, about: summary })),
  )
}

function subcommands(path: readonly string[], table: readonly CommandEntry[]): readonly Candidate[] {
  const found = new Map<string, string>()
  for (const { words, summary } of table) {
    const next = words[path.length]
    if (next === undefined || !startsWith(words, path) || next.startsWith('__')) continue
    const isParent = words.length > path.length + 1
    if (!isParent) found.set(next, summary)
    else if (!found.has(next)) found.set(next, parentSummaries[[...path, next].join(' ')] ?? summary)
  }
  return [...found].map(([value, about]) => ({ value, about }))
}

async function namesFor(argument: Argument | undefined, context: CliContext): Promise<readonly Candidate[]> {
  switch (argument?.completes) {
    case 'peer':
      return await peerNames(context)
    case 'profile':
      return profileNames(context).map((value) => ({ value, about: 'profile' }))
    case 'config-key': {
      const { readConfig } = await import('./node.ts')
      const entries = (await readConfig(context)).config.entries().filter(({ isInternal }) => !isInternal)
      return entries.map(({ path, description }) => ({ value: path, about: description ?? '' }))
    }
    case 'error-code': {
      const { errorCatalogue } = await import('./error-catalogue.ts')
      return [...(await errorCatalogue())].map(([value, { message }]) => ({ value, about: message }))
    }
    case 'stored-file':
      return await storedNames(context)
    case 'service':
    case 'file':
    case undefined:
      return []
  }
}

/** Names that a shell takes as they are. */
async function storedNames({ client, signal }: CliContext): Promise<readonly Candidate[]> {
  const options = { signal: AbortSignal.any([signal, AbortSignal.timeout(NAMES_TIMEOUT_MS)]) }
  const { files } = await (await client()).filesList({ limit: 1_000 }, options)
  return files
    .filter(({ name }) => /^[\p{L}\p{N}_.@+/-]+$/u.test(name))
    .map(({ name, size }) => ({ value: name, about: formatBytes(size) }))
}

/** Names that a shell takes as they are; the others by their id. */
async function peerNames({ client, signal }: CliContext): Promise<readonly Candidate[]> {
  const options = { signal: AbortSignal.any([signal, AbortSignal.timeout(NAMES_TIMEOUT_MS)]) }
  const { contacts } = await (await client()).contactsList({}, options)
  return contacts.map(({ name, id }) => ({
    value: /^[\p{L}\p{N}_.@+-]+$/u.test(name) ? name : id,
    about: escapeText(name),
  }))
}

/** Profiles that have a folder, by name. */
export function profileNames({ home }: Pick<CliContext, 'home'>): readonly string[] {
  try {
    const folders = readdirSync(dirname(home.stateDir), { withFileTypes: true })
    // The sockets of a machine without a runtime folder lie in `run` among the profiles.
    return folders.filter((entry) => entry.isDirectory() && entry.name !== 'run').map(({ name }) => name)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return []
    throw error
  }
}
