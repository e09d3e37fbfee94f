/** Which peer a caller means: a contact, or a peer the network can reach without one. */
import { isNzError } from '../../../kernel/index.ts'
import { peerIdOf, publicKeyOfId, publicKeyOfPeerId } from '../../../protocols/identity/id.ts'
import type { ContactsService } from '../../contacts/service.ts'
import type { NetworkService } from '../../network/service.ts'

export interface ReferredPeer {
  readonly peerId: string
  /** Where it may be reached besides what the network knows. */
  readonly addresses: readonly string[]
}

export interface PeerReferenceServices {
  readonly contacts: Pick<ContactsService, 'resolve'>
  readonly network: Pick<NetworkService, 'peers'>
}

/** Beginnings of ids shorter than this name nobody. */
const MIN_PREFIX_LENGTH = 6

/** @throws NZ_CONTACTS_NOT_FOUND, NZ_CONTACTS_AMBIGUOUS */
export function resolvePeer({ contacts, network }: PeerReferenceServices, reference: string): ReferredPeer {
  try {
    const { peerId, addresses } = contacts.resolve(reference)
    return { peerId, addresses }
  } catch (error) {
    if (!isNzError(error, 'NZ_CONTACTS_NOT_FOUND')) throw error
    const stranger = strangerOf(reference) ?? connectedOf(network, reference)
    if (stranger === null) throw error
    return stranger
  }
}

/** A peer named by its whole id or by an address that ends in it. */
function strangerOf(reference: string): ReferredPeer | null {
  const named = /^\/.*\/p2p\/([1-9A-HJ-NP-Za-km-z]+)$/.exec(reference)?.[1]
  if (named !== undefined && publicKeyOfPeerId(named) !== null) return { peerId: named, addresses: [reference] }
  if (publicKeyOfPeerId(reference) !== null) return { peerId: reference, addresses: [] }
  const key = publicKeyOfId(reference.toLowerCase())
  return key === null ? null : { peerId: peerIdOf(key), addresses: [] }
}

function connectedOf(network: Pick<NetworkService, 'peers'>, reference: string): ReferredPeer | null {
  if (reference.length < MIN_PREFIX_LENGTH) return null
  const matches = network.peers().filter(({ peerId }) => peerId.startsWith(reference))
  return matches.length === 1 && matches[0] !== undefined ? { peerId: matches[0].peerId, addresses: [] } : null
}
