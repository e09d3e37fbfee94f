/** The contacts service: the address book with its events, and the connections that go with its entries. */
import type { Clock, EventBus } from '../../kernel/index.ts'
import type { JoinedPeer } from '../../protocols/invite/join.ts'
import type { NetworkService } from '../network/service.ts'
import { MAX_CONTACT_ADDRESSES } from './address-book.ts'
import type { AddressBook } from './address-book.ts'
import type { KeptConnections } from './kept-connections.ts'
import { contactsEvents } from './service.ts'
import type { Contact, ContactsService } from './service.ts'

export interface ContactsServices {
  readonly book: AddressBook
  readonly kept: KeptConnections
  readonly network: Pick<NetworkService, 'disconnect'>
  readonly events: EventBus
  readonly clock: Clock
}

export interface Contacts {
  readonly service: ContactsService
  /** Writes down a peer that joined and keeps it connected. `name` is the user's choice; a known peer keeps its name. */
  readonly addContact: (
    peerId: string,
    peer: Pick<JoinedPeer, 'name' | 'addresses'> & Pick<Contact, 'verifiedBy'>,
    options: { readonly name?: string },
  ) => Promise<Contact>
}

export function createContacts({ book, kept, network, events, clock }: ContactsServices): Contacts {
  const addContact: Contacts['addContact'] = async (peerId, peer, { name }) => {
    const addresses = peer.addresses
      .slice(0, MAX_CONTACT_ADDRESSES)
      .map((address) => (address.endsWith(`/p2p/${peerId}`) ? address : `${address}/p2p/${peerId}`))
    const contact = await book.add(
      { peerId, name: name ?? peer.name, addresses, verifiedBy: peer.verifiedBy, addedAtMs: clock.nowMs() },
      { keepsName: name === undefined },
    )
    kept.keep(peerId, addresses)
    events.emit(contactsEvents.added, { peerId, name: contact.name })
    return contact
  }
  return {
    service: {
      list: () => book.list(),
      get: (peerId) => book.get(peerId),
      resolve: (reference) => book.resolve(reference),
      add: async ({ peerId, name, addresses }) => await addContact(peerId, { name, addresses, verifiedBy: 'none' }, {}),
      async rename(reference, name) {
        const contact = await book.rename(reference, name)
        events.emit(contactsEvents.renamed, { peerId: contact.peerId, name })
        return contact
      },
      async remove(reference, { signal }) {
        const { peerId, name } = await book.remove(reference)
        kept.release(peerId)
        events.emit(contactsEvents.removed, { peerId, name })
        await network.disconnect(peerId, { signal })
      },
    },
    addContact,
  }
}
