/**
 * The two spellings of a node's Ed25519 public key: the libp2p peer id (base58btc of the identity multihash of the
 * protobuf-encoded key, libp2p specs peer-ids) and `nz1…` (bech32m), which people copy.
 */
import { base58, bech32m } from '@scure/base'

/** Multihash identity, 36 bytes; protobuf field 1 = Ed25519, field 2 = 32 bytes. */
const PEER_ID_PREFIX = Uint8Array.of(0x00, 0x24, 0x08, 0x01, 0x12, 0x20)
export const PUBLIC_KEY_BYTES = 32

export function peerIdOf(nodePublicKey: Uint8Array): string {
  const bytes = new Uint8Array(PEER_ID_PREFIX.length + PUBLIC_KEY_BYTES)
  bytes.set(PEER_ID_PREFIX)
  bytes.set(nodePublicKey, PEER_ID_PREFIX.length)
  return base58.encode(bytes)
}

/** The key inside an Ed25519 peer id; `null` for anything else. */
export function publicKeyOf(peerId: string): Uint8Array | null {
  if (peerId.length > 64) return null
  let bytes: Uint8Array
  try {
    bytes = base58.decode(peerId)
  } catch {
    // Not base58: the one way `decode` fails, and the answer is the same.
    return null
  }
  if (bytes.length !== PEER_ID_PREFIX.length + PUBLIC_KEY_BYTES) return null
  if (PEER_ID_PREFIX.some((byte, index) => bytes[index] !== byte)) return null
  return bytes.slice(PEER_ID_PREFIX.length)
}

/** `nz1…` */
export function shortIdOf(nodePublicKey: Uint8Array): string {
  return bech32m.encode('nz', bech32m.toWords(nodePublicKey))
}
