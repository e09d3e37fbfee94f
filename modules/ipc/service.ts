/** What others may know of `ipc`: the local API in process, for the embedded node. */
import { defineService } from '../../kernel/index.ts'
import type { contract } from '../../protocols/ipc/contract.ts'
import type { Client } from '../../protocols/ipc/endpoint.ts'

export interface IpcService {
  /** Calls run the same handlers, with the same checks of params, as requests on the socket; all capabilities. */
  readonly client: Client<typeof contract>
}

export const IpcService = defineService<IpcService>('ipc')
