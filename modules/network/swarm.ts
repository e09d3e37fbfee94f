/** The one place where libp2p is put together. Loaded only when the module starts: it costs a quarter of a second. */
import { identify } from '@libp2p/identify'
import { privateKeyFromRaw } from '@libp2p/crypto/keys'
import { tcp } from '@libp2p/tcp'
import { webSockets } from '@libp2p/websockets'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import type { ConnectionGater, ConnectionProtector, Transport } from '@libp2p/interface'
import type { Datastore } from 'interface-datastore'
import type { Libp2pOptions } from 'libp2p'
import { typescriptMuxer } from './muxer/muxer.ts'
import { joinsUpgrades } from './joined-upgrade.ts'
import { silentLogger } from './silent-logger.ts'
import { relayOf } from './address.ts'
import { transportDials } from './transport-dials.ts'
import { noiseEncrypter } from './noise/encrypter.ts'
import { relayTransport } from './relay/transport.ts'
import type { Clock } from '../../kernel/index.ts'
import type { AcceptGate } from './accept-gate.ts'
import type { Backend, NativeMuxer } from './muxer/backend.ts'
import type { ListeningPorts } from './reach/listening-port.ts'
import type { Swarm } from './transport-dials.ts'
import type { GatedSockets } from './gated-listener.ts'

export interface SwarmInit {
  readonly clock: Clock
  /** Ed25519, 64 bytes; copied, so the caller may zero its bytes. */
  readonly nodePrivateKey: Uint8Array
  /** Where libp2p keeps what it knows of peers. */
  readonly datastore: Datastore
  /** Multiaddrs; port 0 takes any. */
  readonly listen: readonly string[]
  /** Multiaddrs told to others in place of those found; none: those found. */
  readonly announce: readonly string[]
  /** Told to others as well: where this node is reached through its router and relays. */
  readonly otherAddresses: () => readonly string[]
  readonly sockets: GatedSockets
  readonly ports: ListeningPorts
  readonly gater: ConnectionGater
  readonly handshakeTimeoutMs: number
  readonly maxStreamsPerConnection: number
  /** Takes over the connections it recognises. */
  readonly native: NativeMuxer | null
  /** `libp2p` takes its own Noise and yamux in place of ours. */
  readonly backend: Backend
  /** 32 bytes; only peers with the same key get past the first bytes. */
  readonly clusterKey: Uint8Array | null
}

/** Largest receive window of a stream: what a peer may send to a reader that has stopped. */
export const MAX_STREAM_WINDOW_BYTES = 2 * 1024 * 1024
/** How long a peer that was not met again is remembered, and an address at which it was not found. */
const MAX_PEER_AGE_MS = 30 * 86_400_000
/** Dead connections are found by pings (liveness.ts). */
const neverIdle = { inboundSocketInactivityTimeout: 0, outboundSocketInactivityTimeout: 0 }
/** Own limits stand in front (accept-gate.ts); libp2p's are set so that they never decide. */
const UNLIMITED = 1_000_000

/** A node that does not listen yet: `start()` it. */
export async function createSwarm(init: SwarmInit): Promise<Swarm> {
  const { handshakeTimeoutMs, sockets, ports, clusterKey } = init
  const quick = <Components>(create: (components: Components) => Transport): ((components: Components) => Transport) =>
    // A protector stands between the socket and the handshake, and is put there by libp2p's upgrader.
    clusterKey === null ? joinsUpgrades(create, init) : create
  return await createLibp2p({
    privateKey: privateKeyFromRaw(init.nodePrivateKey.slice()),
    start: false,
    // `DEBUG` (such as `libp2p:*`) asks for libp2p's own.
    ...(process.env['DEBUG'] === undefined ? { logger: silentLogger } : {}),
    datastore: init.datastore,
    peerStore: { maxAddressAge: MAX_PEER_AGE_MS, maxPeerAge: MAX_PEER_AGE_MS },
    nodeInfo: { name: 'nzcore', version: '1', userAgent: 'nzcore/1' },
    addresses: {
      listen: [...init.listen],
      announce: [...init.announce],
      announceFilter: (found) =>
        [...new Set([...found.map(String), ...init.otherAddresses()])].map((address) => multiaddr(address)),
    },
    transports: [
      sockets.gated(quick(ports.sharing(tcp({ ...neverIdle, ...ports.tcpOptions }))), 'tcp'),
      sockets.gated(quick(webSockets()), 'websocket'),
      relayTransport(),
    ],
    ...(await stackOf(init)),
    services: {
      identify: identify({ maxInboundStreams: 4, maxOutboundStreams: 4, runOnConnectionOpen: false }),
      dials: transportDials(),
    },
    connectionGater: init.gater,
    connectionMonitor: { enabled: false },
    connectionManager: {
      maxConnections: UNLIMITED,
      maxIncomingPendingConnections: UNLIMITED,
      inboundConnectionThreshold: UNLIMITED,
      inboundUpgradeTimeout: handshakeTimeoutMs,
      inboundStreamProtocolNegotiationTimeout: handshakeTimeoutMs,
      maxParallelDials: 64,
    },
    ...(clusterKey === null ? {} : { connectionProtector: await protector(clusterKey) }),
  })
}

/** What secures and multiplexes connections. */
async function stackOf({
  native,
  backend,
  maxStreamsPerConnection: maxInboundStreams,
}: SwarmInit): Promise<Pick<Libp2pOptions, 'connectionEncrypters' | 'streamMuxers'>> {
  const limits = { maxInboundStreams, maxOutboundStreams: maxInboundStreams }
  if (backend === 'libp2p') {
    const [{ noise }, { yamux }] = await Promise.all([import('@libp2p/noise'), import('@libp2p/yamux')])
    const streamOptions = { maxStreamWindowSize: MAX_STREAM_WINDOW_BYTES }
    return { connectionEncrypters: [noise()], streamMuxers: [yamux({ ...limits, streamOptions })] }
  }
  const options = { ...limits, maxStreamWindowBytes: MAX_STREAM_WINDOW_BYTES }
  const typescript = typescriptMuxer(options)
  return {
    connectionEncrypters: [noiseEncrypter()],
    streamMuxers: [native === null ? typescript : () => native.factory({ ...options, fallback: typescript() })],
  }
}

export interface GaterInit {
  readonly gate: AcceptGate
  readonly sockets: GatedSockets
  readonly isBlockedPeer: (peerId: string) => boolean
  /** Whether the peer may have one more connection. */
  readonly hasRoomFor: (peerId: string) => boolean
  /** Whether connections are taken that this relay brings. */
  readonly hasPlaceAt: (relayPeerId: string) => boolean
}

/** What is decided once the peer has proven its id; what is decided before is the accept gate's. */
export function gaterOf({ gate, sockets, isBlockedPeer, hasRoomFor, hasPlaceAt }: GaterInit): ConnectionGater {
  return {
    denyDialPeer: (peerId) => isBlockedPeer(peerId.toString()),
    denyInboundEncryptedConnection: (peerId) => {
      if (isBlockedPeer(peerId.toString())) return gate.refuse('blocked') !== null
      return hasRoomFor(peerId.toString()) ? false : gate.refuse('peer-full') !== null
    },
    denyOutboundEncryptedConnection: (peerId) => isBlockedPeer(peerId.toString()),
    denyInboundRelayedConnection: (relay, remote) =>
      !hasPlaceAt(relay.toString()) || isBlockedPeer(remote.toString()) || !hasRoomFor(remote.toString()),
    denyInboundUpgradedConnection: (_peerId, { remoteAddr }) => {
      // A relayed connection has the socket of its relay, which was opened before it.
      if (relayOf(remoteAddr.toString()) === null) sockets.opened(remoteAddr.toString())
      return false
    },
  }
}

async function protector(clusterKey: Uint8Array): Promise<() => ConnectionProtector> {
  const { preSharedKey } = await import('@libp2p/pnet')
  const text = `/key/swarm/psk/1.0.0/\n/base16/\n${Buffer.from(clusterKey).toString('hex')}`
  return preSharedKey({ psk: new TextEncoder().encode(text) })
}
