/** What others may know of `identity`: who this node is, and what its keys do for those who ask. */
import { z } from 'zod'
import { defineErrors, defineEvents, defineService } from '../../kernel/index.ts'
import type { SigningPurpose } from '../../protocols/identity/signature.ts'

export type { SigningPurpose }

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

/** Public facts of the identity of a profile, as the keystore on disk tells them. */
export interface IdentityFacts {
  readonly self: PublicIdentity
  readonly protection: 'passphrase' | 'key-file'
  readonly createdAtMs: number
  /** Whether the words were shown to a person or an export was written, as far as this profile knows. */
  readonly isBackedUp: boolean
}

/**
 * What is done to a profile's identity while no node runs it (`nzcore identity …`). Every passphrase and phrase given
 * stays the caller's to zero. Methods that change the keystore must be called by the holder of the profile's lock.
 *
 * Every method that reads the keystore may throw NZ_IDENTITY_FILE_UNSAFE, NZ_IDENTITY_DAMAGED,
 * NZ_IDENTITY_VERSION_UNKNOWN, NZ_IDENTITY_BOUND_ELSEWHERE; those that need the keys also
 * NZ_IDENTITY_PASSPHRASE_MISSING, NZ_IDENTITY_PASSPHRASE_WRONG, NZ_IDENTITY_TRY_LATER, NZ_IDENTITY_KEY_FILE_MISSING,
 * NZ_IDENTITY_KEY_FILE_FOREIGN.
 */
export interface IdentityAdmin {
  /** `null` when this profile has no identity. Needs no passphrase; reads only. */
  facts(): Promise<IdentityFacts | null>
  /** The same. @throws NZ_IDENTITY_NONE */
  presentFacts(): Promise<IdentityFacts>
  /** The identity's keys until they are disposed of. @throws NZ_IDENTITY_NONE */
  unlock(): Promise<IdentityService & Disposable>
  /** A new identity, protected by `passphrase`, else by the key file. @throws NZ_IDENTITY_EXISTS */
  create(options: NewProtection & ShowPhrase): Promise<IdentityFacts>
  /** The identity of 24 words. @throws NZ_IDENTITY_EXISTS, NZ_IDENTITY_WORDS_INVALID */
  recover(phrase: Uint8Array, options: NewProtection): Promise<IdentityFacts>
  /**
   * The identity of the export at `path`.
   *
   * @throws NZ_IDENTITY_EXISTS, NZ_IDENTITY_EXPORT_MISSING, NZ_IDENTITY_EXPORT_INVALID, NZ_IDENTITY_PASSPHRASE_WRONG
   */
  importFrom(path: string, exportPassphrase: Uint8Array, options: NewProtection): Promise<IdentityFacts>
  /**
   * Writes an encrypted file (0600) from which `importFrom` makes the same identity on any machine, and records the
   * backup. @throws NZ_IDENTITY_EXPORT_EXISTS
   */
  exportTo(path: string, exportPassphrase: Uint8Array): Promise<IdentityFacts>
  /** The 24 words, ASCII, joined by spaces. The caller zeroes them and calls `markBackedUp` once they were read. */
  phrase(): Promise<Uint8Array>
  markBackedUp(): Promise<void>
  /**
   * Protects the keystore anew: by another passphrase, or by a key file when there is none. `next` is asked once the
   * present protection was opened; what it gives is zeroed.
   */
  protect(next: () => Promise<NewProtection>): Promise<IdentityFacts>
  /** Takes the keystore as it lies here after its folder was moved or its owner renumbered. */
  adopt(): Promise<IdentityFacts>
  /** What `NZ_PASSPHRASE_FILE` or `NZ_PASSPHRASE_FD` say; `null` when neither is set. The caller zeroes it. */
  environmentPassphrase(): Promise<Uint8Array | null>
  /** The first line of a file that others may not read. The caller zeroes it. */
  passphraseFromFile(path: string): Promise<Uint8Array>
}

export interface NewProtection {
  /** 8 to 1,024 bytes; `null`: by the key file. @throws NZ_IDENTITY_PASSPHRASE_UNFIT */
  readonly passphrase: Uint8Array | null
}

export interface ShowPhrase {
  /** Sees the 24 words of the new identity (as `phrase` gives them) once it is on disk; they are zeroed afterwards. */
  readonly showPhrase?: (phrase: Uint8Array) => void
}

/**
 * Where the passphrase of a profile comes from. Asked at most once per unlocking; `null` when there is no source.
 * The asker zeroes the bytes.
 */
export type PassphraseSource = () => Promise<Uint8Array | null>

export const IdentityService = defineService<IdentityService>('identity')

/** What the running node tells of its identity's keeping. */
export interface IdentityFactsService {
  facts(): Promise<IdentityFacts>
}

export const IdentityFactsService = defineService<IdentityFactsService>('identity-facts')

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
  NZ_IDENTITY_BOX_KEY_INVALID: {
    message: 'nothing can be sealed to this key',
    fix: ['ask the peer for its identity again'],
    status: 422,
    exit: 'failed',
    retryable: false,
  },
  NZ_IDENTITY_LOCKED: {
    message: 'the identity is locked',
    fix: ['nzcore up'],
    status: 423,
    exit: 'permission',
    retryable: false,
  },
  NZ_IDENTITY_NONE: {
    message: 'this profile has no identity yet',
    fix: ['nzcore up', 'nzcore identity create', 'nzcore identity recover'],
    status: 404,
    exit: 'notFound',
    retryable: false,
  },
  NZ_IDENTITY_EXISTS: {
    message: 'this profile already has an identity',
    fix: ['nzcore identity show', 'nzcore profile create <name>'],
    status: 409,
    exit: 'conflict',
    retryable: false,
  },
  NZ_IDENTITY_BOUND_ELSEWHERE: {
    message: 'this identity belongs to another user or path',
    fix: [
      'use it where it was made: data.path',
      'after moving its folder, when no other copy is in use: nzcore identity adopt',
    ],
    status: 409,
    exit: 'conflict',
    retryable: false,
  },
  NZ_IDENTITY_KEY_FILE_MISSING: {
    message: 'the key file that opens this identity is missing',
    fix: ['put the key file back at data.path', 'nzcore --profile <new> identity recover'],
    status: 423,
    exit: 'permission',
    retryable: false,
  },
  NZ_IDENTITY_KEY_FILE_FOREIGN: {
    message: 'the key file belongs to another identity or path',
    fix: ['put data.path back, or move the key file away', 'nzcore profile create <name>'],
    status: 409,
    exit: 'conflict',
    retryable: false,
  },
  NZ_IDENTITY_FILE_UNSAFE: {
    message: 'a secret file or its folder is not safe to use',
    fix: ['chmod go-rwx data.path', 'it and its folder must belong to the user of the node and be no symbolic links'],
    status: 500,
    exit: 'permission',
    retryable: false,
  },
  NZ_IDENTITY_FILE_FAILED: {
    message: 'a file of the identity cannot be read or written',
    fix: ['check disk space and permissions of data.path', 'nzcore doctor'],
    status: 507,
    exit: 'failed',
    retryable: true,
  },
  NZ_IDENTITY_DAMAGED: {
    message: 'a file of the identity is damaged',
    fix: ['restore data.path from a backup', 'nzcore --profile <new> identity recover'],
    status: 500,
    exit: 'damaged',
    retryable: false,
  },
  NZ_IDENTITY_VERSION_UNKNOWN: {
    message: 'the file was written by a newer version of nzcore',
    fix: ['update nzcore on this machine'],
    status: 501,
    exit: 'incompatible',
    retryable: false,
  },
  NZ_IDENTITY_EXPORT_INVALID: {
    message: 'this is not an intact export of an identity',
    fix: ['copy the export file again, in binary mode', 'nzcore identity recover'],
    status: 422,
    exit: 'damaged',
    retryable: false,
  },
  NZ_IDENTITY_EXPORT_MISSING: {
    message: 'the export cannot be read',
    fix: ['check the path and that this user may read it'],
    status: 404,
    exit: 'notFound',
    retryable: false,
  },
  NZ_IDENTITY_EXPORT_EXISTS: {
    message: 'there is a file of that name already',
    fix: ['choose another name; an export is never written over'],
    status: 409,
    exit: 'conflict',
    retryable: false,
  },
  NZ_IDENTITY_PASSPHRASE_MISSING: {
    message: 'the identity is protected by a passphrase, and none was given',
    fix: ['run it on a terminal', 'NZ_PASSPHRASE_FILE=<file> nzcore up'],
    status: 423,
    exit: 'permission',
    retryable: false,
  },
  NZ_IDENTITY_PASSPHRASE_WRONG: {
    message: 'the passphrase is wrong',
    fix: ['try again', 'nzcore --profile <new> identity recover'],
    status: 403,
    exit: 'permission',
    retryable: false,
  },
  NZ_IDENTITY_PASSPHRASE_UNFIT: {
    message: 'this cannot be a passphrase',
    fix: ['use at least 8 characters, at most 1,024 bytes, on one line'],
    status: 400,
    exit: 'usage',
    retryable: false,
  },
  NZ_IDENTITY_PASSPHRASE_UNREADABLE: {
    message: 'the passphrase cannot be read from where it is said to be',
    fix: ['give one file or descriptor that this user alone may read: chmod 600'],
    status: 500,
    exit: 'permission',
    retryable: false,
  },
  NZ_IDENTITY_TRY_LATER: {
    message: 'too many wrong passphrases',
    fix: ['wait, then try again'],
    status: 429,
    exit: 'permission',
    retryable: true,
  },
  NZ_IDENTITY_WORDS_INVALID: {
    message: 'these are not the 24 words of an identity',
    fix: ['check them against the paper; the words are those of the BIP-39 English list'],
    status: 400,
    exit: 'usage',
    retryable: false,
  },
})
