/**
 * Agreement on the keys of the next epoch (NZ-CHANNEL-01 §5.2): fresh keys of both sides, mixed with the static ones and
 * the chain. Who stole an epoch's keys, without a static key, can neither read nor replace the next.
 */
import { timingSafeEqual } from 'node:crypto'
import { isNzError } from '../../kernel/index.ts'
import { expand } from '../handshake/established.ts'
import { x25519, x25519KeyPairFromSeed } from '../noise/x25519.ts'
import { Epoch } from './epoch.ts'
import type { Random } from '../../kernel/index.ts'
import type { Established } from '../handshake/established.ts'
import type { X25519KeyPair } from '../noise/x25519.ts'
import type { Acceptance, Proposal } from './control.ts'

export interface RekeyInit {
  readonly established: Pick<Established, 'role' | 'session' | 'peerStatic'>
  readonly staticKey: X25519KeyPair
  readonly random: Random
}

export class Rekey {
  readonly #init: RekeyInit
  /** Ours that was not accepted yet. */
  #proposal: { readonly offer: Proposal; readonly pair: X25519KeyPair } | null = null
  /** What was answered to the peer's last proposal. */
  #accepted: { readonly proposed: Proposal; readonly offer: Acceptance } | null = null

  constructor(init: RekeyInit) {
    this.#init = init
  }

  /** The proposal under way. */
  get proposal(): Proposal | null {
    return this.#proposal?.offer ?? null
  }

  /** A proposal for the epoch after `current`; the same one until it was accepted. */
  propose(current: Epoch): Proposal {
    if (this.#proposal === null) {
      const pair = this.#freshPair()
      const offer = { type: 'propose', epoch: current.number + 1, publicKey: pair.publicKey } as const
      this.#proposal = { offer, pair }
    }
    return this.#proposal.offer
  }

  /**
   * What to answer to a proposal of the peer: with a new epoch when it is new, without one when it is repeated. `null`
   * when it is of another epoch, or when both sides proposed and ours counts: that of the handshake's initiator.
   */
  onPropose(
    current: Epoch,
    proposed: Proposal,
    nowMs: number,
  ): { readonly offer: Acceptance; readonly next: Epoch | null } | null {
    const known = this.#accepted
    if (known !== null && known.proposed.epoch === proposed.epoch) {
      return Buffer.compare(known.proposed.publicKey, proposed.publicKey) === 0
        ? { offer: known.offer, next: null }
        : null
    }
    if (proposed.epoch !== current.number + 1) return null
    if (this.#proposal !== null && this.#init.established.role === 'initiator') return null
    const pair = this.#freshPair()
    const next = this.#nextEpoch(current, pair, proposed.publicKey, nowMs)
    if (next === null) return null
    const { confirmation } = next
    const offer = { type: 'accept', epoch: proposed.epoch, publicKey: pair.publicKey, confirmation } as const
    this.#proposal = null
    this.#accepted = { proposed, offer }
    return { offer, next }
  }

  /** The new epoch when this accepts the proposal under way. */
  onAccept(current: Epoch, accepted: Acceptance, nowMs: number): Epoch | null {
    const proposal = this.#proposal
    if (proposal === null || accepted.epoch !== proposal.offer.epoch) return null
    const next = this.#nextEpoch(current, proposal.pair, accepted.publicKey, nowMs)
    // Who only stole the keys of this epoch cannot accept in the peer's name.
    if (next === null || !timingSafeEqual(next.confirmation, accepted.confirmation)) return null
    this.#proposal = null
    return next
  }

  #freshPair(): X25519KeyPair {
    const seed = this.#init.random.bytes(32)
    try {
      return x25519KeyPairFromSeed(seed)
    } finally {
      seed.fill(0)
    }
  }

  #nextEpoch(current: Epoch, own: X25519KeyPair, theirs: Uint8Array, nowMs: number): Epoch | null {
    const { established, staticKey } = this.#init
    const { role, session, peerStatic } = established
    const number = current.number + 1
    const isInitiator = role === 'initiator'
    const context = Buffer.alloc(4)
    context.writeUInt32BE(number)
    const secrets: Uint8Array[] = []
    try {
      secrets.push(x25519(own.privateKey, theirs))
      const withTheirStatic = x25519(own.privateKey, peerStatic)
      const withOwnStatic = x25519(staticKey.privateKey, theirs)
      secrets.push(...(isInitiator ? [withTheirStatic, withOwnStatic] : [withOwnStatic, withTheirStatic]))
    } catch (error) {
      // A key of low order: it gives no secret.
      if (isNzError(error, 'NZ_NOISE_KEY_REFUSED')) return null
      throw error
    }
    const publicKeys = isInitiator ? [own.publicKey, theirs] : [theirs, own.publicKey]
    const input = Buffer.concat([current.chain, ...secrets])
    const secret = expand(input, session, 'epoch', { context: Buffer.concat([context, ...publicKeys]) })
    for (const bytes of [input, ...secrets]) bytes.fill(0)
    return new Epoch({ number, role, session, secret, startedAtMs: nowMs })
  }
}
