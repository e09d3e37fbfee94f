/** What a person does to the identity of a profile: `nzcore identity …`. Works on files alone, without a kernel. */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { z } from 'zod'
import { systemClock } from '../../kernel/index.ts'
import type { Clock } from '../../kernel/index.ts'
import { idOf } from '../../protocols/identity/id.ts'
import { Keystore } from './keystore.ts'
import { exportOf, importOf } from './export.ts'
import { readPrivateFile, replacePrivateFile } from './private-file.ts'
import { identityErrors } from './service.ts'
import { verifyFor } from './signature.ts'
import { ENTROPY_BYTES, entropyOf, phraseOf } from './words.ts'
import type { IdentityKeys } from './keys.ts'
import type { LockedFileHeader } from './locked-file.ts'
import type { IdentityAdmin, IdentityFacts, IdentityService, NewProtection, PassphraseSource } from './service.ts'

export interface IdentityAdminInit {
  /** The profile's folder and key file (`Home`). */
  readonly home: { readonly stateDir: string; readonly keyFile: string }
  readonly passphrase: PassphraseSource
  readonly clock?: Clock
  /** Cost of scrypt for new passphrases, as a power of two from 14 to 18; default 17. */
  readonly scryptLogN?: number
}

const Backup = z.strictObject({ peerId: z.string(), atMs: z.int() })

export function createIdentityAdmin({
  home,
  passphrase,
  clock = systemClock,
  scryptLogN,
}: IdentityAdminInit): IdentityAdmin & { settle(): Promise<void> } {
  return new FileIdentityAdmin(home.stateDir, clock, {
    stateDir: home.stateDir,
    keyFile: home.keyFile,
    clock,
    passphrase,
    ...(scryptLogN === undefined ? {} : { scryptLogN }),
  })
}

class FileIdentityAdmin implements IdentityAdmin {
  readonly #backupPath: string
  readonly #clock: Clock
  readonly #keystore: Keystore
  readonly #lockCost: { readonly logN?: number }

  constructor(stateDir: string, clock: Clock, init: ConstructorParameters<typeof Keystore>[0]) {
    this.#backupPath = join(stateDir, 'identity-backup.json')
    this.#clock = clock
    this.#keystore = new Keystore(init)
    this.#lockCost = init.scryptLogN === undefined ? {} : { logN: init.scryptLogN }
  }

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

  async create(options: NewProtection): Promise<IdentityFacts> {
    return await this.#createFrom(new Uint8Array(randomBytes(ENTROPY_BYTES)), options)
  }

  async recover(phrase: Uint8Array, options: NewProtection): Promise<IdentityFacts> {
    const facts = await this.#createFrom(entropyOf(phrase), options)
    // Whoever typed the words has them.
    await this.markBackedUp()
    return { ...facts, isBackedUp: true }
  }

  async importFile(file: Uint8Array, exportPassphrase: Uint8Array, options: NewProtection): Promise<IdentityFacts> {
    if ((await this.#keystore.header()) !== null) throw identityErrors.NZ_IDENTITY_EXISTS()
    const facts = await this.#createFrom(await importOf(file, exportPassphrase), options)
    await this.markBackedUp()
    return { ...facts, isBackedUp: true }
  }

  async exportFile(exportPassphrase: Uint8Array): Promise<Uint8Array> {
    const { keys, header, entropy } = await this.#keystore.open()
    keys[Symbol.dispose]()
    try {
      const file = await exportOf(header.subject, entropy, exportPassphrase, this.#lockCost)
      await this.markBackedUp()
      return file
    } finally {
      entropy.fill(0)
    }
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

  async protect(options: NewProtection): Promise<IdentityFacts> {
    await this.#keystore.protect(options)
    return await this.#presentFacts()
  }

  async adopt(): Promise<IdentityFacts> {
    await this.#keystore.adopt()
    return await this.#presentFacts()
  }

  async #createFrom(entropy: Uint8Array, options: NewProtection): Promise<IdentityFacts> {
    try {
      await this.#keystore.create(entropy, options)
      return await this.#presentFacts()
    } finally {
      entropy.fill(0)
    }
  }

  async #presentFacts(): Promise<IdentityFacts> {
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
