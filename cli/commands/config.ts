/** `nzcore config`: works without a daemon, on the files; a running node is asked only to compare or to take over. */
import { isNzError } from '../../kernel/index.ts'
import { cliErrors } from '../errors.ts'
import { escapeText, table } from '../text.ts'
import type { ConfigEntry } from '../../kernel/index.ts'
import type { configContract } from '../../protocols/ipc/contract/config.ts'
import type { ResultOf } from '../../protocols/ipc/endpoint.ts'
import type { CliContext, CommandInput, CommandSpec, Presenters } from '../command.ts'

const key = {
  name: 'key',
  summary: 'dotted, such as network.listen',
  isRequired: true,
  completes: 'config-key',
} as const

export const configPresenters: Presenters = {
  configReload({ reloaded, needRestart }: ResultOf<(typeof configContract)['configReload']>) {
    const isUnchanged = reloaded.length === 0 && needRestart.length === 0
    return [
      ...(isUnchanged ? ['✔ nothing has changed'] : []),
      ...(reloaded.length === 0 ? [] : [`✔ taken over by ${reloaded.join(', ')}`]),
      ...(needRestart.length === 0
        ? []
        : [`! ${needRestart.join(', ')}: in force after a restart`, 'Next: nzcore down, then nzcore up']),
    ].join('\n')
  },
}

export const configCommands: readonly CommandSpec[] = [
  {
    words: ['config', 'check'],
    summary: 'Check the configuration a node would start with',
    schemaNames: ['nz.config-check/1'],
    async run(context) {
      const { config, files } = await readConfig(context)
      const document = { files, changes: config.changes().filter(isVisible).length }
      context.output.answer(
        'nz.config-check/1',
        document,
        () => `✔ valid  ${document.changes} keys set · ${files.join(' · ')}`,
      )
    },
  },
  {
    words: ['config', 'show'],
    summary: 'Show the configuration a node would start with',
    options: [
      { flags: '--origin', summary: 'also where each value comes from' },
      { flags: '--running', summary: 'what the running node uses' },
    ],
    schemaNames: ['nz.config/1'],
    async run(context, { options }) {
      const entries =
        options['running'] === true
          ? (await (await context.client()).configRunning({}, { signal: context.signal })).entries
          : visible((await readConfig(context)).config.entries())
      context.output.answer('nz.config/1', { entries }, () => entriesText(entries, options['origin'] === true))
    },
  },
  {
    words: ['config', 'diff'],
    summary: 'Show what differs from the defaults, and from what the running node uses',
    schemaNames: ['nz.config-diff/1'],
    run: diff,
  },
  {
    words: ['config', 'explain'],
    summary: 'Say what a key means, what it may hold and where its value comes from',
    args: [key],
    schemaNames: ['nz.config-key/1'],
    async run(context, { args }) {
      const { config } = await readConfig(context)
      const entry = documentOf(config.explain(args['key'] ?? ''))
      context.output.answer('nz.config-key/1', entry, () => explainText(entry))
    },
  },
  {
    words: ['config', 'set'],
    summary: 'Set a key in the configuration file, checked before it is written',
    args: [key, { name: 'value', summary: 'lists as a,b,c or JSON', isRequired: false }],
    options: [
      { flags: '--unset', summary: 'remove the key from the file' },
      { flags: '--only-profile', summary: 'in the file of this profile alone' },
    ],
    schemaNames: ['nz.config-set/1'],
    run: set,
  },
]

async function readConfig({ home, env }: CliContext) {
  const { readConfig: read, configFiles } = await import('../node.ts')
  const { config } = await read({ home, env })
  return { config, files: configFiles(home) }
}

type Entry = ReturnType<typeof documentOf>

function isVisible({ isInternal }: ConfigEntry): boolean {
  return !isInternal
}

function visible(entries: readonly ConfigEntry[]): readonly Entry[] {
  return entries.filter(isVisible).map(documentOf)
}

function documentOf(entry: ConfigEntry) {
  const { path, value, origin, type, unit, default: assumed, description, environment, isSecret } = entry
  return { path, value, origin, type, unit, default: assumed, description, environment, isSecret }
}

function entriesText(entries: readonly Pick<Entry, 'path' | 'value' | 'origin'>[], hasOrigin: boolean): string {
  const rows = entries.map(({ path, value, origin }) => [path, valueText(value), ...(hasOrigin ? [origin] : [])])
  return table(['KEY', 'VALUE', ...(hasOrigin ? ['ORIGIN'] : [])], rows)
}

function valueText(value: unknown): string {
  if (value === null || value === undefined) return '-'
  return escapeText(typeof value === 'string' ? value : JSON.stringify(value))
}

function explainText({ path, value, origin, type, unit, default: assumed, description, environment }: Entry): string {
  return [
    `${path}: ${escapeText(description ?? 'no description')}`,
    `type:        ${type}${unit === null ? '' : `, in ${unit}`}`,
    `default:     ${valueText(assumed)}`,
    `value:       ${valueText(value)}  (${origin})`,
    `environment: ${environment}`,
  ].join('\n')
}

async function diff(context: CliContext): Promise<void> {
  const { config } = await readConfig(context)
  const changes = visible(config.changes())
  const running = await runningEntries(context)
  const differing = visible(config.entries()).flatMap((entry) => {
    const other = running?.find(({ path }) => path === entry.path)
    const isSame = other === undefined || JSON.stringify(other.value) === JSON.stringify(entry.value)
    return isSame ? [] : [{ path: entry.path, value: entry.value, running: other.value }]
  })
  const document = { isRunning: running !== null, changes, differing }
  context.output.answer('nz.config-diff/1', document, () =>
    [
      changes.length === 0
        ? 'every key has its default'
        : table(
            ['KEY', 'VALUE', 'DEFAULT', 'ORIGIN'],
            changes.map(({ path, value, default: assumed, origin }) => [
              path,
              valueText(value),
              valueText(assumed),
              origin,
            ]),
          ),
      ...differing.map(
        ({ path, value, running: used }) =>
          `! ${path}: the running node uses ${valueText(used)}, not ${valueText(value)} → nzcore config reload`,
      ),
    ].join('\n'),
  )
}

/** `null` when no node runs. */
async function runningEntries({ client, signal }: CliContext) {
  try {
    return (await (await client()).configRunning({}, { signal })).entries
  } catch (error) {
    if (isNzError(error, 'NZ_IPC_NOT_RUNNING')) return null
    throw error
  }
}

async function set(context: CliContext, { args, options }: CommandInput): Promise<void> {
  const { home, env, output } = context
  const path = args['key'] ?? ''
  const isUnset = options['unset'] === true
  const text = args['value']
  if (isUnset === (text !== undefined)) throw cliErrors.NZ_CLI_USAGE({ why: 'give a value, or --unset' })
  const { changeConfig } = await import('../node.ts')
  const onlyProfile = options['onlyProfile'] === true
  const { file, entry } = await changeConfig({ home, env, path, text: text ?? null, onlyProfile })
  const document = { file, ...documentOf(entry) }
  const isRunning = (await runningEntries(context)) !== null
  output.answer('nz.config-set/1', document, () =>
    [
      `✔ ${path} ${isUnset ? 'removed' : `= ${valueText(entry.value)}`}  (${file})`,
      ...(entry.origin !== 'file' && !isUnset ? [`! ${entry.origin} sets it too, and wins`] : []),
      ...(isRunning ? ['Next: nzcore config reload'] : []),
    ].join('\n'),
  )
}
