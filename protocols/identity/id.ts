/**
 * Names of an identity: the libp2p peer id and the `nz1…` id are two spellings of one Ed25519 public key,
 * the node key. spec/NZ-IDENTITY-01.md §4.
 */
import { base58, bech32m } from '@scure/base'

/** The longest text that is looked at; both spellings are shorter. */
const MAX_ID_CHARACTERS = 90

const PUBLIC_KEY_BYTES = 32
const ID_PREFIX = 'nz'

/** Identity multihash of the libp2p protobuf `PublicKey { Type = Ed25519, Data = 32 bytes }`. */
const PEER_ID_PREFIX = Uint8Array.of(0x00, 0x24, 0x08, 0x01, 0x12, 0x20)

/** The libp2p peer id of an Ed25519 public key (32 bytes), base58btc: `12D3Koo…`. */
export function peerIdOf(nodePublicKey: Uint8Array): string {
  requireKeyLength(nodePublicKey)
  const multihash = new Uint8Array(PEER_ID_PREFIX.byteLength + PUBLIC_KEY_BYTES)
  multihash.set(PEER_ID_PREFIX)
  multihash.set(nodePublicKey, PEER_ID_PREFIX.byteLength)
  return base58.encode(multihash)
}

/** The Ed25519 public key inside a peer id; `null` when `peerId` is not the one spelling of an Ed25519 peer id. */
export function publicKeyOfPeerId(peerId: string): Uint8Array | null {
  if (peerId.length > MAX_ID_CHARACTERS) return null
  let multihash: Uint8Array
  try {
    multihash = base58.decode(peerId)
  } catch {
    // Not base58btc: not a peer id.
    return null
  }
  if (multihash.byteLength !== PEER_ID_PREFIX.byteLength + PUBLIC_KEY_BYTES) return null
  if (PEER_ID_PREFIX.some((byte, at) => multihash[at] !== byte)) return null
  return multihash.slice(PEER_ID_PREFIX.byteLength)
}

/** `nz1…`: bech32m of the node public key, 61 characters; a wrong character is detected. */
export function idOf(nodePublicKey: Uint8Array): string {
  requireKeyLength(nodePublicKey)
  return bech32m.encode(ID_PREFIX, bech32m.toWords(nodePublicKey))
}

/** The node public key of an `nz1…` id in lower or upper case; `null` when it is mistyped or something else. */
export function publicKeyOfId(id: string): Uint8Array | null {
  if (id.length > MAX_ID_CHARACTERS) return null
  const decoded = bech32m.decodeUnsafe(id)
  if (decoded === undefined || decoded.prefix !== ID_PREFIX) return null
  const publicKey = bech32m.fromWordsUnsafe(decoded.words)
  if (!(publicKey instanceof Uint8Array) || publicKey.byteLength !== PUBLIC_KEY_BYTES) return null
  return publicKey
}

function requireKeyLength(key: Uint8Array): void {
  if (key.byteLength !== PUBLIC_KEY_BYTES) throw new TypeError(`a node public key has 32 bytes, not ${key.byteLength}`)
}
