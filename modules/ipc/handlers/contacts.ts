/** Handlers of the group `contacts`: address book, invites and joins. */
import { knownErrors, NzError } from '../../../kernel/index.ts'
import { inviteErrors } from '../../../protocols/invite/errors.ts'
import type { contactsContract } from '../../../protocols/ipc/contract/contacts.ts'
import type { Handlers, ResultOf } from '../../../protocols/ipc/endpoint.ts'
import type { Contact, ContactsService, Invite, InvitesService, Join } from '../../contacts/service.ts'
import type { NetworkService } from '../../network/service.ts'

export interface ContactsServices {
  readonly contacts: ContactsService
  readonly invites: InvitesService
  readonly network: NetworkService
}

type JoinView = ResultOf<(typeof contactsContract)['joinsStart']>['join']

export function contactsHandlers({ contacts, invites, network }: ContactsServices): Handlers<typeof contactsContract> {
  const contactView = (contact: Contact) => ({
    ...contact,
    addresses: [...contact.addresses],
    state: network.peer(contact.peerId)?.state ?? 'disconnected',
  })
  const joinView = (join: Join): JoinView => {
    const peer = network.peer(join.peerId)
    const address = peer?.paths[0]?.address ?? null
    return { ...join, words: [...join.words], address, rttMs: peer?.rttMs ?? null }
  }
  return {
    contactsList: async () => ({ contacts: contacts.list().map(contactView) }),
    contactsRename: async ({ contact, name }) => ({ contact: contactView(await contacts.rename(contact, name)) }),
    async contactsRemove({ contact }, { signal }) {
      const found = contacts.resolve(contact)
      await contacts.remove(found.peerId, { signal })
      return { contact: contactView(found) }
    },
    invitesCreate: async (options) => await invites.create(options),
    invitesList: async () => ({ invites: [...invites.list()] }),
    invitesRevoke: async ({ inviteId }) => ({ invite: await invites.revoke(inviteId) }),
    async *invitesWatch({ inviteId }, { signal }) {
      let last: { readonly invite: Invite; readonly join: Join | null } | null = null
      for await (const view of invites.watch(inviteId, { signal })) {
        last = view
        yield { invite: view.invite, join: view.join === null ? null : joinView(view.join) }
      }
      if (last !== null && !signal.aborted) throwEndOf(last)
    },
    joinsStart: async ({ ticket, accepts, name }, { signal }) => ({
      join: joinView(await invites.join(ticket, { accepts, signal, ...(name === undefined ? {} : { name }) })),
    }),
    joinsList: async () => ({ joins: invites.joins().map(joinView) }),
    joinsDecide: async ({ joinId, accepts }) => ({ join: joinView(await invites.decide(joinId, accepts)) }),
    async *joinsWatch({ joinId }, { signal }) {
      for await (const join of invites.watchJoin(joinId, { signal })) {
        yield { join: joinView(join) }
        if (join.state === 'failed') throw codedError(join)
      }
    },
  }
}

/** An invite that ended without a contact ends its watch with the reason. */
function throwEndOf({ invite, join }: { readonly invite: Invite; readonly join: Join | null }): void {
  const data = { inviteId: invite.inviteId }
  if (invite.state === 'expired') throw inviteErrors.NZ_INVITE_EXPIRED({ data })
  if (invite.state === 'revoked') throw inviteErrors.NZ_INVITE_REVOKED({ data })
  if (invite.state === 'declined' && join !== null) throw codedError(join)
}

function codedError({ code, joinId, peerId }: Join): NzError {
  const spec = knownErrors.get(code ?? '')
  const data = { joinId, peerId }
  return code === null || spec === undefined
    ? inviteErrors.NZ_JOIN_PROTOCOL({ data })
    : new NzError(code, spec, { data })
}
