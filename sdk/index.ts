/**
 * nzcore for applications: `connect()` to the node that runs on this machine. `nzcore/node` has `createNode()`, a node
 * inside the application, by the same interface.
 */
import { homeOf } from '../protocols/ipc/home.ts'
import { ipcErrors } from '../protocols/ipc/errors.ts'
import { API_VERSION } from '../protocols/ipc/version.ts'
import { createClient } from './client.ts'
import { createNzNode } from './nz-node.ts'
import type { ClientInit } from './client.ts'
import type { NzNode } from './nz-node.ts'

export { isNzError, NzError } from '../kernel/index.ts'
export { createClient } from './client.ts'
export { NodeStream } from './stream.ts'
export type { ErrorDocument } from '../kernel/index.ts'
export type { Duplex } from '../protocols/ipc/endpoint.ts'
export type { ClientInit, NzClient } from './client.ts'
export { FileReading } from './files.ts'
export type * from './files.ts'
export type * from './nz-node.ts'
export type { StreamPeer } from './stream.ts'
export type * from './transfers.ts'

/** Which node: that of a profile of this user (default), the one behind a socket, or one over TCP. */
export type ConnectInit =
  | { readonly profile?: string; readonly env?: Readonly<Record<string, string | undefined>> }
  | ClientInit

/**
 * Connects to a running node and makes sure that both speak the same version of the local API. There is no standing
 * connection: a node that restarts is found again by the next call.
 *
 * @throws NZ_IPC_NOT_RUNNING, NZ_IPC_TOKEN_REFUSED, NZ_IPC_ANSWER_INVALID
 */
export async function connect(init: ConnectInit = {}, { signal }: { signal?: AbortSignal } = {}): Promise<NzNode> {
  const api = createClient('socketPath' in init || 'url' in init ? init : { socketPath: socketPathOf(init) })
  const { apiVersion, version } = await api.nodeVersion({}, signal === undefined ? {} : { signal })
  if (apiVersion !== API_VERSION) {
    throw ipcErrors.NZ_IPC_ANSWER_INVALID({ data: { node: { version, apiVersion }, sdk: { apiVersion: API_VERSION } } })
  }
  return createNzNode(api, async () => await Promise.resolve())
}

function socketPathOf({ profile, env = process.env }: Extract<ConnectInit, { profile?: string }>): string {
  return homeOf({ env, ...(profile === undefined ? {} : { profile }) }).socketPath
}
