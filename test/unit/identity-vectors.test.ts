/**
 * spec/vectors/identity.json against the code: the vectors of NZ-IDENTITY-01.
 * `NZ_WRITE_VECTORS=1 node --test test/unit/identity-vectors.test.ts` writes them anew.
 */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, it } from 'node:test'
import { peerIdFromPublicKey } from '@libp2p/peer-id'
import { publicKeyFromRaw } from '@libp2p/crypto/keys'
import { seededRandom } from '../../kernel/index.ts'
import { sealTo } from '../../modules/identity/hpke.ts'
import { encodeKeyFile, decodeKeyFile } from '../../modules/identity/key-file.ts'
import { IdentityKeys } from '../../modules/identity/keys.ts'
import { subjectOf } from '../../modules/identity/keystore.ts'
import { lock, parse, unlock } from '../../modules/identity/locked-file.ts'
import { phraseOf } from '../../modules/identity/words.ts'
import { fingerprintOf } from '../../protocols/identity/fingerprint.ts'
import { idOf, peerIdOf, publicKeyOfId, publicKeyOfPeerId } from '../../protocols/identity/id.ts'
import { fromHex, specVectors, toHex } from '../vectors.ts'

const text = new TextEncoder()
const PURPOSE = 'nzcore/vector/1'
const MESSAGE = 'a message'
const PASSPHRASE = 'correct horse battery staple'
const KEY = new Uint8Array(32).fill(0x6b)
const CREATED_AT_MS = 1_780_000_000_000

async function identityVector(entropy: Uint8Array, seed: number): Promise<Record<string, unknown>> {
  using keys = await IdentityKeys.derive(entropy)
  const { self } = keys
  const subject = subjectOf(self, CREATED_AT_MS)
  const random = seededRandom(seed)
  const place = { path: '/var/lib/nzcore/default/identity.nzid', uid: 1000 }
  return {
    entropy: toHex(entropy),
    phrase: new TextDecoder().decode(phraseOf(entropy)),
    nodePrivateKey: toHex(keys.nodePrivateKey().subarray(0, 32)),
    nodePublicKey: toHex(self.nodePublicKey),
    signingPublicKey: toHex(self.signingPublicKey),
    boxPublicKey: toHex(self.boxPublicKey),
    peerId: self.peerId,
    id: self.id,
    fingerprint: self.fingerprint,
    derivedKey: { label: PURPOSE, key: toHex(keys.deriveKey(PURPOSE)) },
    signature: {
      purpose: PURPOSE,
      message: toHex(text.encode(MESSAGE)),
      bySigningKey: toHex(keys.sign(PURPOSE, text.encode(MESSAGE))),
      byNodeKey: toHex(keys.signAsNode(PURPOSE, text.encode(MESSAGE))),
    },
    sealed: {
      info: PURPOSE,
      ephemeralPrivateKey: '77'.repeat(32),
      plaintext: toHex(text.encode(MESSAGE)),
      sealed: toHex(
        sealTo(self.boxPublicKey, text.encode(MESSAGE), {
          info: text.encode(PURPOSE),
          ephemeralPrivateKey: new Uint8Array(32).fill(0x77),
        }),
      ),
    },
    export: {
      passphrase: PASSPHRASE,
      file: toHex(
        await lock(
          { kind: 'export', subject, boundTo: null },
          entropy,
          { by: 'passphrase', passphrase: text.encode(PASSPHRASE) },
          { logN: 14, random },
        ),
      ),
    },
    keystore: {
      keyFile: toHex(
        encodeKeyFile({ kind: 'key-file', version: 1, peerId: self.peerId, keystore: place.path, key: KEY }),
      ),
      file: toHex(
        await lock({ kind: 'keystore', subject, boundTo: place }, entropy, { by: 'key-file', key: KEY }, { random }),
      ),
    },
  }
}

describe('NZ-IDENTITY-01', () => {
  it('has the vectors of spec/vectors/identity.json', async () => {
    const made = {
      source: 'NZ-IDENTITY-01; written by test/unit/identity-vectors.test.ts. Bytes are hexadecimal.',
      vectors: [
        await identityVector(new Uint8Array(32), 1),
        await identityVector(
          Uint8Array.from({ length: 32 }, (_, at) => at),
          2,
        ),
        await identityVector(new Uint8Array(32).fill(0xff), 3),
      ],
    }
    if (process.env['NZ_WRITE_VECTORS'] !== undefined) {
      const path = join(resolve(import.meta.dirname, '..', '..'), 'spec', 'vectors', 'identity.json')
      writeFileSync(path, `${JSON.stringify(made, null, 2)}\n`)
    }
    assert.deepEqual(made, specVectors<object>('identity.json'))
  })

  interface Vector {
    readonly entropy: string
    readonly export: { readonly file: string; readonly passphrase: string }
    readonly keystore: { readonly file: string; readonly keyFile: string }
  }

  it('opens the files of its vectors', async () => {
    for (const vector of specVectors<{ vectors: readonly Vector[] }>('identity.json').vectors) {
      const exported = parse(fromHex(vector.export.file))
      const keystore = parse(fromHex(vector.keystore.file))
      const keyFile = decodeKeyFile(fromHex(vector.keystore.keyFile))
      assert.ok(exported.state === 'parsed' && keystore.state === 'parsed' && keyFile !== null)
      const passphrase = text.encode(vector.export.passphrase)
      for (const opened of [
        await unlock(exported.file, { by: 'passphrase', passphrase }),
        await unlock(keystore.file, { by: 'key-file', key: keyFile.key }),
      ]) {
        assert.ok(opened instanceof Uint8Array)
        assert.equal(toHex(opened), vector.entropy)
      }
    }
  })
})

describe('the names of a key', () => {
  it('are those libp2p gives it', async () => {
    for (const seed of [1, 2, 3]) {
      using keys = await IdentityKeys.derive(new Uint8Array(32).fill(seed))
      const { nodePublicKey, peerId } = keys.self
      assert.equal(peerId, peerIdFromPublicKey(publicKeyFromRaw(nodePublicKey)).toString())
    }
  })

  it('lead back to the key, and nothing else does', () => {
    const key = Uint8Array.from({ length: 32 }, (_, at) => 255 - at)
    assert.deepEqual(publicKeyOfPeerId(peerIdOf(key)), key)
    assert.deepEqual(publicKeyOfId(idOf(key)), key)
    assert.deepEqual(publicKeyOfId(idOf(key).toUpperCase()), key)
    const id = idOf(key)
    for (let at = 3; at < id.length; at++) {
      const other = id[at] === 'q' ? 'p' : 'q'
      assert.equal(publicKeyOfId(id.slice(0, at) + other + id.slice(at + 1)), null)
    }
    for (const wrong of ['', 'nz1', 'nz1qqqq', `${id}q`, id.slice(1), 'x'.repeat(100_000), `N${id.slice(1)}`]) {
      assert.equal(publicKeyOfId(wrong), null)
    }
    for (const wrong of ['', '0OIl', 'QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N', '1'.repeat(100_000)]) {
      assert.equal(publicKeyOfPeerId(wrong), null)
    }
    assert.throws(() => peerIdOf(new Uint8Array(31)), TypeError)
    assert.throws(() => idOf(new Uint8Array(33)), TypeError)
  })

  it('have four words of the list as fingerprint', async () => {
    const words = await fingerprintOf(new Uint8Array(32).fill(9))
    assert.equal(words.length, 4)
    for (const word of words) assert.match(word, /^[A-Z]{3,8}$/)
    assert.deepEqual(await fingerprintOf(new Uint8Array(32).fill(9)), words)
    assert.notDeepEqual(await fingerprintOf(new Uint8Array(32).fill(10)), words)
  })
})
