/** Ed25519 identities from a seed, and a verification that computes each signature once for all nodes of a run. */
import { hash } from 'node:crypto'
import { privateKeyObject, rawPublicKey } from '../identity/raw-keys.ts'
import { SIGNATURE_BYTES, signFor, verifyFor } from '../identity/signature.ts'
import { keyOf } from '../trust/update.ts'
import type { KeyObject } from 'node:crypto'
import type { SigningPurpose } from '../identity/signature.ts'
import type { Key } from '../trust/update.ts'

export interface SimulatedIdentity {
  readonly key: Key
  readonly publicKey: Uint8Array
  readonly privateKey: KeyObject
  sign(purpose: SigningPurpose, message: Uint8Array): Uint8Array
}

/** The same identity for the same seed and name. */
export function identityNamed(seed: number, name: string): SimulatedIdentity {
  const privateKey = privateKeyObject('ed25519', hash('sha256', `${seed}/identity/${name}`, 'buffer'))
  const publicKey = rawPublicKey(privateKey)
  return {
    key: keyOf(publicKey),
    publicKey,
    privateKey,
    sign: (purpose, message) => signFor(purpose, message, privateKey),
  }
}

export type VerifySignature = typeof verifyFor

/** Fifty nodes get the same update: the verdict on the same bytes is the same, and is looked up from the second time on. */
export function verifyOnce(): VerifySignature {
  const verdicts = new Map<string, boolean>()
  return (purpose, message, signature, publicKey) => {
    if (signature.length !== SIGNATURE_BYTES) return false
    const parts = [Buffer.from(`${purpose}\0`), publicKey, signature, message]
    const name = hash('sha256', Buffer.concat(parts), 'base64')
    const known = verdicts.get(name)
    if (known !== undefined) return known
    const verdict = verifyFor(purpose, message, signature, publicKey)
    verdicts.set(name, verdict)
    return verdict
  }
}
