/** Local TCP ports to services of contacts, and services of this machine for contacts. */
import { z } from 'zod'
import { defineModule } from '../../kernel/index.ts'
import { FORWARD_PROTOCOL } from '../../protocols/forward/header.ts'
import { contactsEvents, ContactsService } from '../contacts/service.ts'
import { HomeService } from '../home/service.ts'
import { NetworkService } from '../network/service.ts'
import { ForwardList } from './forward-list.ts'
import { Forwards } from './forwards.ts'
import { forwardsEvents, ForwardsService } from './service.ts'

/** Streams of one peer at once, over all services. */
const MAX_STREAMS_PER_PEER = 64

export default defineModule({
  name: 'forwards',
  config: z.strictObject({}),
  requires: { home: HomeService, network: NetworkService, contacts: ContactsService },
  provides: { forwards: ForwardsService },
  emits: forwardsEvents,
  capabilities: [],
  restart: 'permanent',

  async setup({ events, scope, clock, random, log }, { home, network, contacts }) {
    const list = await ForwardList.open(home)
    const forwards = new Forwards({ list, network, contacts, events, clock, random, log })
    scope.defer(async () => await forwards.stopAll())
    return {
      services: { forwards },
      async start() {
        // A contact may have been removed just before a crash.
        await forwards.forget((peerId) => contacts.get(peerId) === undefined)
        events.on(contactsEvents.removed, async ({ peerId }) => await forwards.forget((gone) => gone === peerId), {
          signal: scope.signal,
        })
        await forwards.start()
        network.handleStreams(FORWARD_PROTOCOL, async (stream, options) => await forwards.serve(stream, options), {
          signal: scope.signal,
          maxStreamsPerPeer: MAX_STREAMS_PER_PEER,
        })
      },
      async health() {
        const failed = forwards.failed()
        if (failed.length === 0) return { state: 'healthy' }
        const why = `${failed.length} local ports are not listened on`
        return { state: 'degraded', code: failed[0]?.lastCode ?? 'NZ_FORWARD_PORT_TAKEN', why }
      },
    }
  },
})
