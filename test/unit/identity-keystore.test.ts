/** What the keystore does with good and bad files, wrong passphrases and wrong places. */
import assert from 'node:assert/strict'
import { chmod, chown, cp, mkdir, readdir, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, it } from 'node:test'
import { FREE_ATTEMPTS, LONGEST_WAIT_MS, waitAfter } from '../../modules/identity/attempts.ts'
import { phraseOf } from '../../modules/identity/words.ts'
import { fakeProfile } from '../fake/profile.ts'
import type { Clock } from '../../kernel/index.ts'
import type { FakeProfile } from '../fake/profile.ts'

const text = new TextEncoder()
const GOOD = 'correct horse battery'
const good = text.encode(GOOD)
const isRoot = process.geteuid?.() === 0

const keystoreOf = ({ home }: FakeProfile): string => join(home.stateDir, 'identity.nzid')

async function unlockedPeerId(profile: FakeProfile, passphrase?: string): Promise<string> {
  using identity = await profile.admin(passphrase).unlock()
  return identity.self.peerId
}

describe('an identity', () => {
  it('comes back from its words, in another profile, with the same keys', async () => {
    await using one = await fakeProfile()
    await using two = await fakeProfile()
    const { self, isBackedUp } = await one.admin().create({ passphrase: null })
    assert.equal(isBackedUp, false)
    const recovered = await two.admin().recover(await one.admin().phrase(), { passphrase: good })
    assert.deepEqual(recovered.self, self)
    assert.equal(recovered.isBackedUp, true)
    assert.equal(await unlockedPeerId(two, GOOD), self.peerId)
    using a = await one.admin().unlock()
    using b = await two.admin(GOOD).unlock()
    assert.deepEqual(a.nodePrivateKey(), b.nodePrivateKey())
    assert.deepEqual(a.deriveKey('nzcore/storage/1'), b.deriveKey('nzcore/storage/1'))
    assert.notDeepEqual(a.deriveKey('nzcore/storage/1'), b.deriveKey('nzcore/storage/2'))
    assert.deepEqual(
      await b.open('nzcore/note/1', await a.seal(self.boxPublicKey, 'nzcore/note/1', text.encode('hi'))),
      text.encode('hi'),
    )
    await assert.rejects(b.open('nzcore/note/2', await a.seal(self.boxPublicKey, 'nzcore/note/1', good)), {
      code: 'NZ_IDENTITY_BOX_UNREADABLE',
    })
    await assert.rejects(a.seal(new Uint8Array(32), 'nzcore/note/1', good), { code: 'NZ_IDENTITY_BOX_KEY_INVALID' })
  })

  it('travels by an encrypted export', async () => {
    await using one = await fakeProfile()
    await using two = await fakeProfile()
    const { self } = await one.admin().create({ passphrase: null })
    const file = join(one.root, 'me.nzid')
    assert.equal((await one.admin().exportTo(file, good)).isBackedUp, true)
    assert.equal((await stat(file)).mode & 0o777, 0o600)
    await assert.rejects(one.admin().exportTo(file, good), { code: 'NZ_IDENTITY_EXPORT_EXISTS' })
    await assert.rejects(two.admin().importFrom(file, text.encode('wrong one'), { passphrase: null }), {
      code: 'NZ_IDENTITY_PASSPHRASE_WRONG',
    })
    await assert.rejects(two.admin().importFrom(`${file}x`, good, { passphrase: null }), {
      code: 'NZ_IDENTITY_EXPORT_MISSING',
    })
    await assert.rejects(two.admin().importFrom(keystoreOf(one), good, { passphrase: null }), {
      code: 'NZ_IDENTITY_EXPORT_INVALID',
    })
    const imported = await two.admin().importFrom(file, good, { passphrase: null })
    assert.deepEqual(imported.self, self)
    assert.equal(await unlockedPeerId(two), self.peerId)
    await assert.rejects(two.admin().importFrom(file, good, { passphrase: null }), { code: 'NZ_IDENTITY_EXISTS' })
  })

  it('changes between key file, passphrase and another passphrase, and stays itself', async () => {
    await using profile = await fakeProfile()
    const { self } = await profile.admin().create({ passphrase: null })
    assert.equal(
      (await profile.admin().protect(async () => ({ passphrase: text.encode(GOOD) }))).protection,
      'passphrase',
    )
    await assert.rejects(stat(profile.home.keyFile), { code: 'ENOENT' })
    await assert.rejects(profile.admin().unlock(), { code: 'NZ_IDENTITY_PASSPHRASE_MISSING' })
    await profile.admin(GOOD).protect(async () => ({ passphrase: text.encode('another one') }))
    await assert.rejects(profile.admin(GOOD).unlock(), { code: 'NZ_IDENTITY_PASSPHRASE_WRONG' })
    assert.equal(await unlockedPeerId(profile, 'another one'), self.peerId)
    assert.equal(
      (await profile.admin('another one').protect(async () => ({ passphrase: null }))).protection,
      'key-file',
    )
    assert.equal((await profile.admin().protect(async () => ({ passphrase: null }))).protection, 'key-file')
    assert.equal(await unlockedPeerId(profile), self.peerId)
  })

  it('is not made twice in one profile, and is another one in another profile', async () => {
    await using profile = await fakeProfile()
    await using other = await fakeProfile({ root: profile.root, profile: 'work' })
    const { self } = await profile.admin().create({ passphrase: null })
    await assert.rejects(profile.admin().create({ passphrase: null }), { code: 'NZ_IDENTITY_EXISTS' })
    await assert.rejects(profile.admin().recover(phraseOf(new Uint8Array(32)), { passphrase: null }), {
      code: 'NZ_IDENTITY_EXISTS',
    })
    assert.equal(await other.admin().facts(), null)
    const second = await other.admin().create({ passphrase: null })
    assert.notEqual(second.self.peerId, self.peerId)
    assert.equal(await unlockedPeerId(profile), self.peerId)
  })

  it('takes no unfit passphrase', async () => {
    await using profile = await fakeProfile()
    for (const unfit of ['', 'seven77', 'two\nlines here', `null\0byte here`, 'x'.repeat(1_025)]) {
      await assert.rejects(profile.admin().create({ passphrase: text.encode(unfit) }), {
        code: 'NZ_IDENTITY_PASSPHRASE_UNFIT',
      })
    }
    assert.equal(await profile.admin().facts(), null)
  })

  it('remembers that its words were shown, for this identity only', async () => {
    await using profile = await fakeProfile()
    await profile.admin().create({ passphrase: null })
    await profile.admin().markBackedUp()
    assert.equal((await profile.admin().presentFacts()).isBackedUp, true)
    await writeFile(join(profile.home.stateDir, 'identity-backup.json'), '{"peerId":"another","atMs":1}')
    assert.equal((await profile.admin().presentFacts()).isBackedUp, false)
    await writeFile(join(profile.home.stateDir, 'identity-backup.json'), 'not json')
    await assert.rejects(profile.admin().facts(), { code: 'NZ_IDENTITY_DAMAGED' })
  })
})

describe('a keystore', () => {
  const unsafe = { code: 'NZ_IDENTITY_FILE_UNSAFE', exit: 'permission' }

  it('is refused when others may read it, its key file, or their folders', async () => {
    await using profile = await fakeProfile()
    await profile.admin().create({ passphrase: null })
    for (const [path, right] of [
      [keystoreOf(profile), 0o600],
      [profile.home.keyFile, 0o600],
      [profile.home.stateDir, 0o700],
      [dirname(profile.home.keyFile), 0o700],
    ] as const) {
      for (const wrong of [0o040, 0o004, 0o020, 0o002]) {
        await chmod(path, right | wrong)
        await assert.rejects(profile.admin().unlock(), unsafe)
      }
      await chmod(path, right)
    }
    await unlockedPeerId(profile)
  })

  it('is refused when it is a symbolic link, a folder, or reached through one', async () => {
    for (const pathOf of [keystoreOf, (profile: FakeProfile) => profile.home.keyFile]) {
      await using profile = await fakeProfile()
      await profile.admin().create({ passphrase: null })
      const path = pathOf(profile)
      await rename(path, `${path}.real`)
      await symlink(`${path}.real`, path)
      await assert.rejects(profile.admin().unlock(), unsafe)
      await rm(path)
      await mkdir(path, { mode: 0o700 })
      await assert.rejects(profile.admin().unlock(), unsafe)
    }
    await using profile = await fakeProfile()
    await profile.admin().create({ passphrase: null })
    await rename(profile.home.stateDir, `${profile.home.stateDir}.real`)
    await symlink(`${profile.home.stateDir}.real`, profile.home.stateDir)
    await assert.rejects(profile.admin().unlock(), unsafe)
  })

  it(
    'is refused when it belongs to another user',
    { skip: isRoot ? false : 'only root may give files away' },
    async () => {
      await using profile = await fakeProfile()
      await profile.admin().create({ passphrase: null })
      await chown(keystoreOf(profile), 4_242, 4_242)
      await assert.rejects(profile.admin().unlock(), unsafe)
    },
  )

  it('is damaged after any change of a byte, and after any cut', async () => {
    await using profile = await fakeProfile()
    await profile.admin().create({ passphrase: null })
    const intact = await readFile(keystoreOf(profile))
    const damaged = { code: 'NZ_IDENTITY_DAMAGED', exit: 'damaged' }
    for (let at = 0; at < intact.byteLength; at += 11) {
      const changed = Buffer.from(intact)
      changed[at] = (changed[at] ?? 0) ^ 0x10
      await writeFile(keystoreOf(profile), changed)
      await assert.rejects(profile.admin().unlock(), damaged)
      await writeFile(keystoreOf(profile), intact.subarray(0, at))
      await assert.rejects(profile.admin().unlock(), damaged)
    }
    await writeFile(keystoreOf(profile), Buffer.alloc(100_000))
    await assert.rejects(profile.admin().unlock(), damaged)
    await writeFile(keystoreOf(profile), intact)
    const key = await readFile(profile.home.keyFile)
    for (let at = 0; at < key.byteLength; at += 7) {
      const changed = Buffer.from(key)
      changed[at] = (changed[at] ?? 0) ^ 0x10
      await writeFile(profile.home.keyFile, changed)
      await assert.rejects(profile.admin().unlock(), damaged)
    }
    await writeFile(profile.home.keyFile, key)
    await unlockedPeerId(profile)
  })

  it('without its key file says where the key file should be', async () => {
    await using profile = await fakeProfile()
    await profile.admin().create({ passphrase: null })
    await rm(profile.home.keyFile)
    await assert.rejects(profile.admin().unlock(), {
      code: 'NZ_IDENTITY_KEY_FILE_MISSING',
      data: { path: profile.home.keyFile },
    })
  })

  it('opens with no other key file', async () => {
    await using profile = await fakeProfile()
    await using other = await fakeProfile({ root: profile.root, profile: 'work' })
    await profile.admin().create({ passphrase: null })
    await other.admin().create({ passphrase: null })
    await cp(other.home.keyFile, profile.home.keyFile)
    await assert.rejects(profile.admin().unlock(), { code: 'NZ_IDENTITY_KEY_FILE_FOREIGN', exit: 'conflict' })
  })

  it('opens at no other path before it was adopted there', async () => {
    await using profile = await fakeProfile()
    await using other = await fakeProfile()
    const { self } = await profile.admin().create({ passphrase: null })
    await cp(profile.home.stateDir, other.home.stateDir, { recursive: true })
    await cp(dirname(profile.home.keyFile), dirname(other.home.keyFile), { recursive: true })
    await chmod(dirname(other.home.keyFile), 0o700)
    await chmod(other.home.stateDir, 0o700)
    await assert.rejects(other.admin().unlock(), { code: 'NZ_IDENTITY_BOUND_ELSEWHERE', exit: 'conflict' })
    await other.admin().adopt()
    assert.equal(await unlockedPeerId(other), self.peerId)
  })

  it('is not replaced when only the state was lost and the key file remains', async () => {
    await using profile = await fakeProfile()
    const { self } = await profile.admin().create({ passphrase: null })
    const phrase = await profile.admin().phrase()
    await rm(keystoreOf(profile))
    for (const passphrase of [null, good]) {
      await assert.rejects(profile.admin().create({ passphrase }), { code: 'NZ_IDENTITY_KEY_FILE_FOREIGN' })
    }
    assert.equal((await profile.admin().recover(phrase, { passphrase: null })).self.peerId, self.peerId)
    assert.equal(await unlockedPeerId(profile), self.peerId)
  })

  it('is whole after a crash at any step of its creation', async () => {
    await using profile = await fakeProfile()
    const pending = join(profile.home.stateDir, 'identity-pending.nzid')
    const { self } = await profile.admin().create({ passphrase: null })
    await rename(keystoreOf(profile), pending)
    await profile.admin().settle()
    assert.equal(await unlockedPeerId(profile), self.peerId)
    await cp(keystoreOf(profile), pending)
    await profile.admin().settle()
    assert.equal(await unlockedPeerId(profile), self.peerId)
    await rename(keystoreOf(profile), pending)
    await rm(profile.home.keyFile)
    await profile.admin().settle()
    assert.notEqual((await profile.admin().create({ passphrase: null })).self.peerId, self.peerId)
    assert.deepEqual(
      (await readdir(profile.home.stateDir)).filter((name) => name.includes('pending') || name.includes('tmp')),
      [],
    )
  })
})

describe('a change of protection', () => {
  it('that a crash cut in two opens as before or as after, and can be made again', async () => {
    await using profile = await fakeProfile()
    const { self } = await profile.admin().create({ passphrase: null })
    const keyFile = await readFile(profile.home.keyFile)
    await profile.admin().protect(async () => ({ passphrase: text.encode(GOOD) }))
    const byPassphrase = await readFile(keystoreOf(profile))

    // To a passphrase: the keystore is new, the key file not yet removed.
    await writeFile(profile.home.keyFile, keyFile, { mode: 0o600 })
    assert.equal(await unlockedPeerId(profile, GOOD), self.peerId)

    // To a key file: the key file is new, the keystore not yet.
    await profile.admin(GOOD).protect(async () => ({ passphrase: null }))
    await writeFile(keystoreOf(profile), byPassphrase)
    assert.equal(await unlockedPeerId(profile, GOOD), self.peerId)
    await profile.admin(GOOD).protect(async () => ({ passphrase: null }))
    assert.equal(await unlockedPeerId(profile), self.peerId)
  })

  it('changes nothing when the present passphrase is wrong or the new one unfit', async () => {
    await using profile = await fakeProfile()
    await profile.admin().create({ passphrase: good })
    const before = await readFile(keystoreOf(profile))
    let wasAsked = false
    const next = async (): Promise<{ passphrase: Uint8Array }> => {
      wasAsked = true
      return { passphrase: text.encode('short') }
    }
    await assert.rejects(profile.admin('wrong one').protect(next), { code: 'NZ_IDENTITY_PASSPHRASE_WRONG' })
    assert.equal(wasAsked, false)
    await assert.rejects(profile.admin(GOOD).protect(next), { code: 'NZ_IDENTITY_PASSPHRASE_UNFIT' })
    assert.deepEqual(await readFile(keystoreOf(profile)), before)
  })
})

describe('wrong passphrases', () => {
  const later = { code: 'NZ_IDENTITY_TRY_LATER', exit: 'permission', retryable: true }
  const wrong = { code: 'NZ_IDENTITY_PASSPHRASE_WRONG', exit: 'permission' }

  function settableClock(): Clock & { atMs: number } {
    return {
      atMs: 1_700_000_000_000,
      nowMs() {
        return this.atMs
      },
      monotonicMs: () => 0,
      setTimer: () => ({ cancel: () => {} }),
    }
  }

  it('cost growing waits, counted across processes, until the right one', async () => {
    const clock = settableClock()
    await using profile = await fakeProfile({ clock })
    await profile.admin().create({ passphrase: good })
    for (let count = 0; count < FREE_ATTEMPTS; count++) await assert.rejects(profile.admin('wrong one').unlock(), wrong)
    // The right one has to wait as well: else waiting would tell nothing.
    await assert.rejects(profile.admin(GOOD).unlock(), later)
    clock.atMs += 999
    await assert.rejects(profile.admin(GOOD).unlock(), { ...later, data: { failed: 3, waitMs: 1 } })
    clock.atMs += 1
    await assert.rejects(profile.admin('wrong one').unlock(), wrong)
    clock.atMs += 1_999
    await assert.rejects(profile.admin(GOOD).unlock(), later)
    clock.atMs += 1
    await unlockedPeerId(profile, GOOD)
    await assert.rejects(profile.admin('wrong one').unlock(), wrong)
    await unlockedPeerId(profile, GOOD)
  })

  it('lock nobody out for years when the clock was set back', async () => {
    const clock = settableClock()
    await using profile = await fakeProfile({ clock })
    await profile.admin().create({ passphrase: good })
    for (let count = 0; count < FREE_ATTEMPTS; count++) await assert.rejects(profile.admin('wrong one').unlock(), wrong)
    clock.atMs -= 86_400_000
    await assert.rejects(profile.admin(GOOD).unlock(), later)
    clock.atMs += 1_000
    await unlockedPeerId(profile, GOOD)
  })

  it('are tried one at a time', async () => {
    await using profile = await fakeProfile()
    await profile.admin().create({ passphrase: good })
    const results = await Promise.allSettled(
      Array.from({ length: 6 }, async () => await profile.admin('wrong one').unlock()),
    )
    const codes = results.map((result) =>
      result.status === 'rejected' ? (result.reason as { code: string }).code : '',
    )
    assert.ok(codes.filter((code) => code === wrong.code).length <= FREE_ATTEMPTS)
    assert.ok(codes.every((code) => code === wrong.code || code === later.code))
  })

  it('that a killed process left in the middle hold others up for half a minute at most', async () => {
    const clock = settableClock()
    await using profile = await fakeProfile({ clock })
    await profile.admin().create({ passphrase: good })
    const running = join(profile.home.stateDir, 'identity-attempt-running.json')
    await writeFile(running, JSON.stringify({ startedAtMs: clock.atMs }), { mode: 0o600 })
    await assert.rejects(profile.admin(GOOD).unlock(), later)
    clock.atMs += 30_000
    await unlockedPeerId(profile, GOOD)
    await assert.rejects(stat(running), { code: 'ENOENT' })
  })

  it('never wait longer than five minutes', () => {
    const waits = Array.from({ length: 100 }, (_, failed) => waitAfter(failed))
    assert.deepEqual(waits.slice(0, 7), [0, 0, 0, 1_000, 2_000, 4_000, 8_000])
    assert.equal(Math.max(...waits, waitAfter(1e15)), LONGEST_WAIT_MS)
  })

  it('are refused, not forgotten, when their count is damaged', async () => {
    await using profile = await fakeProfile()
    await profile.admin().create({ passphrase: good })
    await writeFile(join(profile.home.stateDir, 'identity-attempts.json'), '{"failed":-1}', { mode: 0o600 })
    await assert.rejects(profile.admin(GOOD).unlock(), { code: 'NZ_IDENTITY_DAMAGED', exit: 'damaged' })
  })
})
