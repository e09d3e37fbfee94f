/** What a person does to the identity of a profile: `nzcore identity …`. Works on files alone, without a kernel. */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { z } from 'zod'
import { systemClock } from '../../kernel/index.ts'
import type { Clock } from '../../kernel/index.ts'
import { idOf } from '../../protocols/identity/id.ts'
import { Keystore } from './keystore.ts'
import { exportOf, importOf, readExport, writeExport } from './export.ts'
import { passphraseFromFile, passphraseSource, requireFitPassphrase } from './passphrase.ts'
import { readPrivateFile, replacePrivateFile } from './private-file.ts'
import { identityErrors } from './service.ts'
import { verifyFor } from '../../protocols/identity/signature.ts'
import { ENTROPY_BYTES, entropyOf, phraseOf } from './words.ts'
import type { IdentityKeys } from './keys.ts'
import type { KeystoreInit } from './keystore.ts'
import type { LockedFileHeader } from './locked-file.ts'
import type { PassphraseSourceInit } from './passphrase.ts'
import type {
  IdentityAdmin,
  IdentityFacts,
  IdentityService,
  NewProtection,
  PassphraseSource,
  ShowPhrase,
} from './service.ts'

export interface IdentityAdminInit {
  /** The profile's folder and key file (`Home`). */
  readonly home: { readonly stateDir: string; readonly keyFile: string }
  /** Opens a keystore that a passphrase protects. */
  readonly passphrase: PassphraseSource
  /** What the environment gives for a new keystore; default: nothing. */
  readonly environmentPassphrase?: PassphraseSource
  readonly clock?: Clock
  /** Cost of scrypt for new passphrases, as a power of two from 14 to 18; default 17. */
  readonly scryptLogN?: number
}

const Backup = z.strictObject({ peerId: z.string(), atMs: z.int() })

export function createIdentityAdmin({
  home,
  passphrase,
  environmentPassphrase = async () => null,
  clock = systemClock,
  scryptLogN,
}: IdentityAdminInit): FileIdentityAdmin {
  const { stateDir, keyFile } = home
  const cost = scryptLogN === undefined ? {} : { scryptLogN }
  return new FileIdentityAdmin({ stateDir, keyFile, clock, passphrase, environmentPassphrase, ...cost })
}

/** The administration of a profile for a command: passphrases come from the environment, else from `ask`. */
export function openIdentityAdmin({
  home,
  env,
  ask,
}: PassphraseSourceInit & Pick<IdentityAdminInit, 'home'>): IdentityAdmin {
  return createIdentityAdmin({
    home,
    passphrase: passphraseSource(ask === undefined ? { env } : { env, ask }),
    environmentPassphrase: passphraseSource({ env }),
  })
}

export class FileIdentityAdmin implements IdentityAdmin {
  readonly #backupPath: string
  readonly #clock: Clock
  readonly #keystore: Keystore
  readonly #lockCost: { readonly logN?: number }
  readonly environmentPassphrase: PassphraseSource
  readonly passphraseFromFile = passphraseFromFile

  constructor({ environmentPassphrase, ...init }: KeystoreInit & { readonly environmentPassphrase: PassphraseSource }) {
    this.#backupPath = join(init.stateDir, 'identity-backup.json')
    this.#clock = init.clock
    this.#keystore = new Keystore(init)
    this.#lockCost = init.scryptLogN === undefined ? {} : { logN: init.scryptLogN }
    this.environmentPassphrase = environmentPassphrase
  }

  /** Finishes or undoes a creation that a crash interrupted. By the holder of the profile's lock. */
  async settle(): Promise<void> {
    await this.#keystore.settle()
  }

  async facts(): Promise<IdentityFacts | null> {
    const header = await this.#keystore.header()
    return header === null ? null : factsOf(header, await this.#isBackedUp(header.subject.peerId))
  }

  async unlock(): Promise<IdentityService & Disposable> {
    const { keys, header, entropy } = await this.#keystore.open()
    entropy.fill(0)
    return identityServiceOf(keys, header.protection.by)
  }

  async create(options: NewProtection & ShowPhrase): Promise<IdentityFacts> {
    return await this.#createFrom(new Uint8Array(randomBytes(ENTROPY_BYTES)), options)
  }

  /** A new identity and its keys, without the cost of unlocking what was locked a moment before. */
  async createUnlocked({ passphrase }: NewProtection): Promise<IdentityService & Disposable> {
    const entropy = new Uint8Array(randomBytes(ENTROPY_BYTES))
    try {
      const keys = await this.#keystore.create(entropy, { passphrase })
      return identityServiceOf(keys, passphrase === null ? 'key-file' : 'passphrase')
    } finally {
      entropy.fill(0)
    }
  }

  async recover(phrase: Uint8Array, options: NewProtection): Promise<IdentityFacts> {
    const facts = await this.#createFrom(entropyOf(phrase), options)
    // Whoever typed the words has them.
    await this.markBackedUp()
    return { ...facts, isBackedUp: true }
  }

  async importFrom(path: string, exportPassphrase: Uint8Array, options: NewProtection): Promise<IdentityFacts> {
    const present = await this.#keystore.header()
    if (present !== null) throw identityErrors.NZ_IDENTITY_EXISTS({ data: { peerId: present.subject.peerId } })
    const entropy = await importOf(await readExport(path), exportPassphrase)
    const facts = await this.#createFrom(entropy, options)
    await this.markBackedUp()
    return { ...facts, isBackedUp: true }
  }

  async exportTo(path: string, exportPassphrase: Uint8Array): Promise<IdentityFacts> {
    requireFitPassphrase(exportPassphrase)
    const { keys, header, entropy } = await this.#keystore.open()
    keys[Symbol.dispose]()
    try {
      await writeExport(path, await exportOf(header.subject, entropy, exportPassphrase, this.#lockCost))
    } finally {
      entropy.fill(0)
    }
    await this.markBackedUp()
    return await this.presentFacts()
  }

  async phrase(): Promise<Uint8Array> {
    const { keys, entropy } = await this.#keystore.open()
    keys[Symbol.dispose]()
    try {
      return phraseOf(entropy)
    } finally {
      entropy.fill(0)
    }
  }

  async markBackedUp(): Promise<void> {
    const header = await this.#keystore.header()
    if (header === null) throw identityErrors.NZ_IDENTITY_NONE()
    const backup = { peerId: header.subject.peerId, atMs: Math.floor(this.#clock.nowMs()) }
    await replacePrivateFile(this.#backupPath, new TextEncoder().encode(`${JSON.stringify(backup)}\n`))
  }

  async protect(next: () => Promise<NewProtection>): Promise<IdentityFacts> {
    await this.#keystore.protect(next)
    return await this.presentFacts()
  }

  async adopt(): Promise<IdentityFacts> {
    await this.#keystore.adopt()
    return await this.presentFacts()
  }

  async #createFrom(entropy: Uint8Array, options: NewProtection & ShowPhrase): Promise<IdentityFacts> {
    const phrase = phraseOf(entropy)
    try {
      using _keys = await this.#keystore.create(entropy, options)
      options.showPhrase?.(phrase)
      return await this.presentFacts()
    } finally {
      entropy.fill(0)
      phrase.fill(0)
    }
  }

  /** @throws NZ_IDENTITY_NONE */
  async presentFacts(): Promise<IdentityFacts> {
    const facts = await this.facts()
    if (facts === null) throw identityErrors.NZ_IDENTITY_NONE()
    return facts
  }

  async #isBackedUp(peerId: string): Promise<boolean> {
    const bytes = await readPrivateFile(this.#backupPath)
    if (bytes === null) return false
    try {
      return Backup.parse(JSON.parse(new TextDecoder().decode(bytes))).peerId === peerId
    } catch (error) {
      throw identityErrors.NZ_IDENTITY_DAMAGED({ cause: error, data: { path: this.#backupPath } })
    }
  }
}

/** The service over unlocked keys; disposing it zeroes them. */
export function identityServiceOf(
  keys: IdentityKeys,
  protection: IdentityService['protection'],
): IdentityService & Disposable {
  return {
    self: keys.self,
    protection,
    nodePrivateKey: () => keys.nodePrivateKey(),
    sign: (purpose, message) => keys.sign(purpose, message),
    signAsNode: (purpose, message) => keys.signAsNode(purpose, message),
    verify: verifyFor,
    seal: async (recipientBoxPublicKey, info, plaintext) => keys.seal(recipientBoxPublicKey, info, plaintext),
    open: async (info, sealed) => keys.open(info, sealed),
    deriveKey: (label) => keys.deriveKey(label),
    [Symbol.dispose]: () => keys[Symbol.dispose](),
  }
}

function factsOf({ subject, protection }: LockedFileHeader, isBackedUp: boolean): IdentityFacts {
  const { createdAtMs, ...self } = subject
  return { self: { ...self, id: idOf(subject.nodePublicKey) }, protection: protection.by, createdAtMs, isBackedUp }
}
