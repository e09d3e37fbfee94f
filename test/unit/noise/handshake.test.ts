import assert from 'node:assert/strict'
import { createCipheriv } from 'node:crypto'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { CipherState } from '../../../protocols/noise/cipher-state.ts'
import { Handshake, XX } from '../../../protocols/noise/handshake.ts'
import { generateX25519KeyPair, x25519 } from '../../../protocols/noise/x25519.ts'

const NOTHING = new Uint8Array(0)

function pairOf(prologues: readonly [string, string] = ['', '']): readonly [Handshake, Handshake] {
  const make = (role: 'initiator' | 'responder', prologue: string): Handshake =>
    new Handshake({ pattern: XX, role, staticKey: generateX25519KeyPair(), prologue: Buffer.from(prologue) })
  return [make('initiator', prologues[0]), make('responder', prologues[1])]
}

describe('Handshake', () => {
  it('gives both sides each other’s static key and the same keys', () => {
    const [initiator, responder] = pairOf()
    responder.readMessage(initiator.writeMessage(NOTHING))
    initiator.readMessage(responder.writeMessage(Buffer.from('from the responder')))
    const payload = responder.readMessage(initiator.writeMessage(Buffer.from('from the initiator')))
    assert.equal(Buffer.from(payload).toString(), 'from the initiator')
    const [ours, theirs] = [initiator.split(), responder.split()]
    assert.deepEqual(ours.sendKey, theirs.receiveKey)
    assert.deepEqual(ours.receiveKey, theirs.sendKey)
    assert.deepEqual(ours.handshakeHash, theirs.handshakeHash)
    assert.notDeepEqual(ours.sendKey, ours.receiveKey)
  })

  it('fails when the two sides started from different prologues', () => {
    const [initiator, responder] = pairOf(['one', 'other'])
    responder.readMessage(initiator.writeMessage(NOTHING))
    assert.throws(() => initiator.readMessage(responder.writeMessage(NOTHING)), { code: 'NZ_NOISE_UNAUTHENTIC' })
  })

  it('is dead after a message that does not authenticate', () => {
    const [initiator, responder] = pairOf()
    responder.readMessage(initiator.writeMessage(NOTHING))
    const message = responder.writeMessage(NOTHING)
    const altered = message.slice()
    altered[40] = (altered[40] ?? 0) ^ 1
    assert.throws(() => initiator.readMessage(altered), { code: 'NZ_NOISE_UNAUTHENTIC' })
    assert.throws(() => initiator.readMessage(message), TypeError)
    assert.throws(() => initiator.split(), TypeError)
  })

  it('refuses to speak out of turn', () => {
    const [initiator, responder] = pairOf()
    assert.throws(() => responder.writeMessage(NOTHING), TypeError)
    assert.throws(() => initiator.readMessage(NOTHING), TypeError)
  })

  it('refuses a public key of low order', () => {
    const [, responder] = pairOf()
    responder.readMessage(new Uint8Array(32))
    assert.throws(() => responder.writeMessage(NOTHING), { code: 'NZ_NOISE_KEY_REFUSED' })
    assert.throws(() => x25519(generateX25519KeyPair().privateKey, new Uint8Array(32)), {
      code: 'NZ_NOISE_KEY_REFUSED',
    })
  })

  it('answers any bytes with a code or a payload, never with a crash', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), fc.boolean(), (bytes, isSecondMessage) => {
        const [initiator, responder] = pairOf()
        const reader = isSecondMessage ? initiator : responder
        if (isSecondMessage) initiator.writeMessage(NOTHING)
        try {
          reader.readMessage(bytes)
        } catch (error) {
          assert.match((error as { code: string }).code, /^NZ_NOISE_/)
        }
      }),
      { numRuns: 200 },
    )
  })
})

describe('CipherState', () => {
  const key = new Uint8Array(32).fill(7)

  it('opens what the other side sealed, in order', () => {
    const [sealer, opener] = [new CipherState(key), new CipherState(key)]
    for (const text of ['first', 'second', '']) {
      assert.equal(Buffer.from(opener.open(sealer.seal(Buffer.from(text)))).toString(), text)
    }
    assert.equal(opener.count, 3)
  })

  it('keeps its nonce when a message does not authenticate', () => {
    const [sealer, opener] = [new CipherState(key), new CipherState(key)]
    const sealed = sealer.seal(Buffer.from('message'))
    const altered = sealed.slice()
    altered[0] = (altered[0] ?? 0) ^ 1
    assert.throws(() => opener.open(altered), { code: 'NZ_NOISE_UNAUTHENTIC' })
    assert.equal(opener.count, 0)
    assert.equal(Buffer.from(opener.open(sealed)).toString(), 'message')
  })

  it('seals no more records than its key may', () => {
    const sealer = new CipherState(key, { maxRecords: 2 })
    sealer.seal(NOTHING)
    sealer.seal(NOTHING)
    assert.throws(() => sealer.seal(NOTHING), { code: 'NZ_NOISE_EXHAUSTED' })
    assert.throws(() => sealer.open(new Uint8Array(16)), { code: 'NZ_NOISE_EXHAUSTED' })
  })

  it('counts in 64 bits, little-endian, behind four zero bytes', () => {
    const count = 0x1_0000_0002
    const cipher = createCipheriv('chacha20-poly1305', key, Buffer.from('000000000200000001000000', 'hex'), {
      authTagLength: 16,
    })
    const expected = Buffer.concat([cipher.update('message'), cipher.final(), cipher.getAuthTag()])
    assert.deepEqual(Buffer.from(new CipherState(key, { count }).seal(Buffer.from('message'))), expected)
  })
})
