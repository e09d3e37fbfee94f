/**
 * What a command of `nzcore` is, apart from any argument parser. Commands that only call one endpoint are derived from
 * the contract (`Presenters` say how their answers read); commands with a flow of their own are `CommandSpec`s.
 */
import type { ExitName } from '../kernel/index.ts'
import type { IdentityAdmin } from '../modules/identity/service.ts'
import type { Home } from '../protocols/ipc/home.ts'
import type { NzClient } from '../sdk/client.ts'

export interface Argument {
  readonly name: string
  readonly summary: string
  readonly isRequired: boolean
  /** Completion offers live names of this kind. */
  readonly completes?: 'peer' | 'profile' | 'service' | 'file' | 'stored-file' | 'config-key' | 'error-code'
}

export interface Option {
  /** As commander writes it: `--to <dir>`, `-c, --count <n>`, `--qr`. */
  readonly flags: string
  readonly summary: string
  readonly default?: string
  /** May be given more than once; its values are in `lists`. */
  readonly isRepeatable?: boolean
}

export interface CommandInput {
  readonly args: Readonly<Record<string, string | undefined>>
  /** By camel-cased long name. */
  readonly options: Readonly<Record<string, string | boolean | undefined>>
  /** Every value of the repeatable options that were given, by camel-cased long name. */
  readonly lists: Readonly<Record<string, readonly string[]>>
}

export interface CommandSpec {
  readonly words: readonly [string, ...string[]]
  readonly summary: string
  readonly args?: readonly Argument[]
  readonly options?: readonly Option[]
  /** Names of the documents its `--json` output prints; each has a published JSON Schema. */
  readonly schemaNames: readonly `nz.${string}/${number}`[]
  /** An interrupt is the ordinary end of this command: it exits with 0 when `run` returns after it. */
  readonly endsOnInterrupt?: boolean
  /**
   * Throws `NzError`s; invoke.ts prints them and sets the exit code. Resolves with the name of an exit code when the
   * answer that was printed is itself bad news.
   */
  run(context: CliContext, input: CommandInput): Promise<ExitName | void>
}

/** Where a command writes. With `--json`, stdout carries documents only. */
export interface Output {
  readonly isJson: boolean
  /** Whether stdout is a terminal (and output is not JSON): QR codes, live tables. */
  readonly isTty: boolean
  /** Width of the terminal in columns; 80 when it is none. */
  readonly columns: number
  /** Prints one answer: `{ schema, ...document }` with `--json`, else the human text. Call it once per answer. */
  answer(schemaName: `nz.${string}/${number}`, document: object, human: () => string): void
  /** Human text beside the answer: stderr with `--json`, else stdout. */
  say(text: string): void
  /** A line beside the answer that is no part of it, always on stderr. */
  note(text: string): void
  /** One line that replaces itself, only on a terminal's stderr; `null` clears it. */
  progress(text: string | null): void
  /** Raw bytes to stdout, with back-pressure (`listen`, `receive -`). */
  write(bytes: Uint8Array): Promise<void>
}

/** Questions to the person at the terminal. Each throws NZ_CLI_NO_TTY when there is no terminal. */
export interface Prompt {
  readonly isAvailable: boolean
  confirm(question: string, options?: { readonly default?: boolean }): Promise<boolean>
  line(question: string): Promise<string>
  /** Without echo. The caller zeroes the bytes. */
  secret(question: string): Promise<Uint8Array>
}

export interface OfflineOptions {
  /** Takes no lock: for what changes nothing and may be done beside a running node. Default: `false`. */
  readonly isReadOnly?: boolean
}

export interface CliContext {
  readonly home: Home
  readonly env: Readonly<Record<string, string | undefined>>
  readonly output: Output
  readonly prompt: Prompt
  /** Aborts on Ctrl-C, SIGTERM and when stdout closes. */
  readonly signal: AbortSignal
  readonly stdin: AsyncIterable<Uint8Array>
  /** The running node's API. Its calls throw NZ_IPC_NOT_RUNNING when there is none. */
  readonly client: () => Promise<NzClient>
  /**
   * The profile's identity alone, without a daemon and without the network, for identity commands. `await using` it.
   *
   * @throws NZ_HOME_LOCKED when a daemon runs this profile, unless `isReadOnly`
   */
  readonly offline: (options?: OfflineOptions) => Promise<{ readonly identity: IdentityAdmin } & AsyncDisposable>
}

/** How the answer of a derived command reads: endpoint id → human text. */
export type Presenters = Readonly<Record<string, (result: never, context: CliContext) => string>>
