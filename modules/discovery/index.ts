/** Finds peers, services and values through other nodes: wiring only. */
import { bounded, defineModule, isNzError } from '../../kernel/index.ts'
import { K } from '../../protocols/discovery/limits.ts'
import { RequestRate } from '../../protocols/rpc/request-rate.ts'
import { ContactsService } from '../contacts/service.ts'
import { IdentityService } from '../identity/service.ts'
import { networkErrors, networkEvents, NetworkService } from '../network/service.ts'
import { storageEvents, StorageService } from '../storage/service.ts'
import { TrustService } from '../trust/service.ts'
import { dialableAddresses } from './address-range.ts'
import { answerRequests, MAX_REQUESTS } from './answering.ts'
import { discoveryConfig } from './config.ts'
import { Dht } from './dht.ts'
import { createDiscovery, PeerSearch } from './discovery.ts'
import { Introductions } from './introductions.ts'
import { Lan } from './lan.ts'
import { OpenedConnections } from './opened-connections.ts'
import { OwnRecords } from './own-records.ts'
import { RefusalNotes } from './refusal-notes.ts'
import { discoveryEvents, DiscoveryService, IntroductionsService } from './service.ts'
import { Services } from './services.ts'
import { TableMemory } from './table-memory.ts'
import { Tending } from './tending.ts'
import type { ModuleContext, NzError } from '../../kernel/index.ts'
import type { Verify } from '../../protocols/discovery/record.ts'
import type { DiscoveryConfig } from './config.ts'
import type { Askable } from './query.ts'

/** For one announcer of a service to be found, dialled and to answer. */
const CHECK_TIMEOUT_MS = 5_000

interface Required {
  readonly network: NetworkService
  readonly contacts: ContactsService
  readonly identity: IdentityService
  readonly storage: StorageService
  readonly trust: TrustService
}

export default defineModule({
  name: 'discovery',
  config: discoveryConfig,
  requires: {
    network: NetworkService,
    contacts: ContactsService,
    identity: IdentityService,
    storage: StorageService,
    trust: TrustService,
  },
  provides: { discovery: DiscoveryService, introductions: IntroductionsService },
  emits: discoveryEvents,
  capabilities: [],
  restart: 'permanent',

  setup(context, required, config) {
    const { scope, clock, events, log } = context
    const { network } = required
    const { signal } = scope
    const parts = assemble(context, required, config)
    const { dht, own, tending, search } = parts
    let trouble: NzError | null = null
    const load = async (options: { readonly signal: AbortSignal }): Promise<void> => {
      try {
        await own.load(options)
        trouble = null
      } catch (error) {
        if (!isNzError(error)) throw error
        trouble = error
        log.error('discovery.ownRecordsNotRead', { error })
      }
    }
    return {
      services: { discovery: parts.discovery, introductions: parts.introductions },
      async start(options) {
        await load(options)
        // A repair of the store, or room on the disk, brings them back.
        events.on(storageEvents.writable, async () => await load({ signal }), { signal })
        await parts.introductions.start({ signal })
        if (config.mode === 'off') return
        if (config.mode === 'server') {
          const rate = new RequestRate({ clock, maxRequests: MAX_REQUESTS })
          const ownRecord = () => own.peerRecord()
          answerRequests({ dht, network, clock, rate, verify: parts.verify, ownRecord }, { signal })
        }
        events.on(networkEvents.peerDisconnected, ({ peerId }) => dht.disconnected(peerId), { signal })
        events.on(networkEvents.peerConnected, ({ peerId }) => parts.met(peerId), { signal })
        network.addAddressSource(
          async (peerId, limit) => {
            const near = parts.lan.addressesOf(peerId)
            const addresses = near.length > 0 ? near : (await search.find(peerId, limit)).addresses
            return dialableAddresses(addresses ?? [], network.addresses())
          },
          { signal },
        )
        tending.start()
        if (config.lan.enabled) await startLan(parts.lan, context, options)
      },
      async health() {
        if (trouble === null) return await Promise.resolve({ state: 'healthy' as const })
        return { state: 'degraded', code: trouble.code, why: trouble.why ?? trouble.message }
      },
    }
  },
})

/** A LAN that cannot be asked stops nobody from working. */
async function startLan(
  lan: Lan,
  { scope, log }: ModuleContext,
  options: { readonly signal: AbortSignal },
): Promise<void> {
  scope.defer(() => lan.stop())
  try {
    await lan.start(options)
  } catch (error) {
    log.warn('discovery.lanNotJoined', { error })
  }
}

/** Nobody counts as a contact while the address book cannot be read. */
function isContact(contacts: Pick<ContactsService, 'get'>, peerId: string): boolean {
  try {
    return contacts.get(peerId) !== undefined
  } catch (error) {
    if (isNzError(error)) return false
    throw error
  }
}

function assemble(context: ModuleContext, required: Required, config: DiscoveryConfig) {
  const { scope, clock, log, events, random } = context
  const { network, identity, storage } = required
  const { signal } = scope
  const signer = Buffer.from(identity.self.nodePublicKey).toString('hex')
  const verify: Verify = (...args) => identity.verify(...args)
  const isWanted = (peerId: string): boolean => isContact(required.contacts, peerId)
  const opened = new OpenedConnections(
    { network, clock, log, isWanted },
    {
      max: config.maxConnections,
      idleMs: config.connectionIdleMs,
    },
  )
  const own = new OwnRecords({
    dht: () => dht,
    addresses: () => network.addresses(),
    isServer: config.mode === 'server',
    namespace: storage.namespace('discovery/own'),
    signer,
    sign: (purpose, message) => identity.signAsNode(purpose, message),
    clock,
    log,
  })
  const refusals = new RefusalNotes({ clock, events, log })
  const dht = new Dht(
    {
      network,
      clock,
      opened,
      verify,
      signer,
      ownRecord: () => own.peerRecord(),
      published: (key) => own.under(key),
      onRefused: (peerId, code) => refusals.note(peerId, code),
    },
    config,
  )
  const memory = new TableMemory({ storage, log })
  const introducers = (): readonly Askable[] => introducersOf(required, config)
  const tending = new Tending({ dht, own, memory, opened, introducers, clock, random, events, log }, config, { signal })
  const search = new PeerSearch({
    dht,
    clock,
    onFound: ({ peerId, addresses }) =>
      events.emit(discoveryEvents.peerFound, { peerId, addresses: addresses?.length ?? 0, by: 'dht' }),
  })
  const services = servicesOf(context, required, { dht, own, search }, config)
  const discovery = createDiscovery({ mode: config.mode, dht, own, services, clock, onFound: () => undefined }, search)
  /** Whoever is connected for another reason may know others, too; who asks introduces itself. */
  const met = (peerId: string): void => {
    if (dht.table.size >= K) return
    if (opened.has(peerId) || dht.table.get(peerId)?.answeredAtMs != null) return
    void dht.greet({ peerId, addresses: [] }, { signal }).then((told) => {
      if (told !== null && dht.table.size > 0) tending.wake()
    })
  }
  const lan = lanOf(context, { dht, own, tending, peerId: network.peerId }, config)
  const introductions = new Introductions({
    ...required,
    clock,
    onOffered: ({ id, introducer, peerId, name }) =>
      events.emit(discoveryEvents.introduced, { id, introducer, peerId, name }),
  })
  return { introductions, dht, own, tending, search, lan, discovery, verify, met }
}

function lanOf(
  { clock, log, events, scope: { signal } }: ModuleContext,
  parts: { readonly dht: Dht; readonly own: OwnRecords; readonly tending: Tending; readonly peerId: string },
  config: DiscoveryConfig,
): Lan {
  const { dht, own, tending, peerId: selfPeerId } = parts
  return new Lan(
    {
      clock,
      log,
      contacts: dht.contacts,
      selfPeerId,
      ownRecord: () => own.peerRecord(),
      onRefused: (peerId, code) => dht.refuse(peerId, code),
      onFound: (peer) => {
        events.emit(discoveryEvents.peerFound, { peerId: peer.peerId, addresses: peer.addresses.length, by: 'lan' })
        void dht.greet(peer, { signal }).then(() => tending.wake())
      },
    },
    { ...config.lan, address: config.lan.address },
  )
}

function servicesOf(
  { clock }: ModuleContext,
  { network, trust }: Required,
  { dht, own, search }: { readonly dht: Dht; readonly own: OwnRecords; readonly search: PeerSearch },
  config: DiscoveryConfig,
): Services {
  return new Services({
    dht: () => dht,
    own,
    network,
    trust,
    selfPeerId: network.peerId,
    findPeer: async (peerId, options) => await search.find(peerId, options),
    check: async (parent, work) =>
      await bounded(work, {
        clock,
        timeoutMs: CHECK_TIMEOUT_MS,
        signal: parent,
        timeoutError: (): NzError => networkErrors.NZ_NETWORK_TIMEOUT(),
      }),
    ttlS: Math.ceil(config.serviceTtlMs / 1_000),
  })
}

function introducersOf({ contacts }: Pick<Required, 'contacts'>, { bootstrap }: DiscoveryConfig): readonly Askable[] {
  const named = bootstrap.map((address) => {
    const at = address.lastIndexOf('/p2p/')
    return { peerId: address.slice(at + '/p2p/'.length), addresses: [address.slice(0, at)] }
  })
  return [...named, ...contacts.list().map(({ peerId, addresses }) => ({ peerId, addresses }))]
}
