/**
 * Peers that have proven who they are to this process: the same static key with the same signature of the same identity
 * proves the same again. A signature costs as much to check as the rest of a handshake's secrets.
 */
import type { PeerId, PublicKey } from '@libp2p/interface'

export interface Acquaintance {
  readonly publicKey: PublicKey
  readonly peerId: PeerId
}

/** A static key bound to an identity, as the peer shows it. */
export interface Proof {
  /** A libp2p `PublicKey` message of an Ed25519 key: 36 bytes. */
  readonly identityKey: Uint8Array
  readonly identitySignature: Uint8Array
  /** 32 bytes. */
  readonly staticKey: Uint8Array
}

/** The latest are kept. */
export const MAX_ACQUAINTANCES = 512

export class Acquaintances {
  readonly #known = new Map<string, Acquaintance>()

  get size(): number {
    return this.#known.size
  }

  /** Who showed exactly this proof before, and had it checked. */
  find(proof: Proof): Acquaintance | undefined {
    const key = keyOf(proof)
    const known = this.#known.get(key)
    if (known === undefined) return undefined
    this.#known.delete(key)
    this.#known.set(key, known)
    return known
  }

  /** `proof` has been checked. */
  add(proof: Proof, acquaintance: Acquaintance): void {
    this.#known.set(keyOf(proof), acquaintance)
    if (this.#known.size <= MAX_ACQUAINTANCES) return
    const [oldest] = this.#known.keys()
    if (oldest !== undefined) this.#known.delete(oldest)
  }
}

/** Only the last part has no fixed size, so no two proofs make the same text. */
function keyOf({ identityKey, identitySignature, staticKey }: Proof): string {
  return Buffer.concat([identityKey, staticKey, identitySignature]).toString('latin1')
}
