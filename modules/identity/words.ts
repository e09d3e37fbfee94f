/**
 * The 24 words of an identity: BIP-39, English list, 256 bits of entropy. spec/NZ-IDENTITY-01.md §2.
 *
 * The phrase is handled as bytes, not as a string, so that it can be zeroed.
 */
import { createHash, pbkdf2 } from 'node:crypto'
import { wordlist } from '@scure/bip39/wordlists/english.js'
import { identityErrors } from './service.ts'

export const ENTROPY_BYTES = 32
export const WORD_COUNT = 24

const SEED_BYTES = 64
const SEED_ROUNDS = 2_048
const BITS_PER_WORD = 11

/** More than 24 words and their spaces can take, with room for generous white space. */
export const MAX_PHRASE_BYTES = 1_024

const indexOfWord = new Map(wordlist.map((word, index) => [word, index]))

/** The phrase of `entropy` (16 to 32 bytes, a multiple of 4): ASCII words joined by one space. The caller zeroes it. */
export function phraseOf(entropy: Uint8Array): Uint8Array {
  const checked = withChecksum(entropy)
  try {
    const count = Math.floor((checked.byteLength * 8) / BITS_PER_WORD)
    const phrase = new Uint8Array(MAX_PHRASE_BYTES)
    let length = 0
    for (let at = 0; at < count; at++) {
      const word = wordlist[readIndex(checked, at)] ?? ''
      if (at > 0) phrase[length++] = 0x20
      for (let i = 0; i < word.length; i++) phrase[length++] = word.charCodeAt(i)
    }
    const exact = phrase.slice(0, length)
    phrase.fill(0)
    return exact
  } finally {
    checked.fill(0)
  }
}

/**
 * The 32 bytes of entropy of a phrase as a person typed it: any white space between words, any case. The caller
 * zeroes them.
 *
 * @throws NZ_IDENTITY_WORDS_INVALID; `data.position` counts from 1 and says which word is not in the list, never
 *   which word was typed
 */
export function entropyOf(phrase: Uint8Array): Uint8Array {
  if (phrase.byteLength > MAX_PHRASE_BYTES) throw invalid('the text is far longer than 24 words')
  const indexes = indexesOf(phrase)
  const checked = new Uint8Array(ENTROPY_BYTES + 1)
  try {
    for (const [at, index] of indexes.entries()) writeIndex(checked, at, index)
    const entropy = checked.slice(0, ENTROPY_BYTES)
    const expected = withChecksum(entropy)
    const isIntact = expected[ENTROPY_BYTES] === checked[ENTROPY_BYTES]
    expected.fill(0)
    if (isIntact) return entropy
    entropy.fill(0)
    throw invalid('every word is in the list, but their checksum is wrong: one is another word, or two are swapped')
  } finally {
    checked.fill(0)
    indexes.fill(0)
  }
}

/** BIP-39 seed of a phrase, 64 bytes, without an extra passphrase. The caller zeroes it. */
export async function seedOf(phrase: Uint8Array, salt = 'mnemonic'): Promise<Uint8Array> {
  const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>()
  pbkdf2(phrase, salt, SEED_ROUNDS, SEED_BYTES, 'sha512', (error, seed) => {
    if (error === null) resolve(seed)
    else reject(error)
  })
  return await promise
}

function indexesOf(phrase: Uint8Array): number[] {
  const indexes: number[] = []
  let word = ''
  for (const byte of [...phrase, 0x20]) {
    const isSpace = byte === 0x20 || (byte >= 0x09 && byte <= 0x0d)
    if (!isSpace) {
      word += String.fromCharCode(byte)
      continue
    }
    if (word === '') continue
    const index = indexOfWord.get(word.toLowerCase())
    word = ''
    const position = indexes.length + 1
    if (position > WORD_COUNT) throw invalid('there are more than 24 words')
    if (index === undefined) throw invalid(`word ${position} is not in the list`, position)
    indexes.push(index)
  }
  if (indexes.length < WORD_COUNT) throw invalid(`there are ${indexes.length} words, not 24`)
  return indexes
}

/** Entropy and the bits of its SHA-256 that complete the last word. */
function withChecksum(entropy: Uint8Array): Uint8Array {
  const checksumBits = entropy.byteLength / 4
  const checked = new Uint8Array(entropy.byteLength + 1)
  checked.set(entropy)
  const first = createHash('sha256').update(entropy).digest()[0] ?? 0
  checked[entropy.byteLength] = first & (0xff << (8 - checksumBits))
  return checked
}

function readIndex(bits: Uint8Array, at: number): number {
  let index = 0
  for (let bit = at * BITS_PER_WORD; bit < (at + 1) * BITS_PER_WORD; bit++) {
    index = (index << 1) | (((bits[bit >> 3] ?? 0) >> (7 - (bit & 7))) & 1)
  }
  return index
}

function writeIndex(bits: Uint8Array, at: number, index: number): void {
  for (let i = 0; i < BITS_PER_WORD; i++) {
    const bit = at * BITS_PER_WORD + i
    const value = (index >> (BITS_PER_WORD - 1 - i)) & 1
    bits[bit >> 3] = (bits[bit >> 3] ?? 0) | (value << (7 - (bit & 7)))
  }
}

function invalid(why: string, position?: number): Error {
  return identityErrors.NZ_IDENTITY_WORDS_INVALID({ why, ...(position === undefined ? {} : { data: { position } }) })
}
