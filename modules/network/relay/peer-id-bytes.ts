/** Peer ids as the relay protocol has them: the multihash that base58btc spells. Ed25519 identities only. */
import { base58 } from '@scure/base'
import { publicKeyOfPeerId } from '../../../protocols/identity/id.ts'

export function bytesOfPeerId(peerId: string): Uint8Array {
  return base58.decode(peerId)
}

/** `null` when the bytes are no peer id of an Ed25519 key. */
export function peerIdOfBytes(bytes: Uint8Array): string | null {
  const peerId = base58.encode(bytes)
  return publicKeyOfPeerId(peerId) === null ? null : peerId
}
