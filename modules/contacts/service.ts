/** What others may know of `contacts`: the people's names of peers, and how peers are introduced by invites. */
import { z } from 'zod'
import { defineErrors, defineEvents, defineService } from '../../kernel/index.ts'

/** A peer this node was introduced to. */
export interface Contact {
  readonly peerId: string
  /** `nz1…` */
  readonly id: string
  /** Unique in this address book, chosen by the peer or renamed here; printable, at most 32 characters. */
  readonly name: string
  readonly addresses: readonly string[]
  /** `words`: people compared the words on both screens; `invite`: only the ticket proved it. */
  readonly verifiedBy: 'words' | 'invite' | 'none'
  readonly addedAtMs: number
}

export interface ContactsService {
  list(): readonly Contact[]
  get(peerId: string): Contact | undefined
  /**
   * The contact that `reference` names: a name, `nz1…` id, peer id, or a unique prefix of an id (at least 6 characters).
   *
   * @throws NZ_CONTACTS_NOT_FOUND, NZ_CONTACTS_AMBIGUOUS
   */
  resolve(reference: string): Contact
}

export const ContactsService = defineService<ContactsService>('contacts')

export const contactsEvents = defineEvents('contacts', {
  added: z.strictObject({ peerId: z.string(), name: z.string() }),
  removed: z.strictObject({ peerId: z.string(), name: z.string() }),
})

export const contactsErrors = defineErrors({
  NZ_CONTACTS_NOT_FOUND: {
    message: 'no peer of that name or id is known',
    fix: ['nzcore peers', 'nzcore join <ticket>'],
    status: 404,
    exit: 'notFound',
    retryable: false,
  },
  NZ_CONTACTS_AMBIGUOUS: {
    message: 'more than one peer matches',
    fix: ['give more of the id: nzcore peers --full'],
    status: 409,
    exit: 'conflict',
    retryable: false,
  },
})
