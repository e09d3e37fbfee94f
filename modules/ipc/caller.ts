/** Who calls, and what it may. */
import type { IncomingMessage } from 'node:http'
import type { Caller } from '../../protocols/ipc/endpoint.ts'

export const owner: Caller = Object.freeze({ id: 'owner', capabilities: ['*'] })

/** @throws NZ_IPC_HOST_REFUSED, NZ_IPC_ORIGIN_REFUSED, NZ_IPC_TOKEN_REFUSED, NZ_IPC_LOGIN_LIMITED */
export type Authenticate = (request: IncomingMessage) => Promise<Caller>

export function permits({ capabilities }: Caller, capability: string): boolean {
  const [area = ''] = capability.split('.')
  return capabilities.some((held) => held === '*' || held === capability || held === `${area}.*`)
}
