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
  /** @throws NZ_CONTACTS_NOT_FOUND, NZ_CONTACTS_AMBIGUOUS, NZ_CONTACTS_NAME_INVALID, NZ_CONTACTS_NAME_TAKEN */
  rename(reference: string, name: string): Promise<Contact>
  /** Forgets the contact and hangs up. @throws NZ_CONTACTS_NOT_FOUND, NZ_CONTACTS_AMBIGUOUS */
  remove(reference: string, options: { readonly signal: AbortSignal }): Promise<void>
}

export const ContactsService = defineService<ContactsService>('contacts')

export const contactsEvents = defineEvents('contacts', {
  added: z.strictObject({ peerId: z.string(), name: z.string() }),
  removed: z.strictObject({ peerId: z.string(), name: z.string() }),
  renamed: z.strictObject({ peerId: z.string(), name: z.string() }),
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
  NZ_CONTACTS_NAME_INVALID: {
    message: 'that name cannot be used for a contact',
    fix: ['use at most 32 letters, digits, spaces or ._+- and none that read like an id (nz1…)'],
    status: 400,
    exit: 'usage',
    retryable: false,
  },
  NZ_CONTACTS_NAME_TAKEN: {
    message: 'another contact has that name',
    fix: ['nzcore contacts', 'nzcore contacts rename <contact> <name>'],
    status: 409,
    exit: 'conflict',
    retryable: false,
  },
  NZ_CONTACTS_FULL: {
    message: 'the address book is full',
    fix: ['nzcore contacts remove <contact>'],
    status: 507,
    exit: 'conflict',
    retryable: false,
  },
  NZ_CONTACTS_DAMAGED: {
    message: 'the address book cannot be read',
    fix: ['restore the file in data.file in the state folder from a backup', 'nzcore doctor'],
    status: 500,
    exit: 'damaged',
    retryable: false,
  },
})
