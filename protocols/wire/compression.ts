/**
 * Compression of single chunks (NZ-WIRE-01 §6). Each stands alone, so that no secret in one tells by its size of
 * another; what comes out is bounded while it comes out.
 */
import { constants, deflateRawSync, inflateRawSync, zstdCompressSync, zstdDecompressSync } from 'node:zlib'
import { MAX_CHUNK_BYTES } from './frame.ts'
import { MAX_RATIO, MAX_WINDOW_LOG } from './limits.ts'
import type { WireCode } from './errors.ts'

/** Index: number on the wire. */
export const codecs = ['none', 'deflate', 'zstd'] as const
export type Codec = (typeof codecs)[number]

/** Features that say which codecs a side has. */
export const codecFeatures = ['deflate', 'zstd'] as const

/** The best codec that both sides have. */
export function codecOf(features: readonly string[]): Codec {
  return features.includes('zstd') ? 'zstd' : features.includes('deflate') ? 'deflate' : 'none'
}

export interface Compressed {
  readonly bytes: Uint8Array
  /** How many bytes of what was given are in it, from the first. */
  readonly plainBytes: number
}

/**
 * Compresses `plain` or its beginning: less of it when a reader would not believe how small it becomes. `null` when it
 * does not become smaller.
 */
export function compress(codec: Codec, plain: Uint8Array): Compressed | null {
  if (codec === 'none') return null
  for (let plainBytes = plain.byteLength; plainBytes > 0; plainBytes = Math.floor(plainBytes / 4)) {
    const bytes = deflated(codec, plain.subarray(0, plainBytes))
    if (bytes.byteLength >= plainBytes) return null
    if (isBelievable(bytes.byteLength, plainBytes)) return { bytes, plainBytes }
  }
  return null
}

/** The `plainBytes` bytes that were compressed. */
export function decompress(codec: Codec, small: Uint8Array, plainBytes: number): Uint8Array | WireCode {
  if (codec === 'none') return 'NZ_WIRE_COMPRESSION'
  if (plainBytes > MAX_CHUNK_BYTES || !isBelievable(small.byteLength, plainBytes)) return 'NZ_WIRE_BOMB'
  try {
    const { buffer, engine } = inflate(codec, small, plainBytes)
    const isWhole = buffer.byteLength === plainBytes && engine.bytesWritten === small.byteLength
    return isWhole ? buffer : 'NZ_WIRE_COMPRESSION'
  } catch (error) {
    return isTooLarge(error) ? 'NZ_WIRE_BOMB' : 'NZ_WIRE_COMPRESSION'
  }
}

interface Inflated {
  readonly buffer: Uint8Array
  readonly engine: { readonly bytesWritten: number }
}

/** Stops as soon as more than `maxOutputLength` bytes came out. */
function inflate(codec: Exclude<Codec, 'none'>, small: Uint8Array, maxOutputLength: number): Inflated {
  const options = { maxOutputLength, info: true }
  const result: unknown =
    codec === 'zstd'
      ? zstdDecompressSync(small, { ...options, params: { [constants.ZSTD_d_windowLogMax]: MAX_WINDOW_LOG } })
      : inflateRawSync(small, options)
  // With `info`, which the types of Node do not know, it is a buffer and the engine that filled it.
  return result as Inflated
}

function deflated(codec: Exclude<Codec, 'none'>, plain: Uint8Array): Uint8Array {
  if (codec === 'deflate') return deflateRawSync(plain)
  return zstdCompressSync(plain, { params: { [constants.ZSTD_c_windowLog]: MAX_WINDOW_LOG } })
}

function isBelievable(smallBytes: number, plainBytes: number): boolean {
  return plainBytes <= smallBytes * MAX_RATIO
}

function isTooLarge(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ERR_BUFFER_TOO_LARGE'
}
