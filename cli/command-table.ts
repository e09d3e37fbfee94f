/**
 * The table of all commands as plain data: those derived from the contract and those with a flow of their own.
 * The build writes it beside the compiled program, so that help, completion and every command start without loading
 * the contract or a command's code.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { paramsOfEndpoint } from './derived.ts'
import type { Argument, CommandSpec, Option, Presenters } from './command.ts'
import type { DerivedParam } from './derived.ts'
import type { Contract } from '../protocols/ipc/endpoint.ts'

/** What one file in commands/ brings. */
export interface CommandGroup {
  readonly commands: readonly CommandSpec[]
  readonly presenters: Presenters
}

export type CommandGroups = Readonly<Record<string, () => Promise<CommandGroup>>>

export interface CommandEntry {
  readonly words: readonly string[]
  readonly summary: string
  readonly args: readonly Argument[]
  readonly options: readonly Option[]
  readonly schemaNames: readonly string[]
  readonly run:
    | { readonly by: 'group'; readonly group: string }
    | {
        readonly by: 'endpoint'
        readonly endpoint: string
        readonly kind: 'call' | 'stream'
        readonly params: readonly DerivedParam[]
        /** The group whose presenter says how the answer reads; `null`: the general one. */
        readonly presenterGroup: string | null
      }
}

export const TABLE_FILE = 'commands.json'

/** The table the build has written, or a fresh one when this runs from source. */
export async function loadCommandTable(): Promise<readonly CommandEntry[]> {
  try {
    return JSON.parse(readFileSync(join(import.meta.dirname, TABLE_FILE), 'utf8')) as readonly CommandEntry[]
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error
    const [{ contract }, { commandGroups }] = await Promise.all([
      import('../protocols/ipc/contract.ts'),
      import('./commands/index.ts'),
    ])
    return await buildCommandTable(contract, commandGroups)
  }
}

/** An own command takes the place of an endpoint with the same words; duplex endpoints need an own command. */
export async function buildCommandTable(contract: Contract, groups: CommandGroups): Promise<readonly CommandEntry[]> {
  const entries = new Map<string, CommandEntry>()
  const presenterGroups = new Map<string, string>()
  for (const [group, load] of Object.entries(groups)) {
    const { commands, presenters } = await load()
    for (const id of Object.keys(presenters)) presenterGroups.set(id, group)
    for (const { words, summary, args = [], options = [], schemaNames } of commands) {
      const key = words.join(' ')
      if (entries.has(key)) throw new Error(`command defined twice: ${key}`)
      entries.set(key, { words, summary, args, options, schemaNames, run: { by: 'group', group } })
    }
  }
  for (const [endpoint, { kind, command, summary, schemaName, params, positional = [] }] of Object.entries(contract)) {
    const key = command.join(' ')
    if (kind === 'duplex' || entries.has(key)) continue
    const derived = paramsOfEndpoint(params, positional)
    entries.set(key, {
      words: command,
      summary,
      args: derived.args,
      options: derived.options,
      schemaNames: [schemaName],
      run: {
        by: 'endpoint',
        endpoint,
        kind,
        params: derived.params,
        presenterGroup: presenterGroups.get(endpoint) ?? null,
      },
    })
  }
  return [...entries.values()].sort((a, b) => (a.words.join(' ') < b.words.join(' ') ? -1 : 1))
}
