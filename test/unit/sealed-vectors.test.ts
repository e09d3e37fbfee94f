/** The published vectors of what records are sealed with, through the functions that seal them. */
import assert from 'node:assert/strict'
import { createCipheriv, createHmac, createSecretKey, hkdfSync } from 'node:crypto'
import { describe, it } from 'node:test'
import { openSealed, sealInto } from '../../protocols/sealed/aead.ts'
import { encodeHeader, HEADER_BYTES, sealWith, unsealWith } from '../../protocols/sealed/sealed.ts'
import { StoreKeys } from '../../modules/storage/keys.ts'
import { fromHex, needsVectors, publishedSet, toHex } from '../vectors.ts'

interface AeadSuite {
  readonly testGroups: ReadonlyArray<{
    readonly ivSize: number
    readonly tests: ReadonlyArray<{
      readonly tcId: number
      readonly key: string
      readonly iv: string
      readonly aad: string
      readonly msg: string
      readonly ct: string
      readonly tag: string
      readonly result: 'valid' | 'invalid' | 'acceptable'
    }>
  }>
}

interface HkdfSuite {
  readonly testGroups: ReadonlyArray<{
    readonly tests: ReadonlyArray<{
      readonly tcId: number
      readonly ikm: string
      readonly salt: string
      readonly info: string
      readonly size: number
      readonly okm: string
      readonly result: 'valid' | 'invalid'
    }>
  }>
}

const NONCE = /^(?:.{24}|.{48})$/

/** HChaCha20 (draft-irtf-cfrg-xchacha-03 §2.2): a block of ChaCha20 without the final addition, its first and last row. */
function hChaCha20(key: Uint8Array, nonce: Uint8Array): Uint8Array {
  const block = createCipheriv('chacha20', key, nonce).update(new Uint8Array(64))
  const words = Buffer.concat([Buffer.from('expand 32-byte k'), key, nonce])
  const subkey = Buffer.alloc(32)
  for (const [to, from] of [0, 1, 2, 3, 12, 13, 14, 15].entries()) {
    subkey.writeUInt32LE((block.readUInt32LE(from * 4) - words.readUInt32LE(from * 4)) >>> 0, to * 4)
  }
  return subkey
}

function sealed(init: Parameters<typeof openSealed>[1], plaintext: Uint8Array): Uint8Array {
  const target = new Uint8Array(plaintext.byteLength + 16)
  sealInto(target, 0, plaintext, init)
  return target
}

describe('sealing', () => {
  for (const [name, bytes, count] of [
    ['chacha20_poly1305', 12, 300],
    // Nothing of ours uses the longer nonce; its cipher is ours under a key that HChaCha20 gives.
    ['xchacha20_poly1305', 24, 300],
  ] as const) {
    const path = `wycheproof/${name}_test.json`
    it(`agrees with every Wycheproof verdict on ${name}`, needsVectors(path), () => {
      let checked = 0
      for (const { tests } of publishedSet<AeadSuite>(path).testGroups) {
        for (const { tcId, key, iv, aad, msg, ct, tag, result } of tests) {
          // A nonce of another length cannot be given: ours are made of a counter.
          if (!NONCE.test(iv) || iv.length !== bytes * 2) {
            assert.equal(result, 'invalid', `test case ${tcId}`)
            continue
          }
          const nonce = fromHex(iv)
          const isLong = bytes === 24
          const init = {
            key: createSecretKey(isLong ? hChaCha20(fromHex(key), nonce.subarray(0, 16)) : fromHex(key)),
            nonce: isLong ? Buffer.concat([new Uint8Array(4), nonce.subarray(16)]) : nonce,
            associated: fromHex(aad),
          }
          const opened = openSealed(fromHex(ct + tag), init)
          assert.equal(opened === null ? null : toHex(opened), result === 'valid' ? msg : null, `test case ${tcId}`)
          const isSame = toHex(sealed(init, fromHex(msg))) === ct + tag
          assert.equal(isSame, result === 'valid', `test case ${tcId}`)
          checked += 1
        }
      }
      assert.ok(checked >= count, `${checked}`)
    })
  }

  const aead = 'wycheproof/chacha20_poly1305_test.json'
  it('puts counter and place where the text says', needsVectors(aead), () => {
    for (const { tests } of publishedSet<AeadSuite>(aead).testGroups) {
      for (const { tcId, key, msg } of tests) {
        const header = { generation: tcId, salt: new Uint8Array(16).fill(tcId), counter: tcId * 7 }
        const place = Buffer.from(`place ${tcId}`)
        const keyOf = () => createSecretKey(fromHex(key))
        const record = sealWith(keyOf, header, { place, plaintext: fromHex(msg) })
        const nonce = Buffer.alloc(12)
        nonce.writeUInt32BE(header.counter, 8)
        const associated = Buffer.concat([place, encodeHeader(header)])
        assert.deepEqual(Buffer.from(record.subarray(0, HEADER_BYTES)), Buffer.from(encodeHeader(header)))
        const body = sealed({ key: keyOf(), nonce, associated }, fromHex(msg))
        assert.equal(toHex(record.subarray(HEADER_BYTES)), toHex(body))
        assert.equal(toHex(unsealWith(keyOf, record, place)?.plaintext ?? new Uint8Array()), msg)
        assert.equal(unsealWith(keyOf, record, Buffer.from('place')), null)
      }
    }
  })
})

describe('keys', () => {
  /** RFC 5869 by its text, from HMAC alone. */
  function hkdf(ikm: Uint8Array, salt: Uint8Array, info: Uint8Array, size: number): Buffer {
    const prk = createHmac('sha256', salt.byteLength === 0 ? new Uint8Array(32) : salt)
      .update(ikm)
      .digest()
    const parts: Buffer[] = []
    for (let n = 1; parts.length * 32 < size; n++) {
      const before = parts.at(-1) ?? new Uint8Array()
      parts.push(createHmac('sha256', prk).update(before).update(info).update(Uint8Array.of(n)).digest())
    }
    return Buffer.concat(parts).subarray(0, size)
  }

  const path = 'wycheproof/hkdf_sha256_test.json'
  it('agree with every Wycheproof vector of HKDF, and those of the store are made by it', needsVectors(path), () => {
    let checked = 0
    for (const { tests } of publishedSet<HkdfSuite>(path).testGroups) {
      for (const { tcId, size, okm, result, ...vector } of tests) {
        const [ikm, salt, info] = [fromHex(vector.ikm), fromHex(vector.salt), fromHex(vector.info)]
        checked += 1
        if (result === 'invalid') {
          assert.throws(() => hkdfSync('sha256', ikm, salt, info, size), `test case ${tcId}`)
          continue
        }
        assert.equal(toHex(new Uint8Array(hkdfSync('sha256', ikm, salt, info, size))), okm, `test case ${tcId}`)
        assert.equal(hkdf(ikm, salt, info, size).toString('hex'), okm, `test case ${tcId}`)
        const keys = new StoreKeys(ikm)
        for (const purpose of ['record', 'head', 'witness'] as const) {
          const label = Buffer.from(`nzcore/storage/${purpose}/1/3`)
          const key = keys.sealing(purpose, 3, salt)
          assert.equal(key.export().toString('hex'), hkdf(ikm, salt, label, 32).toString('hex'), `test case ${tcId}`)
        }
      }
    }
    assert.ok(checked >= 80)
  })
})
