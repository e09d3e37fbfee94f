/** A contact is trusted MEDIUM and may vouch once, unless its owner has said otherwise (NZ-TRUST-01 §7). */
import { isNzError } from '../../kernel/index.ts'
import { contactsEvents } from '../contacts/service.ts'
import { CONTACT_LEVEL, CONTACT_VOUCH_DEPTH } from './ledger.ts'
import { keyOfPeerId } from './peer-key.ts'
import { trustLevels } from './service.ts'
import type { EventBus, Logger } from '../../kernel/index.ts'
import type { ContactsService } from '../contacts/service.ts'
import type { TrustLedger } from './ledger.ts'
import type { TrustService } from './service.ts'

export interface ContactStatementsServices {
  readonly contacts: Pick<ContactsService, 'list'>
  readonly ledger: TrustLedger
  readonly trust: Pick<TrustService, 'set' | 'withdraw'>
  readonly events: EventBus
  readonly log: Logger
}

/** States what is missing of all contacts. Withdrawn is a word, too: its owner took it back. */
export async function stateContacts(services: Omit<ContactStatementsServices, 'events'>): Promise<void> {
  const { contacts, ledger } = services
  const own = ledger.replica.log(ledger.self)
  if (ledger.standpoint.ownLog !== 'ready') return
  await guarded(services, 'of the address book', async () => {
    for (const { peerId } of contacts.list()) {
      const key = keyOfPeerId(peerId)
      if (key !== null && own?.hasSpokenOf(key) !== true) await state(services, peerId)
    }
  })
}

/** Follows the address book until `signal` aborts. */
export function followContacts(
  services: Omit<ContactStatementsServices, 'contacts'>,
  { signal }: { readonly signal: AbortSignal },
): void {
  const { ledger, trust, events } = services
  const isTrusted = (peerId: string): boolean => {
    const key = keyOfPeerId(peerId)
    return key !== null && ledger.replica.log(ledger.self)?.trustIn(key) !== undefined
  }
  events.on(
    contactsEvents.added,
    async ({ peerId }) => {
      if (keyOfPeerId(peerId) !== null && !isTrusted(peerId)) await state(services, peerId)
    },
    { signal },
  )
  events.on(
    contactsEvents.removed,
    async ({ peerId }) => {
      if (isTrusted(peerId)) await guarded(services, peerId, async () => await trust.withdraw(peerId))
    },
    { signal },
  )
}

type Stating = Pick<ContactStatementsServices, 'trust' | 'log'>

async function state(services: Stating, peerId: string): Promise<void> {
  const { trust } = services
  await guarded(services, peerId, async () => {
    await trust.set(peerId, { level: trustLevels[CONTACT_LEVEL], vouchDepth: CONTACT_VOUCH_DEPTH })
  })
}

async function guarded({ log }: Stating, peerId: string, work: () => Promise<unknown>): Promise<void> {
  try {
    await work()
  } catch (error) {
    log.warn('trust.contactNotStated', { peerId, code: isNzError(error) ? error.code : null })
  }
}
