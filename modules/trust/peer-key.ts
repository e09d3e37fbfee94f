/** Peer ids and the keys of NZ-TRUST-01: two spellings of one node public key. */
import { peerIdOf, publicKeyOfPeerId } from '../../protocols/identity/id.ts'
import { bytesOf, keyOf } from '../../protocols/trust/update.ts'
import { trustErrors } from './service.ts'
import type { Key } from '../../protocols/trust/update.ts'

export function peerIdOfKey(key: Key): string {
  return peerIdOf(bytesOf(key))
}

/** `null` for a peer whose id holds no Ed25519 key: nothing can be said of it. */
export function keyOfPeerId(peerId: string): Key | null {
  const key = publicKeyOfPeerId(peerId)
  return key === null ? null : keyOf(key)
}

/** @throws NZ_TRUST_PEER_INVALID */
export function requireKey(peerId: string): Key {
  const key = keyOfPeerId(peerId)
  if (key === null) throw trustErrors.NZ_TRUST_PEER_INVALID({ data: { peerId } })
  return key
}
