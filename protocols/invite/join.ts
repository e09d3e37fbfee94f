/**
 * The join of one peer by one ticket, as a state machine of each side (NZ-INVITE-01 §4): messages, decisions and time in,
 * effects out. No I/O, no clock, no chance: nonces and times are given.
 */
import { secretDigest } from './ticket.ts'
import { commitmentOf, comparisonWords, isCommitted } from './words.ts'
import type { JoinCode } from './errors.ts'
import type { JoinMessage } from './messages.ts'
import type { JoinBinding } from './words.ts'

/** Time for each of the messages before the words are known. */
export const HANDSHAKE_TIMEOUT_MS = 15_000
/** Time for the person here to compare the words. */
export const DECISION_TIMEOUT_MS = 300_000
/** Time for the other person, from the same moment: longer, so that an answer under way is not cut off. */
export const PEER_DECISION_TIMEOUT_MS = 330_000

export type Verification = 'words' | 'invite'

export type JoinEffect =
  | { readonly kind: 'send'; readonly message: JoinMessage }
  /** Inviter: mark the ticket of `secret` used by this peer, durably, then say `claimed()` or `refuse(code)`. */
  | { readonly kind: 'claim'; readonly secret: Uint8Array }
  | { readonly kind: 'words'; readonly words: readonly string[] }
  /** Both accepted: store the contact. The join is over. */
  | { readonly kind: 'store'; readonly contact: JoinedPeer }
  /** Over without a contact. `code` says why. */
  | { readonly kind: 'end'; readonly code: JoinCode }

export interface JoinedPeer {
  readonly name: string
  readonly addresses: readonly string[]
  readonly verifiedBy: Verification
}

interface JoinInit {
  /** Ed25519 node keys; the network has authenticated the peer's. */
  readonly selfKey: Uint8Array
  readonly peerKey: Uint8Array
  /** 16 random bytes, fresh for each join. */
  readonly nonce: Uint8Array
  /** Monotonic milliseconds, as every `nowMs` here. */
  readonly nowMs: number
}

export type InviterJoinInit = JoinInit & { readonly role: 'inviter' }
export type JoinerJoinInit = JoinInit & {
  readonly role: 'joiner'
  readonly secret: Uint8Array
  /** What this node says of itself. */
  readonly self: { readonly name: string; readonly addresses: readonly string[] }
  /** What the ticket says of the inviter. */
  readonly inviter: { readonly name: string; readonly addresses: readonly string[] }
}

type Phase = 'hello' | 'claim' | 'challenge' | 'reveal' | 'decide' | 'over'

export class JoinMachine {
  readonly #init: InviterJoinInit | JoinerJoinInit
  #phase: Phase
  #deadlineMs: number
  #ticket: Uint8Array = new Uint8Array()
  #commitment: Uint8Array = new Uint8Array()
  #peer: { readonly name: string; readonly addresses: readonly string[] } = { name: 'peer', addresses: [] }
  #own: Verification | null = null
  #hasPeerAccepted = false

  constructor(init: InviterJoinInit | JoinerJoinInit) {
    this.#init = init
    this.#phase = init.role === 'inviter' ? 'hello' : 'challenge'
    this.#deadlineMs = init.nowMs + HANDSHAKE_TIMEOUT_MS
    if (init.role === 'joiner') {
      this.#ticket = secretDigest(init.secret)
      this.#peer = init.inviter
    }
  }

  get phase(): Phase {
    return this.#phase
  }

  /** When `tick` must be called at the latest. */
  get deadlineMs(): number {
    return this.#deadlineMs
  }

  /** What the peer says of itself, made safe. */
  get peerName(): string {
    return this.#peer.name
  }

  /** The first effects: the joiner speaks first. */
  begin(): readonly JoinEffect[] {
    if (this.#init.role === 'inviter') return []
    const { secret, nonce, self } = this.#init
    const commitment = commitmentOf(this.#binding(), nonce)
    return [{ kind: 'send', message: { type: 'hello', secret, commitment, ...self } }]
  }

  /** `null`: bytes that are no message. */
  receive(message: JoinMessage | null, nowMs: number): readonly JoinEffect[] {
    if (this.#phase === 'over') return []
    if (message === null) return this.#fail('NZ_JOIN_PROTOCOL')
    if (message.type === 'refuse') return this.#end(this.#believed(message.code))
    if (message.type === 'hello' && this.#phase === 'hello') return this.#onHello(message)
    if (message.type === 'challenge' && this.#phase === 'challenge') return this.#onChallenge(message.nonce, nowMs)
    if (message.type === 'reveal' && this.#phase === 'reveal') return this.#onReveal(message.nonce, nowMs)
    if (message.type === 'accept' && this.#phase === 'decide' && !this.#hasPeerAccepted) {
      this.#hasPeerAccepted = true
      return this.#settle()
    }
    return this.#fail('NZ_JOIN_PROTOCOL')
  }

  /** Inviter: the ticket is marked used by this peer. */
  claimed(nowMs: number): readonly JoinEffect[] {
    if (this.#phase !== 'claim') return []
    this.#phase = 'reveal'
    this.#deadlineMs = nowMs + HANDSHAKE_TIMEOUT_MS
    return [{ kind: 'send', message: { type: 'challenge', nonce: this.#init.nonce } }]
  }

  /** Ends the join from this side and tells the peer why. */
  refuse(code: JoinCode): readonly JoinEffect[] {
    return this.#phase === 'over' ? [] : this.#fail(code)
  }

  /** The person here compared the words (`words`), or had said beforehand that the ticket suffices (`invite`). */
  accept(by: Verification, nowMs: number): readonly JoinEffect[] {
    if (this.#phase !== 'decide' || this.#own !== null) return []
    this.#own = by
    this.#deadlineMs += PEER_DECISION_TIMEOUT_MS - DECISION_TIMEOUT_MS
    this.#deadlineMs = Math.max(this.#deadlineMs, nowMs)
    return [{ kind: 'send', message: { type: 'accept' } }, ...this.#settle()]
  }

  /** The person here declined. */
  decline(): readonly JoinEffect[] {
    if (this.#phase === 'over') return []
    this.#phase = 'over'
    return [
      { kind: 'send', message: { type: 'refuse', code: 'NZ_JOIN_DECLINED' } },
      { kind: 'end', code: 'NZ_JOIN_CANCELLED' },
    ]
  }

  tick(nowMs: number): readonly JoinEffect[] {
    return this.#phase === 'over' || nowMs < this.#deadlineMs ? [] : this.#fail('NZ_JOIN_TIMEOUT')
  }

  /** The stream ended, in whatever way. */
  lost(): readonly JoinEffect[] {
    return this.#phase === 'over' ? [] : this.#end('NZ_JOIN_LOST')
  }

  #onHello(message: JoinMessage & { type: 'hello' }): readonly JoinEffect[] {
    this.#phase = 'claim'
    this.#ticket = secretDigest(message.secret)
    this.#commitment = message.commitment
    this.#peer = { name: message.name, addresses: message.addresses }
    return [{ kind: 'claim', secret: message.secret }]
  }

  #onChallenge(inviterNonce: Uint8Array, nowMs: number): readonly JoinEffect[] {
    const { nonce } = this.#init
    return [
      { kind: 'send', message: { type: 'reveal', nonce } },
      ...this.#compare(comparisonWords(this.#binding(), inviterNonce, nonce), nowMs),
    ]
  }

  #onReveal(joinerNonce: Uint8Array, nowMs: number): readonly JoinEffect[] {
    const binding = this.#binding()
    if (!isCommitted(binding, this.#commitment, joinerNonce)) return this.#fail('NZ_JOIN_PROTOCOL')
    return this.#compare(comparisonWords(binding, this.#init.nonce, joinerNonce), nowMs)
  }

  #compare(words: readonly string[], nowMs: number): readonly JoinEffect[] {
    this.#phase = 'decide'
    this.#deadlineMs = nowMs + DECISION_TIMEOUT_MS
    return [{ kind: 'words', words }]
  }

  #settle(): readonly JoinEffect[] {
    if (this.#own === null || !this.#hasPeerAccepted) return []
    this.#phase = 'over'
    return [{ kind: 'store', contact: { ...this.#peer, verifiedBy: this.#own } }]
  }

  #fail(code: JoinCode): readonly JoinEffect[] {
    return [{ kind: 'send', message: { type: 'refuse', code } }, ...this.#end(code)]
  }

  #end(code: JoinCode): readonly JoinEffect[] {
    this.#phase = 'over'
    return [{ kind: 'end', code }]
  }

  /** A joiner has no say about tickets. */
  #believed(code: JoinCode): JoinCode {
    return this.#init.role === 'inviter' && code.startsWith('NZ_INVITE_') ? 'NZ_JOIN_PROTOCOL' : code
  }

  #binding(): JoinBinding {
    const { role, selfKey, peerKey } = this.#init
    return role === 'inviter'
      ? { inviter: selfKey, joiner: peerKey, ticket: this.#ticket }
      : { inviter: peerKey, joiner: selfKey, ticket: this.#ticket }
  }
}
