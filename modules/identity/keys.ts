/** The keys of one identity, all derived from its 32 bytes of entropy. spec/NZ-IDENTITY-01.md §3. */
import { hkdfSync } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import { fingerprintOf } from '../../protocols/identity/fingerprint.ts'
import { idOf, peerIdOf } from '../../protocols/identity/id.ts'
import { derivePrivateKey } from './derivation.ts'
import { ENCAPSULATED_KEY_BYTES, openWith, sealTo, TAG_BYTES } from './hpke.ts'
import { privateKeyObject, RAW_KEY_BYTES, rawPublicKey } from '../../protocols/identity/raw-keys.ts'
import { identityErrors } from './service.ts'
import { purposeBytes, signFor } from '../../protocols/identity/signature.ts'
import { phraseOf, seedOf } from './words.ts'
import type { PublicIdentity, SigningPurpose } from './service.ts'

/** `nz` in ASCII, so that the keys coincide with no coin's of BIP-44; then the version of this derivation. */
const ROOT_PATH = [0x6e7a, 0] as const

/** The last step of each purpose's path. */
export const KEY_PATHS = {
  node: [...ROOT_PATH, 0],
  signing: [...ROOT_PATH, 1],
  box: [...ROOT_PATH, 2],
  storage: [...ROOT_PATH, 3],
} as const

const DERIVED_KEY_BYTES = 32

/** The largest sealed message; a box is for keys and small records, files are streamed. */
export const MAX_SEALED_BYTES = 16_777_216
const SEALED_OVERHEAD_BYTES = ENCAPSULATED_KEY_BYTES + TAG_BYTES

type Secrets = Readonly<Record<keyof typeof KEY_PATHS, Uint8Array>>

interface KeyObjects {
  readonly node: KeyObject
  readonly signing: KeyObject
  readonly box: KeyObject
}

/** Holds the private keys until it is disposed of. */
export class IdentityKeys implements Disposable {
  readonly self: PublicIdentity
  readonly #nodePrivateKey: Uint8Array
  readonly #storageRoot: Uint8Array
  #objects: KeyObjects | null

  private constructor(self: PublicIdentity, secrets: Secrets) {
    this.self = self
    this.#nodePrivateKey = new Uint8Array(2 * RAW_KEY_BYTES)
    this.#nodePrivateKey.set(secrets.node)
    this.#nodePrivateKey.set(self.nodePublicKey, RAW_KEY_BYTES)
    this.#storageRoot = Uint8Array.from(secrets.storage)
    this.#objects = keyObjects(secrets)
  }

  /**
   * Derives every key of `entropy` (32 bytes), which stays the caller's to zero. `fingerprint` saves the 20 ms of
   * computing it when an authenticated file has told it.
   */
  static async derive(entropy: Uint8Array, fingerprint?: readonly string[]): Promise<IdentityKeys> {
    const secrets = await deriveSecrets(entropy)
    try {
      const { node, signing, box } = keyObjects(secrets)
      const nodePublicKey = rawPublicKey(node)
      const self = Object.freeze({
        peerId: peerIdOf(nodePublicKey),
        id: idOf(nodePublicKey),
        fingerprint: fingerprint ?? (await fingerprintOf(nodePublicKey)),
        nodePublicKey,
        signingPublicKey: rawPublicKey(signing),
        boxPublicKey: rawPublicKey(box),
      })
      return new IdentityKeys(self, secrets)
    } finally {
      for (const secret of Object.values(secrets)) secret.fill(0)
    }
  }

  nodePrivateKey(): Uint8Array {
    this.#unlocked()
    return Uint8Array.from(this.#nodePrivateKey)
  }

  sign(purpose: SigningPurpose, message: Uint8Array): Uint8Array {
    return signFor(purpose, message, this.#unlocked().signing)
  }

  signAsNode(purpose: SigningPurpose, message: Uint8Array): Uint8Array {
    return signFor(purpose, message, this.#unlocked().node)
  }

  seal(recipientBoxPublicKey: Uint8Array, info: SigningPurpose, plaintext: Uint8Array): Uint8Array {
    const use = purposeBytes(info)
    if (plaintext.byteLength > MAX_SEALED_BYTES - SEALED_OVERHEAD_BYTES) throw new RangeError('too much for one box')
    try {
      return sealTo(recipientBoxPublicKey, plaintext, { info: use })
    } catch (error) {
      throw identityErrors.NZ_IDENTITY_BOX_KEY_INVALID({ cause: error })
    }
  }

  open(info: SigningPurpose, sealed: Uint8Array): Uint8Array {
    const { box } = this.#unlocked()
    const plaintext =
      sealed.byteLength > MAX_SEALED_BYTES
        ? null
        : openWith({ privateKey: box, publicKey: this.self.boxPublicKey }, sealed, { info: purposeBytes(info) })
    if (plaintext === null) throw identityErrors.NZ_IDENTITY_BOX_UNREADABLE()
    return plaintext
  }

  deriveKey(label: SigningPurpose): Uint8Array {
    this.#unlocked()
    return new Uint8Array(hkdfSync('sha256', this.#storageRoot, '', purposeBytes(label), DERIVED_KEY_BYTES))
  }

  /** Zeroes the keys; every later use of a private key throws NZ_IDENTITY_LOCKED. Idempotent. */
  [Symbol.dispose](): void {
    this.#nodePrivateKey.fill(0)
    this.#storageRoot.fill(0)
    this.#objects = null
  }

  #unlocked(): KeyObjects {
    if (this.#objects === null) throw identityErrors.NZ_IDENTITY_LOCKED()
    return this.#objects
  }
}

async function deriveSecrets(entropy: Uint8Array): Promise<Secrets> {
  const phrase = phraseOf(entropy)
  const seed = await seedOf(phrase)
  try {
    return {
      node: derivePrivateKey(seed, KEY_PATHS.node),
      signing: derivePrivateKey(seed, KEY_PATHS.signing),
      box: derivePrivateKey(seed, KEY_PATHS.box),
      storage: derivePrivateKey(seed, KEY_PATHS.storage),
    }
  } finally {
    phrase.fill(0)
    seed.fill(0)
  }
}

function keyObjects(secrets: Secrets): KeyObjects {
  return {
    node: privateKeyObject('ed25519', secrets.node),
    signing: privateKeyObject('ed25519', secrets.signing),
    box: privateKeyObject('x25519', secrets.box),
  }
}
