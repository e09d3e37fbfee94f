/**
 * Dials from the port this node listens at. A NAT gives such a connection the mapping that others need to reach the
 * listener, and only from that port can two peers dial each other through their NATs at the same time. node:net opens
 * outgoing sockets without SO_REUSEPORT, so the socket is made by the native addon; without it, dials go out as ever.
 */
import { createServer } from 'node:net'
import { loadAddon } from '../../../native/binding.ts'
import type { Connection, Listener, Transport, Upgrader } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'

/** Beside those of libp2p: passed through its transport layer as they are. */
export interface PortOptions {
  /** Whether the connection should leave from the listening port. */
  readonly isFromListeningPort?: boolean
  /** `false`: this side opens the connection and speaks as the one that was dialled, as the other dials, too. */
  readonly initiator?: boolean
}

type Dial = Transport['dial']

export class ListeningPorts {
  readonly #open: ((address: string, port: number) => number) | null
  readonly #ports = new Map<'ip4' | 'ip6', number>()
  readonly #connections = new WeakSet<Connection>()

  constructor(open: ((address: string, port: number) => number) | null = opener()) {
    this.#open = open
  }

  /** Whether this machine can dial from a port it listens at. */
  get canShare(): boolean {
    return this.#open !== null
  }

  /** Whether the connection was dialled from the listening port. */
  has(connection: Connection): boolean {
    return this.#connections.has(connection)
  }

  /** For the TCP transport, which hands them to `server.listen`; its type knows none of those that Node does. */
  get tcpOptions(): { readonly listenOpts: object } {
    return { listenOpts: this.canShare ? { reusePort: true } : {} }
  }

  /** A TCP transport factory whose listeners' ports are known, and whose dials may leave from them. */
  sharing<Components>(create: (components: Components) => Transport): (components: Components) => Transport {
    return (components) => {
      const transport = create(components)
      const dial = transport.dial.bind(transport)
      const createListener = transport.createListener.bind(transport)
      transport.dial = async (address, options) => await this.#dial(dial, address, options)
      transport.createListener = (options) => {
        const listener = createListener(options)
        this.#watch(listener)
        return listener
      }
      return transport
    }
  }

  async #dial(dial: Dial, address: Multiaddr, given: Parameters<Dial>[1] & PortOptions): Promise<Connection> {
    const options = given.initiator === false ? { ...given, upgrader: turned(given.upgrader) } : given
    const fd = given.isFromListeningPort === true && !given.signal.aborted ? this.#socketFor(address) : null
    if (fd === null) return await dial(address, options)
    try {
      // The transport gives its options to net.connect before anything else can happen: the descriptor is node:net's.
      const connection = await dial(address, Object.assign({ ...options }, { fd }))
      this.#connections.add(connection)
      return connection
    } catch (error) {
      // An earlier connection of the same two ports is still remembered by the kernel.
      if (given.signal.aborted || !/EADDRNOTAVAIL|EADDRINUSE/.test(String(error))) throw error
      return await dial(address, options)
    }
  }

  #socketFor(address: Multiaddr): number | null {
    const family = address.toString().startsWith('/ip4/') ? 'ip4' : 'ip6'
    const port = this.#ports.get(family)
    if (port === undefined || this.#open === null || !/^\/ip[46]\//.test(address.toString())) return null
    const fd = this.#open(family === 'ip4' ? '0.0.0.0' : '::', port)
    return fd < 0 ? null : fd
  }

  #watch(listener: Listener): void {
    const listen = listener.listen.bind(listener)
    listener.listen = async (address) => {
      if (this.canShare) await requireFree(address)
      await listen(address)
      for (const each of listener.getAddrs()) {
        const [, family, , , port] = each.toString().split('/')
        if (family === 'ip4' || family === 'ip6') this.#ports.set(family, Number(port))
      }
    }
    listener.addEventListener('close', () => this.#ports.clear())
  }
}

/** The upgrader for a connection this side opened and does not lead: its streams are numbered as those of a listener. */
function turned(upgrader: Upgrader): Upgrader {
  const upgradeOutbound: Upgrader['upgradeOutbound'] = async (connection, options) => {
    connection.direction = 'inbound'
    return await upgrader.upgradeOutbound(connection, options)
  }
  return {
    upgradeOutbound,
    upgradeInbound: async (connection, options) => await upgrader.upgradeInbound(connection, options),
    createInboundAbortSignal: (signal) => upgrader.createInboundAbortSignal(signal),
    getStreamMuxers: () => upgrader.getStreamMuxers(),
    getConnectionEncrypters: () => upgrader.getConnectionEncrypters(),
  }
}

/** SO_REUSEPORT lets two processes of one user listen at one port, each getting some of the connections. @throws EADDRINUSE */
async function requireFree(address: Multiaddr): Promise<void> {
  const [, family, host, , port] = address.toString().split('/')
  if (Number(port) === 0) return
  const server = createServer()
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', reject)
  server.listen({ host, port: Number(port), exclusive: true, ipv6Only: family === 'ip6' }, () =>
    server.close(() => resolve()),
  )
  await promise
}

function opener(): ((address: string, port: number) => number) | null {
  const loaded = loadAddon()
  if (!loaded.supported) return null
  const { addon } = loaded
  return 'openOnSharedPort' in addon ? (address, port) => addon.openOnSharedPort?.(address, port) ?? -1 : null
}
