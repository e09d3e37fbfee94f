/**
 * HandshakeState of the Noise framework (revision 34 §5.3, pre-shared keys §9), for
 * `25519_ChaChaPoly_SHA256`. Sans-I/O: messages in, messages out.
 *
 * A handshake that failed is dead: every later call throws, so no state moved by unauthenticated bytes is used again
 * (RUSTSEC-2024-0011).
 */
import { TAG_BYTES } from './cipher-state.ts'
import { noiseErrors } from './errors.ts'
import { SymmetricState } from './symmetric-state.ts'
import { generateX25519KeyPair, x25519, x25519PublicKey, X25519_KEY_BYTES } from './x25519.ts'
import type { KeyObject } from 'node:crypto'
import type { X25519KeyPair } from './x25519.ts'

/** The longest message of the framework (§3). */
export const MAX_MESSAGE_BYTES = 65_535

export type Token = 'e' | 's' | 'ee' | 'es' | 'se' | 'ss' | 'psk'

/** What is said in which order: messages alternate, the initiator begins (§7). */
export interface HandshakePattern {
  readonly name: string
  readonly initiatorStaticIsKnown: boolean
  readonly responderStaticIsKnown: boolean
  readonly messages: ReadonlyArray<readonly Token[]>
}

/** Both learn the other's static key, each under the other's ephemeral key: libp2p's pattern. */
export const XX: HandshakePattern = {
  name: 'XX',
  initiatorStaticIsKnown: false,
  responderStaticIsKnown: false,
  messages: [['e'], ['e', 'ee', 's', 'es'], ['s', 'se']],
}

/** To a responder whose static key is known: one round trip, the initiator's key under it. */
export const IK: HandshakePattern = {
  name: 'IK',
  initiatorStaticIsKnown: false,
  responderStaticIsKnown: true,
  messages: [
    ['e', 'es', 's', 'ss'],
    ['e', 'ee', 'se'],
  ],
}

/** IK with a pre-shared key mixed in at the end of the first message (§9). */
export const IKpsk1: HandshakePattern = {
  name: 'IKpsk1',
  initiatorStaticIsKnown: false,
  responderStaticIsKnown: true,
  messages: [
    ['e', 'es', 's', 'ss', 'psk'],
    ['e', 'ee', 'se'],
  ],
}

export interface HandshakeInit {
  readonly pattern: HandshakePattern
  readonly role: 'initiator' | 'responder'
  /** What both sides already agree on; any difference makes the handshake fail. */
  readonly prologue?: Uint8Array
  readonly staticKey?: X25519KeyPair
  /** 32 bytes; needed where the pattern says that it is known. */
  readonly remoteStatic?: Uint8Array
  /** Used in this handshake and in no other. @default one that is made when it is needed */
  readonly ephemeralKey?: X25519KeyPair
  /** 32 bytes each, in the order of their tokens. */
  readonly preSharedKeys?: readonly Uint8Array[]
}

/** What a finished handshake gives. The receiver owns the keys and zeroes them. */
export interface TransportKeys {
  readonly sendKey: Uint8Array
  readonly receiveKey: Uint8Array
  /** 32 bytes; equal on both sides only if both saw the same handshake. */
  readonly handshakeHash: Uint8Array
}

export class Handshake {
  readonly #init: HandshakeInit
  readonly #isInitiator: boolean
  readonly #usesPreSharedKeys: boolean
  readonly #preSharedKeys: Uint8Array[]
  #symmetric: SymmetricState
  #ephemeral: X25519KeyPair | null = null
  #remoteEphemeral: KeyObject | null = null
  #remoteStatic: Uint8Array | null
  #nextMessage = 0
  #state: 'open' | 'finished' | 'failed' = 'open'

  constructor(init: HandshakeInit) {
    const { pattern } = init
    this.#init = init
    this.#isInitiator = init.role === 'initiator'
    this.#remoteStatic = init.remoteStatic ?? null
    this.#preSharedKeys = [...(init.preSharedKeys ?? [])]
    this.#usesPreSharedKeys = pattern.messages.some((tokens) => tokens.includes('psk'))
    this.#symmetric = new SymmetricState(`Noise_${pattern.name}_25519_ChaChaPoly_SHA256`)
    this.#symmetric.mixHash(init.prologue ?? new Uint8Array(0))
    if (pattern.initiatorStaticIsKnown) this.#symmetric.mixHash(this.#staticOf('initiator'))
    if (pattern.responderStaticIsKnown) this.#symmetric.mixHash(this.#staticOf('responder'))
  }

  get isFinished(): boolean {
    return this.#state === 'finished'
  }

  /** The peer's static public key, once it was received or when it was known. */
  get remoteStatic(): Uint8Array | null {
    return this.#remoteStatic
  }

  /**
   * An independent handshake in the same state. Where anybody may inject messages, read them on a fork and go on with it
   * only when the message was authentic: a forged one then ends nothing.
   */
  fork(): Handshake {
    const copy = new Handshake(this.#init)
    copy.#symmetric = this.#symmetric.clone()
    copy.#preSharedKeys.splice(0, Infinity, ...this.#preSharedKeys)
    copy.#ephemeral = this.#ephemeral
    copy.#remoteEphemeral = this.#remoteEphemeral
    copy.#remoteStatic = this.#remoteStatic
    copy.#nextMessage = this.#nextMessage
    copy.#state = this.#state
    return copy
  }

  /** The next message, carrying `payload`. Throws a TypeError when it is the peer's turn or the handshake is over. */
  writeMessage(payload: Uint8Array): Uint8Array {
    const tokens = this.#takeTurn('write')
    return this.#orFail(() => {
      const parts = tokens.map((token) => this.#writeToken(token))
      parts.push(this.#symmetric.encryptAndHash(payload))
      const message = Buffer.concat(parts)
      if (message.byteLength > MAX_MESSAGE_BYTES) throw new RangeError('the payload is too long for one message')
      this.#endMessage()
      return new Uint8Array(message)
    })
  }

  /**
   * The payload of the peer's next message.
   *
   * @throws NZ_NOISE_MALFORMED, NZ_NOISE_UNAUTHENTIC, NZ_NOISE_KEY_REFUSED; the handshake is dead then
   */
  readMessage(message: Uint8Array): Uint8Array {
    const tokens = this.#takeTurn('read')
    return this.#orFail(() => {
      if (message.byteLength > MAX_MESSAGE_BYTES) throw noiseErrors.NZ_NOISE_MALFORMED({ why: 'it is too long' })
      let rest = message
      const take = (length: number): Uint8Array => {
        if (rest.byteLength < length) throw noiseErrors.NZ_NOISE_MALFORMED({ why: 'it is too short' })
        const part = rest.subarray(0, length)
        rest = rest.subarray(length)
        return part
      }
      for (const token of tokens) this.#readToken(token, take)
      const payload = this.#symmetric.decryptAndHash(rest)
      this.#endMessage()
      return payload
    })
  }

  /** The keys of the transport phase; once. Throws a TypeError before the last message. */
  split(): TransportKeys {
    if (this.#state !== 'finished') throw new TypeError('the handshake has not finished')
    this.#state = 'failed'
    const handshakeHash = this.#symmetric.hash
    const [toResponder, toInitiator] = this.#symmetric.split()
    return this.#isInitiator
      ? { sendKey: toResponder, receiveKey: toInitiator, handshakeHash }
      : { sendKey: toInitiator, receiveKey: toResponder, handshakeHash }
  }

  #writeToken(token: Token): Uint8Array {
    switch (token) {
      case 'e': {
        this.#ephemeral = this.#init.ephemeralKey ?? generateX25519KeyPair()
        const { publicKey } = this.#ephemeral
        this.#symmetric.mixHash(publicKey)
        if (this.#usesPreSharedKeys) this.#symmetric.mixKey(publicKey)
        return publicKey
      }
      case 's':
        return this.#symmetric.encryptAndHash(this.#own('staticKey').publicKey)
      case 'ee':
      case 'es':
      case 'se':
      case 'ss':
      case 'psk':
        this.#mix(token)
        return new Uint8Array(0)
    }
  }

  #readToken(token: Token, take: (length: number) => Uint8Array): void {
    switch (token) {
      case 'e': {
        const remoteEphemeral = take(X25519_KEY_BYTES)
        this.#remoteEphemeral = x25519PublicKey(remoteEphemeral)
        this.#symmetric.mixHash(remoteEphemeral)
        if (this.#usesPreSharedKeys) this.#symmetric.mixKey(remoteEphemeral)
        return
      }
      case 's': {
        const sealed = take(X25519_KEY_BYTES + (this.#symmetric.hasKey ? TAG_BYTES : 0))
        this.#remoteStatic = this.#symmetric.decryptAndHash(sealed).slice()
        return
      }
      case 'ee':
      case 'es':
      case 'se':
      case 'ss':
      case 'psk':
        this.#mix(token)
    }
  }

  /** Mixes a shared secret: the first letter names the initiator's key, the second the responder's. */
  #mix(token: 'ee' | 'es' | 'se' | 'ss' | 'psk'): void {
    if (token === 'psk') {
      const key = this.#preSharedKeys.shift()
      if (key === undefined) throw new TypeError('the pattern needs another pre-shared key')
      this.#symmetric.mixKeyAndHash(key)
      return
    }
    const [initiators, responders] = token
    const [own, remote] = this.#isInitiator ? [initiators, responders] : [responders, initiators]
    const { privateKey } = own === 'e' ? this.#own('ephemeral') : this.#own('staticKey')
    const publicKey = remote === 'e' ? this.#remoteEphemeral : this.#remoteStatic
    if (publicKey === null) throw new TypeError(`the pattern uses a key of the peer before it is known: ${token}`)
    const secret = x25519(privateKey, publicKey)
    this.#symmetric.mixKey(secret)
    secret.fill(0)
  }

  #own(kind: 'staticKey' | 'ephemeral'): X25519KeyPair {
    const pair = kind === 'staticKey' ? this.#init.staticKey : this.#ephemeral
    if (pair === undefined || pair === null) throw new TypeError(`the pattern needs a key of ours: ${kind}`)
    return pair
  }

  #staticOf(role: 'initiator' | 'responder'): Uint8Array {
    if (role === this.#init.role) return this.#own('staticKey').publicKey
    if (this.#remoteStatic === null) throw new TypeError('the pattern needs the static key of the peer')
    return this.#remoteStatic
  }

  #takeTurn(call: 'write' | 'read'): readonly Token[] {
    const tokens = this.#init.pattern.messages[this.#nextMessage]
    const isOurs = (this.#nextMessage % 2 === 0) === this.#isInitiator
    if (this.#state !== 'open' || tokens === undefined || isOurs !== (call === 'write')) {
      throw new TypeError(`not the turn to ${call} a handshake message`)
    }
    return tokens
  }

  #endMessage(): void {
    this.#nextMessage += 1
    if (this.#nextMessage === this.#init.pattern.messages.length) this.#state = 'finished'
  }

  #orFail<Result>(work: () => Result): Result {
    try {
      return work()
    } catch (error) {
      this.#state = 'failed'
      throw error
    }
  }
}
