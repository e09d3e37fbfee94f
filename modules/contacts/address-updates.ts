/** Asks each contact that connects where it can be reached now, so that a moved node is found again after a restart. */
import { deadline } from '../../kernel/index.ts'
import { ADDRESSES_METHOD, decodeAddressList, encodeAddressList } from '../../protocols/invite/address-list.ts'
import type { Clock, EventBus, Logger } from '../../kernel/index.ts'
import { networkEvents } from '../network/service.ts'
import type { NetworkService } from '../network/service.ts'
import type { AddressBook } from './address-book.ts'
import type { KeptConnections } from './kept-connections.ts'
import { contactsErrors } from './service.ts'

const ASK_TIMEOUT_MS = 10_000

export interface AddressUpdatesServices {
  readonly book: AddressBook
  readonly kept: KeptConnections
  readonly network: NetworkService
  readonly events: EventBus
  readonly clock: Clock
  readonly log: Logger
}

/** Answers contacts and asks them, until `signal` aborts. */
export function exchangeAddresses(
  services: AddressUpdatesServices,
  { signal }: { readonly signal: AbortSignal },
): void {
  const { book, network, events, clock, log } = services
  network.handleRequests(
    ADDRESSES_METHOD,
    async (_payload, { peerId }) => {
      if (book.get(peerId) === undefined) throw contactsErrors.NZ_CONTACTS_NOT_FOUND({ why: 'for contacts only' })
      return encodeAddressList(network.addresses())
    },
    { signal },
  )
  events.on(
    networkEvents.peerConnected,
    async ({ peerId }) => {
      if (book.get(peerId) === undefined) return
      using limit = deadline(clock, ASK_TIMEOUT_MS, { signal })
      try {
        const answer = await network.request(peerId, ADDRESSES_METHOD, new Uint8Array(), { signal: limit.signal })
        await update(services, peerId, decodeAddressList(answer) ?? [])
      } catch (error) {
        // It may have gone, or removed this node from its contacts: what is known of it stays.
        log.debug('contacts.addressesNotTold', { peerId, error })
      }
    },
    { signal },
  )
}

async function update({ book, kept }: AddressUpdatesServices, peerId: string, told: readonly string[]): Promise<void> {
  if (told.length === 0) return
  const addresses = told.map((address) => `${address}/p2p/${peerId}`)
  if (await book.setAddresses(peerId, addresses)) kept.keep(peerId, addresses)
}
