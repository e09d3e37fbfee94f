/**
 * A large file whose every part can be recognised: blocks of 4 KiB, each a number and then the same random bytes.
 * Exchanged, lost and doubled blocks change its hash; and to look for any part of it in a capture is to look for parts
 * of one block.
 */
import { createHash, randomBytes } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { pipeline } from 'node:stream/promises'

const BLOCK_BYTES = 4_096
const NUMBER_BYTES = 8
const BLOCKS_PER_WRITE = 256

export interface SampleFile {
  readonly sha256: string
  /** What follows the number in every block. */
  readonly secret: Uint8Array
}

/** `size` must be a multiple of 1 MiB. */
export async function writeSampleFile(path: string, size: number): Promise<SampleFile> {
  const secret = randomBytes(BLOCK_BYTES - NUMBER_BYTES)
  const hash = createHash('sha256')
  const parts = function* (): Generator<Buffer> {
    for (let block = 0; block * BLOCK_BYTES < size; block += BLOCKS_PER_WRITE) {
      const part = Buffer.alloc(BLOCK_BYTES * BLOCKS_PER_WRITE)
      for (let i = 0; i < BLOCKS_PER_WRITE; i++) {
        part.writeBigUInt64BE(BigInt(block + i), i * BLOCK_BYTES)
        part.set(secret, i * BLOCK_BYTES + NUMBER_BYTES)
      }
      hash.update(part)
      yield part
    }
  }
  await pipeline(parts, createWriteStream(path))
  return { sha256: hash.digest('hex'), secret }
}

export async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path, { highWaterMark: 1_048_576 })) hash.update(chunk as Buffer)
  return hash.digest('hex')
}
