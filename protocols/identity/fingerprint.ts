/**
 * Four words by which people compare an identity over the phone. spec/NZ-IDENTITY-01.md §5.
 *
 * 44 bits of a slow hash of the node public key: enough to notice a mix-up or a quick forgery, never a proof of
 * identity for a machine. The slow hash makes each try of a forger cost about 20 ms of one core and 8 MiB.
 */
import { scrypt } from 'node:crypto'
import { wordlist } from '@scure/bip39/wordlists/english.js'

const FINGERPRINT_WORDS = 4
const BITS_PER_WORD = 11
const FINGERPRINT_BYTES = 6
const SALT = 'nzcore/fingerprint/1'
const SCRYPT = { N: 8_192, r: 8, p: 1, maxmem: 16_777_216 }

/** Upper-case BIP-39 English words for a node public key of 32 bytes; always the same ones. */
export async function fingerprintOf(nodePublicKey: Uint8Array): Promise<readonly string[]> {
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>()
  scrypt(nodePublicKey, SALT, FINGERPRINT_BYTES, SCRYPT, (error, hash) => {
    if (error === null) resolve(hash)
    else reject(error)
  })
  const hash = await promise
  const bits = hash.reduce((all, byte) => (all << 8n) | BigInt(byte), 0n) >> 4n
  return Array.from({ length: FINGERPRINT_WORDS }, (_, at) => {
    const shift = BigInt((FINGERPRINT_WORDS - 1 - at) * BITS_PER_WORD)
    return (wordlist[Number((bits >> shift) & 0x7ffn)] ?? '').toUpperCase()
  })
}
