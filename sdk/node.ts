/** A node inside the application: no daemon, no socket; the same interface and the same checks as `connect()`. */
import { composeNode, localClient } from '../cli/node.ts'
import { homeOf } from '../protocols/ipc/home.ts'
import { createNzNode } from './nz-node.ts'
import type { NzNode } from './nz-node.ts'

export type * from './files.ts'
export type * from './nz-node.ts'
export type * from './transfers.ts'
export { isNzError, NzError } from '../kernel/index.ts'

export interface CreateNodeInit {
  /** Default: `NZ_PROFILE`, else `default`. One process at a time runs a profile. */
  readonly profile?: string
  /** Where to look for `NZ_HOME`, `NZ_PASSPHRASE_FILE` and the other variables. @default process.env */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Stronger than the configuration file: `{ 'network.listen': ['/ip4/127.0.0.1/tcp/0'] }`; `nzcore config explain`. */
  readonly settings?: Readonly<Record<string, string | number | boolean | readonly string[]>>
  /** Whether the local API listens on the profile's socket too, so that `nzcore` commands reach the node. @default false */
  readonly socket?: boolean
}

/**
 * Starts a node of a profile; creates its identity when there is none. Close it before the process ends.
 *
 * @throws NZ_HOME_LOCKED when another process runs the profile, NZ_KERNEL_CONFIG_INVALID, and what kept a module from
 *   starting
 */
export async function createNode(
  { profile, env = process.env, settings = {}, socket = false }: CreateNodeInit = {},
  { signal }: { signal?: AbortSignal } = {},
): Promise<NzNode> {
  signal?.throwIfAborted()
  const home = homeOf({ env, ...(profile === undefined ? {} : { profile }) })
  const flags = Object.entries({ ...settings, 'ipc.socket': socket }).map(
    ([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  )
  const node = await composeNode({ home, env, flags })
  let closing: Promise<void> | undefined
  const close = async (): Promise<void> => {
    closing ??= node.kernel.stop('closed by the application').finally(() => node.journal.close())
    await closing
  }
  const onAbort = (): void => void close().catch(() => undefined)
  signal?.addEventListener('abort', onAbort, { once: true })
  try {
    await node.kernel.start()
    signal?.throwIfAborted()
  } catch (error) {
    await close().catch(() => undefined)
    throw error
  } finally {
    signal?.removeEventListener('abort', onAbort)
  }
  return createNzNode(localClient(node), close)
}
