/** The address book: contacts in the store, each with a name of its own. */
import { z } from 'zod'
import { displayName, freeName } from '../../protocols/invite/name.ts'
import { peerIdOf, publicKeyOfPeerId, idOf } from '../../protocols/identity/id.ts'
import type { Health } from '../../kernel/index.ts'
import type { StorageService, StoredMap } from '../storage/service.ts'
import { contactsErrors } from './service.ts'
import type { Contact } from './service.ts'

const NAMESPACE = 'contacts'
const OLDER_FILE = 'contacts.json'
/** Most contacts of one profile; each is kept connected. */
export const MAX_CONTACTS = 1_024
export const MAX_CONTACT_ADDRESSES = 8
/** Shortest part of an id that may stand for the whole. */
const MIN_PREFIX_LENGTH = 6

const StoredContact = z.strictObject({
  peerId: z.string().refine((peerId) => publicKeyOfPeerId(peerId) !== null, 'not an Ed25519 peer id'),
  name: z.string().refine((name) => displayName(name) === name, 'not a contact name'),
  addresses: z.array(z.string().min(1).max(256)).max(MAX_CONTACT_ADDRESSES),
  verifiedBy: z.enum(['words', 'invite', 'none']),
  addedAtMs: z.number().int().min(0),
})
const StoredBook = z.strictObject({ version: z.literal(1), contacts: z.array(StoredContact).max(MAX_CONTACTS) })

type StoredContact = z.output<typeof StoredContact>
export type NewContact = StoredContact

export class AddressBook {
  readonly #stored: StoredMap<StoredContact>
  readonly #views = new WeakMap<StoredContact, Contact>()

  constructor(storage: Pick<StorageService, 'map'>, { onLoaded }: { readonly onLoaded: () => void }) {
    this.#stored = storage.map(NAMESPACE, {
      schema: StoredContact,
      older: { file: OLDER_FILE, records: (bytes) => parse(bytes).map((contact) => [contact.peerId, contact]) },
      onLoaded,
    })
  }

  /** @throws NZ_CONTACTS_DAMAGED when the file of an older version is no address book; it is left as it is */
  async load(): Promise<void> {
    await this.#stored.load()
  }

  health(): Health {
    return this.#stored.health('nobody counts as a contact until then')
  }

  /** In the order in which they were introduced. @throws NZ_STORAGE_DAMAGED, NZ_STORAGE_UNAVAILABLE */
  list(): readonly Contact[] {
    const contacts = [...this.#stored.values.values()].map((stored) => this.#view(stored))
    return contacts.toSorted((a, b) => a.addedAtMs - b.addedAtMs || (a.peerId < b.peerId ? -1 : 1))
  }

  /** Nobody is known while the book cannot be read. */
  get(peerId: string): Contact | undefined {
    if (this.#stored.trouble !== null) return undefined
    const stored = this.#stored.values.get(peerId)
    return stored === undefined ? undefined : this.#view(stored)
  }

  /** Full ids win over names, names over prefixes of ids: no name can stand in for a whole id. */
  resolve(reference: string): Contact {
    const contacts = this.list()
    const exact =
      contacts.find(({ peerId, id }) => peerId === reference || id === reference.toLowerCase()) ??
      contacts.find(({ name }) => sameName(name, reference))
    if (exact !== undefined) return exact
    const matches =
      reference.length < MIN_PREFIX_LENGTH
        ? []
        : contacts.filter(({ peerId, id }) => peerId.startsWith(reference) || id.startsWith(reference))
    const [match] = matches
    if (match === undefined) throw contactsErrors.NZ_CONTACTS_NOT_FOUND({ data: { reference: reference.slice(0, 80) } })
    if (matches.length > 1) {
      throw contactsErrors.NZ_CONTACTS_AMBIGUOUS({ data: { matches: matches.slice(0, 8).map(({ id }) => id) } })
    }
    return match
  }

  /**
   * Adds a peer, or updates the one of the same peer id (keeping its name unless `name` was asked for by the user).
   * The name gets a suffix when another contact has it.
   *
   * @throws NZ_CONTACTS_FULL
   */
  async add(contact: NewContact, { keepsName }: { readonly keepsName: boolean }): Promise<Contact> {
    return await this.#change((stored) => {
      const known = stored.get(contact.peerId)
      const others = [...stored.values()].filter((other) => other !== known)
      if (known === undefined && stored.size >= MAX_CONTACTS) {
        throw contactsErrors.NZ_CONTACTS_FULL({ data: { limit: MAX_CONTACTS } })
      }
      const wanted = known !== undefined && keepsName ? known.name : contact.name
      const name = freeName(wanted, (candidate) => others.some((other) => sameName(other.name, candidate)))
      return { ...contact, name, addedAtMs: known?.addedAtMs ?? contact.addedAtMs }
    })
  }

  /** @throws NZ_CONTACTS_NOT_FOUND, NZ_CONTACTS_AMBIGUOUS, NZ_CONTACTS_NAME_INVALID, NZ_CONTACTS_NAME_TAKEN */
  async rename(reference: string, name: string): Promise<Contact> {
    if (displayName(name) !== name) throw contactsErrors.NZ_CONTACTS_NAME_INVALID()
    return await this.#change((stored) => {
      const { id: _derived, ...contact } = this.resolve(reference)
      if ([...stored.values()].some((other) => other.peerId !== contact.peerId && sameName(other.name, name))) {
        throw contactsErrors.NZ_CONTACTS_NAME_TAKEN({ data: { name } })
      }
      return { ...contact, addresses: [...contact.addresses], name }
    })
  }

  /** Whether something changed: the peer is a contact, and was known elsewhere. */
  async setAddresses(peerId: string, addresses: readonly string[]): Promise<boolean> {
    const known = this.get(peerId)
    if (known === undefined || JSON.stringify(known.addresses) === JSON.stringify(addresses)) return false
    return await this.#stored.change((stored) => {
      const contact = stored.get(peerId)
      if (contact === undefined) return { result: false }
      return { put: [[peerId, { ...contact, addresses: [...addresses] }]], result: true }
    })
  }

  /** @throws NZ_CONTACTS_NOT_FOUND, NZ_CONTACTS_AMBIGUOUS */
  async remove(reference: string): Promise<Contact> {
    return await this.#stored.change(() => {
      const contact = this.resolve(reference)
      return { remove: [contact.peerId], result: contact }
    })
  }

  async #change(step: (stored: ReadonlyMap<string, StoredContact>) => StoredContact): Promise<Contact> {
    const changed = await this.#stored.change((stored) => {
      const contact = step(stored)
      return { put: [[contact.peerId, contact]], result: contact }
    })
    return this.#view(changed)
  }

  #view(stored: StoredContact): Contact {
    const known = this.#views.get(stored)
    if (known !== undefined) return known
    const contact = complete(stored)
    this.#views.set(stored, contact)
    return contact
  }
}

/** The address book of version 0.1.0. */
function parse(bytes: Uint8Array): StoredContact[] {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    const { contacts } = StoredBook.parse(JSON.parse(text))
    const isUnique =
      new Set(contacts.map(({ peerId }) => peerId)).size === contacts.length &&
      new Set(contacts.map(({ name }) => name.toLowerCase())).size === contacts.length
    if (!isUnique) throw new Error('a peer or a name occurs twice')
    return contacts
  } catch (error) {
    throw contactsErrors.NZ_CONTACTS_DAMAGED({ cause: error, data: { file: OLDER_FILE } })
  }
}

function complete(stored: NewContact): Contact {
  const key = publicKeyOfPeerId(stored.peerId)
  if (key === null) throw new TypeError(`not an Ed25519 peer id: ${stored.peerId}`)
  return { ...stored, peerId: peerIdOf(key), id: idOf(key) }
}

function sameName(one: string, other: string): boolean {
  return one.toLowerCase() === other.normalize('NFC').toLowerCase()
}
