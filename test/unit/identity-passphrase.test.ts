/** Where a passphrase may come from. */
import assert from 'node:assert/strict'
import { fstatSync, openSync } from 'node:fs'
import { chmod, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { passphraseSource } from '../../modules/identity/passphrase.ts'

const text = (bytes: Uint8Array | null): string | null => (bytes === null ? null : new TextDecoder().decode(bytes))

describe('a passphrase', () => {
  let folder: string
  let file: string
  const unreadable = { code: 'NZ_IDENTITY_PASSPHRASE_UNREADABLE', exit: 'permission' }

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'nz-passphrase-'))
    file = join(folder, 'secret')
  })
  after(async () => {
    await rm(folder, { recursive: true })
  })

  async function from(env: Record<string, string>, ask?: () => Promise<Uint8Array>): Promise<string | null> {
    return text(await passphraseSource(ask === undefined ? { env } : { env, ask })())
  }

  it('is the content of a file without its line end, byte for byte', async () => {
    for (const [content, passphrase] of [
      ['correct horse', 'correct horse'],
      ['correct horse\n', 'correct horse'],
      ['correct horse\r\n', 'correct horse'],
      ['  spaces count  \n', '  spaces count  '],
      ['two ends\n\n', 'two ends\n'],
      ['ünïcödé', 'ünïcödé'],
      ['', ''],
    ] as const) {
      await writeFile(file, content, { mode: 0o600 })
      assert.equal(await from({ NZ_PASSPHRASE_FILE: file }), passphrase)
    }
  })

  it('may lie behind a symbolic link, as secrets of containers do, but not be open to others', async () => {
    await writeFile(file, 'correct horse', { mode: 0o600 })
    await symlink(file, join(folder, 'link'))
    assert.equal(await from({ NZ_PASSPHRASE_FILE: join(folder, 'link') }), 'correct horse')
    for (const mode of [0o640, 0o604, 0o620, 0o602]) {
      await chmod(file, mode)
      await assert.rejects(from({ NZ_PASSPHRASE_FILE: file }), unreadable)
    }
  })

  it('is read from an inherited descriptor, which is closed then', async () => {
    await writeFile(file, 'correct horse\n', { mode: 0o600 })
    await chmod(file, 0o600)
    const fd = openSync(file, 'r')
    assert.equal(await from({ NZ_PASSPHRASE_FD: String(fd) }), 'correct horse')
    assert.throws(() => fstatSync(fd), { code: 'EBADF' })
  })

  it('is asked for only when the environment names no source', async () => {
    const ask = async (): Promise<Uint8Array> => new TextEncoder().encode('asked for')
    await writeFile(file, 'correct horse', { mode: 0o600 })
    assert.equal(await from({}, ask), 'asked for')
    assert.equal(await from({ NZ_PASSPHRASE_FILE: file }, ask), 'correct horse')
    assert.equal(await from({}), null)
  })

  it('is refused from nowhere, from two places and from no file', async () => {
    for (const env of [
      { NZ_PASSPHRASE_FILE: join(folder, 'absent') },
      { NZ_PASSPHRASE_FILE: folder },
      { NZ_PASSPHRASE_FILE: '/dev/null' },
      { NZ_PASSPHRASE_FILE: file, NZ_PASSPHRASE_FD: '3' },
      { NZ_PASSPHRASE_FD: 'three' },
      { NZ_PASSPHRASE_FD: '-1' },
      { NZ_PASSPHRASE_FD: '999999' },
    ]) {
      await assert.rejects(from(env), unreadable)
    }
  })
})
