/**
 * A key and its certificate for benches on loopback, the same in every process: whoever reads this has the key, it
 * protects nobody. Ed25519, as our nodes have (RFC 8410); X.509 version 3 without extensions (RFC 5280 §4.1).
 */
import { createHash, createPrivateKey, createPublicKey, sign } from 'node:crypto'

/** Tags of DER (X.690 §8). */
const TAG = { integer: 0x02, bits: 0x03, oid: 0x06, utf8: 0x0c, utcTime: 0x17, time: 0x18, sequence: 0x30, set: 0x31 }
const VERSION_TAG = 0xa0
/** 1.3.101.112. */
const ED25519 = Buffer.from('2b6570', 'hex')
/** 2.5.4.3. */
const COMMON_NAME = Buffer.from('550403', 'hex')
/** A PKCS #8 key up to the 32 bytes of its seed. */
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex')

const seed = createHash('sha256').update('nzcore bench: a key that everybody has').digest()
const privateKey = createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, seed]), format: 'der', type: 'pkcs8' })

export const key = String(privateKey.export({ type: 'pkcs8', format: 'pem' }))
export const certificate = pemOf(selfSigned())

function selfSigned(): Buffer {
  const algorithm = der(TAG.sequence, der(TAG.oid, ED25519))
  const commonName = der(TAG.sequence, der(TAG.oid, COMMON_NAME), der(TAG.utf8, Buffer.from('bench')))
  const name = der(TAG.sequence, der(TAG.set, commonName))
  const contents = der(
    TAG.sequence,
    der(VERSION_TAG, der(TAG.integer, Buffer.of(2))),
    der(TAG.integer, Buffer.of(1)),
    algorithm,
    name,
    der(TAG.sequence, der(TAG.utcTime, Buffer.from('260101000000Z')), der(TAG.time, Buffer.from('21260101000000Z'))),
    name,
    createPublicKey(privateKey).export({ type: 'spki', format: 'der' }),
  )
  const signature = sign(null, contents, privateKey)
  return der(TAG.sequence, contents, algorithm, der(TAG.bits, Buffer.of(0), signature))
}

/** Of at most 65,535 bytes. */
function der(tag: number, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts)
  const { length } = body
  const size = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255]
  return Buffer.concat([Buffer.of(tag, ...size), body])
}

function pemOf(bytes: Buffer): string {
  const lines = bytes.toString('base64').match(/.{1,64}/g) ?? []
  return ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n')
}
