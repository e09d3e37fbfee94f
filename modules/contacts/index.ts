/** The address book, the connections the node keeps to everyone in it, and how peers get into it: invites and joins. */
import { hostname } from 'node:os'
import { z } from 'zod'
import { defineModule } from '../../kernel/index.ts'
import { JOIN_PROTOCOL } from '../../protocols/invite/messages.ts'
import { displayName, MAX_NAME_LENGTH } from '../../protocols/invite/name.ts'
import { IdentityService } from '../identity/service.ts'
import { NetworkService } from '../network/service.ts'
import { StorageService } from '../storage/service.ts'
import { AddressBook } from './address-book.ts'
import { exchangeAddresses } from './address-updates.ts'
import { ChangeSignal } from './change-signal.ts'
import { InviteList } from './invite-list.ts'
import { createInvites } from './invites.ts'
import { Joins } from './joins.ts'
import { KeptConnections } from './kept-connections.ts'
import { createContacts } from './contacts.ts'
import { contactsEvents, ContactsService, InvitesService } from './service.ts'

const config = z.strictObject({
  name: z
    .string()
    .max(MAX_NAME_LENGTH)
    .refine(
      (name) => displayName(name) === name,
      'use letters, digits, spaces or ._+- and nothing that reads like an id',
    )
    .optional()
    .describe('what this node proposes to be called by others; default: the host name'),
})

export default defineModule({
  name: 'contacts',
  config,
  requires: { storage: StorageService, identity: IdentityService, network: NetworkService },
  provides: { contacts: ContactsService, invites: InvitesService },
  emits: contactsEvents,
  capabilities: [],
  restart: 'permanent',

  setup({ events, scope, clock, random, log }, { storage, identity, network }, { name = nameOfHost() }) {
    const kept = new KeptConnections(network)
    const book: AddressBook = new AddressBook(storage, {
      onLoaded: () => {
        for (const { peerId, addresses } of book.list()) kept.keep(peerId, addresses)
      },
    })
    const invites = new InviteList(storage, clock)
    scope.defer(() => kept.releaseAll())
    const contacts = createContacts({ book, kept, network, events, clock })
    const changed = new ChangeSignal()
    const { signal } = scope
    const { addContact } = contacts
    const services = { identity, network, invites, clock, random, log, events, changed, signal, addContact }
    const joins = new Joins(services, { name })
    return {
      services: { contacts: contacts.service, invites: createInvites({ ...services, joins }, { name }) },
      async start() {
        await Promise.all([book.load(), invites.load()])
        exchangeAddresses({ book, kept, network, events, clock, log }, { signal })
        network.handleStreams(JOIN_PROTOCOL, async (stream) => await joins.serve(stream), {
          signal,
          maxStreamsPerPeer: 2,
        })
      },
      async health() {
        const healths = [book.health(), invites.health()]
        return await Promise.resolve(healths.find(({ state }) => state !== 'healthy') ?? { state: 'healthy' })
      },
    }
  },
})

function nameOfHost(): string {
  return displayName(hostname()) ?? 'node'
}
