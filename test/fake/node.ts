/** A node with its whole local API on real sockets, over fakes of home, identity and network. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Kernel, provide, systemClock } from '../../kernel/index.ts'
import { MemoryFolder } from '../../modules/files/memory-folder.ts'
import { EventLogService } from '../../modules/eventlog/service.ts'
import { FilesService } from '../../modules/files/service.ts'
import { StorageService } from '../../modules/storage/service.ts'
import { fakeLogs } from './event-logs.ts'
import { openFiles } from './files.ts'
import { diskOf, openStore } from './storage.ts'
import type { Clock, Logger } from '../../kernel/index.ts'
import { ConfigLayersService } from '../../modules/config/service.ts'
import contactsModule from '../../modules/contacts/index.ts'
import backupModule from '../../modules/backup/index.ts'
import doctorModule from '../../modules/doctor/index.ts'
import forwardsModule from '../../modules/forwards/index.ts'
import { HomeService } from '../../modules/home/service.ts'
import { IdentityFactsService, IdentityService } from '../../modules/identity/service.ts'
import ipcModule from '../../modules/ipc/index.ts'
import { IpcService } from '../../modules/ipc/service.ts'
import { createJournal } from '../../modules/logs/index.ts'
import { LogsService } from '../../modules/logs/service.ts'
import { NetworkService } from '../../modules/network/service.ts'
import discoveryModule from '../../modules/discovery/index.ts'
import routingModule from '../../modules/routing/index.ts'
import trustModule from '../../modules/trust/index.ts'
import transfersModule from '../../modules/transfers/index.ts'
import { createClient } from '../../sdk/client.ts'
import type { NzClient } from '../../sdk/client.ts'
import { memoryHome } from './home.ts'
import { fakeIdentity } from './identity.ts'
import { createFakeNetwork } from './network.ts'
import type { FakeNetwork } from './network.ts'
import { Documents } from '../../modules/documents/documents.ts'
import { DocumentsService } from '../../modules/documents/service.ts'
import { Shelf } from '../../modules/documents/shelf.ts'
import type { IdentityService as Identity } from '../../modules/identity/service.ts'
import type { StorageService as Store } from '../../modules/storage/service.ts'

export interface ApiNode extends AsyncDisposable {
  readonly kernel: Kernel
  readonly network: NetworkService
  readonly socketPath: string
  /** Over the Unix socket. */
  readonly client: NzClient
  /** In process. */
  readonly local: NzClient
  readonly files: Map<string, Uint8Array>
  /** The sealed contents of stored files. */
  readonly stored: MemoryFolder
  readonly logged: Array<{ event: string; fields: object | undefined }>
}

export interface ApiNodeInit {
  readonly mesh?: FakeNetwork
  readonly seed?: number
  readonly files?: Map<string, Uint8Array>
  /** Of the module `discovery`; default: it is off. */
  readonly discovery?: object
  /** Of the module `ipc`. */
  readonly ipc?: object
  readonly clock?: Clock
}

export async function startApiNode(init: ApiNodeInit = {}): Promise<ApiNode> {
  const { mesh = createFakeNetwork(), seed = 1, files = new Map(), ipc = {}, clock } = init
  const dir = await mkdtemp(join(tmpdir(), 'nz-node-'))
  const socketPath = join(dir, 'run', 'test.sock')
  const home = memoryHome(files)
  const identity = fakeIdentity(seed)
  const network = mesh.add(identity.self.peerId)
  const logged: Array<{ event: string; fields: object | undefined }> = []
  const log: Logger = {
    debug() {},
    info() {},
    warn: (event, fields) => void logged.push({ event, fields }),
    error: (event, fields) => void logged.push({ event, fields }),
  }
  const storage = await openStore({ disk: diskOf(files), home })
  const stored = new MemoryFolder(clock ?? systemClock)
  const logs = await fakeLogs(clock === undefined ? {} : { clock })
  const opened = await openFiles({ storage, folder: stored, ...(clock === undefined ? {} : { clock }) })
  const kernel = new Kernel({
    modules: [
      contactsModule,
      trustModule,
      discoveryModule,
      routingModule,
      forwardsModule,
      transfersModule,
      doctorModule,
      backupModule,
      ipcModule,
    ],
    config: { ipc, discovery: { mode: 'off', ...init.discovery }, contacts: { name: `node${seed}` } },
    log,
    services: [
      provide(DocumentsService, documentsOf({ storage, identity, clock: clock ?? systemClock })),
      provide(HomeService, { ...home, paths: { ...home.paths, socketPath } }),
      provide(IdentityService, identity),
      provide(IdentityFactsService, { facts: async () => ({ ...identity, createdAtMs: 0, isBackedUp: false }) }),
      provide(NetworkService, network),
      provide(LogsService, createJournal({ level: 'info', clock: systemClock })),
      provide(StorageService, storage),
      provide(FilesService, opened.files),
      provide(EventLogService, logs.logs),
      provide(ConfigLayersService, { read: async () => [] }),
    ],
    ...(clock === undefined ? {} : { clock }),
  })
  await kernel.start()
  return {
    kernel,
    network,
    socketPath,
    client: createClient({ socketPath }),
    local: kernel.get(IpcService).client,
    files,
    stored,
    logged,
    async [Symbol.asyncDispose]() {
      await kernel.stop()
      await opened[Symbol.asyncDispose]()
      await logs[Symbol.asyncDispose]()
      await storage.close()
      await rm(dir, { recursive: true, force: true })
    },
  }
}

function documentsOf({ storage, ...services }: { storage: Store; identity: Identity; clock: Clock }): Documents {
  const shelf = new Shelf(storage.namespace('documents'))
  return new Documents({ ...services, shelf, events: { emit: () => undefined } }, { maxVersions: 1_000, maxHeads: 16 })
}
