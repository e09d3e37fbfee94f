/** One run of the command line: arguments in, output and an exit code out. Touches no process state. */
import { exitCodes, isNzError } from '../kernel/index.ts'
import { loadCommandTable } from './command-table.ts'
import { commandGroups, parentSummaries } from './commands/index.ts'
import { createContext, environmentOf } from './context.ts'
import { paramsFromInput } from './derived.ts'
import { cliErrors } from './errors.ts'
import { createOutput } from './output.ts'
import { helpFor, runProgram } from './program.ts'
import { createPrompt } from './prompt.ts'
import type { CliContext, CommandInput } from './command.ts'
import type { CommandEntry, CommandGroups } from './command-table.ts'
import type { ContextInit } from './context.ts'
import type { CliOutput, Terminal } from './output.ts'
import type { PromptInit } from './prompt.ts'
import type { ExitName, NzError } from '../kernel/index.ts'

export interface InvokeInit extends Pick<ContextInit, 'env' | 'signal' | 'stdin' | 'connect' | 'offline'> {
  /** Without the program's own name. */
  readonly argv: readonly string[]
  readonly stdout: Terminal
  readonly stderr: Terminal
  readonly isStdinTty: boolean
  readonly keyboard: PromptInit['stdin']
  readonly interrupt: () => void
  readonly nowMs: () => number
  /** Default: what the build has written, or the contract and the groups when run from source. */
  readonly table?: readonly CommandEntry[]
  readonly groups?: CommandGroups
}

/** Runs the command that `argv` names, prints its error if it has one, and returns the exit code. */
export async function invoke(init: InvokeInit): Promise<number> {
  const { argv, stdout, stderr, env, signal } = init
  const output = createOutput({ stdout, stderr, isJson: asksForJson(argv), env, signal })
  let exit: ExitName = 'ok'
  if (argv[0] === '__complete') return await complete(init, output)
  const table = init.table ?? (await loadCommandTable())
  try {
    await runProgram(argv, {
      table,
      parentSummaries,
      columns: output.columns,
      writeOut: (text) => void stdout.write(text),
      writeErr: (text) => void stderr.write(text),
      run: async (entry, input, globals) => {
        const prompt = createPrompt({ ...init, stdin: init.keyboard })
        const context = createContext({ ...init, env: environmentOf(env, globals), output, prompt })
        exit = await runEntry(entry, input, context, init)
      },
    })
    return exitCodes[exit]
  } catch (error) {
    return report(error, output, { ...init, table })
  }
}

/** Candidates one a line, with a tab before what they are; what goes wrong shows as no candidates. */
async function complete(init: InvokeInit, output: CliOutput): Promise<number> {
  try {
    const { candidatesFor } = await import('./completion.ts')
    const prompt = createPrompt({ ...init, stdin: init.keyboard, isStdinTty: false })
    const context = createContext({ ...init, env: environmentOf(init.env, { json: false }), output, prompt })
    const table = init.table ?? (await loadCommandTable())
    for (const { value, about } of await candidatesFor(init.argv.slice(1), { table, context })) {
      init.stdout.write(`${value}\t${about.replaceAll(/[\t\n]/g, ' ')}\n`)
    }
    return exitCodes.ok
  } catch (error) {
    if ((init.env['NZ_DEBUG'] ?? '') !== '') init.stderr.write(`${stackOf(error)}\n`)
    return exitCodes.failed
  }
}

async function runEntry(
  entry: CommandEntry,
  input: CommandInput,
  context: CliContext,
  { groups = commandGroups, nowMs }: InvokeInit,
): Promise<ExitName> {
  const { run } = entry
  if (run.by === 'group') {
    const { commands = [] } = (await groups[run.group]?.()) ?? {}
    const command = commands.find(({ words }) => words.join(' ') === entry.words.join(' '))
    if (command === undefined) throw new Error(`no group has the command ${entry.words.join(' ')}`)
    const exit = await command.run(context, input)
    if (command.endsOnInterrupt !== true) context.signal.throwIfAborted()
    return exit ?? 'ok'
  }
  const params = paramsFromInput(run.params, input)
  // The table names endpoints of the contract this client is derived from.
  const client = (await context.client()) as unknown as Record<
    string,
    (params: object, options: { signal: AbortSignal }) => Promise<object> | AsyncIterable<object>
  >
  const { presenters = {} } = (run.presenterGroup === null ? undefined : await groups[run.presenterGroup]?.()) ?? {}
  const { presentAnswer } = await import('./present.ts')
  const [schemaName] = entry.schemaNames as [`nz.${string}/${number}`]
  const print = (answer: object): void => {
    const document = Array.isArray(answer) ? { items: answer as unknown[] } : answer
    context.output.answer(schemaName, document, () => {
      const presenter = presenters[run.endpoint]
      return presenter === undefined ? presentAnswer(answer, { nowMs: nowMs() }) : presenter(answer as never, context)
    })
  }
  const answer = client[run.endpoint]?.(params, { signal: context.signal })
  if (answer === undefined) throw new Error(`the client has no endpoint ${run.endpoint}`)
  if (run.kind === 'stream') for await (const item of answer as AsyncIterable<object>) print(item)
  else print(await (answer as Promise<object>))
  context.signal.throwIfAborted()
  return 'ok'
}

function report(
  thrown: unknown,
  output: CliOutput,
  { signal, env, stderr, argv, table }: InvokeInit & { readonly table: readonly CommandEntry[] },
): number {
  output.progress(null)
  const error = errorOf(thrown, signal)
  if (isNzError(error, 'NZ_CLI_OUTPUT_CLOSED')) return exitCodes.ok
  if (isNzError(error, 'NZ_CLI_INTERRUPTED')) {
    if (output.isJson) output.error(error.toDocument())
  } else if (isNzError(error, 'NZ_CLI_USAGE')) {
    output.error({ ...error.toDocument(), do: [helpFor(argv, table)] })
  } else output.error(error.toDocument())
  if ((env['NZ_DEBUG'] ?? '') !== '') stderr.write(`${stackOf(thrown)}\n`)
  return exitCodes[error.exit]
}

/** After Ctrl-C whatever the command then threw is only its consequence. */
function errorOf(thrown: unknown, signal: AbortSignal): NzError {
  if (signal.aborted && isNzError(signal.reason)) return signal.reason
  if (isNzError(thrown)) return thrown
  const why = thrown instanceof Error ? thrown.message : String(thrown)
  return cliErrors.NZ_CLI_UNEXPECTED({ why, cause: thrown })
}

function stackOf(thrown: unknown): string {
  if (!(thrown instanceof Error)) return String(thrown)
  return [
    thrown.stack ?? thrown.message,
    ...(thrown.cause === undefined ? [] : [`caused by ${stackOf(thrown.cause)}`]),
  ].join('\n')
}

/** Needed before the arguments are parsed, so that a mistake in them is reported in the right form. */
function asksForJson(argv: readonly string[]): boolean {
  const end = argv.indexOf('--')
  return argv.slice(0, end === -1 ? argv.length : end).includes('--json')
}
