/** One node of a distributed table behind one interface: nzcore's discovery over its own network, and stock kad-dht. */
import { Kernel, provide } from '../kernel/index.ts'
import { ContactsService } from '../modules/contacts/service.ts'
import discoveryModule from '../modules/discovery/index.ts'
import { DiscoveryService } from '../modules/discovery/service.ts'
import networkModule from '../modules/network/index.ts'
import { NetworkService } from '../modules/network/service.ts'
import { bareServices, localLimits, MANY, silent, unused } from './bare-node.ts'

export interface Looked {
  readonly isFound: boolean
  /** Requests to other nodes. */
  readonly asked: number
  /** `null`: the variant does not tell. */
  readonly hops: number | null
}

export interface DhtNode {
  readonly peerId: string
  readonly address: string
  tableSize(): number
  /** Open now. */
  connections(): number
  findPeer(peerId: string): Promise<Looked>
  /** Found: some node took it. */
  put(name: string, value: string): Promise<Looked>
  get(peerId: string, name: string, value: string): Promise<Looked>
}

export const dhtVariants = ['nzcore', 'kad-dht'] as const
export type DhtVariant = (typeof dhtVariants)[number]

const LOOKUP_TIMEOUT_MS = 60_000
/** Both ping each connection. Stock nodes would do it every ten seconds, which alone is more than two processors can do. */
const KEEP_ALIVE_MS = 60_000
/** For connections of a hundred nodes that start on one machine. */
const PATIENT_MS = 300_000
/** For one request, connecting included, while the processors are busy with the others. */
const PATIENT_QUERY_MS = 30_000

export async function startDhtNode(variant: DhtVariant, bootstrap: readonly string[]): Promise<DhtNode> {
  return variant === 'nzcore' ? await startOwn(bootstrap) : await startStock(bootstrap)
}

async function startOwn(bootstrap: readonly string[]): Promise<DhtNode> {
  const kernel = new Kernel({
    modules: [networkModule, discoveryModule],
    config: {
      // TypeScript sockets: the native session is made for few connections with much traffic each.
      network: {
        listen: ['/ip4/127.0.0.1/tcp/0'],
        native: 'off',
        // All come from one address, of which a node would let in 64.
        limits: { ...localLimits, maxConnectionsPerAddress: MANY },
        keepAliveIntervalMs: KEEP_ALIVE_MS,
        keepAliveTimeoutMs: PATIENT_QUERY_MS,
        handshakeTimeoutMs: PATIENT_QUERY_MS,
        dialTimeoutMs: PATIENT_QUERY_MS,
      },
      discovery: { bootstrap: [...bootstrap], queryTimeoutMs: PATIENT_QUERY_MS },
    },
    services: [...(await bareServices()), provide(ContactsService, noContacts)],
    log: silent,
  })
  await kernel.start()
  const network = kernel.get(NetworkService)
  const discovery = kernel.get(DiscoveryService)
  const signal = (): AbortSignal => AbortSignal.timeout(LOOKUP_TIMEOUT_MS)
  const counted = async <T>(work: Promise<T>): Promise<Omit<Looked, 'isFound'> & { readonly value: T }> => {
    const before = discovery.status().counters
    const value = await work
    const { queries, hops } = discovery.status().counters
    return { value, asked: queries - before.queries, hops: hops - before.hops }
  }
  return {
    peerId: network.peerId,
    address: network.addresses()[0] ?? '',
    tableSize: () => discovery.status().tableSize,
    connections: () => network.peers().flatMap(({ paths }) => paths).length,
    async findPeer(peerId) {
      const { addresses, asked, hops } = await discovery.findPeer(peerId, { signal: signal() })
      return { isFound: addresses !== null, asked, hops }
    },
    async put(name, value) {
      const putting = discovery.putValue(name, Buffer.from(value), { ttlS: 3_600, signal: signal() })
      const { value: stored, ...looked } = await counted(putting)
      return { ...looked, isFound: stored.holders > 0 }
    },
    async get(peerId, name, value) {
      const { value: record, ...looked } = await counted(discovery.getValue(peerId, name, { signal: signal() }))
      const isFound = record?.content.kind === 'value' && Buffer.from(record.content.value).toString() === value
      return { ...looked, isFound }
    },
  }
}

async function startStock(bootstrap: readonly string[]): Promise<DhtNode> {
  const [node, { multiaddr }, { peerIdFromString }] = await Promise.all([
    createStock(),
    import('@multiformats/multiaddr'),
    import('@libp2p/peer-id'),
  ])
  for (const address of bootstrap) await tried(async () => await node.dial(multiaddr(address)))
  const { dht } = node.services
  const keyOf = (peerId: string, name: string): Uint8Array => Buffer.from(`/v/${peerId}/${name}`)
  return {
    peerId: node.peerId.toString(),
    address: node.getMultiaddrs()[0]?.toString() ?? '',
    tableSize: () => ('routingTable' in dht ? (dht.routingTable as { readonly size: number }).size : 0),
    connections: () => node.getConnections().length,
    async findPeer(peerId) {
      let asked = 0
      let isFound = false
      for await (const event of dht.findPeer(peerIdFromString(peerId), {
        signal: AbortSignal.timeout(LOOKUP_TIMEOUT_MS),
      })) {
        if (event.name === 'SEND_QUERY') asked += 1
        if (event.name === 'FINAL_PEER') isFound = true
      }
      return { isFound, asked, hops: null }
    },
    async put(name, value) {
      let asked = 0
      let isFound = false
      const options = { signal: AbortSignal.timeout(LOOKUP_TIMEOUT_MS) }
      for await (const event of dht.put(keyOf(node.peerId.toString(), name), Buffer.from(value), options)) {
        if (event.name === 'SEND_QUERY') asked += 1
        if (event.name === 'PEER_RESPONSE' && event.messageName === 'PUT_VALUE') isFound = true
      }
      return { isFound, asked, hops: null }
    },
    async get(peerId, name, value) {
      let asked = 0
      let isFound = false
      for await (const event of dht.get(keyOf(peerId, name), { signal: AbortSignal.timeout(LOOKUP_TIMEOUT_MS) })) {
        if (event.name === 'SEND_QUERY') asked += 1
        if (event.name === 'VALUE' && Buffer.from(event.value).toString() === value) isFound = true
      }
      return { isFound, asked, hops: null }
    },
  }
}

/** Put together by its own documentation. */
async function createStock() {
  const [{ createLibp2p }, { tcp }, { noise }, { yamux }, { identify }, { ping }, { kadDHT, passthroughMapper }] =
    await Promise.all([
      import('libp2p'),
      import('@libp2p/tcp'),
      import('@libp2p/noise'),
      import('@libp2p/yamux'),
      import('@libp2p/identify'),
      import('@libp2p/ping'),
      import('@libp2p/kad-dht'),
    ])
  const node = await createLibp2p({
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    connectionManager: {
      inboundConnectionThreshold: MANY,
      maxIncomingPendingConnections: MANY,
      maxConnections: 1_000,
      inboundUpgradeTimeout: PATIENT_MS,
      dialTimeout: PATIENT_MS,
    },
    connectionMonitor: { pingInterval: KEEP_ALIVE_MS, abortConnectionOnPingFailure: false },
    services: {
      identify: identify(),
      ping: ping(),
      dht: kadDHT({
        protocol: '/nzcore-bench/kad/1.0.0',
        clientMode: false,
        peerInfoMapper: passthroughMapper,
        validators: { v: async () => await Promise.resolve() },
        selectors: { v: () => 0 },
      }),
    },
  })
  return node
}

/** A loaded machine may miss a time limit once. */
async function tried(work: () => Promise<unknown>): Promise<void> {
  for (let left = 5; ; left--) {
    try {
      await work()
      return
    } catch (error) {
      if (left === 0) throw error
    }
  }
}

const noContacts: ContactsService = {
  list: () => [],
  get: () => undefined,
  resolve: unused,
  add: unused,
  rename: unused,
  remove: unused,
}
