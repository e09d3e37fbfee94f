/** The local API: the contract served over HTTP/1.1 on a Unix socket that only the owner may open. */
import { z } from 'zod'
import { defineModule, KernelService } from '../../kernel/index.ts'
import { contract } from '../../protocols/ipc/contract.ts'
import type { Handlers } from '../../protocols/ipc/endpoint.ts'
import { ipcErrors } from '../../protocols/ipc/errors.ts'
import { ContactsService } from '../contacts/service.ts'
import { HomeService } from '../home/service.ts'
import { IdentityService } from '../identity/service.ts'
import { NetworkService } from '../network/service.ts'
import { owner } from './caller.ts'
import type { Authenticate } from './caller.ts'
import { Dispatcher } from './dispatch.ts'
import { networkHandlers } from './handlers/network.ts'
import { nodeHandlers } from './handlers/node.ts'
import { createHttpServer } from './http-server.ts'
import { createLocalClient } from './local-client.ts'
import { Router } from './router.ts'
import { IpcService } from './service.ts'
import { listenOnUnixSocket } from './unix-socket.ts'

export default defineModule({
  name: 'ipc',
  config: z.strictObject({
    socket: z.boolean().default(true).describe('whether the local API listens on the Unix socket of the profile'),
  }),
  requires: {
    kernel: KernelService,
    home: HomeService,
    identity: IdentityService,
    network: NetworkService,
    contacts: ContactsService,
  },
  provides: { ipc: IpcService },
  emits: {},
  capabilities: ['ipc.listen'],
  restart: 'permanent',

  setup({ log, clock, scope }, services, config) {
    const handlers: Handlers<typeof contract> = {
      ...nodeHandlers({ ...services, clock }),
      ...networkHandlers(services),
    }
    const dispatcher = new Dispatcher({ contract, handlers, clock, log })
    const { signal } = scope
    const stopping = new AbortController()
    const router = new Router({
      contract,
      dispatcher,
      authenticate: ownerOnly,
      clock,
      log,
      signal: AbortSignal.any([signal, stopping.signal]),
    })
    const unix = createHttpServer(router)
    return {
      services: { ipc: { client: createLocalClient(contract, dispatcher, { signal }) } },
      async start(options) {
        if (!config.socket) return
        scope.defer(async () => await unix.close())
        await listenOnUnixSocket(unix.server, services.home.paths.socketPath, options)
      },
      async stop() {
        stopping.abort()
        await unix.close()
      },
    }
  },
})

/** Whoever can open the socket is the owner; web pages cannot, but a browser extension or proxy might speak for one. */
const ownerOnly: Authenticate = async (request) => {
  if (request.headers.origin !== undefined) throw ipcErrors.NZ_IPC_ORIGIN_REFUSED()
  return owner
}
