/** The local API: the contract served over HTTP/1.1 on a Unix socket that only the owner may open, and on TCP if wanted. */
import { z } from 'zod'
import { defineModule, KernelService } from '../../kernel/index.ts'
import { contract } from '../../protocols/ipc/contract.ts'
import type { Handlers } from '../../protocols/ipc/endpoint.ts'
import { ipcErrors } from '../../protocols/ipc/errors.ts'
import { BackupService } from '../backup/service.ts'
import { ConfigLayersService } from '../config/service.ts'
import { ContactsService, InvitesService } from '../contacts/service.ts'
import { DoctorService } from '../doctor/service.ts'
import { DocumentsService } from '../documents/service.ts'
import { EventLogService } from '../eventlog/service.ts'
import { FilesService } from '../files/service.ts'
import { ForwardsService } from '../forwards/service.ts'
import { HomeService } from '../home/service.ts'
import { IdentityFactsService, IdentityService } from '../identity/service.ts'
import { LogsService } from '../logs/service.ts'
import { NetworkService } from '../network/service.ts'
import { RoutingService } from '../routing/service.ts'
import { StorageService } from '../storage/service.ts'
import { DiscoveryService, IntroductionsService } from '../discovery/service.ts'
import { TrustService } from '../trust/service.ts'
import { TransfersService } from '../transfers/service.ts'
import { authenticateByToken, authenticateOwner } from './access.ts'
import { AppStreams } from './app-streams.ts'
import { Dispatcher } from './dispatch.ts'
import { backupHandlers } from './handlers/backup.ts'
import { doctorHandlers } from './handlers/doctor.ts'
import { eventsHandlers } from './handlers/events.ts'
import { documentsHandlers } from './handlers/documents.ts'
import { eventLogHandlers } from './handlers/eventlog.ts'
import { filesHandlers } from './handlers/files.ts'
import { forwardsHandlers } from './handlers/forwards.ts'
import { identityHandlers } from './handlers/identity.ts'
import { logsHandlers } from './handlers/logs.ts'
import { networkHandlers } from './handlers/network.ts'
import { nodeHandlers } from './handlers/node.ts'
import { streamsHandlers } from './handlers/streams.ts'
import { tokensHandlers } from './handlers/tokens.ts'
import { configHandlers } from './handlers/config.ts'
import { contactsHandlers } from './handlers/contacts.ts'
import { storageHandlers } from './handlers/storage.ts'
import { discoveryHandlers } from './handlers/discovery.ts'
import { introductionsHandlers } from './handlers/introductions.ts'
import { routeHandlers } from './handlers/route.ts'
import { trustHandlers } from './handlers/trust.ts'
import { transfersHandlers } from './handlers/transfers.ts'
import { createHttpServer } from './http-server.ts'
import { createLocalClient } from './local-client.ts'
import { LoginLimit } from './login-limit.ts'
import { OpenStreams } from './open-streams.ts'
import { Router } from './router.ts'
import { IpcService } from './service.ts'
import { listenOnTcp, TcpConfig } from './tcp-listener.ts'
import { TokenStore } from './tokens.ts'
import { listenOnUnixSocket } from './unix-socket.ts'

export default defineModule({
  name: 'ipc',
  config: z.strictObject({
    socket: z.boolean().default(true).describe('whether the local API listens on the Unix socket of the profile'),
    tcp: TcpConfig.prefault({}),
  }),
  requires: {
    kernel: KernelService,
    home: HomeService,
    logs: LogsService,
    configLayers: ConfigLayersService,
    identity: IdentityService,
    facts: IdentityFactsService,
    network: NetworkService,
    contacts: ContactsService,
    invites: InvitesService,
    forwards: ForwardsService,
    transfers: TransfersService,
    doctor: DoctorService,
    storage: StorageService,
    files: FilesService,
    backup: BackupService,
    trust: TrustService,
    discovery: DiscoveryService,
    introductions: IntroductionsService,
    routing: RoutingService,
    eventlog: EventLogService,
    documents: DocumentsService,
  },
  provides: { ipc: IpcService },
  emits: {},
  capabilities: ['ipc.listen'],
  restart: 'permanent',

  setup({ log, events, clock, random, scope }, services, config) {
    const stopping = new AbortController()
    const streams = new OpenStreams({ clock })
    const tokens = new TokenStore({ ...services, clock, random, onRevoked: (id) => streams.cut(id) })
    const api: { url: string | null } = { url: null }
    const handlers: Handlers<typeof contract> = {
      ...nodeHandlers({ ...services, clock, api }),
      ...eventsHandlers({ ...services, events }),
      ...logsHandlers(services),
      ...configHandlers(services),
      ...tokensHandlers({ tokens, contract }),
      ...identityHandlers(services),
      ...contactsHandlers(services),
      ...forwardsHandlers(services),
      ...networkHandlers({ ...services, events, clock }),
      ...transfersHandlers(services),
      ...doctorHandlers(services),
      ...storageHandlers(services),
      ...filesHandlers({ ...services, clock }),
      ...backupHandlers(services),
      ...trustHandlers({ ...services, clock }),
      ...discoveryHandlers({ ...services, clock }),
      ...introductionsHandlers(services),
      ...routeHandlers(services),
      ...eventLogHandlers({ ...services, clock }),
      ...documentsHandlers(services),
      ...streamsHandlers(new AppStreams({ ...services, clock, signal: stopping.signal })),
    }
    const dispatcher = new Dispatcher({ contract, handlers, clock, log })
    const shared = { contract, dispatcher, streams, clock, log, signal: stopping.signal }
    const unix = createHttpServer(new Router({ ...shared, authenticate: authenticateOwner }), shared)
    const byToken = authenticateByToken({
      tokens,
      loginLimit: new LoginLimit({ clock }),
      allowedHosts: config.tcp.allowedHosts,
    })
    const tcp = createHttpServer(new Router({ ...shared, authenticate: byToken }), shared)
    scope.defer(async () => {
      stopping.abort(ipcErrors.NZ_IPC_STOPPING())
      await Promise.all([unix.close(), tcp.close()])
    })
    return {
      services: { ipc: { client: createLocalClient(contract, dispatcher, { signal: stopping.signal }) } },
      async start({ signal }) {
        await tokens.load()
        if (config.socket) await listenOnUnixSocket(unix.server, services.home.paths.socketPath, { signal })
        if (config.tcp.enabled) api.url = await listenOnTcp(tcp.server, config.tcp, { signal, log })
      },
      health: async () => await Promise.resolve(tokens.health()),
      async stop() {
        stopping.abort(ipcErrors.NZ_IPC_STOPPING())
        await Promise.all([unix.close(), tcp.close()])
      },
    }
  },
})
