/** The identity of a profile without a daemon. */
import type { CliContext, OfflineOptions } from './command.ts'

/** @throws NZ_HOME_LOCKED when a daemon runs this profile, unless `isReadOnly` */
export async function openOffline(
  { home, env, prompt }: CliContext,
  { isReadOnly = false }: OfflineOptions,
): ReturnType<CliContext['offline']> {
  const { openIdentity } = await import('./node.ts')
  const ask = async (): Promise<Uint8Array> => await prompt.secret(`Passphrase of profile ${home.profile}:`)
  return await openIdentity({ home, env, isReadOnly, ...(prompt.isAvailable ? { ask } : {}) })
}
