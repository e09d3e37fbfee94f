/** What others may know of `identity`: who this node is, and what its keys do for those who ask. */
import { z } from 'zod'
import { defineErrors, defineEvents, defineService } from '../../kernel/index.ts'

/** What a signature is for, such as `nzcore/invite/1`. A signature made for one purpose never verifies for another. */
export type SigningPurpose = `nzcore/${string}/${number}`

/** Public facts of an identity; safe to show and to send. */
export interface PublicIdentity {
  /** libp2p peer id, base58btc (`12D3Koo…`). */
  readonly peerId: string
  /** `nz1…`, bech32m of the node public key: what people copy. */
  readonly id: string
  /** Four words for people to compare. */
  readonly fingerprint: readonly string[]
  /** Ed25519, 32 bytes; the key inside the peer id. */
  readonly nodePublicKey: Uint8Array
  /** Ed25519, 32 bytes; signs for the identity. */
  readonly signingPublicKey: Uint8Array
  /** X25519, 32 bytes; receives sealed boxes. */
  readonly boxPublicKey: Uint8Array
}

export interface IdentityService {
  readonly self: PublicIdentity
  /** How the keystore is protected. */
  readonly protection: 'passphrase' | 'key-file'
  /** The node key for libp2p, Ed25519 private key, 64 bytes (seed and public key). The caller zeroes its copy. */
  nodePrivateKey(): Uint8Array
  /** Ed25519 signature, 64 bytes, by the signing key over `purpose` and `message`. */
  sign(purpose: SigningPurpose, message: Uint8Array): Uint8Array
  /** Ed25519 signature, 64 bytes, by the node key (the one inside the peer id) over `purpose` and `message`. */
  signAsNode(purpose: SigningPurpose, message: Uint8Array): Uint8Array
  /** Whether `signature` was made with the private key of `publicKey` for `purpose`. Never throws for bad bytes. */
  verify(purpose: SigningPurpose, message: Uint8Array, signature: Uint8Array, publicKey: Uint8Array): boolean
  /** Encrypts to another identity's box key (HPKE base mode, RFC 9180). `info` binds the use. */
  seal(recipientBoxPublicKey: Uint8Array, info: SigningPurpose, plaintext: Uint8Array): Promise<Uint8Array>
  /** @throws NZ_IDENTITY_BOX_UNREADABLE when it was not sealed to this identity for this use */
  open(info: SigningPurpose, sealed: Uint8Array): Promise<Uint8Array>
  /** 32 bytes that only this identity can derive, by HKDF with `label`. The caller zeroes them. */
  deriveKey(label: SigningPurpose): Uint8Array
}

export const IdentityService = defineService<IdentityService>('identity')

export const identityEvents = defineEvents('identity', {
  created: z.strictObject({ peerId: z.string() }),
  unlocked: z.strictObject({ peerId: z.string(), protection: z.enum(['passphrase', 'key-file']) }),
})

export const identityErrors = defineErrors({
  NZ_IDENTITY_BOX_UNREADABLE: {
    message: 'the sealed message cannot be opened',
    fix: ['ask the sender to seal it to this identity: nzcore id'],
    status: 422,
    exit: 'failed',
    retryable: false,
  },
})
