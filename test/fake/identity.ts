/** An identity with real Ed25519 keys from a seed byte, and nothing at rest. Only what invites need. */
import { createPrivateKey, createPublicKey, sign, verify } from 'node:crypto'
import { peerIdOf, idOf } from '../../protocols/identity/id.ts'
import type { IdentityService } from '../../modules/identity/service.ts'

const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex')
const SPKI_PREFIX = Buffer.from('302a300506032b6570032100', 'hex')

export function fakeIdentity(seed: number): IdentityService {
  const der = Buffer.concat([PKCS8_PREFIX, new Uint8Array(32).fill(seed)])
  const privateKey = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
  const spki = createPublicKey(privateKey).export({ format: 'der', type: 'spki' })
  const nodePublicKey = new Uint8Array(spki.subarray(SPKI_PREFIX.length))
  const signed = (purpose: string, message: Uint8Array): Uint8Array =>
    new Uint8Array(sign(null, Buffer.concat([Buffer.from(`${purpose}\0`), message]), privateKey))
  const absent = () => Promise.reject(new Error('the fake identity has no box key'))
  return {
    self: {
      peerId: peerIdOf(nodePublicKey),
      id: idOf(nodePublicKey),
      fingerprint: [],
      nodePublicKey,
      signingPublicKey: nodePublicKey,
      boxPublicKey: new Uint8Array(32),
    },
    protection: 'key-file',
    nodePrivateKey: () => new Uint8Array(64),
    sign: signed,
    signAsNode: signed,
    verify(purpose, message, signature, publicKey) {
      const key = createPublicKey({ key: Buffer.concat([SPKI_PREFIX, publicKey]), format: 'der', type: 'spki' })
      return verify(null, Buffer.concat([Buffer.from(`${purpose}\0`), message]), key, signature)
    },
    seal: absent,
    open: absent,
    deriveKey: () => new Uint8Array(32),
  }
}
