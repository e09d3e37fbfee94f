/** The argument parser, built from the command table. */
import { Command, CommanderError } from 'commander'
import { cliErrors } from './errors.ts'
import type { CommandInput } from './command.ts'
import type { CommandEntry } from './command-table.ts'

export interface GlobalOptions {
  readonly json: boolean
  readonly profile?: string
  readonly home?: string
}

export interface ProgramInit {
  readonly table: readonly CommandEntry[]
  readonly parentSummaries: Readonly<Record<string, string>>
  readonly run: (entry: CommandEntry, input: CommandInput, globals: GlobalOptions) => Promise<void>
  readonly writeOut: (text: string) => void
  readonly writeErr: (text: string) => void
  readonly columns: number
}

/** Parses `argv` and runs the command it names. @throws NZ_CLI_USAGE, and whatever the command throws */
export async function runProgram(argv: readonly string[], init: ProgramInit): Promise<void> {
  const program = buildProgram(init)
  try {
    if (argv.length === 0) program.outputHelp()
    else await program.parseAsync(usualWords(argv), { from: 'user' })
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    // Help that was asked for ends the parser in the same way as a mistake does.
    if (error.exitCode === 0) return
    if (error.code === 'commander.help') throw cliErrors.NZ_CLI_USAGE({ why: 'a command is missing' })
    throw cliErrors.NZ_CLI_USAGE({ why: error.message.replace(/^error: /, '').replace(/\n\(/, ' ('), cause: error })
  }
}

/** What other programs taught people to type: `help send`, `--version`. */
function usualWords([first = '', ...rest]: readonly string[]): string[] {
  if (first === 'help') return [...rest, '--help']
  return [first === '--version' || first === '-V' ? 'version' : first, ...rest]
}

/** The help of the command, or of the group of commands, that `argv` names as far as it can be understood. */
export function helpFor(argv: readonly string[], table: readonly CommandEntry[]): string {
  const first = argv.findIndex((word) => table.some(({ words }) => words[0] === word))
  let depth = 0
  const typed = first === -1 ? [] : argv.slice(first)
  const isKnown = (count: number): boolean =>
    count <= typed.length && table.some(({ words }) => typed.slice(0, count).every((word, at) => words[at] === word))
  while (isKnown(depth + 1)) depth += 1
  return ['nzcore', ...typed.slice(0, depth), '--help'].join(' ')
}

export function buildProgram(init: ProgramInit): Command {
  const program = new Command('nzcore')
    .description('A peer-to-peer node: find peers, prove who they are, exchange data with no central server.')
    .option('--json', 'one JSON document on stdout')
    .option('--profile <name>', 'profile to use')
    .option('--home <dir>', 'keep every file below this folder')
    .helpCommand(false)
  configure(program, init)
  for (const entry of init.table) {
    const command = commandAt(program, entry.words, init)
    describe(command, entry)
    command.action(async () => {
      await init.run(entry, inputOf(entry, command), globalsOf(program))
    })
  }
  return program
}

function configure(command: Command, { writeOut, writeErr, columns }: ProgramInit): void {
  command
    .exitOverride()
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut,
      writeErr,
      // Mistakes are thrown and printed once, as what, why and do.
      outputError: () => undefined,
      getOutHelpWidth: () => columns,
      getErrHelpWidth: () => columns,
    })
}

function commandAt(program: Command, words: readonly string[], init: ProgramInit): Command {
  let parent = program
  for (const [depth, word] of words.entries()) {
    let command = parent.commands.find((child) => child.name() === word)
    if (command === undefined) {
      command = parent.command(word, { hidden: word.startsWith('__') }).helpCommand(false)
      configure(command, init)
      const summary = init.parentSummaries[words.slice(0, depth + 1).join(' ')]
      if (summary !== undefined) command.description(summary)
    }
    parent = command
  }
  return parent
}

function describe(command: Command, { summary, args, options }: CommandEntry): void {
  command.description(summary).allowExcessArguments(false)
  for (const { name, summary: about, isRequired } of args) {
    command.argument(isRequired ? `<${kebab(name)}>` : `[${kebab(name)}]`, about)
  }
  for (const { flags, summary: about, default: assumed, isRepeatable } of options) {
    const option = command.createOption(flags, about)
    if (assumed !== undefined) option.default(assumed)
    if (isRepeatable === true)
      option.argParser((value, earlier: readonly string[] | undefined) => [...(earlier ?? []), value])
    command.addOption(option)
  }
}

function inputOf({ args }: CommandEntry, command: Command): CommandInput {
  const values: Record<string, string | undefined> = {}
  for (const [index, { name }] of args.entries()) values[name] = command.processedArgs[index] as string | undefined
  const options: Record<string, string | boolean | undefined> = {}
  const lists: Record<string, readonly string[]> = {}
  for (const [name, value] of Object.entries(command.opts<Record<string, string | boolean | readonly string[]>>())) {
    if (typeof value === 'object') lists[name] = value
    else options[name] = value
  }
  return { args: values, options, lists }
}

function globalsOf(program: Command): GlobalOptions {
  const { json = false, profile, home } = program.opts<{ json?: boolean; profile?: string; home?: string }>()
  return { json, ...(profile === undefined ? {} : { profile }), ...(home === undefined ? {} : { home }) }
}

function kebab(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}
