/** The published vectors of cacophony and snow for 25519_ChaChaPoly_SHA256, in both roles. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { CipherState } from '../../../protocols/noise/cipher-state.ts'
import { Handshake } from '../../../protocols/noise/handshake.ts'
import { x25519KeyPairFromSeed } from '../../../protocols/noise/x25519.ts'
import { needsVectors, publishedSet } from '../../vectors.ts'
import { patternNamed } from './patterns.ts'

interface Vector {
  readonly protocol_name: string
  readonly handshake_hash?: string
  readonly messages: ReadonlyArray<{ readonly payload: string; readonly ciphertext: string }>
  readonly [field: string]: unknown
}

for (const set of ['cacophony', 'snow']) {
  const path = `noise/${set}-25519-chachapoly-sha256.json`
  describe(`Noise vectors of ${set}`, needsVectors(path), () => {
    const { skip } = needsVectors(path)
    const { vectors } = skip === false ? publishedSet<{ vectors: Vector[] }>(path) : { vectors: [] }
    for (const vector of vectors) it(vector.protocol_name, () => replay(vector))
  })
}

function replay(vector: Vector): void {
  const name = vector.protocol_name.split('_')[1] ?? ''
  const pattern = patternNamed(name)
  const sides = [handshakeOf(vector, 'init'), handshakeOf(vector, 'resp')] as const
  const handshakes = vector.messages.slice(0, pattern.messages.length)
  handshakes.forEach(({ payload, ciphertext }, index) => {
    const [writer, reader] = index % 2 === 0 ? sides : [sides[1], sides[0]]
    const message = writer.writeMessage(Buffer.from(payload, 'hex'))
    assert.equal(Buffer.from(message).toString('hex'), ciphertext)
    assert.equal(Buffer.from(reader.readMessage(message)).toString('hex'), payload)
  })
  const [initiator, responder] = [sides[0].split(), sides[1].split()]
  assert.deepEqual(initiator.handshakeHash, responder.handshakeHash)
  if (vector.handshake_hash !== undefined) {
    assert.equal(Buffer.from(initiator.handshakeHash).toString('hex'), vector.handshake_hash)
  }
  const forward = [new CipherState(initiator.sendKey), new CipherState(responder.receiveKey)] as const
  const backward = [new CipherState(responder.sendKey), new CipherState(initiator.receiveKey)] as const
  const isOneWay = pattern.messages.length === 1
  vector.messages.slice(pattern.messages.length).forEach(({ payload, ciphertext }, index) => {
    const isForward = isOneWay || (pattern.messages.length + index) % 2 === 0
    const [sealer, opener] = isForward ? forward : backward
    const sealed = sealer.seal(Buffer.from(payload, 'hex'))
    assert.equal(Buffer.from(sealed).toString('hex'), ciphertext)
    assert.equal(Buffer.from(opener.open(sealed)).toString('hex'), payload)
  })
}

function handshakeOf(vector: Vector, side: 'init' | 'resp'): Handshake {
  const bytes = (field: string): Uint8Array | undefined => {
    const value = vector[`${side}_${field}`]
    return typeof value === 'string' ? Buffer.from(value, 'hex') : undefined
  }
  const pairs = { staticKey: bytes('static'), ephemeralKey: bytes('ephemeral') }
  const keys = Object.entries(pairs).flatMap(([name, seed]) =>
    seed === undefined ? [] : [[name, x25519KeyPairFromSeed(seed)] as const],
  )
  const remoteStatic = bytes('remote_static')
  return new Handshake({
    pattern: patternNamed(vector.protocol_name.split('_')[1] ?? ''),
    role: side === 'init' ? 'initiator' : 'responder',
    prologue: bytes('prologue') ?? new Uint8Array(0),
    ...Object.fromEntries(keys),
    ...(remoteStatic === undefined ? {} : { remoteStatic }),
    preSharedKeys: ((vector[`${side}_psks`] ?? []) as string[]).map((key) => Buffer.from(key, 'hex')),
  })
}
