/** Paths to peers through other nodes, and streams over them. */
import { z } from 'zod'
import { defineModule } from '../../kernel/index.ts'
import { localIdentity, STATIC_SEED_LABEL } from '../../protocols/handshake/handshake.ts'
import { x25519KeyPairFromSeed } from '../../protocols/noise/x25519.ts'
import { IdentityService } from '../identity/service.ts'
import { networkEvents, NetworkService } from '../network/service.ts'
import { trustEvents, TrustService } from '../trust/service.ts'
import { RoutedStreams } from './detour.ts'
import { Routing } from './routing.ts'
import { routingEvents, RoutingService } from './service.ts'

const config = z.strictObject({
  relayBytesPerSecond: z
    .int()
    .min(16_384)
    .max(10_737_418_240)
    .default(134_217_728)
    .describe('most bytes that are passed on for one peer in a second')
    .meta({ unit: 'bytes/s' }),
  maxStreams: z
    .int()
    .min(1)
    .max(4_096)
    .default(64)
    .describe('streams over routes that may be open at once; each holds up to 2 MiB'),
})

export default defineModule({
  name: 'routing',
  config,
  requires: { identity: IdentityService, network: NetworkService, trust: TrustService },
  provides: { routing: RoutingService },
  emits: routingEvents,
  capabilities: [],
  restart: 'permanent',

  setup({ clock, random, events, scope, log }, { identity, network, trust }, { relayBytesPerSecond, maxStreams }) {
    const { signal } = scope
    const seed = identity.deriveKey(STATIC_SEED_LABEL)
    const staticKey = x25519KeyPairFromSeed(seed)
    seed.fill(0)
    const channelIdentity = localIdentity(identity.self.nodePublicKey, staticKey, (purpose, message) =>
      identity.signAsNode(purpose, message),
    )
    const streams = new RoutedStreams({ clock, log, events, maxStreams })
    const routing = new Routing(
      {
        identity,
        channelIdentity,
        network,
        trust,
        clock,
        random,
        log,
        events,
        relayBytesPerSecond,
        hooks: streams.hooks,
        streamCount: () => streams.count,
      },
      { signal },
    )
    return {
      services: { routing },
      async start() {
        streams.start(routing, network.useDetour(streams, { signal }), { signal })
        routing.start({ signal })
        events.on(networkEvents.peerConnected, ({ peerId }) => routing.connected(peerId), { signal })
        events.on(networkEvents.peerDisconnected, () => routing.review(), { signal })
        events.on(trustEvents.changed, () => routing.review(), { signal })
        events.on(trustEvents.forked, () => routing.review(), { signal })
        await Promise.resolve()
      },
      async stop() {
        routing.remotes.close()
        await Promise.resolve()
      },
    }
  },
})
