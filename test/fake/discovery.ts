/** Nodes with the real discovery module over an in-memory mesh, keys that sign, and a store in memory. */
import { Kernel, provide, SimulatedClock } from '../../kernel/index.ts'
import discoveryModule from '../../modules/discovery/index.ts'
import { DiscoveryService, IntroductionsService } from '../../modules/discovery/service.ts'
import { ContactsService } from '../../modules/contacts/service.ts'
import { IdentityService } from '../../modules/identity/service.ts'
import { NetworkService } from '../../modules/network/service.ts'
import { StorageService } from '../../modules/storage/service.ts'
import { TrustService } from '../../modules/trust/service.ts'
import { fakeIdentity } from './identity.ts'
import { createFakeNetwork } from './network.ts'
import { memoryDisk, openStore } from './storage.ts'
import { trustingAll } from './trust.ts'
import type { Clock, EventBus } from '../../kernel/index.ts'
import type { Contact } from '../../modules/contacts/service.ts'
import type { FakeNetwork } from './network.ts'
import type { FakeDisk } from './storage.ts'

export interface DiscoveryNode extends AsyncDisposable {
  readonly kernel: Kernel
  readonly network: NetworkService
  readonly discovery: DiscoveryService
  readonly identity: IdentityService
  readonly introductions: IntroductionsService
  readonly contacts: ContactsService
  readonly peerId: string
  readonly disk: FakeDisk
}

export interface DiscoveryNodeInit {
  readonly mesh: FakeNetwork
  readonly seed: number
  readonly clock: Clock
  readonly bootstrap?: readonly DiscoveryNode[]
  readonly config?: object
  readonly contacts?: readonly Contact[]
  readonly disk?: FakeDisk
  readonly trust?: Partial<TrustService>
}

const silent = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined }

export async function startDiscoveryNode(init: DiscoveryNodeInit): Promise<DiscoveryNode> {
  const { mesh, seed, clock, bootstrap = [], config = {}, contacts: known = [], disk = memoryDisk(), trust = {} } = init
  const identity = fakeIdentity(seed)
  const contacts = bookOf(known)
  const { peerId } = identity.self
  const storage = await openStore({ disk })
  const events: Pick<EventBus, 'emit'> = { emit: (...args) => kernel.events.emit(...args) }
  const kernel: Kernel = new Kernel({
    modules: [discoveryModule],
    config: { discovery: { bootstrap: bootstrap.map(({ network }) => network.addresses()[0]), ...config } },
    services: [
      provide(ContactsService, contacts),
      provide(IdentityService, identity),
      provide(NetworkService, mesh.add(peerId, { events })),
      provide(StorageService, storage),
      provide(TrustService, { ...trustingAll, explain: (of) => unknownOf(of), ...trust }),
    ],
    strictEvents: true,
    clock,
    log: silent,
  })
  await kernel.start()
  return {
    kernel,
    identity,
    peerId,
    disk,
    network: kernel.get(NetworkService),
    discovery: kernel.get(DiscoveryService),
    introductions: kernel.get(IntroductionsService),
    contacts,
    async [Symbol.asyncDispose]() {
      await kernel.stop()
      await storage.close()
      mesh.remove(peerId)
    },
  }
}

/** Nodes that all join by the first one; time passes until they have. */
export async function startDiscoveryNodes(
  count: number,
  { config = {}, firstSeed = 1 }: { readonly config?: object; readonly firstSeed?: number } = {},
): Promise<{ readonly nodes: readonly DiscoveryNode[]; readonly clock: SimulatedClock; readonly mesh: FakeNetwork }> {
  const clock = new SimulatedClock()
  const mesh = createFakeNetwork({ clock })
  const nodes: DiscoveryNode[] = []
  for (let at = 0; at < count; at++) {
    const bootstrap = nodes.slice(0, 1)
    nodes.push(await startDiscoveryNode({ mesh, seed: firstSeed + at, clock, bootstrap, config }))
    await clock.advance(10)
  }
  return { nodes, clock, mesh }
}

export async function stopAll(nodes: readonly DiscoveryNode[]): Promise<void> {
  for (const node of nodes) await node[Symbol.asyncDispose]()
}

export function contactNamed(name: string, peerId: string, addresses: readonly string[] = []): Contact {
  return { peerId, id: '', name, addresses, verifiedBy: 'none', addedAtMs: 0 }
}

/** Lets time pass until `work` is done. */
export async function whileTimePasses<T>(clock: SimulatedClock, work: Promise<T>, stepMs = 100): Promise<T> {
  let isDone = false
  void (async () => {
    await Promise.allSettled([work])
    isDone = true
  })()
  for (let step = 0; step < 10_000 && !isDone; step++) await clock.advance(stepMs)
  return await work
}

export const noContacts = bookOf([])

function bookOf(given: readonly Contact[]): ContactsService {
  const contacts = [...given]
  const absent = (): never => {
    throw new Error('only reading is asked here')
  }
  return {
    list: () => contacts,
    get: (peerId) => contacts.find((contact) => contact.peerId === peerId),
    resolve: (reference) => contacts.find(({ name }) => name === reference) ?? absent(),
    async add(peer) {
      const contact = contactNamed(peer.name, peer.peerId, peer.addresses)
      contacts.push(contact)
      return await Promise.resolve(contact)
    },
    rename: absent,
    remove: absent,
  }
}

export function unknownOf(peerId: string): ReturnType<TrustService['explain']> {
  return {
    peerId,
    level: 'UNKNOWN',
    weight: 0,
    because: 'none',
    isForked: false,
    revokedBy: [],
    paths: [],
    isCut: false,
    mayDo: [],
  }
}
