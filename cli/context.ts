/** What a command gets to work with, made on first use where making it costs. */
import { readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { homeOf, isProfileName, PROFILE_NAME_RULE } from '../protocols/ipc/home.ts'
import { cliErrors } from './errors.ts'
import type { CliContext, OfflineOptions, Output, Prompt } from './command.ts'
import type { GlobalOptions } from './program.ts'
import type { Home } from '../protocols/ipc/home.ts'
import type { NzClient } from '../sdk/client.ts'

/** The environment with what the global options say on top; a started daemon inherits it. */
export function environmentOf(env: CliContext['env'], { home, profile }: GlobalOptions): CliContext['env'] {
  // The daemon runs in another folder: what is relative to this one is made absolute.
  const chosen = {
    ...env,
    ...absolute('NZ_HOME', home ?? env['NZ_HOME']),
    ...absolute('NZ_PASSPHRASE_FILE', env['NZ_PASSPHRASE_FILE']),
  }
  const name = profile ?? chosen['NZ_PROFILE'] ?? usedProfile(chosen)
  if (!isProfileName(name)) {
    throw cliErrors.NZ_CLI_USAGE({
      why: `"${name}" is no profile name: ${PROFILE_NAME_RULE}`,
    })
  }
  return { ...chosen, NZ_PROFILE: name }
}

function absolute(name: string, path: string | undefined): Record<string, string> {
  return path === undefined || path === '' ? {} : { [name]: resolve(path) }
}

/** The file beside the configuration that holds the name `nzcore profile use` has chosen. */
export function profileFileOf(env: CliContext['env']): string {
  return join(dirname(homeOf({ env, profile: 'default' }).configFile), 'profile')
}

/** The profile of `nzcore profile use`; `default` when none was chosen. @throws NZ_CLI_HOME_UNREADABLE */
export function usedProfile(env: CliContext['env']): string {
  try {
    return readFileSync(profileFileOf(env), 'utf8').trim()
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error
    if (error.code === 'ENOENT') return 'default'
    throw cliErrors.NZ_CLI_HOME_UNREADABLE({
      why: String(error.code),
      cause: error,
      data: { path: profileFileOf(env) },
    })
  }
}

export interface ContextInit {
  readonly env: CliContext['env']
  readonly output: Output
  readonly prompt: Prompt
  readonly signal: AbortSignal
  readonly stdin: () => AsyncIterable<Uint8Array>
  readonly connect: (home: Home) => Promise<NzClient>
  readonly offline: (context: CliContext, options: OfflineOptions) => ReturnType<CliContext['offline']>
}

export function createContext({ env, output, prompt, signal, stdin, connect, offline }: ContextInit): CliContext {
  const home = homeOf({ env })
  let client: Promise<NzClient> | undefined
  const context: CliContext = {
    home,
    env,
    output,
    prompt,
    signal,
    get stdin() {
      return stdin()
    },
    client: async () => await (client ??= connect(home)),
    offline: async (options = {}) => await offline(context, options),
  }
  return context
}
