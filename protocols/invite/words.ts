/** The four words that two people compare, and the commitment that keeps either side from choosing them (NZ-INVITE-01 §5). */
import { createHash, timingSafeEqual } from 'node:crypto'
import { wordlist } from '@scure/bip39/wordlists/english.js'

const WORD_COUNT = 4
const BITS_PER_WORD = 11

/** What both sides of a join agree on without a message. */
export interface JoinBinding {
  /** Ed25519 node public keys, 32 bytes each. */
  readonly inviter: Uint8Array
  readonly joiner: Uint8Array
  /** sha256 of the ticket's secret: both sides have it, nobody else does. */
  readonly ticket: Uint8Array
}

/** 32 bytes that fix the joiner's nonce before it has seen the inviter's. */
export function commitmentOf({ inviter, joiner, ticket }: JoinBinding, joinerNonce: Uint8Array): Uint8Array {
  return hash('nzcore/join/1/commitment', inviter, joiner, ticket, joinerNonce)
}

export function isCommitted(binding: JoinBinding, commitment: Uint8Array, joinerNonce: Uint8Array): boolean {
  return timingSafeEqual(commitmentOf(binding, joinerNonce), commitment)
}

/** 44 bits as four BIP-39 words in upper case. The same on both sides exactly when nobody stands between them. */
export function comparisonWords(
  { inviter, joiner, ticket }: JoinBinding,
  inviterNonce: Uint8Array,
  joinerNonce: Uint8Array,
): readonly string[] {
  const digest = hash('nzcore/join/1/words', inviter, joiner, ticket, inviterNonce, joinerNonce)
  const bits = Array.from(digest, (byte) => byte.toString(2).padStart(8, '0')).join('')
  return Array.from({ length: WORD_COUNT }, (_, index) => {
    const number = Number.parseInt(bits.slice(index * BITS_PER_WORD, (index + 1) * BITS_PER_WORD), 2)
    return (wordlist[number] ?? '').toUpperCase()
  })
}

/** Every part has a fixed length, so their concatenation reads in one way only. */
function hash(label: string, ...parts: readonly Uint8Array[]): Uint8Array {
  const digest = createHash('sha256').update(label)
  for (const part of parts) digest.update(part)
  return new Uint8Array(digest.digest())
}
