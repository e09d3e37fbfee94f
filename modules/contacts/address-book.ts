/** The address book: contacts in one small durable file, each with a name of its own. */
import { z } from 'zod'
import { displayName, freeName } from '../../protocols/invite/name.ts'
import { peerIdOf, publicKeyOfPeerId, idOf } from '../../protocols/identity/id.ts'
import type { HomeService } from '../home/service.ts'
import { contactsErrors } from './service.ts'
import type { Contact } from './service.ts'

const FILE_NAME = 'contacts.json'
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

export type NewContact = z.input<typeof StoredContact>

export class AddressBook {
  readonly #home: HomeService
  #contacts: readonly Contact[]
  #lastChange: Promise<unknown> = Promise.resolve()

  private constructor(home: HomeService, contacts: readonly Contact[]) {
    this.#home = home
    this.#contacts = contacts
  }

  /** @throws NZ_CONTACTS_DAMAGED when the file is not an address book; it is left as it is */
  static async open(home: HomeService): Promise<AddressBook> {
    const bytes = await home.read(FILE_NAME)
    return new AddressBook(home, bytes === null ? [] : parse(bytes))
  }

  list(): readonly Contact[] {
    return this.#contacts
  }

  get(peerId: string): Contact | undefined {
    return this.#contacts.find((contact) => contact.peerId === peerId)
  }

  /** Full ids win over names, names over prefixes of ids: no name can stand in for a whole id. */
  resolve(reference: string): Contact {
    const exact =
      this.#contacts.find(({ peerId, id }) => peerId === reference || id === reference.toLowerCase()) ??
      this.#contacts.find(({ name }) => sameName(name, reference))
    if (exact !== undefined) return exact
    const matches =
      reference.length < MIN_PREFIX_LENGTH
        ? []
        : this.#contacts.filter(({ peerId, id }) => peerId.startsWith(reference) || id.startsWith(reference))
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
    return await this.#change((contacts) => {
      const known = contacts.find(({ peerId }) => peerId === contact.peerId)
      const others = contacts.filter((other) => other !== known)
      if (known === undefined && contacts.length >= MAX_CONTACTS) {
        throw contactsErrors.NZ_CONTACTS_FULL({ data: { limit: MAX_CONTACTS } })
      }
      const wanted = known !== undefined && keepsName ? known.name : contact.name
      const name = freeName(wanted, (candidate) => others.some((other) => sameName(other.name, candidate)))
      const added = complete({ ...contact, name, addedAtMs: known?.addedAtMs ?? contact.addedAtMs })
      return { contacts: [...others, added], result: added }
    })
  }

  /** @throws NZ_CONTACTS_NOT_FOUND, NZ_CONTACTS_AMBIGUOUS, NZ_CONTACTS_NAME_INVALID, NZ_CONTACTS_NAME_TAKEN */
  async rename(reference: string, name: string): Promise<Contact> {
    if (displayName(name) !== name) throw contactsErrors.NZ_CONTACTS_NAME_INVALID()
    return await this.#change((contacts) => {
      const contact = this.resolve(reference)
      if (contacts.some((other) => other !== contact && sameName(other.name, name))) {
        throw contactsErrors.NZ_CONTACTS_NAME_TAKEN({ data: { name } })
      }
      const renamed = { ...contact, name }
      return { contacts: contacts.map((other) => (other === contact ? renamed : other)), result: renamed }
    })
  }

  /** Whether something changed: the peer is a contact, and was known elsewhere. */
  async setAddresses(peerId: string, addresses: readonly string[]): Promise<boolean> {
    const known = this.get(peerId)
    if (known === undefined || JSON.stringify(known.addresses) === JSON.stringify(addresses)) return false
    return await this.#change((contacts) => {
      const moved = contacts.map((contact) => (contact.peerId === peerId ? { ...contact, addresses } : contact))
      return { contacts: moved, result: contacts.some((contact) => contact.peerId === peerId) }
    })
  }

  /** @throws NZ_CONTACTS_NOT_FOUND, NZ_CONTACTS_AMBIGUOUS */
  async remove(reference: string): Promise<Contact> {
    return await this.#change((contacts) => {
      const contact = this.resolve(reference)
      return { contacts: contacts.filter((other) => other !== contact), result: contact }
    })
  }

  /** One change after another; memory changes only when the file has. */
  async #change<Result>(
    step: (contacts: readonly Contact[]) => { readonly contacts: readonly Contact[]; readonly result: Result },
  ): Promise<Result> {
    const work = async (): Promise<Result> => {
      const { contacts, result } = step(this.#contacts)
      await this.#home.write(FILE_NAME, serialise(contacts))
      this.#contacts = contacts
      return result
    }
    const mine = this.#lastChange.then(work, work)
    this.#lastChange = mine
    return await mine
  }
}

function parse(bytes: Uint8Array): Contact[] {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    const { contacts } = StoredBook.parse(JSON.parse(text))
    const isUnique =
      new Set(contacts.map(({ peerId }) => peerId)).size === contacts.length &&
      new Set(contacts.map(({ name }) => name.toLowerCase())).size === contacts.length
    if (!isUnique) throw new Error('a peer or a name occurs twice')
    return contacts.map(complete)
  } catch (error) {
    throw contactsErrors.NZ_CONTACTS_DAMAGED({ cause: error, data: { file: FILE_NAME } })
  }
}

/** A book that could not be read again is never written: its parts come from peers, and the next start needs it. */
function serialise(contacts: readonly Contact[]): Uint8Array {
  const stored = contacts.map(({ id: _derived, ...contact }) => contact)
  const book = StoredBook.parse({ version: 1, contacts: stored })
  return new TextEncoder().encode(`${JSON.stringify(book, null, 2)}\n`)
}

function complete(stored: NewContact): Contact {
  const key = publicKeyOfPeerId(stored.peerId)
  if (key === null) throw new TypeError(`not an Ed25519 peer id: ${stored.peerId}`)
  return { ...stored, peerId: peerIdOf(key), id: idOf(key) }
}

function sameName(one: string, other: string): boolean {
  return one.toLowerCase() === other.normalize('NFC').toLowerCase()
}
