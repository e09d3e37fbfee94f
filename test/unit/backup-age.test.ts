/** The age format: the vectors of its testkit, and files exchanged with the reference implementation. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { describe, it } from 'node:test'
import { inflateSync } from 'node:zlib'
import { bech32 } from '@scure/base'
import { Decrypter, Encrypter } from 'age-encryption'
import * as vectors from 'cctv-age'
import fc from 'fast-check'
import { systemRandom } from '../../kernel/index.ts'
import { AgeOpener, AgeSealer, CHUNK_BYTES } from '../../protocols/backup/age-payload.ts'
import { MAX_HEADER_BYTES, MAX_RECIPIENTS } from '../../protocols/backup/age-header.ts'
import { publicKeyOfRecipient, recipientOf } from '../../protocols/backup/age-recipient.ts'
import { x25519KeyPairFromSeed } from '../../protocols/noise/x25519.ts'
import type { X25519KeyPair } from '../../protocols/noise/x25519.ts'

const SECRET_PREFIX = 'age-secret-key-'
const identity = x25519KeyPairFromSeed(new Uint8Array(32).fill(7))
const secretText = bech32.encode(SECRET_PREFIX, bech32.toWords(new Uint8Array(32).fill(7))).toUpperCase()

function sealed(plaintext: Uint8Array, recipients: readonly Uint8Array[] = [identity.publicKey]): Buffer {
  const sealer = new AgeSealer(recipients, systemRandom)
  return Buffer.concat([sealer.head, ...sealer.push(plaintext), sealer.finish()])
}

function opened(file: Uint8Array, keys: X25519KeyPair = identity, pieceBytes = file.byteLength): Buffer {
  const opener = new AgeOpener(keys)
  const chunks: Uint8Array[] = []
  for (let at = 0; at < file.byteLength; at += pieceBytes)
    chunks.push(...opener.push(file.subarray(at, at + pieceBytes)))
  return Buffer.concat([...chunks, opener.finish()])
}

interface Vector {
  readonly expect: string
  readonly fields: ReadonlyMap<string, readonly string[]>
  readonly file: Uint8Array
}

function vectorOf(bytes: Uint8Array): Vector {
  const end = Buffer.from(bytes).indexOf('\n\n')
  const fields = new Map<string, string[]>()
  for (const line of Buffer.from(bytes.subarray(0, end)).toString('utf8').split('\n')) {
    const [name = '', ...value] = line.split(': ')
    fields.set(name, [...(fields.get(name) ?? []), value.join(': ')])
  }
  const body = bytes.subarray(end + 2)
  const file = fields.get('compressed')?.[0] === 'zlib' ? inflateSync(body) : body
  return { expect: fields.get('expect')?.[0] ?? '', fields, file }
}

/** Kinds this implementation does not have: passphrases, armour, and keys of other kinds. */
const isOurs = ({ fields }: Vector): boolean =>
  !fields.has('passphrase') &&
  !fields.has('armored') &&
  (fields.get('identity') ?? []).length === 1 &&
  (fields.get('identity')?.[0] ?? '').startsWith('AGE-SECRET-KEY-1')

describe('the age format', () => {
  const all = Object.entries<Uint8Array>(vectors).map(([name, bytes]) => [name, vectorOf(bytes)] as const)
  const ours = all.filter(([, vector]) => isOurs(vector))

  it('agrees with every vector of the testkit that concerns it', () => {
    assert.ok(ours.length >= 60, `only ${ours.length} vectors`)
    for (const [name, { expect, fields, file }] of ours) {
      const secret = bech32.decodeToBytes(fields.get('identity')?.[0] ?? '').bytes
      let result = 'success'
      let payload: Uint8Array = new Uint8Array()
      try {
        payload = opened(file, x25519KeyPairFromSeed(secret))
      } catch (error) {
        result = (error as { code: string }).code
      }
      const wanted = { success: 'success', 'no match': 'NZ_BACKUP_NOT_OURS' }[expect] ?? 'NZ_BACKUP_ARCHIVE_DAMAGED'
      assert.equal(result, wanted, `${name}: ${expect}`)
      if (expect === 'success')
        assert.equal(createHash('sha256').update(payload).digest('hex'), fields.get('payload')?.[0], name)
    }
  })

  for (const size of [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES]) {
    it(`writes ${size} bytes that the reference implementation reads, and reads what it writes`, async () => {
      const plaintext = systemRandom.bytes(size)
      const reference = new Decrypter()
      reference.addIdentity(secretText)
      assert.deepEqual(Buffer.from(await reference.decrypt(sealed(plaintext))), Buffer.from(plaintext))
      const encrypter = new Encrypter()
      encrypter.addRecipient(recipientOf(identity.publicKey))
      assert.deepEqual(opened(await encrypter.encrypt(plaintext), identity, 4_099), Buffer.from(plaintext))
    })
  }

  it('opens for each of its recipients and nobody else', () => {
    const others = [1, 2, 3].map((byte) => x25519KeyPairFromSeed(new Uint8Array(32).fill(byte)))
    const file = sealed(
      Buffer.from('for two'),
      others.slice(0, 2).map(({ publicKey }) => publicKey),
    )
    for (const other of others.slice(0, 2)) assert.equal(opened(file, other).toString(), 'for two')
    assert.throws(() => opened(file, others[2]), { code: 'NZ_BACKUP_NOT_OURS' })
  })

  it('bounds recipients and headers', () => {
    const many = Array.from({ length: MAX_RECIPIENTS }, () => identity.publicKey)
    assert.equal(opened(sealed(Buffer.from('x'), many)).toString(), 'x')
    assert.throws(() => sealed(Buffer.from('x'), [...many, identity.publicKey]), RangeError)
    const endless = Buffer.alloc(MAX_HEADER_BYTES + 1, 'a')
    endless.write('age-encryption.org/v1\n-> x\n')
    assert.throws(() => [...new AgeOpener(identity).push(endless)], { code: 'NZ_BACKUP_ARCHIVE_DAMAGED' })
  })

  it('gives the same bytes in whatever pieces they come', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.integer({ min: 1, max: 97 }), (plaintext, pieceBytes) => {
        assert.deepEqual(opened(sealed(plaintext), identity, pieceBytes), Buffer.from(plaintext))
      }),
      { numRuns: 60 },
    )
  })

  it('knows its recipients and refuses what nobody can open', () => {
    assert.deepEqual(publicKeyOfRecipient(recipientOf(identity.publicKey)), new Uint8Array(identity.publicKey))
    assert.equal(publicKeyOfRecipient(recipientOf(new Uint8Array(32))), null)
    assert.equal(publicKeyOfRecipient(secretText), null)
    const mistyped = recipientOf(identity.publicKey).replace(/.$/, (last) => (last === 'q' ? 'p' : 'q'))
    assert.equal(publicKeyOfRecipient(mistyped), null)
  })
})
