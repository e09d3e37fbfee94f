/** Encrypted channels between two identities, over streams of the network and over paths that others make. */
import { z } from 'zod'
import { defineModule } from '../../kernel/index.ts'
import { IdentityService } from '../identity/service.ts'
import { NetworkService } from '../network/service.ts'
import { trustEvents, TrustService } from '../trust/service.ts'
import { CHANNEL_PROTOCOL, Channels, MAX_STREAMS_PER_PEER } from './channels.ts'
import { ChannelKeys } from './keys.ts'
import { channelsEvents, ChannelsService } from './service.ts'

export default defineModule({
  name: 'channels',
  config: z.strictObject({}),
  requires: { identity: IdentityService, network: NetworkService, trust: TrustService },
  provides: { channels: ChannelsService },
  emits: channelsEvents,
  capabilities: [],
  restart: 'permanent',

  setup({ events, scope, clock, random, log }, { identity, network, trust }) {
    const channels = new Channels({ keys: new ChannelKeys(identity), network, trust, events, clock, random, log })
    scope.defer(async () => await channels.closeAll())
    return {
      services: { channels },
      async start() {
        events.on(trustEvents.changed, async () => await channels.closeDistrusted(), { signal: scope.signal })
        network.handleStreams(CHANNEL_PROTOCOL, async (stream, options) => await channels.serve(stream, options), {
          signal: scope.signal,
          maxStreamsPerPeer: MAX_STREAMS_PER_PEER,
        })
        return await Promise.resolve()
      },
    }
  },
})
