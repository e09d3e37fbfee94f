/** The identity's cryptography against published vectors. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { mnemonicToEntropy, validateMnemonic } from '@scure/bip39'
import { wordlist } from '@scure/bip39/wordlists/english.js'
import { derivePrivateKey } from '../../modules/identity/derivation.ts'
import { openWith, sealTo, sharedSecret } from '../../modules/identity/hpke.ts'
import { privateKeyObject, rawPublicKey } from '../../protocols/identity/raw-keys.ts'
import { signedBytes, signFor, verifyEd25519, verifyFor } from '../../protocols/identity/signature.ts'
import { entropyOf, phraseOf, seedOf } from '../../modules/identity/words.ts'
import { fromHex, needsVectors, publishedSet, specVectors, toHex } from '../vectors.ts'

const text = new TextEncoder()

interface Set<Vector> {
  readonly vectors: readonly Vector[]
}

describe('Ed25519', () => {
  interface Rfc8032 {
    readonly name: string
    readonly secretKey: string
    readonly publicKey: string
    readonly message: string
    readonly signature: string
  }
  for (const vector of specVectors<Set<Rfc8032>>('rfc8032-ed25519.json').vectors) {
    it(`verifies RFC 8032 ${vector.name}, and nothing that differs by a bit`, () => {
      const key = privateKeyObject('ed25519', fromHex(vector.secretKey))
      assert.equal(toHex(rawPublicKey(key)), vector.publicKey)
      const [message, signature, publicKey] = [
        fromHex(vector.message),
        fromHex(vector.signature),
        fromHex(vector.publicKey),
      ]
      assert.ok(verifyEd25519(message, signature, publicKey))
      for (let bit = 0; bit < 512; bit += 7) {
        const changed = Uint8Array.from(signature)
        changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
        assert.equal(verifyEd25519(message, changed, publicKey), false)
      }
    })
  }

  const wycheproof = 'wycheproof/ed25519_test.json'
  it('agrees with every Wycheproof verdict', needsVectors(wycheproof), () => {
    interface Suite {
      readonly testGroups: ReadonlyArray<{
        readonly publicKey: { readonly pk: string }
        readonly tests: ReadonlyArray<{
          readonly tcId: number
          readonly msg: string
          readonly sig: string
          readonly result: 'valid' | 'invalid' | 'acceptable'
        }>
      }>
    }
    let checked = 0
    for (const { publicKey, tests } of publishedSet<Suite>(wycheproof).testGroups) {
      for (const { tcId, msg, sig, result } of tests) {
        checked += 1
        assert.equal(
          verifyEd25519(fromHex(msg), fromHex(sig), fromHex(publicKey.pk)),
          result === 'valid',
          `test case ${tcId}`,
        )
      }
    }
    assert.ok(checked >= 150)
  })

  it('refuses public keys of small order and spellings above p, with which one signature may fit many messages', () => {
    const identityPoint = fromHex(`01${'00'.repeat(31)}`)
    const forged = new Uint8Array(64)
    forged.set(identityPoint)
    for (const word of ['one', 'two']) {
      assert.equal(verifyEd25519(text.encode(word), forged, identityPoint), false)
    }
    for (const y of ['00'.repeat(32), `ee${'ff'.repeat(30)}7f`, `ec${'ff'.repeat(30)}ff`, 'ff'.repeat(32)]) {
      assert.equal(verifyEd25519(text.encode('one'), forged, fromHex(y)), false)
    }
  })

  it('says no to bytes of any length', () => {
    for (const length of [0, 1, 31, 33, 64, 65]) {
      assert.equal(verifyEd25519(new Uint8Array(), new Uint8Array(length), new Uint8Array(32).fill(9)), false)
      assert.equal(verifyEd25519(new Uint8Array(), new Uint8Array(64), new Uint8Array(length)), false)
    }
  })
})

describe('a signature for a purpose', () => {
  const key = privateKeyObject('ed25519', new Uint8Array(32).fill(7))
  const publicKey = rawPublicKey(key)
  const message = text.encode('hello')

  it('verifies for that purpose alone', () => {
    const signature = signFor('nzcore/invite/1', message, key)
    assert.equal(signature.byteLength, 64)
    assert.ok(verifyFor('nzcore/invite/1', message, signature, publicKey))
    assert.equal(verifyFor('nzcore/invite/2', message, signature, publicKey), false)
    assert.equal(verifyFor('nzcore/receipt/1', message, signature, publicKey), false)
    assert.equal(verifyFor('nzcore/invite/1', text.encode('hallo'), signature, publicKey), false)
    assert.equal(verifyEd25519(message, signature, publicKey), false)
  })

  it('cannot be moved to another purpose by moving bytes between purpose and message', () => {
    const one = signedBytes('nzcore/a/1', text.encode('0 rest'))
    const two = signedBytes('nzcore/a/10', text.encode(' rest'))
    assert.notDeepEqual(one, two)
  })

  it('is not made for a malformed purpose', () => {
    for (const purpose of ['nzcore/x', 'other/x/1', 'nzcore//1', 'nzcore/X/1', `nzcore/${'x'.repeat(60)}/1`]) {
      assert.throws(() => signedBytes(purpose as 'nzcore/x/1', message), TypeError)
    }
  })
})

describe('X25519', () => {
  interface Rfc7748 {
    readonly name: string
    readonly scalar: string
    readonly u: string
    readonly output: string
  }
  for (const { name, scalar, u, output } of specVectors<Set<Rfc7748>>('rfc7748-x25519.json').vectors) {
    it(`computes RFC 7748 ${name}`, () => {
      assert.equal(toHex(sharedSecret(privateKeyObject('x25519', fromHex(scalar)), fromHex(u))), output)
    })
  }

  const wycheproof = 'wycheproof/x25519_test.json'
  it('agrees with Wycheproof and refuses every zero secret', needsVectors(wycheproof), () => {
    interface Suite {
      readonly testGroups: ReadonlyArray<{
        readonly tests: ReadonlyArray<{
          readonly tcId: number
          readonly public: string
          readonly private: string
          readonly shared: string
          readonly result: 'valid' | 'invalid' | 'acceptable'
        }>
      }>
    }
    let checked = 0
    for (const { tests } of publishedSet<Suite>(wycheproof).testGroups) {
      for (const { tcId, shared, result, ...vector } of tests) {
        checked += 1
        const compute = (): string =>
          toHex(sharedSecret(privateKeyObject('x25519', fromHex(vector.private)), fromHex(vector.public)))
        if (/^0*$/.test(shared)) assert.throws(compute, `test case ${tcId}`)
        else assert.equal(compute(), shared, `test case ${tcId} (${result})`)
      }
    }
    assert.ok(checked >= 500)
  })
})

describe('HPKE', () => {
  interface Rfc9180 {
    readonly name: string
    readonly info: string
    readonly skEm: string
    readonly pkRm: string
    readonly skRm: string
    readonly enc: string
    readonly aad: string
    readonly pt: string
    readonly ct: string
  }
  for (const vector of specVectors<Set<Rfc9180>>('rfc9180-hpke.json').vectors) {
    it(`seals and opens RFC 9180 ${vector.name}`, () => {
      const recipient = {
        privateKey: privateKeyObject('x25519', fromHex(vector.skRm)),
        publicKey: fromHex(vector.pkRm),
      }
      const options = { info: fromHex(vector.info), aad: fromHex(vector.aad) }
      const sealed = sealTo(fromHex(vector.pkRm), fromHex(vector.pt), {
        ...options,
        ephemeralPrivateKey: fromHex(vector.skEm),
      })
      assert.equal(toHex(sealed), vector.enc + vector.ct)
      assert.equal(toHex(openWith(recipient, sealed, options) ?? new Uint8Array()), vector.pt)
    })
  }

  const recipientKey = privateKeyObject('x25519', new Uint8Array(32).fill(5))
  const recipient = { privateKey: recipientKey, publicKey: rawPublicKey(recipientKey) }
  const info = text.encode('nzcore/test/1')

  it('seals anew each time and opens what it sealed, also nothing at all', () => {
    for (const plaintext of [new Uint8Array(), text.encode('x'), new Uint8Array(70_000).fill(3)]) {
      const sealed = sealTo(recipient.publicKey, plaintext, { info })
      assert.notDeepEqual(sealed, sealTo(recipient.publicKey, plaintext, { info }))
      assert.deepEqual(openWith(recipient, sealed, { info }), plaintext)
    }
  })

  it('opens nothing that was changed, cut, sealed for another use or to another', () => {
    const sealed = sealTo(recipient.publicKey, text.encode('secret'), { info })
    for (let at = 0; at < sealed.byteLength; at++) {
      const changed = Uint8Array.from(sealed)
      changed[at] = (changed[at] ?? 0) ^ 1
      assert.equal(openWith(recipient, changed, { info }), null)
      assert.equal(openWith(recipient, sealed.subarray(0, at), { info }), null)
    }
    assert.equal(openWith(recipient, sealed, { info: text.encode('nzcore/test/2') }), null)
    const otherKey = privateKeyObject('x25519', new Uint8Array(32).fill(6))
    assert.equal(openWith({ privateKey: otherKey, publicKey: rawPublicKey(otherKey) }, sealed, { info }), null)
  })

  it('refuses keys of small order on both sides', () => {
    assert.throws(() => sealTo(new Uint8Array(32), text.encode('x'), { info }))
    assert.equal(openWith(recipient, new Uint8Array(64), { info }), null)
  })
})

describe('SLIP-0010', () => {
  interface Chain {
    readonly seed: string
    readonly keys: ReadonlyArray<{ readonly path: readonly number[]; readonly privateKey: string }>
  }
  for (const { seed, keys } of specVectors<Set<Chain>>('slip-0010-ed25519.json').vectors) {
    for (const { path, privateKey } of keys) {
      it(`derives ${['m', ...path].join('/')} of ${seed.slice(0, 8)}…`, () => {
        assert.equal(toHex(derivePrivateKey(fromHex(seed), path)), privateKey)
      })
    }
  }
})

describe('BIP-39', () => {
  const bip39 = 'bip39/english.json'
  it('agrees with every vector of the English list', needsVectors(bip39), async () => {
    const { english } = publishedSet<{ english: ReadonlyArray<readonly [string, string, string, string]> }>(bip39)
    for (const [entropy, phrase, seed] of english) {
      assert.equal(new TextDecoder().decode(phraseOf(fromHex(entropy))), phrase)
      assert.equal(toHex(await seedOf(text.encode(phrase), 'mnemonicTREZOR')), seed)
      if (entropy.length === 64) assert.equal(toHex(entropyOf(text.encode(phrase))), entropy)
    }
    assert.ok(english.length >= 24)
  })

  const phrase = phraseOf(Uint8Array.from({ length: 32 }, (_, at) => at * 7))
  const words = new TextDecoder().decode(phrase).split(' ')

  it('agrees with the library on what a phrase says', () => {
    assert.ok(validateMnemonic(words.join(' '), wordlist))
    assert.deepEqual(entropyOf(phrase), mnemonicToEntropy(words.join(' '), wordlist))
  })

  it('takes a phrase as people type it', () => {
    const typed = `  ${words.join(' \t ').toUpperCase()}\r\n`
    assert.deepEqual(entropyOf(text.encode(typed)), entropyOf(phrase))
  })

  it('names the position of a word that is not in the list, and no word', () => {
    const wrong = words.with(4, 'zzzsecret')
    assert.throws(
      () => entropyOf(text.encode(wrong.join(' '))),
      (error: Error & { code: string; data: object; why: string }) => {
        assert.equal(error.code, 'NZ_IDENTITY_WORDS_INVALID')
        assert.deepEqual(error.data, { position: 5 })
        assert.doesNotMatch(JSON.stringify(error) + error.why + error.message, /zzzsecret/)
        return true
      },
    )
  })

  it('refuses too few and too many words, swapped words and a phrase without end', () => {
    const swapped = [words[1], words[0], ...words.slice(2)]
    for (const wrong of [
      words.slice(1),
      [...words, 'abandon'],
      swapped,
      words.with(23, words[23] === 'zoo' ? 'zone' : 'zoo'),
      [],
    ]) {
      assert.throws(() => entropyOf(text.encode(wrong.join(' '))), { code: 'NZ_IDENTITY_WORDS_INVALID' })
    }
    assert.throws(() => entropyOf(new Uint8Array(1_000_000).fill(97)), { code: 'NZ_IDENTITY_WORDS_INVALID' })
  })
})
