/**
 * The keystore of a profile: which files there are, when each is written, and what opens them.
 * spec/NZ-IDENTITY-01.md §10 gives the order of writes that survives a crash.
 */
import { realpath } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Clock } from '../../kernel/index.ts'
import { peerIdOf } from '../../protocols/identity/id.ts'
import { PassphraseAttempts } from './attempts.ts'
import { foreignKeyFile, freshKey, readKeyFile, removeKeyFile, writeKeyFile } from './key-file.ts'
import { IdentityKeys } from './keys.ts'
import { DEFAULT_SCRYPT_LOG_N, lock, parse, parsedOrThrow, unlock } from './locked-file.ts'
import { requireFitPassphrase } from './passphrase.ts'
import { createPrivateFile, readPrivateFile, removePrivateFile, replacePrivateFile } from './private-file.ts'
import { identityErrors } from './service.ts'
import type { LockedFileHeader, LockSecret, ParsedFile } from './locked-file.ts'
import type { NewProtection, PassphraseSource, PublicIdentity } from './service.ts'

export interface KeystoreInit {
  readonly stateDir: string
  readonly keyFile: string
  readonly clock: Clock
  readonly passphrase: PassphraseSource
  /** Cost of scrypt for new passphrases, as a power of two; default 17. */
  readonly scryptLogN?: number
}

export interface Opened {
  readonly keys: IdentityKeys
  readonly header: LockedFileHeader
  /** The caller zeroes it. */
  readonly entropy: Uint8Array
}

interface OpenedWithSecret extends Opened {
  readonly secret: LockSecret
}

export class Keystore {
  readonly #init: KeystoreInit
  readonly #attempts: PassphraseAttempts

  constructor(init: KeystoreInit) {
    this.#init = init
    this.#attempts = new PassphraseAttempts({
      path: join(init.stateDir, 'identity-attempts.json'),
      runningPath: join(init.stateDir, 'identity-attempt-running.json'),
      clock: init.clock,
    })
  }

  get path(): string {
    return join(this.#init.stateDir, 'identity.nzid')
  }

  /** What the file says of itself, not yet authenticated; `null` when there is none. */
  async header(): Promise<LockedFileHeader | null> {
    return (await this.#read(this.path))?.header ?? null
  }

  /** Finishes or undoes a creation that a crash interrupted. */
  async settle(): Promise<void> {
    const pending = await this.#read(this.#pendingPath)
    if (pending === null) return
    const keyFile = await readKeyFile(this.#init.keyFile)
    keyFile?.key.fill(0)
    const isComplete = keyFile !== null && keyFile.peerId === pending.header.subject.peerId
    if (isComplete && (await this.#read(this.path)) === null) await this.#placePending()
    else await removePrivateFile(this.#pendingPath)
  }

  /** @throws NZ_IDENTITY_NONE, and what `IdentityAdmin` names */
  async open(): Promise<Opened> {
    const { secret, ...opened } = await this.#openWithSecret({ isPlaceChecked: true })
    zero(secret)
    return opened
  }

  /**
   * Makes `entropy`, which stays the caller's to zero, the identity of this profile. The caller disposes of the keys.
   *
   * @throws NZ_IDENTITY_EXISTS, NZ_IDENTITY_KEY_FILE_FOREIGN
   */
  async create(entropy: Uint8Array, { passphrase }: NewProtection): Promise<IdentityKeys> {
    if (passphrase !== null) requireFitPassphrase(passphrase)
    await this.settle()
    const header = await this.header()
    if (header !== null) throw identityErrors.NZ_IDENTITY_EXISTS({ data: { peerId: header.subject.peerId } })
    const keys = await IdentityKeys.derive(entropy)
    try {
      await this.#requireNoForeignKeyFile(keys.self.peerId)
      const subject = subjectOf(keys.self, this.#init.clock.nowMs())
      if (passphrase === null) await this.#createWithKeyFile(subject, entropy)
      else await this.#createWithPassphrase(subject, entropy, passphrase)
      return keys
    } catch (error) {
      keys[Symbol.dispose]()
      throw error
    }
  }

  /** Encrypts the same identity under another secret. */
  async protect(next: () => Promise<NewProtection>): Promise<void> {
    const { secret, entropy, keys, header } = await this.#openWithSecret({ isPlaceChecked: true })
    keys[Symbol.dispose]()
    let passphrase: Uint8Array | null = null
    try {
      passphrase = (await next()).passphrase
      if (passphrase !== null) requireFitPassphrase(passphrase)
      if (passphrase === null) await this.#replaceWithKeyFile(header, entropy, secret)
      else await this.#replaceWithPassphrase(header, entropy, passphrase)
    } finally {
      entropy.fill(0)
      passphrase?.fill(0)
      zero(secret)
    }
  }

  /** Writes this place and this user into keystore and key file. */
  async adopt(): Promise<void> {
    const { secret, entropy, keys, header } = await this.#openWithSecret({ isPlaceChecked: false })
    keys[Symbol.dispose]()
    try {
      if (secret.by === 'key-file') await this.#replaceWithKeyFile(header, entropy, secret)
      else await this.#replaceWithPassphrase(header, entropy, secret.passphrase)
    } finally {
      entropy.fill(0)
      zero(secret)
    }
  }

  async #openWithSecret({ isPlaceChecked }: { readonly isPlaceChecked: boolean }): Promise<OpenedWithSecret> {
    const file = await this.#read(this.path)
    if (file === null) throw identityErrors.NZ_IDENTITY_NONE()
    if (isPlaceChecked) await this.#requireThisPlace(file.header)
    const secret = await this.#secretFor(file.header, { isPlaceChecked })
    try {
      const entropy = await this.#decrypt(file, secret)
      const keys = await this.#keysOf(entropy, file.header)
      return { keys, header: file.header, entropy, secret }
    } catch (error) {
      zero(secret)
      throw error
    }
  }

  async #secretFor(
    { protection, subject }: LockedFileHeader,
    { isPlaceChecked }: { readonly isPlaceChecked: boolean },
  ): Promise<LockSecret> {
    if (protection.by === 'passphrase') {
      const passphrase = await this.#init.passphrase()
      if (passphrase === null) throw identityErrors.NZ_IDENTITY_PASSPHRASE_MISSING()
      return { by: 'passphrase', passphrase }
    }
    const { keyFile } = this.#init
    const content = await readKeyFile(keyFile)
    if (content === null) throw identityErrors.NZ_IDENTITY_KEY_FILE_MISSING({ data: { path: keyFile } })
    const isSamePlace = !isPlaceChecked || content.keystore === (await this.#place()).path
    if (content.peerId === subject.peerId && isSamePlace) return { by: 'key-file', key: content.key }
    content.key.fill(0)
    throw foreignKeyFile(keyFile, content)
  }

  async #decrypt(file: ParsedFile, secret: LockSecret): Promise<Uint8Array> {
    let result: Awaited<ReturnType<typeof unlock>> = 'wrong-secret'
    if (secret.by === 'passphrase') {
      await this.#attempts.run(async () => {
        result = await unlock(file, secret)
        return result !== 'wrong-secret'
      })
    } else {
      result = await unlock(file, secret)
    }
    return this.#entropyOrThrow(result, secret)
  }

  #entropyOrThrow(result: Awaited<ReturnType<typeof unlock>>, secret: LockSecret): Uint8Array {
    if (result instanceof Uint8Array) return result
    if (result === 'wrong-secret' && secret.by === 'passphrase') throw identityErrors.NZ_IDENTITY_PASSPHRASE_WRONG()
    const why = result === 'damaged' ? 'its contents were changed' : 'the key file does not open it'
    throw identityErrors.NZ_IDENTITY_DAMAGED({ why, data: { path: this.path } })
  }

  async #keysOf(entropy: Uint8Array, { subject }: LockedFileHeader): Promise<IdentityKeys> {
    try {
      const keys = await IdentityKeys.derive(entropy, subject.fingerprint)
      if (keys.self.peerId === subject.peerId) return keys
      keys[Symbol.dispose]()
      throw new RangeError('the peer id is not that of the keys')
    } catch (error) {
      entropy.fill(0)
      throw identityErrors.NZ_IDENTITY_DAMAGED({ cause: error, data: { path: this.path } })
    }
  }

  /** A key file of another identity says that its state was lost or lies elsewhere. */
  async #requireNoForeignKeyFile(peerId: string): Promise<void> {
    const { keyFile } = this.#init
    const present = await readKeyFile(keyFile)
    present?.key.fill(0)
    if (present !== null && present.peerId !== peerId) throw foreignKeyFile(keyFile, present)
  }

  async #createWithPassphrase(subject: Subject, entropy: Uint8Array, passphrase: Uint8Array): Promise<void> {
    const bytes = await this.#encrypt(subject, entropy, { by: 'passphrase', passphrase })
    if (!(await createPrivateFile(this.path, bytes))) throw identityErrors.NZ_IDENTITY_EXISTS()
    await removeKeyFile(this.#init.keyFile, subject.peerId)
  }

  async #createWithKeyFile(subject: Subject, entropy: Uint8Array): Promise<void> {
    const key = freshKey()
    try {
      await replacePrivateFile(this.#pendingPath, await this.#encrypt(subject, entropy, { by: 'key-file', key }))
      const { path: keystore } = await this.#place()
      await writeKeyFile(this.#init.keyFile, { peerId: subject.peerId, keystore, key })
      await this.#placePending()
    } finally {
      key.fill(0)
    }
  }

  async #replaceWithPassphrase(
    { subject }: LockedFileHeader,
    entropy: Uint8Array,
    passphrase: Uint8Array,
  ): Promise<void> {
    await replacePrivateFile(this.path, await this.#encrypt(subject, entropy, { by: 'passphrase', passphrase }))
    await removeKeyFile(this.#init.keyFile, subject.peerId)
  }

  /** A key that opens the keystore now stays the key: two files cannot change at once. */
  async #replaceWithKeyFile({ subject }: LockedFileHeader, entropy: Uint8Array, before: LockSecret): Promise<void> {
    const key = before.by === 'key-file' ? Uint8Array.from(before.key) : freshKey()
    try {
      const { path: keystore } = await this.#place()
      await writeKeyFile(this.#init.keyFile, { peerId: subject.peerId, keystore, key })
      await replacePrivateFile(this.path, await this.#encrypt(subject, entropy, { by: 'key-file', key }))
    } finally {
      key.fill(0)
    }
  }

  async #encrypt(subject: Subject, entropy: Uint8Array, secret: LockSecret): Promise<Uint8Array> {
    const fields = { kind: 'keystore' as const, subject, boundTo: await this.#place() }
    return await lock(fields, entropy, secret, { logN: this.#init.scryptLogN ?? DEFAULT_SCRYPT_LOG_N })
  }

  async #placePending(): Promise<void> {
    const bytes = await readPrivateFile(this.#pendingPath)
    if (bytes === null || !(await createPrivateFile(this.path, bytes))) throw identityErrors.NZ_IDENTITY_EXISTS()
    await removePrivateFile(this.#pendingPath)
  }

  async #requireThisPlace({ boundTo }: LockedFileHeader): Promise<void> {
    const here = await this.#place()
    if (boundTo?.path === here.path && boundTo.uid === here.uid) return
    throw identityErrors.NZ_IDENTITY_BOUND_ELSEWHERE({
      data: { path: boundTo?.path ?? null, uid: boundTo?.uid ?? null, here },
    })
  }

  /** Where the keystore is, without symbolic links on the way, and whose process this is. */
  async #place(): Promise<{ readonly path: string; readonly uid: number }> {
    const folder = await realpath(dirname(this.path))
    return { path: join(folder, 'identity.nzid'), uid: process.geteuid?.() ?? -1 }
  }

  async #read(path: string): Promise<ParsedFile | null> {
    const bytes = await readPrivateFile(path)
    if (bytes === null) return null
    const file = parsedOrThrow(path, parse(bytes))
    const { kind, subject } = file.header
    if (kind !== 'keystore') {
      throw identityErrors.NZ_IDENTITY_DAMAGED({ why: 'it is an export, not a keystore', data: { path } })
    }
    if (peerIdOf(subject.nodePublicKey) !== subject.peerId) {
      throw identityErrors.NZ_IDENTITY_DAMAGED({ why: 'its names and keys differ', data: { path } })
    }
    return file
  }

  get #pendingPath(): string {
    return join(this.#init.stateDir, 'identity-pending.nzid')
  }
}

type Subject = LockedFileHeader['subject']

/** The public facts as a header carries them. */
export function subjectOf(self: PublicIdentity, nowMs: number): Subject {
  const { peerId, fingerprint, nodePublicKey, signingPublicKey, boxPublicKey } = self
  const createdAtMs = Math.max(0, Math.floor(nowMs))
  return { peerId, fingerprint: [...fingerprint], nodePublicKey, signingPublicKey, boxPublicKey, createdAtMs }
}

export function zero(secret: LockSecret): void {
  if (secret.by === 'passphrase') secret.passphrase.fill(0)
  else secret.key.fill(0)
}
