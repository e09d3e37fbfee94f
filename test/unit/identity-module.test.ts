import assert from 'node:assert/strict'
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, it } from 'node:test'
import { Kernel } from '../../kernel/index.ts'
import home from '../../modules/home/index.ts'
import { identityModule } from '../../modules/identity/index.ts'
import { IdentityService } from '../../modules/identity/service.ts'
import { homeOf } from '../../protocols/ipc/home.ts'
import type { PassphraseSource } from '../../modules/identity/service.ts'

const log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

describe('the identity module', () => {
  let root: string
  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'nz-identity-'))
  })
  afterEach(async () => {
    await rm(root, { recursive: true })
  })

  function kernelOf(passphrase?: PassphraseSource): Kernel {
    const identity = identityModule({ scryptLogN: 14, ...(passphrase === undefined ? {} : { passphrase }) })
    return new Kernel({ modules: [home, identity], config: { home: { ...homeOf({ env: { NZ_HOME: root } }) } }, log })
  }

  async function run<T>(kernel: Kernel, use: (identity: IdentityService) => T): Promise<T> {
    await kernel.start()
    try {
      return await use(kernel.get(IdentityService))
    } finally {
      await kernel.stop()
    }
  }

  it('creates an identity when there is none and has the same one after a restart', async () => {
    const first = await run(kernelOf(), ({ self }) => self)
    const again = await run(kernelOf(), ({ self, protection }) => {
      assert.equal(protection, 'key-file')
      return self
    })
    assert.deepEqual(again, first)
    assert.match(first.id, /^nz1[a-z0-9]{58}$/)
    assert.match(first.peerId, /^12D3Koo/)
    const { keyFile } = homeOf({ env: { NZ_HOME: root } })
    assert.equal((await stat(keyFile)).mode & 0o777, 0o600)
  })

  it('protects a new identity by the passphrase it is given, and needs it again', async () => {
    const source: PassphraseSource = async () => new TextEncoder().encode('correct horse battery')
    await run(kernelOf(source), ({ protection }) => assert.equal(protection, 'passphrase'))
    await run(kernelOf(source), ({ protection }) => assert.equal(protection, 'passphrase'))
    await assert.rejects(kernelOf(async () => null).start(), { code: 'NZ_IDENTITY_PASSPHRASE_MISSING' })
    const wrong = async (): Promise<Uint8Array> => new TextEncoder().encode('wrong horse battery')
    await assert.rejects(kernelOf(wrong).start(), { code: 'NZ_IDENTITY_PASSPHRASE_WRONG' })
  })

  it('lends a copy of the node key, and nothing after it stopped', async () => {
    const kernel = kernelOf()
    const identity = await run(kernel, (service) => {
      const key = service.nodePrivateKey()
      assert.deepEqual(key.subarray(32), service.self.nodePublicKey)
      key.fill(0)
      assert.notDeepEqual(service.nodePrivateKey(), key)
      return service
    })
    assert.throws(() => identity.nodePrivateKey(), { code: 'NZ_IDENTITY_LOCKED' })
    assert.throws(() => identity.sign('nzcore/test/1', new Uint8Array()), { code: 'NZ_IDENTITY_LOCKED' })
    assert.throws(() => identity.deriveKey('nzcore/test/1'), { code: 'NZ_IDENTITY_LOCKED' })
  })
})
