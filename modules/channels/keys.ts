/** What this node brings into handshakes: its identity and static key, pinned keys of peers, tickets. */
import { localIdentity, STATIC_KEY_PURPOSE, STATIC_SEED_LABEL } from '../../protocols/handshake/handshake.ts'
import { TicketStore } from '../../protocols/handshake/tickets.ts'
import { x25519KeyPairFromSeed } from '../../protocols/noise/x25519.ts'
import type { LocalIdentity, VerifyStaticKey } from '../../protocols/handshake/handshake.ts'
import type { Session } from '../../protocols/channel/endpoint.ts'
import type { IdentityService } from '../identity/service.ts'

/** Peers whose static keys are remembered; the one not seen for longest makes room. */
export const MAX_PINNED_KEYS = 1_024

export class ChannelKeys {
  readonly identity: LocalIdentity
  readonly verify: VerifyStaticKey
  readonly tickets = new TicketStore()
  /** By peer id, the one not seen for longest first. */
  readonly #pinned = new Map<string, Uint8Array>()

  constructor(identity: Pick<IdentityService, 'self' | 'deriveKey' | 'signAsNode' | 'verify'>) {
    const seed = identity.deriveKey(STATIC_SEED_LABEL)
    try {
      this.identity = localIdentity(identity.self.nodePublicKey, x25519KeyPairFromSeed(seed), (purpose, message) =>
        identity.signAsNode(purpose, message),
      )
    } finally {
      seed.fill(0)
    }
    this.verify = (_purpose, message, signature, publicKey) =>
      identity.verify(STATIC_KEY_PURPOSE, message, signature, publicKey)
  }

  pinned(peerId: string): Uint8Array | undefined {
    return this.#pinned.get(peerId)
  }

  /** Remembers the static key that a peer has proven. */
  pin(peerId: string, { peerStatic }: Session): void {
    this.#pinned.delete(peerId)
    this.#pinned.set(peerId, peerStatic)
    const [oldest] = this.#pinned.keys()
    if (this.#pinned.size > MAX_PINNED_KEYS && oldest !== undefined) this.#pinned.delete(oldest)
  }
}
