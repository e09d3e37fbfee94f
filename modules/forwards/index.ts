/** Local TCP ports to services of contacts, and services of this machine for contacts. */
import { z } from 'zod'
import { defineModule, isNzError } from '../../kernel/index.ts'
import { FORWARD_PROTOCOL } from '../../protocols/forward/header.ts'
import { contactsEvents, ContactsService } from '../contacts/service.ts'
import { NetworkService } from '../network/service.ts'
import { StorageService } from '../storage/service.ts'
import { TrustService } from '../trust/service.ts'
import { ForwardList } from './forward-list.ts'
import { Forwards } from './forwards.ts'
import { forwardsEvents, ForwardsService } from './service.ts'

/** Streams of one peer at once, over all services. */
const MAX_STREAMS_PER_PEER = 64

export default defineModule({
  name: 'forwards',
  config: z.strictObject({}),
  requires: { storage: StorageService, network: NetworkService, contacts: ContactsService, trust: TrustService },
  provides: { forwards: ForwardsService },
  emits: forwardsEvents,
  capabilities: [],
  restart: 'permanent',

  setup({ events, scope, clock, random, log }, { storage, network, contacts, trust }) {
    let isStarted = false
    const list: ForwardList = new ForwardList(storage, { onLoaded: () => void (isStarted && takeUpLate()) })
    const forwards = new Forwards({ list, network, contacts, trust, events, clock, random, log })
    const takeUp = async (): Promise<void> => {
      if (!list.isReadable) return
      const known = knownPeers(contacts)
      // A contact may have been removed just before a crash.
      if (known !== null) await forwards.forget((peerId) => !known.has(peerId))
      await forwards.start()
    }
    const takeUpLate = async (): Promise<void> => {
      await takeUp().catch((error: unknown) => log.error('forwards.notTakenUp', { error }))
    }
    scope.defer(async () => await forwards.stopAll())
    return {
      services: { forwards },
      async start() {
        await list.load()
        events.on(contactsEvents.removed, async ({ peerId }) => await forwards.forget((gone) => gone === peerId), {
          signal: scope.signal,
        })
        await takeUp()
        isStarted = true
        network.handleStreams(FORWARD_PROTOCOL, async (stream, options) => await forwards.serve(stream, options), {
          signal: scope.signal,
          maxStreamsPerPeer: MAX_STREAMS_PER_PEER,
        })
      },
      async health() {
        if (!list.isReadable) return await Promise.resolve(list.health())
        const failed = forwards.failed()
        if (failed.length === 0) return { state: 'healthy' }
        const why = `${failed.length} local ports are not listened on`
        return { state: 'degraded', code: failed[0]?.lastCode ?? 'NZ_FORWARD_PORT_TAKEN', why }
      },
    }
  },
})

/** `null` when the address book cannot be read: then nobody is known to be gone. */
function knownPeers(contacts: ContactsService): ReadonlySet<string> | null {
  try {
    return new Set(contacts.list().map(({ peerId }) => peerId))
  } catch (error) {
    if (isNzError(error)) return null
    throw error
  }
}
