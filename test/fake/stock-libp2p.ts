/** A js-libp2p node put together by its own documentation, with no code of ours: for interop and as an honest stranger. */
import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { webSockets } from '@libp2p/websockets'
import { yamux } from '@libp2p/yamux'
import { createLibp2p } from 'libp2p'
import type { ConnectionProtector } from '@libp2p/interface'

export interface StockInit {
  readonly listen?: readonly string[]
  /** Source address of its TCP connections. */
  readonly localAddress?: string
  readonly connectionProtector?: () => ConnectionProtector
  /** Whether it pings its connections, and ends those that do not answer; default: as libp2p has it. */
  readonly pingsConnections?: boolean
}

export async function stockLibp2p({
  listen = [],
  localAddress,
  connectionProtector,
  pingsConnections = true,
}: StockInit = {}) {
  return await createLibp2p({
    addresses: { listen: [...listen] },
    transports: [tcp({ dialOpts: localAddress === undefined ? {} : sourceOf(localAddress) }), webSockets()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    services: { identify: identify(), ping: ping() },
    connectionMonitor: { enabled: pingsConnections },
    ...(connectionProtector === undefined ? {} : { connectionProtector }),
  })
}

/** Given to `net.connect` as it is, though its type does not name it. */
function sourceOf(localAddress: string): object {
  return { localAddress }
}
