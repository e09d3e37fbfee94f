/** A node in real processes leaves no key, word or passphrase of its identity in any file or output. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { IdentityKeys, KEY_PATHS } from '../../modules/identity/keys.ts'
import { derivePrivateKey } from '../../modules/identity/derivation.ts'
import { entropyOf, seedOf } from '../../modules/identity/words.ts'

const nzcore = resolve(import.meta.dirname, '..', '..', 'cli', 'nzcore.js')
const PASSPHRASES = ['first passphrase 1', 'second passphrase 2', 'export passphrase 3', 'wrong passphrase 4']

interface Finished {
  readonly code: number
  readonly output: string
}

describe('the secrets of an identity', () => {
  let root: string
  let secrets: string
  const outputs: string[] = []

  before(async () => {
    root = await mkdtemp(join(tmpdir(), 'nz-secrets-'))
    secrets = await mkdtemp(join(tmpdir(), 'nz-secrets-'))
    for (const [at, passphrase] of PASSPHRASES.entries()) {
      await writeFile(join(secrets, `${at}`), `${passphrase}\n`, { mode: 0o600 })
    }
  })
  after(async () => {
    await run(['down'])
    await rm(root, { recursive: true, force: true })
    await rm(secrets, { recursive: true, force: true })
  })

  async function run(argv: readonly string[], passphrase?: number): Promise<Finished> {
    const { promise, resolve: finish } = Promise.withResolvers<Finished>()
    const env = {
      PATH: process.env['PATH'],
      NZ_HOME: root,
      NZ_DEBUG: '1',
      NZ_NETWORK_LISTEN: '["/ip4/127.0.0.1/tcp/0"]',
      ...(passphrase === undefined ? {} : { NZ_PASSPHRASE_FILE: join(secrets, `${passphrase}`) }),
    }
    execFile(process.execPath, [nzcore, ...argv], { env, timeout: 30_000 }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1
      finish({ code, output: stdout + stderr })
    })
    return await promise
  }

  async function quietly(argv: readonly string[], code: number, passphrase?: number): Promise<void> {
    const finished = await run(argv, passphrase)
    assert.equal(finished.code, code, `${argv.join(' ')}: ${finished.output}`)
    outputs.push(finished.output)
  }

  async function phraseShown(passphrase?: number): Promise<readonly string[]> {
    const { output } = await run(['identity', 'phrase', '--yes', '--json'], passphrase)
    return (JSON.parse(output) as { words: string[] }).words
  }

  /** Every way in which the bytes of a secret could lie in a file. */
  function spellings(secret: Uint8Array): readonly Buffer[] {
    const bytes = Buffer.from(secret)
    return [
      bytes,
      Buffer.from(bytes.toString('hex')),
      Buffer.from(bytes.toString('hex').toUpperCase()),
      Buffer.from(bytes.toString('base64').replace(/=+$/, '').slice(0, -1)),
      Buffer.from(bytes.toString('base64url').slice(0, -1)),
      Buffer.from([...bytes].join(',')),
    ]
  }

  async function everySecret(words: readonly string[]): Promise<readonly Buffer[]> {
    const entropy = entropyOf(Buffer.from(words.join(' ')))
    const seed = await seedOf(Buffer.from(words.join(' ')))
    using keys = await IdentityKeys.derive(entropy)
    const raw = [
      entropy,
      seed,
      keys.nodePrivateKey(),
      ...Object.values(KEY_PATHS).map((path) => derivePrivateKey(seed, path)),
    ]
    const phrases = words
      .slice(2)
      .flatMap((_, at) => [' ', '-', ',', '","', '\n'].map((by) => words.slice(at, at + 3).join(by)))
    return [...raw.flatMap(spellings), ...[...phrases, ...PASSPHRASES].map((text) => Buffer.from(text))]
  }

  async function files(): Promise<readonly string[]> {
    const found: string[] = []
    for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
      if (entry.isFile()) found.push(join(entry.parentPath, entry.name))
    }
    return found
  }

  async function assertNowhere(words: readonly string[]): Promise<void> {
    const needles = await everySecret(words)
    const seen = await files()
    assert.ok(seen.some((path) => path.endsWith('identity.nzid')) && seen.some((path) => path.endsWith('.log')))
    const hay = await Promise.all(seen.map(async (path) => ({ path, bytes: await readFile(path) })))
    hay.push({ path: 'what commands printed', bytes: Buffer.from(outputs.join('\n')) })
    for (const { path, bytes } of hay) {
      for (const needle of needles) assert.equal(bytes.includes(needle), false, `a secret lies in ${path}`)
    }
  }

  it('are in no file and no output of a node that was used', async () => {
    await quietly(['up'], 0)
    await quietly(['id', '--json'], 0)
    await quietly(['identity', 'show'], 0)
    const words = await phraseShown()
    await quietly(['identity', 'export', join(root, 'one.nzid'), '--export-passphrase-file', join(secrets, '2')], 0)
    await quietly(['status', '--json'], 0)
    await quietly(['identity', 'passphrase', '--passphrase-file', join(secrets, '0')], 10)
    await assertNowhere(words)
    await quietly(['down'], 0)

    await quietly(['identity', 'passphrase', '--passphrase-file', join(secrets, '0')], 0)
    await quietly(['identity', 'passphrase', '--passphrase-file', join(secrets, '1')], 0, 0)
    await quietly(['up'], 4)
    await quietly(['up'], 4, 3)
    await quietly(['up'], 0, 1)
    assert.deepEqual(await phraseShown(1), words)
    await quietly(['identity', 'recover'], 10)
    await quietly(['down'], 0)
    await assertNowhere(words)
    for (const path of await files()) {
      if (!path.includes(`${join(root, 'cache')}`)) assert.equal((await stat(path)).mode & 0o077, 0, path)
    }
  })
})
