/** What both roles do with payloads: the own one, and the checks of the peer's (NZ-HANDSHAKE-01 §4.3). */
import { IK, IKpsk1, XX } from '../noise/handshake.ts'
import { x25519KeyPairFromSeed } from '../noise/x25519.ts'
import { commonFeatures, isFeatureList } from '../wire/features.ts'
import { STATIC_KEY_PURPOSE } from './identity.ts'
import { HANDSHAKE_VERSIONS } from './limits.ts'
import { isPurpose } from './messages.ts'
import type { Random } from '../../kernel/index.ts'
import type { HandshakePattern } from '../noise/handshake.ts'
import type { X25519KeyPair } from '../noise/x25519.ts'
import type { HandshakeCode } from './errors.ts'
import type { HandshakeInit } from './running.ts'
import type { PatternName, Payload } from './messages.ts'

export const noisePatterns: Readonly<Record<PatternName, HandshakePattern>> = { XX, IK, IKpsk1 }

/** The version that this code's messages are of. */
export const VERSION = 1

export function versionsOf({ versions = HANDSHAKE_VERSIONS }: HandshakeInit): readonly number[] {
  return versions
}

export function assertInit({ purpose, features }: HandshakeInit): void {
  if (!isPurpose(purpose)) throw new TypeError('a purpose has 1 to 64 visible ASCII characters')
  if (!isFeatureList(features)) throw new TypeError('features are at most 32 short names, ascending, each once')
}

export function ownPayload(
  init: HandshakeInit,
  { index, peer, isResumed }: { readonly index: number; readonly peer: Uint8Array | null; readonly isResumed: boolean },
): Payload {
  const { purpose, features, identity } = init
  const proof = isResumed ? null : { identity: identity.publicKey, signature: identity.signature }
  return { versions: versionsOf(init), purpose, features, index, peer, proof }
}

/** Whom the payload has to come from, when the session is resumed. */
export interface Known {
  readonly peerKey: Uint8Array
  readonly peerStatic: Uint8Array
}

export type Checked = { readonly peerKey: Uint8Array } | { readonly code: HandshakeCode }

/** Who the peer is, or the first rule that its payload breaks. */
export function checkPayload(
  init: HandshakeInit,
  payload: Payload,
  { remoteStatic, resumed }: { readonly remoteStatic: Uint8Array; readonly resumed: Known | null },
): Checked {
  const common = versionsOf(init).filter((version) => payload.versions.includes(version))
  if (common.at(-1) !== VERSION) return { code: 'NZ_HANDSHAKE_DOWNGRADE' }
  if (payload.purpose !== init.purpose) return { code: 'NZ_HANDSHAKE_PURPOSE' }
  const { peer, proof } = payload
  if (peer !== null && !isSame(peer, init.identity.publicKey)) return { code: 'NZ_HANDSHAKE_MISBOUND' }
  if (init.role === 'responder' && peer === null) return { code: 'NZ_HANDSHAKE_MALFORMED' }
  if ((proof === null) !== (resumed !== null)) return { code: 'NZ_HANDSHAKE_MALFORMED' }
  if (resumed !== null && !isSame(resumed.peerStatic, remoteStatic)) return { code: 'NZ_HANDSHAKE_FORGED' }
  if (proof !== null && !init.verify(STATIC_KEY_PURPOSE, remoteStatic, proof.signature, proof.identity)) {
    return { code: 'NZ_HANDSHAKE_FORGED' }
  }
  const peerKey = resumed?.peerKey ?? proof?.identity ?? new Uint8Array(0)
  const expected = init.role === 'initiator' ? init.expectedPeer : undefined
  if (expected !== undefined && !isSame(expected, peerKey)) return { code: 'NZ_HANDSHAKE_WRONG_PEER' }
  const features = commonFeatures(init.features, payload.features)
  const isMissing = (init.requiredFeatures ?? []).some((name) => !features.includes(name))
  return isMissing ? { code: 'NZ_HANDSHAKE_FEATURE_MISSING' } : { peerKey: new Uint8Array(peerKey) }
}

export function ephemeralKey(random: Random): X25519KeyPair {
  const seed = random.bytes(32)
  try {
    return x25519KeyPairFromSeed(seed)
  } finally {
    seed.fill(0)
  }
}

export function newIndexOf({ newIndex, random }: HandshakeInit): number {
  if (newIndex !== undefined) return newIndex()
  const bytes = random.bytes(4)
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(0)
}

export function isSame(one: Uint8Array, other: Uint8Array): boolean {
  return Buffer.compare(one, other) === 0
}
