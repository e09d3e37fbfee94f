/** Starts the node in the background, with its passphrase when it needs one. */
import { join } from 'node:path'
import { spawnDaemon } from './spawn-daemon.ts'
import type { CliContext } from './command.ts'
import type { ReadyReport } from './spawn-daemon.ts'

export interface StartDaemonOptions {
  /** Settings such as `network.listen=…`. */
  readonly flags: readonly string[]
  readonly waitMs: number
}

/** @throws as `spawnDaemon` */
export async function startDaemon(context: CliContext, { flags, waitMs }: StartDaemonOptions): Promise<ReadyReport> {
  const passphrase = await passphraseFor(context)
  try {
    return await spawnDaemon({ context, launcher: launcherPath(), flags, passphrase, waitMs })
  } finally {
    passphrase?.fill(0)
  }
}

/** `null` when the daemon needs none, finds it by itself, or is to say that it is missing. */
async function passphraseFor({ home, env, prompt, offline }: CliContext): Promise<Uint8Array | null> {
  if (env['NZ_PASSPHRASE_FILE'] !== undefined) return null
  // A descriptor of this process is none of the daemon's.
  if (env['NZ_PASSPHRASE_FD'] !== undefined) {
    const { passphraseOf } = await import('./node.ts')
    return await passphraseOf({ env })()
  }
  if (!prompt.isAvailable) return null
  await using opened = await offline({ isReadOnly: true })
  if ((await opened.identity.facts())?.protection !== 'passphrase') return null
  return await prompt.secret(`Passphrase of profile ${home.profile}:`)
}

/** Compiled, this file lies in dist/cli; the launcher is in cli beside dist. */
function launcherPath(): string {
  return join(import.meta.dirname, '..', '..', 'cli', 'nzcore.js')
}
