/** Handlers of the group `node`. */
import { isNzError } from '../../../kernel/index.ts'
import type { Clock, Health, KernelService, ModuleStatus } from '../../../kernel/index.ts'
import type { nodeContract } from '../../../protocols/ipc/contract/node.ts'
import type { Handlers, ResultOf } from '../../../protocols/ipc/endpoint.ts'
import { API_VERSION, VERSION } from '../../../protocols/ipc/version.ts'
import type { ContactsService } from '../../contacts/service.ts'
import type { HomeService } from '../../home/service.ts'
import type { IdentityService } from '../../identity/service.ts'
import type { NetworkService, Peer } from '../../network/service.ts'

export interface NodeServices {
  readonly kernel: KernelService
  readonly home: HomeService
  readonly identity: IdentityService
  readonly network: NetworkService
  readonly contacts: ContactsService
  readonly clock: Clock
  /** Where the local API listens on TCP. */
  readonly api: { readonly url: string | null }
}

type Status = ResultOf<(typeof nodeContract)['nodeStatus']>

export function nodeHandlers(services: NodeServices): Handlers<typeof nodeContract> {
  const { kernel, home, identity, network, contacts, clock, api } = services
  const cpuPercent = cpuMeter(clock)
  return {
    async nodeStatus() {
      const { protection, self } = identity
      const { bufferedBytes, bufferBudgetBytes, txBytes, rxBytes, ...counters } = network.counters()
      const { connectionsRefused, handshakesEvicted, streamsRefused } = counters
      // Those met long ago are many, and kept over restarts: `peers --all` lists them.
      const peers = network.peers().filter(({ state }) => state !== 'disconnected')
      return {
        profile: home.paths.profile,
        pid: process.pid,
        version: VERSION,
        state: kernel.state,
        startedAtMs: kernel.startedAtMs,
        uptimeMs: Math.max(0, clock.nowMs() - kernel.startedAtMs),
        peerId: self.peerId,
        id: self.id,
        fingerprint: [...self.fingerprint],
        protection,
        apiUrl: api.url,
        addresses: [...network.addresses()],
        memoryBytes: process.memoryUsage.rss(),
        cpuPercent: cpuPercent(),
        bufferedBytes,
        bufferBudgetBytes,
        limits: { connectionsRefused, handshakesEvicted, streamsRefused },
        txBytes,
        rxBytes,
        connected: peers.filter(({ state }) => state === 'connected').length,
        contacts: contactCount(contacts),
        reachability: reachabilityOf(network),
        peers: peers.map((peer) => peerLine(peer, contacts)),
        backend: network.backend(),
        modules: kernel.modules().map(moduleLine),
      }
    },
    async nodeVersion() {
      return {
        version: VERSION,
        apiVersion: API_VERSION,
        runtime: process.version,
        platform: `${process.platform}-${process.arch}`,
      }
    },
    async nodeStop({ reason }) {
      kernel.requestStop(reason)
      return { pid: process.pid }
    },
  }
}

function reachabilityOf(network: NetworkService): Status['reachability'] {
  const { verdict, why } = network.reachability()
  return { verdict, why }
}

/** `null` when the address book cannot be read; the status says that, too. */
function contactCount(contacts: ContactsService): number | null {
  try {
    return contacts.list().length
  } catch (error) {
    if (isNzError(error)) return null
    throw error
  }
}

function peerLine(peer: Peer, contacts: ContactsService): Status['peers'][number] {
  const contact = contacts.get(peer.peerId)
  const path = peer.paths[0]
  const sum = (key: 'txBytes' | 'rxBytes'): number => peer.paths.reduce((total, each) => total + each[key], 0)
  return {
    peerId: peer.peerId,
    name: contact?.name ?? null,
    id: contact?.id ?? null,
    state: peer.state,
    isKept: peer.isKept,
    transport: path?.transport ?? null,
    via: path?.via == null ? null : (contacts.get(path.via)?.name ?? path.via),
    direction: path?.direction ?? null,
    backend: path?.backend ?? null,
    address: path?.address ?? null,
    rttMs: peer.rttMs,
    txBytes: sum('txBytes'),
    rxBytes: sum('rxBytes'),
    connectedAtMs: peer.connectedAtMs,
  }
}

function moduleLine({ name, state, sinceMs, health, lastErrorCode, restarts, restartAtMs }: ModuleStatus) {
  return {
    name,
    state,
    sinceMs,
    health: health?.state ?? null,
    code: codeOf(health) ?? lastErrorCode,
    why: health === null || health.state === 'healthy' ? null : health.why,
    restarts,
    restartAtMs,
  }
}

function codeOf(health: Health | null): string | null {
  return health === null || health.state === 'healthy' ? null : health.code
}

/** Shorter spans say nothing; the figure before is given again. */
const CPU_SPAN_MS = 1_000

/** Share of one core that this process used since the last time it was asked. */
function cpuMeter(clock: Clock): () => number {
  let before = { atMs: clock.monotonicMs(), usage: process.cpuUsage() }
  let percent = 0
  return () => {
    const spanMs = clock.monotonicMs() - before.atMs
    if (spanMs >= CPU_SPAN_MS) {
      const { user, system } = process.cpuUsage(before.usage)
      percent = Math.round((user + system) / spanMs) / 10
      before = { atMs: clock.monotonicMs(), usage: process.cpuUsage() }
    }
    return percent
  }
}
