/** What a finished handshake gives, and how its secrets follow from it (NZ-HANDSHAKE-01 §6). */
import { hash, hkdfSync } from 'node:crypto'
import { encodeCanonical } from '../framing/canonical-cbor.ts'
import { commonFeatures } from '../wire/features.ts'
import type { TransportKeys } from '../noise/handshake.ts'
import type { PatternName } from './messages.ts'

const SECRET_BYTES = 32

export interface Established {
  readonly role: 'initiator' | 'responder'
  readonly version: number
  readonly pattern: PatternName
  readonly purpose: string
  /** Ed25519 identity of the peer, 32 bytes: proven. */
  readonly peerKey: Uint8Array
  /** X25519 key of the peer, 32 bytes: to pin for `IK`. */
  readonly peerStatic: Uint8Array
  /** What both sides have, ascending. */
  readonly features: readonly string[]
  /** Where this side and the peer receive packets. */
  readonly localIndex: number
  readonly remoteIndex: number
  /** 32 bytes, public; the same on both sides only when all of the above is. */
  readonly session: Uint8Array
  /** 32 bytes: the secret of epoch 0. Its owner zeroes it. */
  readonly secret: Uint8Array
}

interface Sides {
  readonly initiator: Uint8Array
  readonly responder: Uint8Array
  readonly initiatorFeatures: readonly string[]
  readonly responderFeatures: readonly string[]
}

export interface Finished extends Omit<Established, 'session' | 'secret' | 'features'> {
  readonly ownKey: Uint8Array
  readonly ownFeatures: readonly string[]
  readonly peerFeatures: readonly string[]
}

/** Zeroes the keys of the Noise handshake. */
export function establish(finished: Finished, keys: TransportKeys): Established {
  const { ownKey, ownFeatures, peerFeatures, ...facts } = finished
  const isInitiator = facts.role === 'initiator'
  const sides: Sides = {
    initiator: isInitiator ? ownKey : facts.peerKey,
    responder: isInitiator ? facts.peerKey : ownKey,
    initiatorFeatures: isInitiator ? ownFeatures : peerFeatures,
    responderFeatures: isInitiator ? peerFeatures : ownFeatures,
  }
  const session = sessionOf(keys.handshakeHash, facts, sides)
  const [forward, backward] = isInitiator ? [keys.sendKey, keys.receiveKey] : [keys.receiveKey, keys.sendKey]
  const input = Buffer.concat([forward, backward])
  const secret = expand(input, session, 'secret')
  for (const key of [input, forward, backward]) key.fill(0)
  return { ...facts, features: commonFeatures(ownFeatures, peerFeatures), session, secret }
}

/** HKDF-SHA256 of the project's channels: `label` says what for, `context` what else it depends on. */
export function expand(
  secret: Uint8Array,
  session: Uint8Array,
  label: string,
  { context = new Uint8Array(0), byteLength = SECRET_BYTES }: { context?: Uint8Array; byteLength?: number } = {},
): Uint8Array {
  const info = Buffer.concat([Buffer.from(`nzcore/channel/1/${label}`), context])
  return new Uint8Array(hkdfSync('sha256', secret, session, info, byteLength))
}

function sessionOf(
  handshakeHash: Uint8Array,
  { version, pattern, purpose }: Pick<Finished, 'version' | 'pattern' | 'purpose'>,
  sides: Sides,
): Uint8Array {
  const facts = encodeCanonical([
    'nzcore/channel/1/session',
    handshakeHash,
    version,
    pattern,
    purpose,
    sides.initiator,
    sides.responder,
    sides.initiatorFeatures,
    sides.responderFeatures,
  ])
  return new Uint8Array(hash('sha256', facts, 'buffer'))
}
