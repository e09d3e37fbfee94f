/** Four nodes of this process in a row on loopback, each connected with the next alone: network and routing as a node has them. */
import { Kernel } from '../kernel/index.ts'
import networkModule from '../modules/network/index.ts'
import { NetworkService } from '../modules/network/service.ts'
import routingModule from '../modules/routing/index.ts'
import { RoutingService } from '../modules/routing/service.ts'
import { bareServices, localLimits, silent } from './bare-node.ts'
import { HOPS } from './packet-line.ts'
import { plainPipe } from './transports/nzcore.ts'
import { serveWork } from './work.ts'
import type { Pipe } from './pipe.ts'

const PROTOCOL = '/nzcore-bench/1'
const READY_MS = 60_000
const POLL_MS = 20
/** More than is reached: what a node lets pass is not what is measured. */
const RELAY_BYTES_PER_SECOND = 10_737_418_240

export interface NodeLine {
  /** A stream to the node that is so many hops away from the first; 1: the one it is connected with. */
  open(hops: number): Promise<Pipe>
  close(): Promise<void>
}

export async function startNodeLine(signal: AbortSignal): Promise<NodeLine> {
  const kernels: Kernel[] = []
  const close = async (): Promise<void> => void (await Promise.all(kernels.map(async (kernel) => await kernel.stop())))
  const ready = AbortSignal.any([signal, AbortSignal.timeout(READY_MS)])
  try {
    for (let at = 0; at <= HOPS; at++) kernels.push(await startNode())
    const networks = kernels.map((kernel) => kernel.get(NetworkService))
    for (const [at, network] of networks.entries()) {
      network.handleStreams(PROTOCOL, serve, { signal })
      const next = networks[at + 1]
      if (next !== undefined) await network.connect(next.peerId, { addresses: next.addresses(), signal: ready })
    }
    const [first, last] = [kernels[0], networks[HOPS]]
    if (first === undefined || last === undefined) throw new Error('no nodes')
    await routeComesAbout(first, last.peerId, ready)
    return {
      async open(hops) {
        const [network, far] = [first.get(NetworkService), networks[hops]]
        if (far === undefined) throw new RangeError('no such node')
        const stream = await network.openStream(far.peerId, PROTOCOL, { signal: AbortSignal.timeout(READY_MS) })
        const isRouted = network.peer(far.peerId)?.paths.every(({ transport }) => transport === 'route')
        if (isRouted !== hops > 1) throw new Error('the stream does not take the way that is measured')
        return plainPipe(stream)
      },
      close,
    }
  } catch (error) {
    await close()
    throw error
  }
}

async function startNode(): Promise<Kernel> {
  const kernel = new Kernel({
    modules: [networkModule, routingModule],
    config: {
      network: { listen: ['/ip4/127.0.0.1/tcp/0'], limits: localLimits },
      routing: { relayBytesPerSecond: RELAY_BYTES_PER_SECOND },
    },
    services: await bareServices(),
    log: silent,
  })
  await kernel.start()
  return kernel
}

async function serve(
  ...[stream, { signal }]: Parameters<Parameters<NetworkService['handleStreams']>[1]>
): Promise<void> {
  serveWork(plainPipe(stream))
  const { promise, resolve } = Promise.withResolvers<void>()
  for (const each of [signal, stream.signal]) each.addEventListener('abort', () => resolve(), { once: true })
  await promise
}

/** And passes all nodes between. */
async function routeComesAbout(first: Kernel, peerId: string, signal: AbortSignal): Promise<void> {
  const routing = first.get(RoutingService)
  while (
    !routing.routes().some(({ destination, ways }) => destination === peerId && ways.some((way) => way.isSelected))
  ) {
    signal.throwIfAborted()
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
  const { hops } = await routing.trace(peerId, { signal })
  if (hops.length !== HOPS) throw new Error(`the path has ${hops.length} hops`)
}
