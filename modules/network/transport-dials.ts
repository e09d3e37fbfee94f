/**
 * Dials of single addresses, past libp2p's dial queue: the queue joins all dials of one peer into one that tries address
 * after address, and it writes each outcome to a book of addresses that this node does not use.
 */
import type { Identify } from '@libp2p/identify'
import type { AbortOptions, Connection, Libp2p } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { PortOptions } from './reach/listening-port.ts'

export interface DialOptions extends Required<AbortOptions>, PortOptions {
  readonly onProgress: (event: { readonly type: string }) => void
}

export interface TransportDials {
  /** Opens and upgrades a connection to exactly this address; it must name the peer. */
  dial(address: Multiaddr, options: DialOptions): Promise<Connection>
  /** Addresses of this machine at which it listens. */
  listening(): readonly string[]
}

/** libp2p with the services this node uses. */
export type Swarm = Libp2p<{ dials: TransportDials; identify: Pick<Identify, 'identify'> }>

/** A service of libp2p: gets what is inside of it as all its services do. */
export function transportDials(): (components: { readonly transportManager: TransportLayer }) => TransportDials {
  return ({ transportManager }) => ({
    dial: async (address, options) => await transportManager.dial(address, options),
    listening: () => transportManager.getAddrs().map(String),
  })
}

interface TransportLayer extends Pick<TransportDials, 'dial'> {
  getAddrs(): readonly Multiaddr[]
}
