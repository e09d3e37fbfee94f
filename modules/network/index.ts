/** The network module: wiring only. */
import { defineModule, isNzError } from '../../kernel/index.ts'
import { IdentityService } from '../identity/service.ts'
import { StorageService } from '../storage/service.ts'
import { AcceptGate } from './accept-gate.ts'
import { chooseBackend } from './backend-choice.ts'
import { BlockList } from './block-list.ts'
import { ByteBudget } from './byte-budget.ts'
import { clusterKeyOf, readClusterSecret } from './cluster-secret.ts'
import { networkConfig } from './config.ts'
import { GatedSockets } from './gated-listener.ts'
import { choosePorts, listenEverywhere } from './listen.ts'
import { Liveness } from './liveness.ts'
import { Network } from './network.ts'
import { heardOn } from './paths.ts'
import { networkErrors, networkEvents, NetworkService } from './service.ts'
import { TokenBuckets } from './token-buckets.ts'
import type { Swarm } from './transport-dials.ts'
import type { Health, ModuleContext, NzError } from '../../kernel/index.ts'
import type { AcceptLimits } from './accept-gate.ts'
import type { NetworkConfig } from './config.ts'
import type { StoredDatastore } from './datastore.ts'
import type { SwarmInit } from './swarm.ts'

export { chooseBackend } from './backend-choice.ts'
export { networkConfig } from './config.ts'

/** Refusals of one reason that become events; all are counted. A flood must not push everything else out of history. */
const TOLD_REFUSALS = { perSecond: 0.1, burst: 5 }

interface Parts {
  readonly network: Network
  readonly gate: AcceptGate
  readonly sockets: GatedSockets
  readonly blockList: BlockList
}

export default defineModule({
  name: 'network',
  config: networkConfig,
  requires: { storage: StorageService, identity: IdentityService },
  provides: { network: NetworkService },
  emits: networkEvents,
  capabilities: [],
  restart: 'permanent',

  setup(context, { storage, identity }, config) {
    const { clock, log, scope } = context
    const blockList = new BlockList(storage)
    const parts = assemble(context, identity.self.peerId, config, blockList)
    const { network, sockets } = parts
    const liveness = new Liveness(
      {
        clock,
        log,
        paths: () => {
          const paths = network.paths.all()
          for (const path of paths) network.paths.checkLimit(path)
          return paths
        },
        ping: async (path, options) => void (await network.pingOver(path, options)),
        heard: heardOn,
        onAnswered: (path) => network.reach.answered(path),
        onMissed: (path) => network.reach.missed(path),
      },
      { intervalMs: config.keepAliveIntervalMs, timeoutMs: config.keepAliveTimeoutMs },
    )
    network.paths.whenBeside((older) => liveness.probe(older))
    scope.defer(() => liveness.stop())
    // libp2p takes a quarter of a second to load: the store opens meanwhile. What fails here fails again in `start`.
    import('./swarm.ts').catch(() => undefined)
    let datastore: StoredDatastore | null = null

    return {
      services: { network },
      async start() {
        await blockList.load()
        datastore = await openDatastore(context, storage)
        const { native, ...backend } = await chooseBackend(config.native)
        log.info('network.backend', { ...backend })
        const stack = { clock, datastore, native, backend: backend.backend }
        const swarm = await createSwarm(parts, { storage, identity, config, ...stack })
        try {
          await network.start(swarm, backend)
        } catch (cause) {
          await network.stop({ signal: AbortSignal.abort() }).catch(() => undefined)
          if (isNzError(cause)) throw cause
          throw networkErrors.NZ_NETWORK_LISTEN_FAILED({ cause, why: reasonOf(cause) })
        }
        liveness.start()
        context.events.emit(networkEvents.listening, { addresses: [...network.addresses()] })
      },
      async health() {
        const known = blockList.health()
        if (known.state !== 'healthy') return await Promise.resolve(known)
        if (datastore?.trouble != null) return degraded(datastore.trouble)
        if (config.listen?.length === 0 || network.addresses().length > 0) return { state: 'healthy' }
        return { state: 'unhealthy', code: 'NZ_NETWORK_LISTEN_FAILED', why: 'the node listens nowhere' }
      },
      async stop({ signal }) {
        liveness.stop()
        sockets.stop()
        await network.stop({ signal })
        await datastore?.close()
      },
    }
  },
})

function assemble(
  { clock, random, log, events }: ModuleContext,
  peerId: string,
  config: NetworkConfig,
  blockList: BlockList,
): Parts {
  const budget = new ByteBudget({ limitBytes: config.bufferBudgetBytes })
  const gate = new AcceptGate(acceptLimits(config), {
    isBlocked: (ip) => blockList.hasIp(ip),
    monotonicMs: () => clock.monotonicMs(),
  })
  const told = new TokenBuckets({ ...TOLD_REFUSALS, maxKeys: 8 })
  const sockets = new GatedSockets({
    gate,
    clock,
    handshakeTimeoutMs: config.handshakeTimeoutMs,
    onRefused: (address, reason) => {
      log.debug('network.connectionRefused', { address, reason })
      if (told.take(reason, clock.monotonicMs())) events.emit(networkEvents.connectionRefused, { address, reason })
    },
  })
  const network = new Network({ peerId, clock, random, log, events, budget, gate, sockets, blockList, config })
  return { network, gate, sockets, blockList }
}

function acceptLimits({ limits }: NetworkConfig): AcceptLimits {
  const { maxHandshakesPerNetwork: maxGreetingPerNetwork, maxHandshakes: maxGreeting, ...rest } = limits
  return { ...rest, maxGreetingPerNetwork, maxGreeting }
}

interface SwarmParts {
  readonly storage: StorageService
  readonly identity: IdentityService
  readonly config: NetworkConfig
}

/** Loaded with libp2p: it brings libp2p's own classes along. */
async function openDatastore({ clock, log }: ModuleContext, storage: StorageService): Promise<StoredDatastore> {
  const { StoredDatastore: Datastore } = await import('./datastore.ts')
  const datastore = new Datastore({ namespace: storage.namespace('network/libp2p'), clock, log })
  await datastore.open()
  return datastore
}

function degraded({ code, why, message }: NzError): Health {
  return { state: 'degraded', code, why: `${why ?? message}: what is learnt of peers is forgotten when the node stops` }
}

async function createSwarm(
  { network, gate, sockets, blockList }: Parts,
  { storage, identity, config, ...stack }: SwarmParts & Pick<SwarmInit, 'clock' | 'datastore' | 'native' | 'backend'>,
): Promise<Swarm> {
  const [swarmFile, listen, clusterKey] = await Promise.all([
    import('./swarm.ts'),
    config.listen ?? choosePorts(storage).then(listenEverywhere),
    clusterKeyFor(config),
  ])
  const nodePrivateKey = identity.nodePrivateKey()
  try {
    return await swarmFile.createSwarm({
      ...stack,
      nodePrivateKey,
      listen,
      announce: config.announce,
      otherAddresses: () => network.reach.otherAddresses(),
      ports: network.reach.ports,
      sockets,
      gater: swarmFile.gaterOf({
        gate,
        sockets,
        isBlockedPeer: (peerId) => blockList.hasPeer(peerId),
        hasPlaceAt: (peerId) => network.reach.hasPlaceAt(peerId),
        hasRoomFor: (peerId) => network.paths.of(peerId).length < config.limits.maxConnectionsPerPeer,
      }),
      handshakeTimeoutMs: config.handshakeTimeoutMs,
      maxStreamsPerConnection: config.limits.maxStreamsPerConnection,
      clusterKey,
    })
  } finally {
    nodePrivateKey.fill(0)
    clusterKey?.fill(0)
  }
}

async function clusterKeyFor({ clusterSecret, clusterSecretFile }: NetworkConfig): Promise<Uint8Array | null> {
  if (clusterSecret === undefined && clusterSecretFile === undefined) return null
  const secret =
    clusterSecretFile === undefined
      ? Buffer.from(clusterSecret ?? '', 'utf8')
      : await readClusterSecret(clusterSecretFile)
  try {
    return await clusterKeyOf(secret)
  } finally {
    secret.fill(0)
  }
}

/** The first line that says what went wrong; libp2p's message is a page. */
function reasonOf(cause: unknown): string {
  const text = cause instanceof Error ? cause.message : String(cause)
  return /listen [A-Z]+: .*/.exec(text)?.[0]?.slice(0, 200) ?? text.split('\n')[0]?.slice(0, 200) ?? ''
}
