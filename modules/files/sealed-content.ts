/**
 * A content on the disk: a header, then chunks of one size, each sealed for its place, the last one marked as the last
 * (STREAM by Hoang, Reyhanitabar, Rogaway and Vizár). spec/NZ-FILES-01.md §3. Pure: no input or output.
 */
import { createCipheriv, createDecipheriv, createHash } from 'node:crypto'
import { NONCE_PREFIX_BYTES, SALT_BYTES } from './keys.ts'
import type { Hash } from 'node:crypto'
import type { ContentKey } from './keys.ts'

const CIPHER = 'chacha20-poly1305'
const TAG_BYTES = 16
const NONCE_BYTES = 12
/** Bytes of the content in a chunk; the last one is filled up with zeros. */
export const CHUNK_BYTES = 65_536
export const SEALED_CHUNK_BYTES = CHUNK_BYTES + TAG_BYTES
/** `NZFB`, format 1, 2^16 bytes a chunk, two zeros, the salt. */
const START = Uint8Array.of(0x4e, 0x5a, 0x46, 0x42, 1, 16, 0, 0)
export const HEADER_BYTES = START.byteLength + SALT_BYTES
/** The counter of chunks has four bytes. */
const MAX_CHUNKS = 2 ** 32
export const MAX_CONTENT_BYTES = CHUNK_BYTES * MAX_CHUNKS

export function headerOf(salt: Uint8Array): Uint8Array {
  const header = new Uint8Array(HEADER_BYTES)
  header.set(START)
  header.set(salt, START.byteLength)
  return header
}

/** An empty content has one chunk too. */
export function chunksOf(size: number): number {
  return Math.max(1, Math.ceil(size / CHUNK_BYTES))
}

/** Bytes a content of `size` takes on the disk. */
export function storedBytesOf(size: number): number {
  return HEADER_BYTES + chunksOf(size) * SEALED_CHUNK_BYTES
}

export function chunkPosition(index: number): number {
  return HEADER_BYTES + index * SEALED_CHUNK_BYTES
}

export interface SealedContent {
  /** SHA-256 of the content, hex. */
  readonly contentId: string
  readonly size: number
}

/**
 * Takes a content in pieces of any size and seals it chunk by chunk: `fill` it, `seal` whenever it is full and more
 * comes, `finish` it in the end. For one content under one salt. Memory is used again, for chunks come by the thousand.
 */
export class ContentSealer {
  readonly header: Uint8Array
  readonly #key: ContentKey
  readonly #hash: Hash = createHash('sha256')
  readonly #chunk = Buffer.alloc(CHUNK_BYTES)
  #held = 0
  #counter = 0
  #size = 0

  constructor(key: ContentKey, salt: Uint8Array) {
    this.#key = key
    this.header = headerOf(salt)
  }

  get size(): number {
    return this.#size
  }

  /** A full chunk waits until it is known whether it is the last. */
  get isFull(): boolean {
    return this.#held === CHUNK_BYTES
  }

  /** Takes from the beginning of `bytes` what fits: how many. */
  fill(bytes: Uint8Array): number {
    const part = bytes.subarray(0, CHUNK_BYTES - this.#held)
    this.#hash.update(part)
    this.#chunk.set(part, this.#held)
    this.#held += part.byteLength
    this.#size += part.byteLength
    return part.byteLength
  }

  /** Writes the full chunk to the `SEALED_CHUNK_BYTES` of `target`. */
  seal(target: Uint8Array): void {
    if (!this.isFull) throw new TypeError('only the last chunk may not be full')
    this.#seal(target, false)
  }

  /** Writes the last chunk to `target`. Nothing is filled in afterwards. */
  finish(target: Uint8Array): SealedContent {
    this.#chunk.fill(0, this.#held)
    this.#seal(target, true)
    this.#chunk.fill(0)
    return { contentId: this.#hash.digest('hex'), size: this.#size }
  }

  #seal(target: Uint8Array, isLast: boolean): void {
    if (this.#counter >= MAX_CHUNKS) throw new RangeError('a content has at most 2^32 chunks')
    if (target.byteLength !== SEALED_CHUNK_BYTES) throw new TypeError('no room for a sealed chunk')
    const nonce = nonceOf(this.#key, this.#counter, isLast)
    const cipher = createCipheriv(CIPHER, this.#key.key, nonce, { authTagLength: TAG_BYTES })
    cipher.setAAD(this.header, { plaintextLength: CHUNK_BYTES })
    const body = cipher.update(this.#chunk)
    target.set(body)
    giveBack(body)
    cipher.final()
    target.set(cipher.getAuthTag(), CHUNK_BYTES)
    this.#counter += 1
    this.#held = 0
  }
}

/**
 * Frees the memory of what a cipher gave, now: the collector sees a few bytes of heap in each and would let hundreds of
 * megabytes of them wait. Nobody may use `bytes` afterwards.
 */
export function giveBack(bytes: Uint8Array): void {
  // A copy of nothing takes the memory over and is dropped. Never of the pool that small buffers share.
  if (bytes.buffer instanceof ArrayBuffer && bytes.buffer.byteLength >= CHUNK_BYTES) bytes.buffer.transfer(0)
}

/** Opens the chunks of one content, in any order. */
export class ContentOpener {
  readonly #key: ContentKey
  readonly #header: Uint8Array
  readonly #size: number

  constructor(key: ContentKey, { salt, size }: { readonly salt: Uint8Array; readonly size: number }) {
    this.#key = key
    this.#header = headerOf(salt)
    this.#size = size
  }

  isHeader(bytes: Uint8Array): boolean {
    return Buffer.from(this.#header).equals(bytes)
  }

  /** The bytes of chunk `index`, without what fills it up; `null` when it is not the one that was sealed there. */
  open(index: number, sealed: Uint8Array): Uint8Array | null {
    if (sealed.byteLength !== SEALED_CHUNK_BYTES) return null
    const last = chunksOf(this.#size) - 1
    const nonce = nonceOf(this.#key, index, index === last)
    const decipher = createDecipheriv(CIPHER, this.#key.key, nonce, { authTagLength: TAG_BYTES })
    decipher.setAAD(this.#header, { plaintextLength: CHUNK_BYTES })
    decipher.setAuthTag(sealed.subarray(CHUNK_BYTES))
    const chunk = decipher.update(sealed.subarray(0, CHUNK_BYTES))
    try {
      decipher.final()
    } catch {
      // The one thing final() reports: the tag does not fit.
      return null
    }
    return index === last ? chunk.subarray(0, this.#size - last * CHUNK_BYTES) : chunk
  }
}

/** prefix 7 bytes · counter u32 · 1 for the last chunk, else 0 */
function nonceOf({ noncePrefix }: ContentKey, counter: number, isLast: boolean): Uint8Array {
  const nonce = Buffer.alloc(NONCE_BYTES)
  nonce.set(noncePrefix)
  nonce.writeUInt32BE(counter, NONCE_PREFIX_BYTES)
  nonce[NONCE_BYTES - 1] = isLast ? 1 : 0
  return nonce
}
