/** The contacts module alone on the in-memory mesh; `files` survive its restarts. */
import { createEventBus, LifetimeScope, systemClock, systemRandom } from '../../kernel/index.ts'
import contactsModule from '../../modules/contacts/index.ts'
import { fakeIdentity } from './identity.ts'
import { memoryHome } from './home.ts'
import { diskOf, openStore } from './storage.ts'
import type { Clock, EventBus, EventRecord } from '../../kernel/index.ts'
import type { ContactsService, InvitesService } from '../../modules/contacts/service.ts'
import type { IdentityService } from '../../modules/identity/service.ts'
import type { NetworkService } from '../../modules/network/service.ts'
import type { Storage } from '../../modules/storage/storage.ts'
import type { FakeNetwork } from './network.ts'

export interface ContactsNode {
  readonly contacts: ContactsService
  readonly invites: InvitesService
  readonly identity: IdentityService
  readonly network: NetworkService
  readonly files: Map<string, Uint8Array>
  readonly storage: Storage
  readonly bus: EventBus
  readonly events: readonly EventRecord[]
  /** As a crash: the peer vanishes from the mesh, nothing is written any more. */
  stop(): Promise<void>
}

export async function contactsNode(
  mesh: FakeNetwork,
  {
    seed,
    name,
    files = new Map(),
    clock = systemClock,
  }: { seed: number; name: string; files?: Map<string, Uint8Array>; clock?: Clock },
): Promise<ContactsNode> {
  const identity = fakeIdentity(seed)
  const scope = new LifetimeScope()
  const bus = createEventBus({ onListenerError: () => undefined })
  const network = mesh.add(identity.self.peerId, { events: bus })
  const log = { debug() {}, info() {}, warn() {}, error() {} }
  const context = {
    name: 'contacts',
    log,
    events: bus,
    clock,
    random: systemRandom,
    scope,
    fail: () => undefined,
    finish: () => undefined,
  }
  const storage = await openStore({ disk: diskOf(files), home: memoryHome(files), clock })
  const instance = await contactsModule.setup(context, { storage, identity, network }, { name })
  await instance.start?.({ signal: scope.signal })
  const events: EventRecord[] = []
  void (async () => {
    for await (const record of bus.timeline({ signal: scope.signal })) if ('name' in record) events.push(record)
  })()
  return {
    ...instance.services,
    identity,
    network,
    files,
    storage,
    bus,
    events,
    async stop() {
      mesh.remove(identity.self.peerId)
      await scope[Symbol.asyncDispose]()
      await storage.close()
    },
  }
}
