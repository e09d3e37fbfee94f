/** The address book, and the connections the node keeps to everyone in it. */
import { z } from 'zod'
import { defineModule } from '../../kernel/index.ts'
import { HomeService } from '../home/service.ts'
import { NetworkService } from '../network/service.ts'
import { AddressBook } from './address-book.ts'
import { KeptConnections } from './kept-connections.ts'
import { contactsEvents, ContactsService } from './service.ts'

export default defineModule({
  name: 'contacts',
  config: z.strictObject({}),
  requires: { home: HomeService, network: NetworkService },
  provides: { contacts: ContactsService },
  emits: contactsEvents,
  capabilities: [],
  restart: 'permanent',

  async setup({ events, scope }, { home, network }) {
    const book = await AddressBook.open(home)
    const kept = new KeptConnections(network)
    scope.defer(() => kept.releaseAll())
    const service: ContactsService = {
      list: () => book.list(),
      get: (peerId) => book.get(peerId),
      resolve: (reference) => book.resolve(reference),
      rename: async (reference, name) => {
        const contact = await book.rename(reference, name)
        events.emit(contactsEvents.renamed, { peerId: contact.peerId, name })
        return contact
      },
      remove: async (reference, { signal }) => {
        const { peerId, name } = await book.remove(reference)
        kept.release(peerId)
        events.emit(contactsEvents.removed, { peerId, name })
        await network.disconnect(peerId, { signal })
      },
    }
    return {
      services: { contacts: service },
      async start() {
        for (const { peerId, addresses } of book.list()) kept.keep(peerId, addresses)
      },
    }
  },
})
