/** `nzcore id` and `nzcore identity …` on the files of a profile, without a daemon. */
import assert from 'node:assert/strict'
import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { documents } from '../../cli/documents/index.ts'
import { createIdentityAdmin } from '../../modules/identity/admin.ts'
import { passphraseSource } from '../../modules/identity/passphrase.ts'
import { runCli } from '../fake/cli.ts'
import { fakeProfile } from '../fake/profile.ts'
import type { CliContext } from '../../cli/command.ts'
import type { CliRun, CliRunInit } from '../fake/cli.ts'
import type { FakeProfile } from '../fake/profile.ts'

const PASSPHRASE = 'correct horse battery'

type Init = Pick<CliRunInit, 'typed' | 'isTty' | 'stdin' | 'env'>

async function run(profile: FakeProfile, argv: readonly string[], { env, ...init }: Init = {}): Promise<CliRun> {
  const offline = async ({ home, env: seen, prompt }: CliContext) => {
    const ask = async (): Promise<Uint8Array> => await prompt.secret('Passphrase:')
    const identity = createIdentityAdmin({
      home,
      passphrase: passphraseSource(prompt.isAvailable ? { env: seen, ask } : { env: seen }),
      environmentPassphrase: passphraseSource({ env: seen }),
      scryptLogN: 14,
    })
    return { identity, [Symbol.asyncDispose]: async () => await Promise.resolve() }
  }
  return await runCli(argv, { ...init, offline, env: { NZ_HOME: profile.root, ...env } })
}

function documentOf({ stdout, code }: CliRun, schema: keyof typeof documents): Record<string, unknown> {
  assert.equal(code, 0, stdout)
  const { schema: name, ...document } = JSON.parse(stdout) as Record<string, unknown>
  assert.equal(name, schema)
  return documents[schema].parse(document)
}

async function* bytesOf(text: string): AsyncGenerator<Uint8Array> {
  for (const character of text) yield new TextEncoder().encode(character)
}

function wordsIn({ stdout, stderr }: { readonly stdout: string; readonly stderr: string }): Set<string> {
  return new Set(`${stdout}${stderr}`.match(/\b[a-z]+\b/g))
}

describe('nzcore backup split', () => {
  it('writes a whole set of shares or none, over none that is there', async () => {
    await using profile = await fakeProfile()
    documentOf(await run(profile, ['identity', 'create', '--json']), 'nz.identity/1')
    const folder = join(profile.root, 'shares')
    const split = async (to: string) =>
      await run(profile, ['backup', 'split', '--to', to, '--shares', '3', '--threshold', '2', '--json'])
    const codeOf = ({ stdout }: CliRun) => (JSON.parse(stdout) as { code: string }).code
    documentOf(await split(folder), 'nz.backupShares/1')
    const last = join(folder, 'share-3-of-3.txt')
    assert.equal((await stat(last)).mode & 0o777, 0o600)
    const before = await readFile(last, 'utf8')
    const again = await split(folder)
    assert.deepEqual([codeOf(again), again.code], ['NZ_CLI_FILE_EXISTS', 10])
    for (const at of [1, 2]) await rm(join(folder, `share-${at}-of-3.txt`))
    assert.equal((await split(folder)).code, 10)
    assert.deepEqual(await readdir(folder), ['share-3-of-3.txt'])
    assert.equal(await readFile(last, 'utf8'), before)
    assert.equal(codeOf(await split(join(last, 'below'))), 'NZ_CLI_FILE_UNWRITABLE')
  })
})

describe('nzcore identity', () => {
  it('creates an identity, shows it, and creates no second', async () => {
    await using profile = await fakeProfile()
    const none = await run(profile, ['id', '--json'])
    assert.equal(none.code, 5)
    assert.equal((JSON.parse(none.stdout) as { code: string }).code, 'NZ_IDENTITY_NONE')
    const created = documentOf(await run(profile, ['identity', 'create', '--json']), 'nz.identity/1')
    assert.equal(created['protection'], 'key-file')
    assert.deepEqual(documentOf(await run(profile, ['identity', 'show', '--json']), 'nz.identity/1'), created)
    const { id, fingerprint } = documentOf(await run(profile, ['id', '--json']), 'nz.id/1')
    assert.deepEqual([id, fingerprint], [created['id'], created['fingerprint']])
    const again = await run(profile, ['identity', 'create'])
    assert.equal(again.code, 10)
    assert.match(again.stderr, /already has an identity/)
  })

  it('prints the whole id where it is copied, a short one on a terminal, and a QR code when asked', async () => {
    await using profile = await fakeProfile()
    await run(profile, ['identity', 'create', '--json'])
    const { self } = await profile.admin().presentFacts()
    const words = self.fingerprint.join('-')
    assert.equal((await run(profile, ['id'])).stdout, `${self.id}   fingerprint ${words}\n`)
    const short = await run(profile, ['id'], { isTty: true })
    assert.match(short.stdout, /^nz1\w{5}…\w{4} {3}fingerprint /)
    assert.match((await run(profile, ['id', '--full'], { isTty: true })).stdout, new RegExp(`^${self.id} `))
    const qr = await run(profile, ['id', '--qr'])
    assert.match(qr.stdout, /[█▀▄]{10}/)
  })

  it('shows the words once when it creates on a terminal, and remembers that they were written down', async () => {
    await using profile = await fakeProfile()
    const created = await run(profile, ['identity', 'create'], { isTty: true, typed: ['y'] })
    assert.equal(created.code, 0, created.stderr)
    const phrase = new TextDecoder().decode(await profile.admin().phrase())
    const shown = [...created.stdout.matchAll(/^ ?\d+ .*$/gm)].join(' ').match(/[a-z]{3,8}/g)
    assert.deepEqual(shown, phrase.split(' '))
    assert.equal((await profile.admin().presentFacts()).isBackedUp, true)
  })

  it('prints no words to a file or a pipe unasked', async () => {
    await using profile = await fakeProfile()
    const created = await run(profile, ['identity', 'create'])
    const phrase = new TextDecoder().decode(await profile.admin().phrase())
    // Some words of the list, such as `state`, stand in this text whatever the phrase is.
    await using other = await fakeProfile()
    const usual = wordsIn(await run(other, ['identity', 'create']))
    const shown = wordsIn(created)
    const told = phrase.split(' ').filter((word) => shown.has(word) && !usual.has(word))
    assert.deepEqual(told, [])
    assert.match(created.stdout, /not backed up → nzcore identity phrase/)
    assert.equal((await run(profile, ['identity', 'phrase'])).code, 2)
    assert.deepEqual(
      documentOf(await run(profile, ['identity', 'phrase', '--yes', '--json']), 'nz.identity.phrase/1')['words'],
      phrase.split(' '),
    )
    assert.equal((await run(profile, ['identity', 'phrase', '--yes'])).stdout, `${phrase}\n`)
  })

  it('recovers from words on standard input, and says which word is wrong without repeating it', async () => {
    await using one = await fakeProfile()
    await using two = await fakeProfile()
    await run(one, ['identity', 'create', '--json'])
    const { self } = await one.admin().presentFacts()
    const phrase = new TextDecoder().decode(await one.admin().phrase())
    const words = phrase.split(' ')
    const wrong = await run(two, ['identity', 'recover'], { stdin: bytesOf(words.with(6, 'zzzqqq').join(' ')) })
    assert.equal(wrong.code, 2)
    assert.match(wrong.stderr, /word 7 is not in the list/)
    assert.doesNotMatch(wrong.stderr + wrong.stdout, /zzzqqq/)
    const recovered = await run(two, ['identity', 'recover', '--json'], { stdin: bytesOf(`${phrase}\n`) })
    assert.equal(documentOf(recovered, 'nz.identity/1')['id'], self.id)
  })

  it('recovers from typed words under a typed passphrase', async () => {
    await using one = await fakeProfile()
    await using two = await fakeProfile()
    await run(one, ['identity', 'create', '--json'])
    const phrase = new TextDecoder().decode(await one.admin().phrase())
    const typed = [phrase, PASSPHRASE, PASSPHRASE]
    const recovered = await run(two, ['identity', 'recover', '--passphrase', '--json'], { typed })
    assert.equal(documentOf(recovered, 'nz.identity/1')['protection'], 'passphrase')
    const differing = await run(two, ['identity', 'passphrase'], {
      typed: [PASSPHRASE, 'new passphrase', 'other passphrase'],
    })
    assert.equal(differing.code, 2)
    assert.match(differing.stderr, /differ/)
  })

  it('carries an identity to another home by an export', async () => {
    await using one = await fakeProfile()
    await using two = await fakeProfile()
    await run(one, ['identity', 'create', '--json'])
    const { self } = await one.admin().presentFacts()
    const [file, secret] = [join(one.root, 'me.nzid'), join(one.root, 'secret')]
    await writeFile(secret, `${PASSPHRASE}\n`, { mode: 0o600 })
    const exported = await run(one, ['identity', 'export', file, '--export-passphrase-file', secret, '--json'])
    assert.equal(documentOf(exported, 'nz.identity.export/1')['id'], self.id)
    const argv = ['identity', 'import', file, '--json']
    const imported = await run(two, [...argv, '--export-passphrase-file', secret, '--passphrase-file', secret])
    assert.deepEqual(
      [documentOf(imported, 'nz.identity/1')['id'], documentOf(imported, 'nz.identity/1')['protection']],
      [self.id, 'passphrase'],
    )
    const tampered = await readFile(file)
    tampered[100] = (tampered[100] ?? 0) ^ 1
    await writeFile(file, tampered)
    await using three = await fakeProfile()
    assert.equal((await run(three, [...argv, '--export-passphrase-file', secret])).code, 11)
  })

  it('takes passphrases from the file that the environment names, and never one that others may read', async () => {
    await using profile = await fakeProfile()
    const secret = join(profile.root, 'secret')
    await writeFile(secret, PASSPHRASE, { mode: 0o600 })
    const env = { NZ_PASSPHRASE_FILE: secret }
    const created = documentOf(await run(profile, ['identity', 'create', '--json'], { env }), 'nz.identity/1')
    assert.equal(created['protection'], 'passphrase')
    assert.equal((await run(profile, ['identity', 'phrase', '--yes'])).code, 4)
    assert.equal((await run(profile, ['identity', 'phrase', '--yes'], { env })).code, 0)
    const both = await run(profile, ['identity', 'phrase', '--yes'], { env: { ...env, NZ_PASSPHRASE_FD: '3' } })
    assert.match(both.stderr, /both are set/)
    const open = join(profile.root, 'open')
    await writeFile(open, PASSPHRASE, { mode: 0o644 })
    const refused = await run(profile, ['identity', 'phrase', '--yes'], { env: { NZ_PASSPHRASE_FILE: open } })
    assert.equal(refused.code, 4)
    assert.match(refused.stderr, /others may read the file/)
    const toKeyFile = await run(profile, ['identity', 'passphrase', '--key-file', '--json'], { env })
    assert.equal(documentOf(toKeyFile, 'nz.identity/1')['protection'], 'key-file')
    assert.equal((await run(profile, ['identity', 'phrase', '--yes'])).code, 0)
  })

  it('exits 4 for a wrong passphrase and 11 for a damaged keystore', async () => {
    await using profile = await fakeProfile()
    const typed = [PASSPHRASE, PASSPHRASE]
    assert.equal((await run(profile, ['identity', 'create', '--passphrase', '--json'], { typed })).code, 0)
    assert.equal((await run(profile, ['identity', 'phrase', '--yes', '--json'], { typed: ['wrong one'] })).code, 4)
    await writeFile(join(profile.home.stateDir, 'identity.nzid'), 'garbage')
    assert.equal((await run(profile, ['identity', 'show'])).code, 11)
  })
})
